"""A fold's learning curve as it lies with the fold: read when somebody looks at it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, overload

from calsweep.platform.score import Epoch, Score

CURVES_HELD = 256
"""Curves held in memory: those looked at last, since records of thousands of folds stay open."""


class StoredCurve(Sequence[Epoch]):
    """The rows of a learning curve, one an epoch.

    A leaderboard of thousands of folds looks at none of them.

    Parameters
    ----------
    folder, key
        Of a sweep's folds, and of this one.
    """

    def __init__(self, folder: Path, key: str, /) -> None:
        self._folder = folder
        self._key = key

    @property
    def _epochs(self) -> tuple[Epoch, ...]:
        path = self._folder / self._key / "fold.json"
        return _stored_epochs(path, path.stat().st_mtime_ns)

    @overload
    def __getitem__(self, index: int) -> Epoch: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Epoch, ...]: ...

    def __getitem__(self, index: int | slice) -> Epoch | tuple[Epoch, ...]:
        """Give one row, or several."""
        return self._epochs[index]

    def __len__(self) -> int:
        return len(self._epochs)

    def __iter__(self) -> Iterator[Epoch]:
        return iter(self._epochs)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, (StoredCurve, tuple)) and self._epochs == tuple(other)

    def __hash__(self) -> int:
        return hash(self._epochs)

    def __deepcopy__(self, _memo: object) -> tuple[Epoch, ...]:
        return self._epochs

    def __repr__(self) -> str:
        return repr(self._epochs)


@lru_cache(maxsize=CURVES_HELD)
def _stored_epochs(path: Path, _mtime_ns: int, /) -> tuple[Epoch, ...]:
    """Read a curve; a fold that was trained anew has another time."""
    return epochs(json.loads(path.read_text())["curve"])


def epochs(plain: Sequence[Mapping[str, Any]], /) -> tuple[Epoch, ...]:
    """Build the rows of a learning curve from plain data."""
    return tuple(
        Epoch(
            epoch=row["epoch"],
            train_loss=row["train_loss"],
            validation=Score(**row["validation"]),
        )
        for row in plain
    )
