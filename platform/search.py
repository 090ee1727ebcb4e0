"""The search as Ray Tune runs it: which configurations, their trials, and what is written of them.

A trial of Ray Tune only hands out folds and gathers them (`calsweep.platform.trial`), so it takes
no CPU, and its process loads neither torch nor MLflow.
"""

from __future__ import annotations

import contextlib
import math
import statistics
import traceback
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ray import tune
from ray.tune.error import TuneError
from ray.tune.execution import class_cache
from ray.tune.search import Searcher

from calsweep.platform.budget import BudgetWatch
from calsweep.platform.chooser import METRIC, Chooser
from calsweep.platform.fold.fold_task import FoldTask
from calsweep.platform.fold.under_way import folds_under_way, forget_under_way
from calsweep.platform.interruption import Interruption
from calsweep.platform.pruning import Pruned, Rival, lost
from calsweep.platform.record import FoldRecord, TrialState
from calsweep.platform.record_writer import Record
from calsweep.platform.trial import cause_of, remove_stops, train_folds
from calsweep.platform.trial_plan import TrialPlan

if TYPE_CHECKING:
    from calsweep.platform.auditor import Auditor
    from calsweep.platform.progress import Progress
    from calsweep.platform.settings import SweepSettings
    from calsweep.search_spaces.suggestion import Suggestions

N_LOST = 5
"""How often a trial's process, or its node, may be lost before the trial fails."""

# Ray Tune would give the driver's keys to each trial as settings, which Ray writes into its log and
# shows on its dashboard; every node has its own.
class_cache.ENV_VARS_TO_PROPAGATE.difference_update(
    [name for name in class_cache.ENV_VARS_TO_PROPAGATE if name.startswith("AWS_")]
)

_END = ".end"  # among the folds, tells trials that the search is over


class SearchEnded(Exception):
    """The search is over before this trial is."""


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
) -> str:
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

    Returns
    -------
    why
        The search was ended before its time; empty if it was not.
    """
    remove_stops(plan.folder / "folds")
    (plan.folder / "folds" / _END).unlink(missing_ok=True)
    forget_under_way(plan.folder / "folds")
    # As many trials as keep every device busy, and one more to take over where one ends.
    n_side_by_side = 1 + math.ceil(n_parallel / len(plan.folds.folds))
    chooser = Chooser(settings, source, auditor, lag=n_side_by_side)
    watch = BudgetWatch(settings.budget, plan.folder)
    with Interruption() as interruption:
        keeper = RecordKeeper(record, progress, interruption, watch=watch)
        tuner = tune.Tuner(
            _trainable(plan),
            tune_config=tune.TuneConfig(
                search_alg=Suggester(chooser, watch),
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
                # Nor is anything lost with the process of one, which another takes over from.
                failure_config=tune.FailureConfig(max_failures=N_LOST),
                callbacks=[keeper],
            ),
        )
        try:
            tuner.fit()
        except Exception as error:  # noqa: BLE001 - it is raised again, as what it was
            record.check()  # a sweep that was taken over ends for that, whatever it led to
            raise _cause(error) from None
        interruption.check()
        record.check()
    return keeper.why_ended


def _cause(error: BaseException) -> BaseException:
    """Give what the writing of the record raised: Ray Tune makes a text of it."""
    inner: BaseException | None = error
    while isinstance(inner, TuneError):
        inner = inner.__context__
    return inner or error


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
        except SearchEnded:
            n_missing = len(self._plan.folds.folds) - len(self._done)
            return {"done": True, METRIC: math.nan, "is_cut": True, "n_missing": n_missing}
        except Exception as error:  # noqa: BLE001 - it is recorded with the trial, the rest go on
            return {"done": True, METRIC: math.nan, **self._failed(error)}
        self._done.append(fold)
        # In the order of the plan: a sum of floats in another order is another sum.
        auc = {done.fold: done.validation.auc for done in sorted(self._done, key=_number)}
        is_last = len(auc) == len(self._plan.folds.folds)
        result = {
            METRIC: statistics.fmean(auc.values()),
            "fold_key": fold.key,
            "is_stored": fold.key in self._stored,
            "auc": list(auc.items()),
            "done": is_last,
        }
        rival = None if is_last else self._rival
        pruned = lost(auc, rival, self._plan.pruning) if rival else None
        if rival is None or pruned is None:
            return result
        self._folds.close()
        # Its own mean is of other folds than the means of others: told is what it would have come
        # to, were all its folds as far from its rival's.
        told = rival.mean + pruned.mean_difference
        n_missing = len(self._plan.folds.folds) - len(auc)
        return result | {
            METRIC: told,
            "done": True,
            "pruned": asdict(pruned),
            "n_missing": n_missing,
        }

    def cleanup(self) -> None:
        """Stop what still runs."""
        self._folds.close()

    def _check(self) -> None:
        if (self._plan.folder / "folds" / _END).exists():
            raise SearchEnded

    def _begin(self, config: Mapping[str, Any]) -> None:
        self._config = dict(config)
        self._done: list[FoldRecord] = []
        rival = self._config["rival"]
        self._rival = Rival(name=rival["name"], auc=dict(rival["auc"])) if rival else None
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
        self._check()
        tasks = self._plan.tasks(self._config["settings"])
        self._stored = {task.key for task in tasks if task.place.exists()}
        folds = train_folds(tasks, resources=self._plan.resources, on_wait=self._check)
        with contextlib.closing(folds):
            yield from folds if self._rival is None else in_order(folds, tasks)


def in_order(folds: Iterator[FoldRecord], tasks: Sequence[FoldTask], /) -> Iterator[FoldRecord]:
    """Give folds in the order of their tasks, each as soon as those before it are done.

    Which of two folds comes back first is chance; whether a trial is pruned must not be.
    """
    waiting = [task.key for task in tasks]
    back: dict[str, FoldRecord] = {}
    for fold in folds:
        back[fold.key] = fold
        while waiting and waiting[0] in back:
            yield back[waiting.pop(0)]


def _number(fold: FoldRecord) -> int:
    return fold.fold


class Suggester(Searcher):
    """A chooser of configurations as Ray Tune asks it.

    Parameters
    ----------
    chooser
        Says which configuration is next.
    watch
        Says whether there is to be one.
    """

    def __init__(self, chooser: Chooser, watch: BudgetWatch, /) -> None:
        super().__init__(metric=METRIC, mode="max")
        self._chooser = chooser
        self._watch = watch
        self._numbers: dict[str, int] = {}

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:  # type: ignore[override]
        """Give the next configuration, or nothing while one before it has to end first."""
        if self._watch.why_over():
            return str(Searcher.FINISHED)
        config = self._chooser.next()
        if config is not None:
            self._numbers[trial_id] = config["number"]
        return config

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Keep a result until its turn to be told."""
        self._chooser.keep(self._numbers[trial_id], {} if error else result or {})

    def save(self, checkpoint_path: str) -> None:
        """Write nothing: a sweep that goes on takes the same way again, folds from its record."""

    def restore(self, checkpoint_path: str) -> None:
        """Read nothing, see `save`."""


