"""How fast a sweep goes and what its folds cost, from the lines of its record alone."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from calsweep.platform.record import TrialState
from calsweep.platform.record_reader import record_events

LATEST_FOLDS = 40
"""Folds that the pace is reckoned from: the latest, since configurations differ in speed."""


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How a sweep goes.

    Attributes
    ----------
    n_done, n_failed, n_pruned
        Configurations that came to this end.
    began_s
        When the first configuration began, in seconds since 1970; ``None`` before.
    folds_per_hour
        Of the latest folds; ``None`` before the second.
    device_s
        Seconds of devices that the folds took.
    windows_per_s
        Training windows a second of these; ``None`` before the first fold.
    """

    n_done: int
    n_failed: int
    n_pruned: int
    began_s: float | None
    folds_per_hour: float | None
    device_s: float
    windows_per_s: float | None


def read_pace(folder: Path, /) -> Pace:
    """Give how the sweep in a folder goes.

    Raises
    ------
    OSError, ValueError, KeyError, TypeError
        If its record cannot be read.
    """
    began: dict[int, float] = {}
    ends: dict[int, TrialState] = {}
    folds: dict[tuple[int, str], Mapping[str, Any]] = {}
    for event in record_events(folder):
        kind, number = event["event"], event.get("trial", -1)
        if kind == "anew":
            began, ends, folds = {}, {}, {}
        elif kind == "trial":
            began.setdefault(number, event.get("at", 0.0))
            ends.pop(number, None)
        elif kind == "fold":
            folds.setdefault((number, event["key"]), event)
        elif kind == "end":
            ends[number] = TrialState(event["state"])
    figures = [fold.get("figures") or {} for fold in folds.values()]
    device_s = math.fsum(map(_device_s, figures))
    n_windows = sum(one.get("n_windows", 0) for one in figures)
    states = list(ends.values())
    return Pace(
        n_done=states.count(TrialState.DONE),
        n_failed=states.count(TrialState.FAILED),
        n_pruned=states.count(TrialState.PRUNED),
        began_s=min(began.values(), default=None),
        folds_per_hour=_per_hour(sorted(f.get("at", 0.0) for f in folds.values())[-LATEST_FOLDS:]),
        device_s=device_s,
        windows_per_s=n_windows / device_s if device_s else None,
    )


def _device_s(figures: Mapping[str, Any]) -> float:
    """Give what a fold took; of one of an older version, the seconds in training."""
    took = figures.get("compute") or {}
    return float(took.get("device_seconds", figures.get("train_seconds", 0.0)))


def _per_hour(times_s: Sequence[float]) -> float | None:
    """Give folds an hour without the longest tenth of gaps, such as a night between two runs."""
    gaps = [later - earlier for earlier, later in itertools.pairwise(times_s)]
    if not gaps:
        return None
    mean_s = statistics.fmean(sorted(gaps)[: len(gaps) - len(gaps) // 10])
    return 3600 / mean_s if mean_s > 0 else None
