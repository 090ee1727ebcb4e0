"""Which units a stored model reads, without its weights and the engine that they take."""

from __future__ import annotations

import json
from pathlib import Path


def units_of(folder: Path, /) -> tuple[str, ...]:
    """Give the names of the units that a model of one fold, or an ensemble, reads; none of images.

    Parameters
    ----------
    folder
        As `calsweep.platform.fold.ensemble.read_model` takes it.

    Raises
    ------
    FileNotFoundError
        If it holds no model.
    """
    first = folder / "members" / "00"
    text = ((first if first.exists() else folder) / "model.json").read_text()
    return tuple(json.loads(text)["units"])
