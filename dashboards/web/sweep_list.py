"""The sweeps of a home, and how far each is, without waiting for a sign of life."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from calsweep.platform.fold.under_way import describe, folds_under_way
from calsweep.platform.ownership.pace import Pace, read_pace
from calsweep.platform.ownership.standing import BEST, Standing, State, read_standing
from calsweep.platform.record import sweeps_folder

QUIET_S = 300.0
"""Seconds without a word after which a sweep that is held counts as giving no sign of life."""

_FILES = ("sweep.json", "record.jsonl", "owner.json", "lineage.jsonl", BEST)

_Line = TypeVar("_Line")


@dataclass(frozen=True, kw_only=True)
class Listed:
    """A line of the list of sweeps.

    Attributes
    ----------
    standing, pace
        How far it is, and how fast it goes.
    under_way
        How far the folds in training are, in a few words; empty where it does not run.
    latest_s
        When it last said anything, in seconds since 1970.
    target, dataset
        What is decoded, and where the recordings lie.
    """

    standing: Standing
    pace: Pace
    under_way: str
    latest_s: float
    target: str
    dataset: str

    @property
    def name(self) -> str:
        """Of the sweep."""
        return self.standing.name

    @property
    def share(self) -> float:
        """How much of it is done, from 0 to 1; the folds of a population come all at its end."""
        of = self.standing.generations
        if of is not None and not self.standing.n_folds:
            return of.n_done / of.n_planned
        n_all = self.standing.n_folds_planned
        return self.standing.n_folds / n_all if n_all else 0.0


@dataclass(frozen=True, kw_only=True)
class Unreadable:
    """A sweep whose record cannot be read, and why."""

    name: str
    reason: str


def sweep_names(home: Path, /) -> tuple[str, ...]:
    """Give the names of the sweeps of a home, the latest first."""
    return names_in(sweeps_folder(home))


def names_in(place: Path, /) -> tuple[str, ...]:
    """Give the names of what was begun in a folder, the latest first."""
    folders = [path.parent for path in place.glob("*/sweep.json")]
    return tuple(folder.name for folder in sorted(folders, key=latest_s, reverse=True))


def listed(home: Path, /, *, now_s: float | None = None) -> Iterator[Listed | Unreadable]:
    """Give how far each sweep of a home is, the latest first.

    Parameters
    ----------
    home
        Folder of sweeps.
    now_s
        Seconds since 1970; by default the clock's.
    """
    now_s = time.time() if now_s is None else now_s
    return each_in(sweeps_folder(home), lambda folder: _listed(folder, now_s=now_s))


def each_in(place: Path, look: Callable[[Path], _Line], /) -> Iterator[_Line | Unreadable]:
    """Look at each folder in which something was begun, the latest first.

    Parameters
    ----------
    place
        What they lie in.
    look
        Gives a line of one; one that cannot be read leaves the others.
    """
    for name in names_in(place):
        try:
            yield look(place / name)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            yield Unreadable(name=name, reason=reason_of(error))


def standing_of(folder: Path, /, *, now_s: float | None = None) -> Standing:
    """Give how far what was begun in a folder is, without waiting for a sign of life."""
    now_s = time.time() if now_s is None else now_s
    is_alive = now_s - latest_s(folder) <= QUIET_S
    return _standing(folder, is_alive, stamps(folder))


def reason_of(error: Exception, /) -> str:
    """Say why a record cannot be read."""
    if isinstance(error, KeyError):
        return f"its record has no {error}"
    if isinstance(error, json.JSONDecodeError):
        return f"its record was cut short ({error})"
    return str(error)


def _listed(folder: Path, *, now_s: float) -> Listed:
    description, lines, *_ = stamps(folder)
    target, dataset = _described(folder, description)
    standing = standing_of(folder, now_s=now_s)
    is_running = standing.state is State.RUNNING
    return Listed(
        standing=standing,
        pace=_pace(folder, lines),
        under_way=describe(folds_under_way(folder / "folds")) if is_running else "",
        latest_s=latest_s(folder),
        target=target,
        dataset=dataset,
    )


def latest_s(folder: Path, /) -> float:
    """Give when a sweep last said anything: in its record, its lease, or of a fold in training."""
    paths = [*(folder / file for file in _FILES), *(folder / "folds").glob(".*.epoch")]
    return max(_stamp(path)[1] for path in paths) / 1e9


def stamps(folder: Path, /) -> tuple[tuple[int, int], ...]:
    """Give what differs where a record differs, without reading it."""
    return tuple(_stamp(folder / file) for file in _FILES)


def _stamp(path: Path) -> tuple[int, int]:
    """Give what differs where a file differs, so that it is read again only then."""
    try:
        stat = path.stat()
    except FileNotFoundError:  # not begun yet, or a fold that ended in between
        return 0, 0
    return stat.st_size, stat.st_mtime_ns


@lru_cache(maxsize=1024)
def _described(folder: Path, _: tuple[int, int]) -> tuple[str, str]:
    plain = json.loads((folder / "sweep.json").read_text())
    for needed in ("plan", "n_planned"):
        if needed not in plain:
            raise KeyError(needed)
    return str(plain["dataset"]["target"]), str(plain["dataset"]["address"])


@lru_cache(maxsize=1024)
def _standing(folder: Path, is_alive: bool, _: tuple[tuple[int, int], ...]) -> Standing:
    return read_standing(folder, is_alive=is_alive)


@lru_cache(maxsize=1024)
def _pace(folder: Path, _: tuple[int, int]) -> Pace:
    return read_pace(folder)
