"""A search over configurations, run by Ray Tune and written to the sweep's record.

A trial of Ray Tune only hands out folds and gathers them (`calsweep.platform.trial`), so it takes
no CPU; as many trials run side by side as it takes to keep every device busy, and one more.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from ray import tune
from ray.exceptions import RayTaskError
from ray.tune.search import Searcher
from ray.tune.search.optuna import OptunaSearch

from calsweep.datasets.dataset import Dataset, open_dataset
from calsweep.datasets.fold import FoldPlan, animal_folds
from calsweep.datasets.view import check_windows
from calsweep.platform.cluster import check_home, cluster
from calsweep.platform.fold_task import FoldTask, fold_seed
from calsweep.platform.plain import from_plain, to_plain
from calsweep.platform.progress import Progress
from calsweep.platform.record import (
    BASELINE,
    FoldRecord,
    Record,
    SweepRecord,
    TrialState,
    code_version,
    read_sweep,
    sweeps_folder,
)
from calsweep.platform.settings import (
    Settings,
    SweepSettings,
    Tuner,
    cache_folder,
    tracking_uri,
)
from calsweep.platform.storage import locate
from calsweep.platform.tracking import TrackingThread
from calsweep.platform.trial import train_folds, warm_up

METRIC = "validation_auc"
N_TRIALS = 20


@dataclass(frozen=True, kw_only=True)
class SweepPlan:
    """What every trial of a sweep shares.

    Attributes
    ----------
    settings
        Of the sweep.
    folds
        The fold plan.
    dataset_hash
        Of the dataset.
    folder
        Of the sweep's record.
    """

    settings: SweepSettings
    folds: FoldPlan
    dataset_hash: str
    folder: Path

    def tasks(self, configuration: Settings, /) -> tuple[FoldTask, ...]:
        """Give the folds to train for one configuration."""
        return tuple(
            FoldTask(
                settings=configuration,
                fold=fold,
                seed=fold_seed(self.settings.seed, fold.index),
                dataset_hash=self.dataset_hash,
                plan_hash=self.folds.content_hash,
                folder=self.folder / "folds",
                cache=cache_folder(self.settings.home),
            )
            for fold in self.folds.folds
        )

    def configuration(self, *, name: str, values: Mapping[str, Any]) -> Settings:
        """Give the configuration of a trial by its name and sampled values."""
        if name == BASELINE:
            start = self.settings.start
            return Settings(
                trainables=self.settings.baseline, datasets=start.datasets, training=start.training
            )
        return self.settings.configuration(values)


class EverythingFailed(RuntimeError):
    """No trial of a sweep came to its end."""

    def __init__(self, sweep: str, error: str) -> None:
        super().__init__(sweep, error)
        self.sweep = sweep
        self.error = error

    def __str__(self) -> str:
        return (
            f"No trial of the sweep {self.sweep!r} came to its end; the first failed: {self.error}"
        )


def run_sweep(settings: SweepSettings, /) -> SweepRecord:
    """Run a sweep to its end, or go on with one that was interrupted.

    Parameters
    ----------
    settings
        What to do.

    Returns
    -------
    sweep
        Its record.

    Raises
    ------
    ValueError
        If settings, dataset or cluster do not allow it; nothing is begun.
    SweepTaken
        If the name belongs to another sweep, or another process runs it.
    EverythingFailed
        If no trial came to its end.
    """
    check_home(settings.home)
    dataset = _open(settings)
    plan = _plan(settings, dataset)
    n_trials = 1 + _n_trials(settings)
    progress = Progress(n_trials=n_trials, n_folds=len(plan.folds.folds))
    with Record(plan.folder) as record:
        attached = record.begin(_description(plan, dataset, n_trials=n_trials))
        if attached and _is_over(settings):
            name = settings.sweep_name
            progress.say(f"Sweep {name} was run to its end before; nothing to train.")
            _catch_up(_tracking(settings), progress)
        else:
            with cluster(settings.resources) as n_parallel, progress:
                warm_up(n_parallel, resources=settings.resources)
                tracking = _tracking(settings)
                _search(plan, record, progress, n_trials=n_trials, n_parallel=n_parallel)
                _catch_up(tracking, progress)
    sweep = read_sweep(settings.home, settings.sweep_name)
    if not sweep.finished:
        errors = [trial.error for trial in sweep.trials] or ["none began"]
        raise EverythingFailed(sweep.name, errors[0])
    return sweep


def _open(settings: SweepSettings) -> Dataset:
    location = locate(settings.datasets.address)
    return open_dataset(location.filesystem, location.path, cache=cache_folder(settings.home))


def _plan(settings: SweepSettings, dataset: Dataset) -> SweepPlan:
    check_windows(dataset.manifest, settings.datasets)
    _check_space(settings)
    folds = animal_folds(
        dataset.manifest, target=settings.datasets.target, k=settings.datasets.k_groups
    )
    home = settings.home.expanduser().resolve()
    return SweepPlan(
        settings=settings,
        folds=folds,
        dataset_hash=dataset.manifest.content_hash,
        folder=sweeps_folder(home) / settings.sweep_name,
    )


def _check_space(settings: SweepSettings) -> None:
    """Try both ends of each range on the settings, so that a misspelt name is told at once."""
    for name, axis in settings.search_spaces.axes.items():
        for value in axis.ends():
            settings.configuration({name: value})
    if settings.tuner is Tuner.GRID:
        settings.search_spaces.grid()


def _description(plan: SweepPlan, dataset: Dataset, *, n_trials: int) -> dict[str, Any]:
    manifest = dataset.manifest
    return {
        "settings": plan.settings.intent,
        "dataset": {
            "address": plan.settings.datasets.address,
            "content_hash": plan.dataset_hash,
            "target": plan.settings.datasets.target,
            "rate_hz": manifest.rate_hz,
            "n_units": len(manifest.units),
            "n_frames": manifest.n_frames,
            "subjects": list(manifest.subjects),
            "recordings": [entry.name for entry in manifest.recordings],
        },
        "plan": to_plain(plan.folds),
        "plan_hash": plan.folds.content_hash,
        "code_version": code_version(),
        "notes": list(plan.settings.datasets.notes()),
        "n_planned": n_trials,
    }


def _n_trials(settings: SweepSettings) -> int:
    """Count the configurations to try, the baseline not among them."""
    if settings.tuner is Tuner.GRID:
        n_grid = len(settings.search_spaces.grid())
        return min(settings.n_trials or n_grid, n_grid)
    return settings.n_trials or N_TRIALS


def _is_over(settings: SweepSettings) -> bool:
    sweep = read_sweep(settings.home, settings.sweep_name)
    ended = [trial for trial in sweep.trials if trial.state is not TrialState.RUNNING]
    return len(ended) == sweep.n_planned


def _search(
    plan: SweepPlan, record: Record, progress: Progress, *, n_trials: int, n_parallel: int
) -> None:
    n_folds = len(plan.folds.folds)
    n_side_by_side = 1 + math.ceil(n_parallel / n_folds)
    progress.say(
        f"Sweep {plan.settings.sweep_name}: {n_trials} configurations (the linear baseline first) "
        f"x {n_folds} folds, {n_parallel} folds at a time."
    )
    tuner = tune.Tuner(
        _trainable(plan),
        tune_config=tune.TuneConfig(
            search_alg=Suggestions(plan.settings, lag=n_side_by_side),
            num_samples=n_trials,
            max_concurrent_trials=n_side_by_side,
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(
            name="tune",
            storage_path=str(plan.folder),
            verbose=0,
            # What a trial has reached lies in the sweep's record.
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            callbacks=[RecordKeeper(plan, record, progress)],
        ),
    )
    tuner.fit()


def _tracking(settings: SweepSettings) -> TrackingThread:
    uri = tracking_uri(settings.home, settings.tracking_uri)
    return TrackingThread(uri, home=settings.home, sweep=settings.sweep_name)


def _catch_up(tracking: TrackingThread, progress: Progress) -> None:
    error = tracking.close()
    if error:
        progress.say(
            f"MLflow does not have every result yet ({error}). The record has them all: "
            "run the same command again to catch up."
        )


def _trainable(plan: SweepPlan) -> Any:
    # A trial holds no CPU, since a fold that asks for a whole one must still find it; but Ray wants
    # it to hold something.
    shared = tune.with_parameters(TrialRun, plan=to_plain(plan))
    return tune.with_resources(shared, tune.PlacementGroupFactory([{"memory": 2**20}]))


class TrialRun(tune.Trainable):
    """A trial as Ray Tune sees it: each step waits for one more fold."""

    def setup(self, config: dict[str, Any], plan: dict[str, Any] | None = None) -> None:
        """Take the sweep's plan and the first configuration."""
        self._plan: SweepPlan = from_plain(plan)
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
            return {"done": True, METRIC: math.nan, "error": _reason(error)}
        self._done.append(fold)
        # In the order of the plan: a sum of floats in another order is another sum.
        by_fold = sorted(self._done, key=lambda done: done.fold)
        return {
            METRIC: statistics.fmean(done.validation.auc for done in by_fold),
            "fold_key": fold.key,
            "done": len(self._done) == len(self._plan.folds.folds),
        }

    def cleanup(self) -> None:
        """Cancel what still runs."""
        self._folds.close()

    def _begin(self, config: Mapping[str, Any]) -> None:
        self._config = dict(config)
        self._done: list[FoldRecord] = []
        self._folds = self._train()

    def _train(self) -> Generator[FoldRecord, None, None]:
        configuration = self._plan.configuration(
            name=self._config["name"], values=self._config["values"]
        )
        tasks = self._plan.tasks(configuration)
        yield from train_folds(tasks, resources=self._plan.settings.resources)


