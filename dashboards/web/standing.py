"""How far each sweep of a folder is, read without opening a single fold."""

from __future__ import annotations

import itertools
import json
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from pathlib import Path
from typing import Any

from calsweep.platform.fold.under_way import describe, folds_under_way
from calsweep.platform.record import TrialState, record_events, sweeps_folder

QUIET_S = 300.0
"""Seconds without a word after which a sweep that is not over counts as not running."""

LATEST_FOLDS = 40
"""Folds that the time left is reckoned from: the latest, since configurations differ in speed."""


class SweepState(Enum):
    """What a sweep is doing."""

    RUNNING = "running"
    FINISHED = "finished"
    QUIET = "not finished, and quiet"


@dataclass(frozen=True, kw_only=True)
class Standing:
    """A line of the list of sweeps.

    Attributes
    ----------
    name
        Name of the sweep.
    state
        What it is doing.
    n_trials_done, n_failed, n_pruned, n_planned
        Configurations.
    n_folds_done, n_folds
        Folds, those of failed and pruned configurations that will not be trained left out.
    began_s, latest_s
        Of its first and latest word, in seconds since 1970.
    folds_per_hour
        Of the latest folds; ``None`` before the second.
    under_way
        How far the folds in training are, in a few words.
    target, dataset
        What is decoded, and where the recordings lie.
    """

    name: str
    state: SweepState
    n_trials_done: int
    n_failed: int
    n_pruned: int
    n_planned: int
    n_folds_done: int
    n_folds: int
    began_s: float
    latest_s: float
    folds_per_hour: float | None
    under_way: str
    target: str
    dataset: str

    @property
    def share(self) -> float:
        """How much of it is done, from 0 to 1."""
        return self.n_folds_done / self.n_folds if self.n_folds else 0.0

    @property
    def left_s(self) -> float | None:
        """Seconds that a running sweep has still to go, where that can be said."""
        if self.state is not SweepState.RUNNING or not self.folds_per_hour:
            return None
        return (self.n_folds - self.n_folds_done) / self.folds_per_hour * 3600


@dataclass(frozen=True, kw_only=True)
class Unreadable:
    """A sweep whose record cannot be read, and why."""

    name: str
    reason: str


def sweep_names(home: Path, /) -> tuple[str, ...]:
    """Give the names of the sweeps of a home, the latest first."""
    records = sweeps_folder(home).glob("*/sweep.json")
    return tuple(path.parent.name for path in sorted(records, key=_latest_s, reverse=True))


def standings(home: Path, /) -> Iterator[Standing | Unreadable]:
    """Give how far each sweep of a home is, the latest first."""
    for name in sweep_names(home):
        try:
            yield standing(sweeps_folder(home) / name)
        except (OSError, ValueError, KeyError, TypeError) as error:
            yield Unreadable(name=name, reason=reason_of(error))


def reason_of(error: Exception, /) -> str:
    """Say why a record cannot be read."""
    if isinstance(error, KeyError):
        return f"its record has no {error}"
    if isinstance(error, json.JSONDecodeError):
        return f"its record was cut short ({error})"
    return str(error)


def standing(folder: Path, /, *, now_s: float | None = None) -> Standing:
    """Read how far a sweep is.

    Parameters
    ----------
    folder
        Its record.
    now_s
        Seconds since 1970; by default the clock's.

    Raises
    ------
    OSError, ValueError, KeyError, TypeError
        If the record cannot be read.
    """
    now_s = time.time() if now_s is None else now_s
    description = folder / "sweep.json"
    plan = _planned(description, _stamp(description))
    done = _replay(folder, _stamp(folder / "record.jsonl"))
    latest_s = _latest_s(description)
    n_cut = done.n_failed + done.n_pruned
    is_over = done.n_ended == plan.n_trials
    is_quiet = now_s - latest_s > QUIET_S
    state = SweepState.QUIET if is_quiet else SweepState.RUNNING
    return Standing(
        name=folder.name,
        state=SweepState.FINISHED if is_over else state,
        n_trials_done=done.n_done,
        n_failed=done.n_failed,
        n_pruned=done.n_pruned,
        n_planned=plan.n_trials,
        n_folds_done=done.n_folds,
        n_folds=(plan.n_trials - n_cut) * plan.n_folds + done.n_folds_of_cut,
        began_s=latest_s if done.began_s is None else done.began_s,
        latest_s=latest_s,
        folds_per_hour=_per_hour(done.latest_s),
        under_way="" if is_over or is_quiet else describe(folds_under_way(folder / "folds")),
        target=plan.target,
        dataset=plan.dataset,
    )


