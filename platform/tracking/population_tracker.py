"""The run of a population of models of dynamics in MLflow, fed from its folder, exactly once."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from calsweep.platform.ownership.lease import is_held
from calsweep.platform.tracking import tracked
from calsweep.platform.tracking.run_store import KILLED, RUNNING, StoredRun
from calsweep.platform.tracking.run_writer import Fed
from calsweep.platform.tracking.tracked_population import (
    KEY,
    LINEAGE,
    PopulationRecord,
    generation_figures,
    lineage_table,
    read_population,
    run_tags,
)
from calsweep.platform.tracking.tracking import Turns
from calsweep.platform.tracking.tracking_thread import TrackingThread

_FINISHED = "FINISHED"
_RATES = "rates"
_MODEL = "model"
_SAMPLES = ".samples.parquet"


class PopulationTracker:
    """Writer of one population's run: settings, scores of generations, lineage, the best member.

    Writers take turns, as those of sweeps do (`calsweep.platform.tracking.tracking.Tracker`).

    Parameters
    ----------
    uri, home, fed
        As there.
    name
        Of the population.
    """

    def __init__(self, uri: str, /, *, home: Path, name: str, fed: Fed | None = None) -> None:
        self.fed = Fed() if fed is None else fed
        folder = read_population(home, name).folder
        location = tracked.artifact_location(uri, home / "artifacts" / "lfads", sweep=name)
        self._turns = Turns(
            uri, folder, experiment=f"calsweep-lfads/{name}", location=location, fed=self.fed
        )
        self._n_written = 0  # generations that this writer knows to be there

    def sync(
        self,
        population: PopulationRecord,
        /,
        *,
        check: Callable[[], None] | None = None,
        is_running: bool | None = None,
    ) -> None:
        """Write what the folder holds and MLflow does not; arguments as of `Tracker.sync`."""
        if is_running is None:
            is_running = is_held(population.folder)
        with self._turns.take():
            run = self._begun(population)
            if run.status == _FINISHED and run.result == population.result:
                return
            self._write_generations(population)
            if population.best is not None:
                self._finish(population, check=check)
            elif not is_running and run.status == RUNNING:
                self._turns.runs.end(KEY, KILLED, at_ms=round(1000 * time.time()))
                self.fed.n_closed += 1
            elif is_running and run.status != RUNNING:
                self._turns.runs.begin_again(KEY)

    def close_running(self) -> None:
        """Close the run of a population that has not ended, for its process ends now."""
        with self._turns.take():
            for key in self._turns.runs.running():
                self._turns.runs.end(key, KILLED, at_ms=round(1000 * time.time()))
                self.fed.n_closed += 1

    def _begun(self, population: PopulationRecord) -> StoredRun:
        runs = self._turns.runs
        run = runs.find(KEY)
        if run is None:
            at_ms = population.begun_ms()
            run = runs.create(KEY, name=population.name, tags=run_tags(population), at_ms=at_ms)
        if not run.has_params:  # they are written last: all else is there where they are
            runs.write_json(KEY, population.settings, name=tracked.SETTINGS)
            runs.log(KEY, params=tracked.params(population.settings))
        return runs[KEY]

    def _write_generations(self, population: PopulationRecord) -> None:
        """Write the scores of generations and the lineage; MLflow keeps once what it has."""
        n_whole = population.n_whole
        if n_whole <= self._n_written:
            return
        runs = self._turns.runs
        runs.write_json(KEY, lineage_table(population), name=LINEAGE)
        for generation in range(self._n_written + 1, n_whole + 1):
            figures = generation_figures(population, generation)
            runs.log(KEY, figures=figures, at_ms=population.done_ms(generation))
        self._n_written = n_whole

    def _finish(
        self, population: PopulationRecord, *, check: Callable[[], None] | None = None
    ) -> None:
        """Put the best member and the rates that it infers with the run, and close it."""
        runs, client = self._turns.runs, self._turns.client
        run = runs[KEY]
        files = [(path, _RATES) for path in _rates(population.folder)]
        for path, under in [*files, (population.state_of_best, _MODEL)]:
            if check:
                check()
            client.log_artifact(run.run_id, str(path), under)
        best = dict(population.best or {})
        runs.write_json(KEY, best, name="best.json")
        tags = {
            "calsweep.best_member": str(best["member"]),
            "calsweep.ended": population.lineage.end,
            tracked.RESULT: population.result,
        }
        runs.log(KEY, tags=tags)
        runs.end(KEY, _FINISHED, at_ms=population.done_ms(population.n_whole))
        self.fed.n_summaries += 1


def _rates(folder: Path) -> list[Path]:
    """Give the files of rates; those of single samples are many times as large, and stay."""
    return [path for path in sorted(folder.glob("*.parquet")) if not path.name.endswith(_SAMPLES)]


class PopulationTrackingThread(TrackingThread):
    """Feeds MLflow from a population's folder while it runs, as `TrackingThread` does of a sweep.

    Its name stands in place of that of a sweep.
    """

    def _read(self) -> PopulationRecord:
        return read_population(self._home, self._sweep)

    def _open(self) -> PopulationTracker:
        return PopulationTracker(self._uri, home=self._home, name=self._sweep, fed=self._fed)
