"""Records as the page reads them: each fold once, the rest again when the record has grown.

A fold's key is the hash of all that decides its result, so what was read of it never changes. What
was drawn of a record is kept with it, and is forgotten as soon as the record is another.
"""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from calsweep.dashboards.web.standing import sweep_names
from calsweep.platform.leaderboard import Row, leaderboard
from calsweep.platform.record import (
    FoldRecord,
    SweepNotFound,
    SweepRecord,
    TrialRecord,
    TrialState,
    read_sweep,
    sweeps_folder,
)

SWEEPS_HELD = 3
DRAWN_HELD = 40

_Drawn = TypeVar("_Drawn")
_Folds = dict[Path, FoldRecord | None]


@dataclass(eq=False, kw_only=True)
class Reading:
    """A sweep's record as it was at a moment.

    Attributes
    ----------
    sweep
        The record; its folds are without their learning curves (see `with_curves`).
    version
        Differs where the record differs.
    damage
        What of the record could not be read, a sentence each.
    """

    sweep: SweepRecord
    version: str
    damage: tuple[str, ...]
    _kept: OrderedDict[Hashable, Any] = field(default_factory=OrderedDict)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        """The leaderboard, best first."""
        return leaderboard(self.sweep)

    def with_curves(self, trial: TrialRecord, /) -> TrialRecord:
        """Give a trial with the learning curves of its folds."""
        read = (FoldRecord.read(self.sweep.fold_folder(fold)) for fold in trial.folds)
        return replace(trial, folds=tuple(read))

    def keep(self, key: Hashable, make: Callable[[], _Drawn], /) -> _Drawn:
        """Give what was made under a key before, or make it; the oldest are let go."""
        with self._lock:
            if key not in self._kept:
                self._kept[key] = make()
            self._kept.move_to_end(key)
            while len(self._kept) > DRAWN_HELD:
                self._kept.popitem(last=False)
            found: _Drawn = self._kept[key]
            return found


class Shelf:
    """The sweeps of a home, those looked at last held in memory.

    Parameters
    ----------
    home
        Folder of sweeps, models and cache.
    """

    def __init__(self, home: Path, /) -> None:
        self.home = home
        self._lock = threading.Lock()
        self._readings: OrderedDict[str, Reading] = OrderedDict()
        self._folds: dict[str, _Folds] = {}

    def version(self, name: str, /) -> str:
        """Say which state a sweep's record is in, without reading it.

        Raises
        ------
        SweepNotFound
            If there is none of this name.
        """
        known = sweep_names(self.home)
        if name not in known:  # only what was found may be opened, whatever an address says
            raise SweepNotFound(name, tuple(sorted(known)))
        folder = sweeps_folder(self.home) / name
        paths = [folder / file for file in ("sweep.json", "record.jsonl", "lineage.jsonl")]
        stats = [path.stat() for path in paths if path.exists()]
        return "-".join(f"{stat.st_size:x}.{stat.st_mtime_ns:x}" for stat in stats)

    def read(self, name: str, /) -> Reading:
        """Read a sweep, or give what was read if its record is still the same.

        Raises
        ------
        SweepNotFound
            If there is none of this name.
        OSError, ValueError, KeyError, TypeError
            If its record cannot be read at all.
        """
        version = self.version(name)
        with self._lock:
            reading = self._readings.get(name)
            if reading is None or reading.version != version:
                reading = self._read(name, version)
            self._readings[name] = reading
            self._readings.move_to_end(name)
            while len(self._readings) > SWEEPS_HELD:
                let_go, _ = self._readings.popitem(last=False)
                self._folds.pop(let_go, None)
            return reading

    def read_ahead(self) -> None:
        """Read the latest sweep, which is what a reader most often opens first."""
        for name in sweep_names(self.home)[:1]:
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError, LookupError):
                self.read(name)  # what is wrong with it is told where it is opened

    def _read(self, name: str, version: str) -> Reading:
        folds = self._folds.setdefault(name, {})
        missing: list[str] = []

        def read_fold(folder: Path) -> FoldRecord | None:
            fold = folds.get(folder)
            if fold is None:
                try:
                    fold = folds[folder] = FoldRecord.read(folder, with_curve=False)
                except (OSError, ValueError, KeyError, TypeError):
                    missing.append(folder.name)
            return fold

        sweep = read_sweep(self.home, name, read_fold=read_fold)
        damage = (
            (
                f"{len(missing)} of the folds that the record names cannot be read (the first is "
                f"folds/{missing[0]}/fold.json); their configurations are left out of the ranks.",
            )
            if missing
            else ()
        )
        return Reading(sweep=_without_gaps(sweep), version=version, damage=damage)


def _without_gaps(sweep: SweepRecord) -> SweepRecord:
    """Count a finished configuration as failed if folds of it are lost: its mean is another's."""
    n_folds = len(sweep.plan.folds)
    lost = "folds of its record cannot be read"
    trials = tuple(
        replace(trial, state=TrialState.FAILED, error=lost)
        if trial.state is TrialState.DONE and len(trial.folds) < n_folds
        else trial
        for trial in sweep.trials
    )
    return replace(sweep, trials=trials)
