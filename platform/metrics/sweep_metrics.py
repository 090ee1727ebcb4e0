"""How far a sweep or a population is, exported from its folder by a thread beside it."""

from __future__ import annotations

import contextlib
import json
import math
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from calsweep.platform.compute import ComputeSpent
from calsweep.platform.metrics import exported
from calsweep.platform.metrics.exported import Exporter
from calsweep.platform.ownership.standing import Count, count_lines
from calsweep.platform.population.lineage import Lineage
from calsweep.platform.record import TrialState
from calsweep.search_spaces.suggestion import Tuner

LOOK_EVERY_S = 5.0
# What is renewed with each epoch, fold or generation: files, and folders that files go into.
_RENEWED = ("record.jsonl", "lineage.jsonl", "folds", "members")
_COST_SHARE = 0.01  # of one core, that looking may take at most


class SweepMetrics:
    """Looks at a sweep's folder every few seconds and exports what it finds.

    Use as a context. It decides nothing, and where looking fails it is left out; where it takes
    long, as of a record of thousands of folds, it is done less often.

    Parameters
    ----------
    folder
        Of the sweep, or of a population of models of dynamics.
    n_tracked
        Gives how many folds of the record MLflow has; without it there is no backlog.
    n_devices
        That a member of a population takes.
    look_every_s
        Seconds between two looks.
    """

    def __init__(
        self,
        folder: Path,
        /,
        *,
        n_tracked: Callable[[], int] | None = None,
        n_devices: float = 1.0,
        look_every_s: float = LOOK_EVERY_S,
    ) -> None:
        self._folder = folder
        self._n_tracked = n_tracked
        self._n_devices = n_devices
        self._look_every_s = look_every_s
        self._exporter = Exporter(folder.name)
        self._spent = ComputeSpent(folder)
        self._base: dict[str, float] = {}
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="calsweep-metrics", daemon=True)

    def __enter__(self) -> SweepMetrics:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join(self._look_every_s)
        with contextlib.suppress(Exception):
            self.look()
        self._exporter.put(exported.RUNNING, 0)

    def look(self) -> None:
        """Export how far it is now."""
        described = json.loads((self._folder / "sweep.json").read_text())
        self._exporter.put(exported.RUNNING, 1)
        self._exporter.put(exported.LAST_PROGRESS, self._last_progress())
        has_folds = "plan" in described  # or it is a population of models of dynamics
        if has_folds:
            self._folds(described, count_lines(self._folder))
        if not has_folds or described["settings"]["tuner"] == Tuner.POPULATION.value:
            self._generations(described, Lineage(self._folder))
        else:
            self._attempts()

    def _run(self) -> None:
        pause_s = 0.0
        while not self._ending.wait(pause_s):
            begun = time.thread_time()
            with contextlib.suppress(Exception):  # what watches a sweep must not end it
                self.look()
            pause_s = max(self._look_every_s, (time.thread_time() - begun) / _COST_SHARE)

    def _folds(self, described: dict[str, Any], count: Count) -> None:
        n_each = len(described["plan"]["folds"])
        n_planned = described["n_planned"] * n_each - count.n_left_out(n_each)
        self._exporter.put(exported.FOLDS_DONE, count.n_folds)
        self._exporter.put(exported.FOLDS_PLANNED, max(n_planned, 0))
        self._exporter.raise_to(exported.FOLDS_TRAINED, count.n_trained)
        for state in (TrialState.DONE, TrialState.PRUNED, TrialState.FAILED):
            self._exporter.put(exported.TRIALS, count.n_ended_as(state.value), state=state.value)
        if self._n_tracked is not None:
            backlog = max(count.n_folds - self._n_tracked(), 0)
            self._exporter.put(exported.TRACKING_BACKLOG, backlog)

    def _generations(self, described: dict[str, Any], lineage: Lineage) -> None:
        lives = [
            life
            for number in range(1, lineage.n_generations + 1)
            for life in lineage.generation(number).values()
        ]
        self._exporter.put(exported.GENERATION, lineage.n_generations)
        planned = described["settings"]["population"]["generations"]
        self._exporter.put(exported.GENERATIONS_PLANNED, planned)
        if lineage.n_generations:
            self._exporter.put(exported.BEST_LOSS, lineage.best_losses()[-1])
        self._since_begin(
            retries=sum(max(life.attempt - 1, 0) for life in lives),
            device_s=self._n_devices * math.fsum(life.train_seconds for life in lives),
        )

    def _attempts(self) -> None:
        trained, unfinished = self._spent.trained(), self._spent.unfinished()
        self._since_begin(
            retries=sum(
                took.n_attempts - (0 if key in trained else 1) for key, took in unfinished.items()
            ),
            device_s=self._spent.total().device_seconds,
        )

    def _since_begin(self, *, retries: float, device_s: float) -> None:
        """Raise counters by what came since this process looked first."""
        base = self._base or {"retries": retries, "device_s": device_s}
        self._base = base
        self._exporter.raise_to(exported.RETRIES, retries, base=base["retries"])
        self._exporter.raise_to(exported.DEVICE_SECONDS, device_s, base=base["device_s"])

    def _last_progress(self) -> float:
        times = []
        for name in _RENEWED:
            with contextlib.suppress(FileNotFoundError):
                times.append((self._folder / name).stat().st_mtime)
        return max(times, default=time.time())