@dataclass(frozen=True, kw_only=True)
class _Planned:
    """What a sweep sets out to do."""

    n_trials: int
    n_folds: int
    target: str
    dataset: str


@dataclass(frozen=True, kw_only=True)
class _Replay:
    """What a record's lines come to; `latest_s` are the times of its latest folds."""

    n_done: int
    n_failed: int
    n_pruned: int
    n_ended: int
    n_folds: int
    n_folds_of_cut: int
    began_s: float | None
    latest_s: tuple[float, ...]


def _stamp(path: Path) -> tuple[int, int]:
    """Give what differs where a file differs, so that it is read again only then."""
    try:
        stat = path.stat()
    except FileNotFoundError:  # no trial has begun
        return 0, 0
    return stat.st_size, stat.st_mtime_ns


@lru_cache(maxsize=1024)
def _planned(path: Path, _: tuple[int, int]) -> _Planned:
    plain = json.loads(path.read_text())
    return _Planned(
        n_trials=plain["n_planned"],
        n_folds=len(plain["plan"]["folds"]),
        target=str(plain["dataset"]["target"]),
        dataset=str(plain["dataset"]["address"]),
    )


@lru_cache(maxsize=1024)
def _replay(folder: Path, _: tuple[int, int]) -> _Replay:
    """Replay the lines as the record does, with the time of each fold and without its figures."""
    trials: dict[int, dict[str, Any]] = {}
    for event in record_events(folder):
        if event["event"] == "anew":
            trials.clear()
        if "trial" not in event:
            continue
        number, at = event["trial"], event.get("at", 0.0)
        if event["event"] == "trial":
            trials[number] = {"state": None, "may_pass": False, "at": at, "folds": {}}
        elif number in trials and event["event"] == "fold":
            trials[number]["folds"].setdefault(event["key"], at)
        elif number in trials:
            trials[number].update(state=TrialState(event["state"]), may_pass=event["may_pass"])
    broken_off = {TrialState.FAILED, TrialState.PRUNED}
    cut = [trial for trial in trials.values() if trial["state"] in broken_off]
    times = sorted(at for trial in trials.values() for at in trial["folds"].values())
    return _Replay(
        n_done=sum(trial["state"] is TrialState.DONE for trial in trials.values()),
        n_failed=sum(trial["state"] is TrialState.FAILED for trial in trials.values()),
        n_pruned=sum(trial["state"] is TrialState.PRUNED for trial in trials.values()),
        n_ended=sum(bool(t["state"]) and not t["may_pass"] for t in trials.values()),
        n_folds=len(times),
        n_folds_of_cut=sum(len(trial["folds"]) for trial in cut),
        began_s=min((trial["at"] for trial in trials.values()), default=None),
        latest_s=tuple(times[-LATEST_FOLDS:]),
    )


def _per_hour(times_s: Sequence[float]) -> float | None:
    """Give folds an hour without the longest tenth of gaps, such as a night between two runs."""
    gaps = [later - earlier for earlier, later in itertools.pairwise(times_s)]
    if not gaps:
        return None
    mean_s = statistics.fmean(sorted(gaps)[: len(gaps) - len(gaps) // 10])
    return 3600 / mean_s if mean_s > 0 else None


def _latest_s(description: Path) -> float:
    """Give when a sweep last said anything, in its record or of a fold in training."""
    folder = description.parent
    paths = [description, folder / "record.jsonl", *(folder / "folds").glob(".*.epoch")]
    found = []
    for path in paths:
        try:
            found.append(path.stat().st_mtime)
        except FileNotFoundError:  # not begun yet, or a fold that ended in between
            continue
    return max(found, default=0.0)
