"""How far the folds are that train just now, for the process that shows it.

A fold leaves a small file beside the results; what it holds decides nothing.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from calsweep.datasets.cache import beside

EVERY_S = 1.0
"""Seconds between two words of a fold: short epochs need not be told one by one."""

_SUFFIX = ".epoch"


@dataclass(frozen=True, kw_only=True)
class FoldUnderWay:
    """A fold in training.

    Attributes
    ----------
    fold
        Its number.
    epoch, epochs
        Done, and at most to do.
    """

    fold: int
    epoch: int
    epochs: int

    @property
    def share(self) -> float:
        """How much of it is done, if no epoch is left out."""
        return self.epoch / self.epochs


@dataclass(kw_only=True)
class EpochFile:
    """What one fold in training says of itself.

    Attributes
    ----------
    path
        Where, see `epoch_path`.
    """

    path: Path
    _last_s: float = field(default_factory=time.monotonic, init=False)

    def tell(self, fold: FoldUnderWay, /) -> None:
        """Replace what was said before, unless that was just now."""
        if time.monotonic() - self._last_s < EVERY_S:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with beside(self.path) as partial:
            partial.write_text(json.dumps(asdict(fold)))
        self._last_s = time.monotonic()

    def remove(self) -> None:
        """Say nothing more."""
        self.path.unlink(missing_ok=True)


def epoch_path(folder: Path, key: str, /) -> Path:
    """Give where a fold in training says how far it is, in the folder of a sweep's folds."""
    return folder / f".{key}{_SUFFIX}"


def folds_under_way(folder: Path, /) -> tuple[FoldUnderWay, ...]:
    """Give the folds of a sweep that have said how far they are, by number."""
    found = []
    for path in folder.glob(f".*{_SUFFIX}"):
        # It may end in between; and no sweep shall end for what is shown of it.
        with contextlib.suppress(OSError, ValueError, TypeError):
            found.append(FoldUnderWay(**json.loads(path.read_text())))
    return tuple(sorted(found, key=lambda fold: (fold.fold, fold.epoch)))


def forget_under_way(folder: Path, /) -> None:
    """Remove what folds of an earlier run said, which ended with it."""
    for path in folder.glob(f".*{_SUFFIX}"):
        path.unlink(missing_ok=True)


def describe(folds: Sequence[FoldUnderWay], /) -> str:
    """Say how far folds are, in a few words.

    Examples
    --------
    >>> one, other = (FoldUnderWay(fold=n, epoch=3 * n, epochs=30) for n in (1, 3))
    >>> describe([one]), describe([one, other]), describe([])
    ('epoch 3 of 30', 'epochs 3 to 9 of 30', '')
    """
    if not folds:
        return ""
    first, last = (end(fold.epoch for fold in folds) for end in (min, max))
    epochs = max(fold.epochs for fold in folds)
    return (
        f"epoch {first} of {epochs}" if first == last else f"epochs {first} to {last} of {epochs}"
    )
