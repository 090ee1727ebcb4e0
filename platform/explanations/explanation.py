"""Explanations as they lie with the fold that they explain.

    folds/<key>/explanations/<kind>/about.json    what was done, with its options
    folds/<key>/explanations/<kind>/arrays.npz    what came of it

A folder is written beside and renamed, so it is whole or not there.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calsweep.datasets.cache import beside

FORMAT = 1
FOLDER = "explanations"


class Kind(Enum):
    """What an explanation is made of."""

    SHAP = "shap"
    ATTENTION = "attention"
    CUT_OUT = "cutout"


@dataclass(frozen=True, kw_only=True, eq=False)
class Explanation:
    """Numbers, and what they are.

    Attributes
    ----------
    kind
        What it is made of.
    options
        What decides the numbers, for a given fold, as plain data: with others they are computed
        anew.
    facts
        What else a reader must know, as plain data.
    arrays
        By name.
    """

    kind: Kind
    options: Mapping[str, Any]
    facts: Mapping[str, Any]
    arrays: Mapping[str, NDArray[Any]]

    def write(self, fold_folder: Path, /) -> Path:
        """Write it into the folder of a fold; one that is there is replaced."""
        place = folder_of(self.kind, fold_folder)
        place.parent.mkdir(exist_ok=True)
        about = {"format": FORMAT, "options": dict(self.options), "facts": dict(self.facts)}
        shutil.rmtree(place, ignore_errors=True)
        with beside(place) as partial:
            partial.mkdir()
            (partial / "about.json").write_text(json.dumps(about, indent=1))
            with (partial / "arrays.npz").open("wb") as file:
                np.savez_compressed(file, allow_pickle=False, **self.arrays)
        return place


class ExplanationDamaged(ValueError):
    """An explanation cannot be read."""

    def __init__(self, folder: str, what: str) -> None:
        super().__init__(folder, what)
        self.folder = folder
        self.what = what

    def __str__(self) -> str:
        return (
            f"the explanation in {self.folder} is damaged: {self.what.rstrip('.')}. Remove the "
            "folder; `calsweep explain` makes it again."
        )


def folder_of(kind: Kind, fold_folder: Path, /) -> Path:
    """Give where a fold's explanation lies."""
    return fold_folder / FOLDER / kind.value


def read_explanation(kind: Kind, fold_folder: Path, /) -> Explanation | None:
    """Read a fold's explanation; ``None`` if there is none.

    Raises
    ------
    ExplanationDamaged
        If it is not whole.
    """
    place = folder_of(kind, fold_folder)
    if not place.exists():
        return None
    with _named_if_damaged(place):
        options, facts = _about(place)
        with np.load(place / "arrays.npz", allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    return Explanation(kind=kind, options=options, facts=facts, arrays=arrays)


def read_facts(kind: Kind, fold_folder: Path, /) -> Mapping[str, Any] | None:
    """Read the facts of a fold's explanation without its arrays; ``None`` if there is none.

    Raises
    ------
    ExplanationDamaged
        If they cannot be read.
    """
    place = folder_of(kind, fold_folder)
    if not place.exists():
        return None
    with _named_if_damaged(place):
        _, facts = _about(place)
    return facts


def _about(place: Path) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Read options and facts."""
    about = json.loads((place / "about.json").read_text())
    found, options, facts = about["format"], about["options"], about["facts"]
    if found != FORMAT:
        raise ExplanationDamaged(str(place), f"it is of format {found}, not {FORMAT}")
    return options, facts


@contextlib.contextmanager
def _named_if_damaged(place: Path) -> Iterator[None]:
    """Name the folder in whatever is wrong with it."""
    try:
        yield
    except ExplanationDamaged:
        raise
    except KeyError as error:
        raise ExplanationDamaged(str(place), f"it has no {error}") from error
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise ExplanationDamaged(str(place), str(error) or type(error).__name__) from error
