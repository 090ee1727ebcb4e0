"""A fold trained again from its record, to be compared bit by bit."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import torch

from calsweep.platform.arm import find_trial
from calsweep.platform.config import settings_of as sweep_settings
from calsweep.platform.fold.fold_run import run_fold
from calsweep.platform.fold.fold_task import FoldTask
from calsweep.platform.fold.model import FoldModel
from calsweep.platform.fold.trained_fold import planned, settings_of
from calsweep.platform.plain import to_plain
from calsweep.platform.population.replay import differing
from calsweep.platform.provenance import code_version
from calsweep.platform.record import FoldRecord, SweepRecord, TrialRecord, sweeps_folder
from calsweep.platform.record_reader import read_sweep
from calsweep.platform.resources import Resources
from calsweep.platform.score import Epoch
from calsweep.search_spaces.suggestion import Tuner

_SHORTEST_KEY = 6


class FoldNotFound(LookupError):
    """No trained fold of this name."""

    def __init__(self, run: str, reason: str) -> None:
        super().__init__(run, reason)
        self.run = run
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"No trained fold {self.run!r}: {self.reason} Name it SWEEP:TRIAL:FOLD (`small:1:7`), "
            "or by its key (`calsweep.fold_key` in MLflow), or by the id of its run in MLflow."
        )


@dataclass(frozen=True, kw_only=True)
class FoundFold:
    """A trained fold, and the sweep and configuration that it is of."""

    sweep: SweepRecord
    trial: TrialRecord
    fold: FoldRecord

    @property
    def resources(self) -> Resources:
        """What it was trained with."""
        if not self.sweep.overrides:  # it was not begun from a command
            return Resources()
        home = self.sweep.folder.parent.parent
        return sweep_settings(self.sweep, home=home).resources


@dataclass(frozen=True, kw_only=True)
class Rerun:
    """What came of training a fold again.

    Attributes
    ----------
    then, now
        Its record, and what came of it now.
    differing
        Names of weights, scaling, figures and columns of predictions that differ in any bit.
    reasons
        What is not as it was, in sentences: why something may differ.
    """

    then: FoldRecord
    now: FoldRecord
    differing: tuple[str, ...]
    reasons: tuple[str, ...]

    @property
    def is_same(self) -> bool:
        """Whether everything is the same."""
        return not self.differing

    @property
    def parted_at(self) -> int | None:
        """The first epoch whose figures differ; ``None`` if none does."""
        pairs = zip(self.then.curve, self.now.curve, strict=False)
        parted = (then.epoch for then, now in pairs if not is_same_epoch(then, now))
        shorter = min(len(self.then.curve), len(self.now.curve)) + 1
        has_more = len(self.then.curve) != len(self.now.curve)
        return next(parted, shorter if has_more else None)


def find_fold(home: Path, run: str, /, *, uri: str) -> FoundFold:
    """Find a trained fold.

    Parameters
    ----------
    home
        Folder of sweeps.
    run
        ``SWEEP:TRIAL:FOLD``, the fold's key or its beginning, or the id of its run in MLflow.
    uri
        MLflow's address.

    Raises
    ------
    FoldNotFound
        If there is none.
    SweepNotFound
        If there is no sweep of the name.
    TrackingRefused
        If MLflow cannot be asked.
    """
    if run.count(":") >= 2:
        name, trial_name, number = run.rsplit(":", 2)
        sweep = read_sweep(home, name)
        trial = find_trial(sweep, trial_name)
        known = {str(fold.fold): fold for fold in trial.folds}
        if number not in known:
            raise FoldNotFound(run, f"{trial.name} has the folds {', '.join(known) or 'of none'}.")
        return FoundFold(sweep=sweep, trial=trial, fold=known[number])
    places = [
        place
        for place in sweeps_folder(home).glob("*/folds/*/fold.json")
        if len(run) >= _SHORTEST_KEY and place.parent.name.startswith(run)
    ]
    if len(places) > 1:
        raise FoldNotFound(run, f"{len(places)} folds begin so.")
    if places:
        return _with_key(home, places[0].parents[2].name, places[0].parent.name)
    from calsweep.platform.tracking.tracking import fold_of_run

    found = fold_of_run(run, uri=uri)
    if found is None:
        raise FoldNotFound(run, "neither this home nor MLflow has a fold of this name.")
    return _with_key(home, *found)


def _with_key(home: Path, name: str, key: str) -> FoundFold:
    sweep = read_sweep(home, name)
    for trial in sweep.trials:
        for fold in trial.folds:
            if fold.key == key:
                return FoundFold(sweep=sweep, trial=trial, fold=fold)
    raise FoldNotFound(key, f"the record of {name!r} does not count it to any configuration.")


def rerun_fold(found: FoundFold, /, *, cache: Path, threads: int = 0) -> Rerun:
    """Train a fold again on this machine's CPU, and compare.

    Parameters
    ----------
    found
        Of `find_fold`.
    cache
        Folder for decoded frames.
    threads
        Sums are divided among them; 0 for as many as it was trained with.

    Raises
    ------
    ValueError
        If it is a member of a population, whose training was not its own alone.
    DatasetChanged
        If another dataset lies at the address now.
    """
    sweep, trial, then = found.sweep, found.trial, found.fold
    if sweep.settings.get("tuner") == Tuner.POPULATION.value and not trial.is_baseline:
        raise ValueError(
            f"{trial.name} of {sweep.name!r} went on from other members of its population: "
            f"`calsweep replay {sweep.name} MEMBER` trains it again along its lineage."
        )
    resources = found.resources
    n_threads = threads or resources.cpus
    with tempfile.TemporaryDirectory(prefix="calsweep-rerun-") as scratch, _threads(n_threads):
        task = FoldTask(
            settings=to_plain(settings_of(trial)),
            fold=planned(sweep, then.fold),
            seed=then.seed,
            dataset_hash=str(sweep.dataset["content_hash"]),
            plan_hash=sweep.plan_hash,
            code=code_version(),
            folder=Path(scratch),
            cache=cache,
        )
        run_fold(task)
        now = FoldRecord.read(task.place)
        names = [
            *_differing_weights(sweep.fold_folder(then), task.place),
            *differing(_figures(then), _figures(now)),
            *_differing_predictions(sweep.fold_folder(then), task.place),
        ]
    return Rerun(
        then=then,
        now=now,
        differing=tuple(names),
        reasons=tuple(_reasons(sweep, resources, n_threads=n_threads)),
    )


def is_same_epoch(then: Epoch, now: Epoch, /) -> bool:
    """Say whether two epochs have the same figures, in every bit."""
    return _as_text(then) == _as_text(now)


def _reasons(sweep: SweepRecord, resources: Resources, *, n_threads: int) -> Iterator[str]:
    if sweep.code_version != code_version():
        yield f"The code was {sweep.code_version} and is {code_version()}."
    if resources.gpus:
        yield "It was trained on a GPU, and now on a CPU."
    if resources.num_workers > 1:
        yield f"It was trained by {resources.num_workers} processes together, and now by one."
    if resources.cpus != n_threads:
        yield f"It was trained with {resources.cpus} threads, and now with {n_threads}."


@contextlib.contextmanager
def _threads(n: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _differing_weights(then: Path, now: Path) -> list[str]:
    one, other = (FoldModel.load(place / "model") for place in (then, now))
    return differing(_numbers(one), _numbers(other))


def _numbers(model: FoldModel) -> dict[str, Any]:
    scaling = model.scaling
    return {
        "weights": dict(model.state),
        "scaling": {
            "offset": torch.from_numpy(scaling.offset_N),
            "scale": torch.from_numpy(scaling.scale_N),
        },
    }


def _figures(fold: FoldRecord) -> dict[str, str]:
    """Give figures as text, in which a figure that is no number is equal to itself."""
    return {
        "best epoch": str(fold.best_epoch),
        "validation": _as_text(fold.validation),
        "test": _as_text(fold.test),
        **{f"epoch {epoch.epoch}": _as_text(epoch) for epoch in fold.curve},
    }


def _as_text(figures: Any) -> str:
    return json.dumps(asdict(figures), sort_keys=True)


def _differing_predictions(then: Path, now: Path) -> list[str]:
    one, other = (
        pq.read_table(place / "predictions.parquet", page_checksum_verification=True)
        for place in (then, now)
    )
    if one.column_names != other.column_names:
        return ["predictions"]
    return [
        f"predictions.{name}"
        for name in one.column_names
        if one[name].to_pylist() != other[name].to_pylist()
    ]
