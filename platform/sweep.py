"""A sweep from its settings to its record: checks first, then the search, then MLflow."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from calsweep.datasets.dataset import Dataset, open_dataset
from calsweep.datasets.fold import FoldPlan
from calsweep.datasets.view import Inputs, View, check_mask, check_windows, plan_folds
from calsweep.platform.auditor import Auditor
from calsweep.platform.cluster import check_home, cluster
from calsweep.platform.doctor.machine import check_folder
from calsweep.platform.errors import without_logins
from calsweep.platform.leaderboard import n_folds
from calsweep.platform.metrics.sweep_metrics import SweepMetrics
from calsweep.platform.object_storage.address import is_remote
from calsweep.platform.object_storage.storage import locate
from calsweep.platform.ownership.follow import OwnerEnded, follow
from calsweep.platform.ownership.lease import LeaseHeld, Owner
from calsweep.platform.places import cache_folder, default_home, open_cache, tracking_uri
from calsweep.platform.plain import to_plain
from calsweep.platform.population.population_sweep import check_population, run_population
from calsweep.platform.progress import Progress
from calsweep.platform.provenance import code_version
from calsweep.platform.record import SweepRecord, sweeps_folder
from calsweep.platform.record_reader import read_sweep
from calsweep.platform.record_writer import DONE, Record
from calsweep.platform.search import search
from calsweep.platform.settings import SweepSettings
from calsweep.platform.tracking.address import keep_tracking_uri
from calsweep.platform.trial import warm_up
from calsweep.platform.trial_plan import TrialPlan
from calsweep.search_spaces.space import ARM
from calsweep.search_spaces.suggestion import Tuner, suggestions
from calsweep.trainables.decoder import Problem

if TYPE_CHECKING:
    from calsweep.platform.tracking.tracking_thread import TrackingThread

N_TRIALS = 20


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
    """Run a sweep to its end, go on with one that was interrupted, or look on at one that runs.

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
        If the name belongs to another sweep, or what this one rests on has changed.
    LeaseLost
        If another process took the sweep over while this one was paused.
    OwnerEnded
        If another process ran it, and ended before it was over.
    EverythingFailed
        If no trial came to its end.
    """
    check_home(settings.home)
    check_folder(settings.home, setting="home=FOLDER")
    check_folder(cache_folder(settings.home), setting="CALSWEEP_CACHE")
    settings = _with_whole_address(settings)
    dataset = _open(settings)
    if settings.tuner is Tuner.POPULATION:
        check_population(settings, _problem(settings, dataset))
    views = _views(settings)
    check_windows(dataset.manifest, settings.datasets)
    for view in views:
        check_mask(dataset.manifest, view)
    folds = plan_folds(dataset.timeline(settings.datasets.target), views)
    auditor = Auditor(folds, dataset.timeline(settings.datasets.target))
    auditor.check(views)
    plan = _plan(settings, dataset, folds)
    n_trials = 1 + _n_trials(settings)
    description = _description(settings, plan, dataset, auditor, n_trials=n_trials)
    silent: Owner | None = None
    while True:
        try:
            with Record(plan.folder) as record:
                attached = record.begin(description, accept=settings.accept_changes, silent=silent)
                _run(settings, plan, record, auditor=auditor, attached=attached)
            break
        except LeaseHeld as held:
            silent = _look_on(settings, plan.folder, held.owner)
    sweep = read_sweep(settings.home, settings.sweep_name)
    if not sweep.finished and not sweep.stopped:
        errors = (trial.error for trial in sweep.trials if trial.error)
        raise EverythingFailed(sweep.name, next(errors, "none came to its end"))
    return sweep


def _run(
    settings: SweepSettings,
    plan: TrialPlan,
    record: Record,
    *,
    auditor: Auditor,
    attached: bool,
) -> None:
    """Do what is left of a sweep, as the one that holds its lease."""
    known = read_sweep(settings.home, settings.sweep_name)
    plan = replace(plan, earlier_code=known.earlier_code)
    progress = Progress(n_trials=known.n_planned, n_folds=len(plan.folds.folds))
    keep_tracking_uri(plan.folder, settings.tracking_uri)
    if attached and known.is_over:
        progress.say(f"Sweep {known.name} was run to its end before; nothing to train.")
        with _tracking(settings) as tracking:
            _catch_up(settings, tracking, progress)
        return
    # A bar counts folds: of a population, each generation has a line of its own.
    bar = contextlib.nullcontext() if settings.tuner is Tuner.POPULATION else progress
    with cluster(settings.resources) as n_parallel, bar:
        warm_up(n_parallel, resources=settings.resources)
        values = {trial.number: trial.values for trial in known.trials}
        with _tracking(settings) as tracking, _metrics(settings, plan, tracking):
            _search(
                # Ray Tune keeps what it is given: an address may hold a password.
                replace(settings, tracking_uri="", overrides=()),
                plan,
                record,
                progress,
                auditor=auditor,
                values=values,
                n_parallel=n_parallel,
            )
            _catch_up(settings, tracking, progress)


def _look_on(settings: SweepSettings, folder: Path, owner: Owner) -> Owner | None:
    """Follow the process that runs this sweep; come back if it is done, or gone amid it.

    Returns
    -------
    owner
        As it was seen last.

    Raises
    ------
    OwnerEnded
        If it was interrupted, or ended by an error.
    """
    name = settings.sweep_name
    print(
        f"Sweep {name} is being run by {owner.process.name} just now: looking on until it is done "
        "(Ctrl-C ends the looking on alone).",
        flush=True,
    )
    last = follow(folder, say=lambda line: print(line, flush=True))
    if last is None or last.is_held:
        print(f"Sweep {name}: {owner.process.name} is gone; going on here.", flush=True)
    elif last.ending != DONE:
        raise OwnerEnded(name, last.process.name, last.ending)
    return last


def _with_whole_address(settings: SweepSettings) -> SweepSettings:
    """Name a folder from its root: folds may be trained in another folder than this one."""
    address = settings.datasets.address
    if not is_remote(address):
        address = str(Path(address).expanduser().resolve())
    return replace(settings, datasets=replace(settings.datasets, address=address))


def _open(settings: SweepSettings) -> Dataset:
    store = locate(settings.datasets.address)
    return open_dataset(store, cache=open_cache(cache_folder(settings.home)))


def _views(settings: SweepSettings) -> list[View]:
    """Give the views to check before a sweep: the start, the baseline, and the ends of each axis.

    The combination of all that make the input reach far is among them, since it needs the widest
    gap. Of windows, the shortest and the longest reach will do: each trial is audited by itself
    besides.
    """
    widest: dict[str, Any] = {}
    views = [settings.datasets, settings.linear.datasets]
    for name, values in _check_space(settings).items():
        if not name.startswith("datasets.") and name != ARM:
            continue
        alone = [settings.configuration({name: value}).datasets for value in values]
        with_others = [settings.configuration({**widest, name: value}) for value in values]
        n_frames = [_n_reached(setting.datasets) for setting in with_others]
        widest[name] = values[n_frames.index(max(n_frames))]
        if name.startswith("datasets.window."):
            alone = [min(alone, key=_n_reached), max(alone, key=_n_reached)]
        views += alone
    return [*views, settings.configuration(widest).datasets]


def _problem(settings: SweepSettings, dataset: Dataset) -> Problem:
    """Give what decoders are asked to solve, as far as the manifest tells."""
    manifest = dataset.manifest
    images = manifest.images if settings.datasets.inputs is Inputs.IMAGES else None
    shape = (images.height, images.width) if images else (len(manifest.units),)
    return Problem(frame_shape=shape, window_length=settings.datasets.window.length)


def _n_reached(view: View) -> int:
    return view.reach.window_frames + view.reach.look_frames


def _plan(settings: SweepSettings, dataset: Dataset, folds: FoldPlan) -> TrialPlan:
    home = settings.home.expanduser().resolve()
    return TrialPlan(
        folds=folds,
        seed=settings.seed,
        dataset_hash=dataset.manifest.content_hash,
        code=code_version(),
        folder=sweeps_folder(home) / settings.sweep_name,
        cache=cache_folder(settings.home),
        resources=settings.resources,
        pruning=settings.pruning,
    )


# What folds rest on: trials that differ in it cannot stand on one leaderboard.
_SHARED = ("address", "target", "folds")
# Labels are permuted as a control, which an arm may be and a search should not stumble over.
_SEARCHED_NEVER = (*_SHARED, "labels")


def _check_space(settings: SweepSettings) -> dict[str, tuple[Any, ...]]:
    """Try both ends of each range on the settings, so that a misspelt name is told at once.

    Returns
    -------
    tried
        Name of each searched setting to the values tried.
    """
    space = settings.search_spaces
    of_arms = itertools.chain(*(space.settings({ARM: arm}) for arm in space.arms))
    for names, fixed in ((space.axes, _SEARCHED_NEVER), (of_arms, _SHARED)):
        for name in names:
            if ".".join(name.split(".")[:2]) in {f"datasets.{shared}" for shared in fixed}:
                raise ValueError(
                    f"`{name}` cannot be searched: all trials of a sweep share it. Run a sweep for "
                    "each value."
                )
    for name, axis in settings.search_spaces.axes.items():
        for value in axis.ends():
            settings.configuration({name: value})
    if settings.tuner is Tuner.GRID:
        settings.search_spaces.grid()
    return {name: axis.ends() for name, axis in settings.search_spaces.axes.items()}


def _description(
    settings: SweepSettings,
    plan: TrialPlan,
    dataset: Dataset,
    auditor: Auditor,
    *,
    n_trials: int,
) -> dict[str, Any]:
    manifest = dataset.manifest
    return {
        "settings": settings.intent,
        "overrides": without_logins(settings.overrides),
        "dataset": {
            "address": settings.datasets.address,
            "content_hash": plan.dataset_hash,
            "target": settings.datasets.target,
            "rate_hz": manifest.rate_hz,
            "n_units": len(manifest.units),
            "n_frames": manifest.n_frames,
            "subjects": list(manifest.subjects),
            "recordings": [entry.name for entry in manifest.recordings],
        },
        "plan": to_plain(plan.folds),
        "plan_hash": plan.folds.content_hash,
        "code_version": plan.code,
        "verdict": to_plain(auditor.verdict(settings.datasets)),
        "n_planned": n_trials,
    }


def _n_trials(settings: SweepSettings) -> int:
    """Count the configurations to try, the baseline not among them."""
    if settings.tuner is Tuner.POPULATION:
        return settings.population.size
    if settings.tuner is Tuner.GRID:
        n_grid = len(settings.search_spaces.grid())
        return min(settings.n_trials or n_grid, n_grid)
    return settings.n_trials or N_TRIALS


def _search(
    settings: SweepSettings,
    plan: TrialPlan,
    record: Record,
    progress: Progress,
    *,
    auditor: Auditor,
    values: Mapping[int, Mapping[str, Any]],
    n_parallel: int,
) -> None:
    if settings.tuner is Tuner.POPULATION:
        size = settings.population.size
        progress.say(
            f"Sweep {settings.sweep_name}: a population of {size} (the linear baseline first) "
            f"x {n_folds(plan.folds)}, {n_parallel} at a time."
        )
        run_population(settings, plan, record, auditor=auditor, say=progress.say)
        return
    n_trials = 1 + _n_trials(settings)
    progress.say(
        f"Sweep {settings.sweep_name}: {n_trials} configurations (the linear baseline first) "
        f"x {n_folds(plan.folds)}, {n_parallel} at a time."
    )
    source = suggestions(
        settings.search_spaces, tuner=settings.tuner, seed=settings.seed, known=values
    )
    why = search(
        settings,
        source,
        plan,
        record,
        progress,
        auditor=auditor,
        n_trials=n_trials,
        n_parallel=n_parallel,
    )
    if why:
        record.stop(why)


def _tracking(settings: SweepSettings) -> TrackingThread:
    # MLflow takes seconds to import, in which the processes that train can start.
    from calsweep.platform.tracking.tracking_thread import TrackingThread

    uri = tracking_uri(settings.home, settings.tracking_uri)
    return TrackingThread(uri, home=settings.home, sweep=settings.sweep_name, is_running=True)


def _metrics(settings: SweepSettings, plan: TrialPlan, tracking: TrackingThread) -> SweepMetrics:
    return SweepMetrics(
        plan.folder,
        n_tracked=lambda: tracking.fed.n_there,
        n_devices=settings.resources.n_devices,
    )


def _catch_up(settings: SweepSettings, tracking: TrackingThread, progress: Progress) -> None:
    error = tracking.close()
    if error:
        home = f" --home {settings.home}" if settings.home != default_home() else ""
        progress.say(
            f"MLflow does not have every result yet ({error}). The record has them all: "
            f"`calsweep track {settings.sweep_name}{home}` catches up."
        )