class RecordKeeper(tune.Callback):
    """Writes each event of the search into the sweep's record, and only there.

    It must be quick: Ray Tune waits for it. MLflow is fed from the record elsewhere.
    """

    def __init__(
        self,
        record: Record,
        progress: Progress,
        interruption: Interruption,
        *,
        watch: BudgetWatch | None = None,
    ) -> None:
        self._record = record
        self._watch = watch
        self.why_ended = ""
        """Why the search was ended before its time; empty if it was not."""
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
        self._look_at_budget()
        self._progress.look(lambda: folds_under_way(self._record.folder / "folds"))

    def _look_at_budget(self) -> None:
        """End the search where its budget is used up: trials look for the file that says so."""
        why = self._watch.why_over() if self._watch else ""
        if why and not self.why_ended:
            self.why_ended = why
            (self._record.folder / "folds" / _END).touch()
            self._progress.say(f"The search ends: {why}. Folds under way end with their epoch.")

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
        if "is_cut" in result:  # it has not ended: it goes on when the sweep does
            self._progress.leave_out(result["n_missing"])
            return
        if "error" in result:
            self._progress.leave_out(result["n_missing"])
            self._fail(trial, error=result["error"], may_pass=result["may_pass"])
            return
        self._record.add_fold(
            trial.config["number"], key=result["fold_key"], is_stored=result["is_stored"]
        )
        pruned = result.get("pruned")
        if pruned:
            self._progress.leave_out(result["n_missing"])
            self._end(trial, TrialState.PRUNED, pruned=pruned)
            n_planned = pruned["n_folds"] + result["n_missing"]
            why = Pruned(**pruned).sentence(n_planned=n_planned)
            self._progress.say(f"{trial.config['name']} is {why}")
        elif result["done"]:
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
        self,
        trial: Any,
        state: TrialState,
        *,
        error: str = "",
        may_pass: bool = False,
        pruned: Mapping[str, Any] | None = None,
    ) -> None:
        self._n_ended += 1
        self._record.end_trial(
            trial.config["number"], state, error=error, may_pass=may_pass, pruned=pruned
        )


def _write_error(folder: Path, config: Mapping[str, Any], text: str) -> None:
    file = _error_file(folder, config)
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)


def _error_file(folder: Path, config: Mapping[str, Any]) -> Path:
    return folder / "errors" / f"trial-{config['number']}.txt"
