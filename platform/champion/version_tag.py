"""Tags that a version of a registered model has, and the figures in them."""

from __future__ import annotations

from collections.abc import Mapping

KEY = "calsweep.candidate"
FIGURE = "calsweep.test"
FOLDS = "calsweep.folds"


def read_figures(tags: Mapping[str, str], figure: str, /) -> tuple[float, ...]:
    """Read the test figures of a promoted configuration from its tags; none if there are none.

    Examples
    --------
    >>> read_figures({"calsweep.test.auc": "0.912345,0.900000"}, "auc")
    (0.912345, 0.9)
    """
    text = tags.get(f"{FIGURE}.{figure}", "")
    return tuple(float(value) for value in text.split(",")) if text else ()
