"""Tags that a version of a registered model has, and the figures in them."""

from __future__ import annotations

from collections.abc import Mapping

KEY = "calsweep.candidate"
FIGURE = "calsweep.test"
FOLDS = "calsweep.folds"

_FACTS = {
    "decoder": "decoder",
    "sweep": "sweep",
    "trial": "trial",
    "folds": "folds",
    "decodes": "target",
    "dataset": "dataset",
    "dataset hash": "dataset_hash",
    "fold plan": "plan",
    "fold plan hash": "plan_hash",
    "verdict": "verdict",
    "champion since": "champion_since",
    "by": "champion_by",
    "because": "champion_because",
    "evidence": "champion_evidence",
    "champion until": "champion_until",
    "leaky, because": "overruled.leaky",
    "unbeaten, because": "overruled.unbeaten",
}


def read_facts(tags: Mapping[str, str], /) -> list[tuple[str, str]]:
    """Read what a person wants to know of a version from its tags: names and texts, in order.

    Examples
    --------
    >>> read_facts({"calsweep.folds": "20", "calsweep.decoder": "linear", "other": "1"})
    [('decoder', 'linear'), ('folds', '20')]
    """
    known = ((label, tags.get(f"calsweep.{key}", "")) for label, key in _FACTS.items())
    return [(label, text) for label, text in known if text]


def read_figures(tags: Mapping[str, str], figure: str, /) -> tuple[float, ...]:
    """Read the test figures of a promoted configuration from its tags; none if there are none.

    Examples
    --------
    >>> read_figures({"calsweep.test.auc": "0.912345,0.900000"}, "auc")
    (0.912345, 0.9)
    """
    text = tags.get(f"{FIGURE}.{figure}", "")
    return tuple(float(value) for value in text.split(",")) if text else ()
