"""What is written of trials and folds into their runs, with the models; exactly once each."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from mlflow.tracking import MlflowClient

from calsweep.platform.ownership.lease import is_held
from calsweep.platform.record import FoldRecord, SweepRecord, TrialRecord, TrialState
from calsweep.platform.tracking import tracked
from calsweep.platform.tracking.environment import asking_again
from calsweep.platform.tracking.run_store import FINISHED, KILLED, RUNNING, RunStore, StoredRun
from calsweep.platform.tracking.run_tables import RunTables, WholeRun
from calsweep.platform.tracking.stored_model import store_model
from calsweep.platform.tracking.whole_fold import write_files


@dataclass(kw_only=True)
class Fed:
    """What a writer did so far.

    Attributes
    ----------
    n_folds
        Fold runs written.
    n_summaries
        Trials whose summary was written.
    n_closed
        Runs closed whose trial has no process any more, or whose fold was trained anew.
    n_removed
        Runs that were there twice.
    n_there
        Folds of the record that MLflow has, as far as was looked.
    """

    n_folds: int = 0
    n_summaries: int = 0
    n_closed: int = 0
    n_removed: int = 0
    n_there: int = 0


class RunWriter:
    """Writes a sweep's record into the runs of its experiment.

    Parameters
    ----------
    client
        Of MLflow.
    runs
        Of the sweep's experiment.
    tables
        Of the experiment, where MLflow is a database.
    fed
        Counts what is written; by default from nothing.

    Attributes
    ----------
    fed
        What it did so far.
    """

    def __init__(
        self,
        client: MlflowClient,
        runs: RunStore,
        /,
        *,
        tables: RunTables | None = None,
        fed: Fed | None = None,
    ) -> None:
        self.runs = runs
        self._tables = tables
        self.fed = Fed() if fed is None else fed
        self._client = client

    def sync(
        self,
        sweep: SweepRecord,
        /,
        *,
        check: Callable[[], None] | None = None,
        is_running: bool | None = None,
    ) -> None:
        """Write what the record holds and MLflow does not; arguments as in `Tracker.sync`."""
        if is_running is None:
            is_running = is_held(sweep.folder)
        self.fed.n_there = sum(
            self._has(trial, fold) for trial in sweep.trials for fold in trial.folds
        )
        for trial in sweep.trials:
            self._sync_trial(sweep, trial, check=check, is_running=is_running)

    def close_running(self) -> None:
        """Close the runs of trials that have not ended, for their process ends now."""
        now_ms = round(1000 * time.time())
        for key in self.runs.running():
            self.runs.end(key, KILLED, at_ms=now_ms)
            self.fed.n_closed += 1

    def _sync_trial(
        self,
        sweep: SweepRecord,
        trial: TrialRecord,
        *,
        check: Callable[[], None] | None,
        is_running: bool,
    ) -> None:
        key = tracked.trial_key(trial)
        run = self.runs.find(key)
        if run is None:
            tags = tracked.run_tags(sweep, trial)
            at_ms = tracked.begun_ms(trial)
            run = self.runs.create(key, name=trial.name, tags=tags, at_ms=at_ms)
        if not run.has_params:  # they are written last: all else is there where they are
            with asking_again():
                self.runs.write_json(key, trial.settings, name=tracked.SETTINGS)
                self.runs.log(key, params=tracked.params(trial.settings))
        if self._tables is not None:
            self._put_new_folds(self._tables, sweep, trial, check=check)
        for fold in trial.folds:
            if not self._has(trial, fold):
                if check:
                    check()
                self._put_fold(sweep, trial, fold, parent=run.run_id)
        if trial.state is not TrialState.RUNNING or not is_running:
            self._end_trial(trial)
        elif run.status != RUNNING:
            self.runs.begin_again(key)

    def _has(self, trial: TrialRecord, fold: FoldRecord) -> bool:
        run = self.runs.find(tracked.fold_key(trial, fold))
        # One of an earlier version of calsweep does not say which result it holds.
        return run is not None and run.status == FINISHED and run.result in {"", fold.digest}

    def _put_new_folds(
        self,
        tables: RunTables,
        sweep: SweepRecord,
        trial: TrialRecord,
        *,
        check: Callable[[], None] | None,
    ) -> None:
        """Write the folds that MLflow knows nothing of, in one transaction; files come first."""
        parent = self.runs[tracked.trial_key(trial)].run_id
        whole: dict[str, WholeRun] = {}
        try:
            for fold in trial.folds:
                key = tracked.fold_key(trial, fold)
                if self.runs.find(key) is None:
                    if check:
                        check()
                    whole[key] = write_files(sweep, trial, fold, parent=parent, tables=tables)
        finally:
            if tables.insert(list(whole.values())):
                for key, run in whole.items():
                    self.runs.add_whole(key, StoredRun.of_whole(run))
                    self.fed.n_folds += 1
                    self.fed.n_there += 1

    def _put_fold(
        self, sweep: SweepRecord, trial: TrialRecord, fold: FoldRecord, *, parent: str
    ) -> None:
        """Write a fold's run, or go on with one that a writer left half written."""
        key = tracked.fold_key(trial, fold)
        run = self.runs.find(key)
        if run is not None and run.result not in {"", fold.digest}:
            self.runs.retire(key)
            self.fed.n_closed += 1
            run = None
        half = None
        if run is None:
            run = self.runs.create(
                key,
                name=tracked.fold_name(trial, fold),
                tags={**tracked.run_tags(sweep, trial), **tracked.fold_tags(fold, parent=parent)},
                at_ms=tracked.begun_ms(trial, fold),
            )
        else:
            half = self.runs.half_stored(key)
        with asking_again():
            self.runs.write_json(key, trial.settings, name=tracked.SETTINGS)
        model_id = store_model(
            self._client,
            sweep.fold_folder(fold) / "model",
            loader=tracked.LOADER,
            name=tracked.MODEL_NAME,
            experiment=self.runs.experiment,
            run_id=run.run_id,
            half=half,
        )
        at_ms = tracked.ended_ms(trial, fold)
        with asking_again():
            self.runs.log(
                key,
                params=tracked.params(trial.settings),
                figures=tracked.fold_figures(fold),
                tags={tracked.MODEL_ID: model_id, tracked.RESULT: fold.digest},
                at_ms=at_ms,
            )
            self.runs.end(key, FINISHED, at_ms=at_ms)
        self.fed.n_folds += 1
        self.fed.n_there += 1

    def _end_trial(self, trial: TrialRecord) -> None:
        """Write a trial's summary, unless it stands there: a trial may end again, and otherwise."""
        key = tracked.trial_key(trial)
        run, here = self.runs[key], tracked.ending(trial)
        if (run.status, run.result) == (here.status, here.result):
            return
        self.runs.write_json(key, tracked.fold_table(trial), name=tracked.FOLD_TABLE)
        if run.error and not here.error:
            self.runs.forget_error(key)
        at_ms = tracked.ended_ms(trial)
        error = {tracked.ERROR: here.error} if here.error else {}
        tags = {"calsweep.attempt": str(trial.attempt), **error, tracked.RESULT: here.result}
        self.runs.log(key, figures=tracked.trial_figures(trial), tags=tags, at_ms=at_ms)
        self.runs.end(key, here.status, at_ms=at_ms)
        self.fed.n_summaries += 1
        self.fed.n_closed += here.status == KILLED
