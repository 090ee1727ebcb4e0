"""The search as Ray Tune runs it: which configurations, their trials, and what is written of them.

A trial of Ray Tune only hands out folds and gathers them (`calsweep.platform.trial`), so it takes
no CPU, and its process loads neither torch nor MLflow.
"""

from __future__ import annotations

import math
import statistics
import traceback
from collections.abc import Generator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ray import tune
from ray.tune.search import Searcher

from calsweep.datasets.fold import FoldPlan
from calsweep.platform.fold.fold_task import FoldTask, fold_seed
from calsweep.platform.fold.under_way import folds_under_way, forget_under_way
from calsweep.platform.interruption import Interruption
from calsweep.platform.plain import to_plain
from calsweep.platform.record import BASELINE, FoldRecord, TrialState
from calsweep.platform.record_writer import Record
from calsweep.platform.resources import Resources
from calsweep.platform.trial import cause_of, remove_stops, train_folds

if TYPE_CHECKING:
    from calsweep.platform.auditor import Auditor
    from calsweep.platform.progress import Progress
    from calsweep.platform.settings import Settings, SweepSettings
    from calsweep.search_spaces.suggestion import Suggestions

METRIC = "validation_auc"


@dataclass(frozen=True, kw_only=True)
class TrialPlan:
    """What every trial of a sweep shares.

    Attributes
    ----------
    folds
        The fold plan.
    seed
        Of the sweep.
    dataset_hash, code
        Of the dataset, and the version of the code.
    earlier_code
        Versions that the sweep ran with before: what they have trained stays.
    folder
        Of the sweep's record.
    cache
        On each node, for decoded frames.
    resources
        What one fold's training takes.
    """

    folds: FoldPlan
    seed: int
    dataset_hash: str
    code: str
    folder: Path
    cache: Path
    resources: Resources
    earlier_code: tuple[str, ...] = ()

    def tasks(self, settings: Mapping[str, Any], /) -> tuple[FoldTask, ...]:
        """Give the folds to train for one configuration, given as plain data."""
        return tuple(map(self._as_trained, self._tasks(settings)))

    def _as_trained(self, task: FoldTask) -> FoldTask:
        before = (replace(task, code=code) for code in self.earlier_code)
        return next((other for other in before if other.place.exists()), task)

    def _tasks(self, settings: Mapping[str, Any]) -> tuple[FoldTask, ...]:
        return tuple(
            FoldTask(
                settings=settings,
                fold=fold,
                seed=fold_seed(self.seed, fold.index),
                dataset_hash=self.dataset_hash,
                plan_hash=self.folds.content_hash,
                code=self.code,
                folder=self.folder / "folds",
                cache=self.cache,
            )
            for fold in self.folds.folds
        )


def search(
    settings: SweepSettings,
    source: Suggestions,
    plan: TrialPlan,
    record: Record,
    progress: Progress,
    /,
    *,
    auditor: Auditor,
    n_trials: int,
    n_parallel: int,
) -> None:
    """Run every trial of a sweep and write each event into its record.

    Parameters
    ----------
    settings
        Of the sweep.
    source
        Where values to try come from.
    plan
        What its trials share.
    record
        Where events are written.
    progress
        Where a person sees them.
    auditor
        Says of each configuration whether its folds leak.
    n_trials
        Trials in all, the baseline among them.
    n_parallel
        Folds that the cluster trains at the same time.
    """
    remove_stops(plan.folder / "folds")
    forget_under_way(plan.folder / "folds")
    # As many trials as keep every device busy, and one more to take over where one ends.
    n_side_by_side = 1 + math.ceil(n_parallel / len(plan.folds.folds))
    with Interruption() as interruption:
        tuner = tune.Tuner(
            _trainable(plan),
            tune_config=tune.TuneConfig(
                search_alg=Suggester(settings, source, auditor, lag=n_side_by_side),
                num_samples=n_trials,
                max_concurrent_trials=n_side_by_side,
                reuse_actors=True,
            ),
            run_config=tune.RunConfig(
                # Of this process alone: one that was paused and wakes must not write there.
                name=f"tune-{record.token}",
                storage_path=str(plan.folder),
                verbose=0,
                # What a trial has reached lies in the sweep's record.
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                callbacks=[RecordKeeper(record, progress, interruption)],
            ),
        )
        try:
            tuner.fit()
        except Exception:
            record.check()  # a sweep that was taken over ends for that, whatever it led to
            raise
        interruption.check()
        record.check()