class Suggestions(Searcher):
    """The linear baseline, then the configurations that Optuna or the grid suggests.

    A suggestion is made from the results of those at least ``lag`` before it, told in their order:
    so the same seed gives the same search however fast single folds come back, and a sweep that is
    started again takes the same way.

    Parameters
    ----------
    settings
        Of the sweep.
    lag
        Trials that may run side by side.
    """

    def __init__(self, settings: SweepSettings, /, *, lag: int) -> None:
        super().__init__(metric=METRIC, mode="max")
        self._lag = lag
        self._grid = settings.search_spaces.grid() if settings.tuner is Tuner.GRID else None
        self._optuna = None if self._grid is not None else _optuna_search(settings)
        self._ids: list[str] = []
        self._results: dict[str, dict[str, Any] | None] = {}
        self._n_told = 1  # there is nothing to tell of the baseline

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        """Give the next configuration, or nothing while one before it has to end first."""
        number = len(self._ids)
        if not self._tell(up_to=number - self._lag):
            return None
        self._ids.append(trial_id)
        if number == 0:
            return {"number": 0, "name": BASELINE, "values": {}}
        return {
            "number": number,
            "name": f"trial {number}",
            "values": self._values(trial_id, number),
        }

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Keep a result until its turn to be told."""
        failed = error or result is None or math.isnan(result.get(METRIC, math.nan))
        self._results[trial_id] = None if failed else result

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
            result = self._results[trial_id]
            if self._optuna is not None:
                self._optuna.on_trial_complete(trial_id, result, error=result is None)
            self._n_told += 1
        return True

    def _values(self, trial_id: str, number: int) -> dict[str, Any]:
        if self._grid is not None:
            return dict(self._grid[number - 1])
        assert self._optuna is not None  # noqa: S101 - one of the two was made
        return dict(self._optuna.suggest(trial_id) or {})


class RecordKeeper(tune.Callback):
    """Writes each event of the search into the sweep's record, and only there.

    It must be quick: Ray Tune waits for it. MLflow is fed from the record elsewhere.
    """

    def __init__(self, plan: SweepPlan, record: Record, progress: Progress) -> None:
        self._plan = plan
        self._record = record
        self._progress = progress
        self._n_ended = 0

    def __getstate__(self) -> dict[str, Any]:
        """Keep nothing in Ray Tune's own files."""
        return {}

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Write that a trial began."""
        config = trial.config
        configuration = self._plan.configuration(name=config["name"], values=config["values"])
        self._record.append(
            {
                "event": "trial",
                "trial": config["number"],
                "name": config["name"],
                "values": config["values"],
                "settings": _without_target(to_plain(configuration)),
            }
        )

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """Write that a fold is done."""
        if "error" in result:
            self._end(trial, TrialState.FAILED, error=result["error"])
            return
        self._record.append(
            {"event": "fold", "trial": trial.config["number"], "key": result["fold_key"]}
        )
        if result["done"]:
            self._end(trial, TrialState.DONE)
        self._progress.fold_done(trial=trial.config["name"], trials_done=self._n_ended)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Write that a trial's own process was lost."""
        self._end(trial, TrialState.FAILED, error="the process of the trial was lost")

    def _end(self, trial: Any, state: TrialState, *, error: str = "") -> None:
        self._n_ended += 1
        self._record.append(
            {"event": "end", "trial": trial.config["number"], "state": state.value, "error": error}
        )
        if error:
            self._progress.say(f"{trial.config['name']} failed: {error}")


def _optuna_search(settings: SweepSettings) -> OptunaSearch:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler: optuna.samplers.BaseSampler
    if settings.tuner is Tuner.RANDOM:
        sampler = optuna.samplers.RandomSampler(seed=settings.seed)
    else:
        sampler = optuna.samplers.TPESampler(seed=settings.seed, multivariate=False)
    return OptunaSearch(
        space=settings.search_spaces.distributions(), metric=METRIC, mode="max", sampler=sampler
    )


def _reason(error: BaseException) -> str:
    """Give the first cause's own words, without the layers that carried it here."""
    while True:
        cause = error.cause if isinstance(error, RayTaskError) else error.__cause__
        if not isinstance(cause, BaseException):
            return f"{type(error).__name__}: {error}"
        error = cause


def _without_target(plain: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in plain.items() if key != "_target_"}