def _trainable(plan: TrialPlan) -> Any:
    # A trial holds no CPU, since a fold that asks for a whole one must still find it; but Ray wants
    # it to hold something.
    shared = tune.with_parameters(TrialRun, plan=plan)
    return tune.with_resources(shared, tune.PlacementGroupFactory([{"memory": 2**20}]))


class TrialRun(tune.Trainable):
    """A trial as Ray Tune sees it: each step waits for one more fold."""

    def setup(self, config: dict[str, Any], plan: TrialPlan | None = None) -> None:
        """Take the sweep's plan and the first configuration."""
        assert plan is not None  # noqa: S101 - `search` gives it
        self._plan = plan
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take another configuration in the same process."""
        self._begin(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Give the next fold that is done; an error ends this trial and no other."""
        try:
            fold = next(self._folds)
        except Exception as error:  # noqa: BLE001 - it is recorded with the trial, the rest go on
            return {"done": True, METRIC: math.nan, **self._failed(error)}
        self._done.append(fold)
        # In the order of the plan: a sum of floats in another order is another sum.
        by_fold = sorted(self._done, key=lambda done: done.fold)
        return {
            METRIC: statistics.fmean(done.validation.auc for done in by_fold),
            "fold_key": fold.key,
            "is_stored": fold.key in self._stored,
            "done": len(self._done) == len(self._plan.folds.folds),
        }

    def cleanup(self) -> None:
        """Stop what still runs."""
        self._folds.close()

    def _begin(self, config: Mapping[str, Any]) -> None:
        self._config = dict(config)
        self._done: list[FoldRecord] = []
        self._folds = self._train()

    def _failed(self, error: Exception) -> dict[str, Any]:
        """Write where the error was raised beside the record, and give what the record holds."""
        text = "".join(traceback.format_exception(error))
        _write_error(self._plan.folder, self._config, text)
        cause = cause_of(error)
        return {
            "error": f"{type(cause).__name__}: {cause}",
            # Settings that cannot be trained stay so; all else may pass.
            "may_pass": not isinstance(cause, (ValueError, ArithmeticError)),
            "n_missing": len(self._plan.folds.folds) - len(self._done),
        }

    def _train(self) -> Generator[FoldRecord, None, None]:
        if self._config["error"]:
            raise ValueError(self._config["error"])
        tasks = self._plan.tasks(self._config["settings"])
        self._stored = {task.key for task in tasks if task.place.exists()}
        yield from train_folds(tasks, resources=self._plan.resources)


class Suggester(Searcher):
    """The linear baseline, then the configurations that the search suggests.

    A suggestion is made from the results of those at least ``lag`` before it, told in their order:
    so the same seed gives the same search however fast single folds come back, and a sweep that is
    started again takes the same way.

    Parameters
    ----------
    settings
        Of the sweep.
    source
        Where values come from.
    auditor
        Says of each configuration whether its folds leak.
    lag
        Trials that may run side by side.
    """

    def __init__(
        self, settings: SweepSettings, source: Suggestions, auditor: Auditor, /, *, lag: int
    ) -> None:
        super().__init__(metric=METRIC, mode="max")
        self._settings = settings
        self._source = source
        self._auditor = auditor
        self._lag = lag
        self._ids: list[str] = []
        self._results: dict[str, float | None] = {}
        self._n_told = 1  # there is nothing to tell of the baseline

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        """Give the next configuration, or nothing while one before it has to end first."""
        number = len(self._ids)
        if not self._tell(up_to=number - self._lag):
            return None
        self._ids.append(trial_id)
        if number == 0:
            return self._config(0, BASELINE, {}, settings=self._settings.linear)
        values = self._source.suggest(number)
        name = f"trial {number}"
        try:
            settings = self._settings.configuration(values)
        except ValueError as error:  # values that suit one by one, but not together
            start = self._settings.start
            return self._config(number, name, values, settings=start, error=str(error))
        return self._config(number, name, values, settings=settings)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Keep a result until its turn to be told."""
        value = math.nan if error or result is None else result.get(METRIC, math.nan)
        self._results[trial_id] = None if math.isnan(value) else value

    def save(self, checkpoint_path: str) -> None:
        """Write nothing: a sweep that goes on takes the same way again, folds from its record."""

    def restore(self, checkpoint_path: str) -> None:
        """Read nothing, see `save`."""

    def _tell(self, *, up_to: int) -> bool:
        """Tell results in order; say whether all up to a number are there."""
        while self._n_told <= up_to:
            trial_id = self._ids[self._n_told]
            if trial_id not in self._results:
                return False
            self._source.tell(self._n_told, self._results[trial_id])
            self._n_told += 1
        return True

    def _config(
        self,
        number: int,
        name: str,
        values: Mapping[str, Any],
        *,
        settings: Settings,
        error: str = "",
    ) -> dict[str, Any]:
        """Describe a trial to Ray Tune; one that leaks unasked is not trained."""
        verdict = self._auditor.verdict(settings.datasets)
        return {
            "number": number,
            "name": name,
            "values": dict(values),
            "settings": to_plain(settings),
            "verdict": to_plain(verdict),
            "error": error or (self._auditor.refusal(verdict) if verdict.is_refused else ""),
        }


class RecordKeeper(tune.Callback):
    """Writes each event of the search into the sweep's record, and only there.

    It must be quick: Ray Tune waits for it. MLflow is fed from the record elsewhere.
    """

    def __init__(self, record: Record, progress: Progress, interruption: Interruption) -> None:
        self._record = record
        self._progress = progress
        self._interruption = interruption
        self._n_ended = 0

    def __getstate__(self) -> dict[str, Any]:
        """Keep nothing in Ray Tune's own files."""
        return {}

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Show how far folds are; end if Ctrl-C was pressed and Ray did not let it through."""
        self._interruption.check()
        self._record.check()
        self._progress.look(lambda: folds_under_way(self._record.folder / "folds"))

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Write that a trial began."""
        config = trial.config
        self._record.begin_trial(
            config["number"],
            name=config["name"],
            values=config["values"],
            verdict=config["verdict"],
            settings=config["settings"],
        )

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """Write that a fold is done."""
        if "error" in result:
            self._progress.trial_failed(n_missing=result["n_missing"])
            self._fail(trial, error=result["error"], may_pass=result["may_pass"])
            return
        self._record.add_fold(
            trial.config["number"], key=result["fold_key"], is_stored=result["is_stored"]
        )
        if result["done"]:
            self._end(trial, TrialState.DONE)
        self._progress.fold_done(
            trial=trial.config["name"], trials_done=self._n_ended, is_stored=result["is_stored"]
        )

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Write that a trial's own process was lost, and what Ray says of it."""
        if trial.error_file and Path(trial.error_file).exists():
            _write_error(self._record.folder, trial.config, Path(trial.error_file).read_text())
        self._fail(trial, error="the process of the trial was lost", may_pass=True)

    def _fail(self, trial: Any, *, error: str, may_pass: bool) -> None:
        self._end(trial, TrialState.FAILED, error=error, may_pass=may_pass)
        where = _error_file(self._record.folder, trial.config)
        self._progress.say(f"{trial.config['name']} failed: {error} (where: {where})")

    def _end(
        self, trial: Any, state: TrialState, *, error: str = "", may_pass: bool = False
    ) -> None:
        self._n_ended += 1
        self._record.end_trial(trial.config["number"], state, error=error, may_pass=may_pass)


def _write_error(folder: Path, config: Mapping[str, Any], text: str) -> None:
    file = _error_file(folder, config)
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)


def _error_file(folder: Path, config: Mapping[str, Any]) -> Path:
    return folder / "errors" / f"trial-{config['number']}.txt"
