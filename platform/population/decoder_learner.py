"""A decoder on all its folds, as a member of a population."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import nn

from calsweep.datasets.split import FoldData
from calsweep.datasets.view import split_fold
from calsweep.platform.fold.checkpoint import Progress
from calsweep.platform.fold.feed import Shares
from calsweep.platform.fold.fold_run import check_code, save_fold, unchanged_dataset
from calsweep.platform.fold.fold_stack import why_alone
from calsweep.platform.fold.fold_task import FoldTask, fold_seed
from calsweep.platform.fold.fold_training import FoldTraining
from calsweep.platform.fold.loop import (
    TrainedFold,
    build_module,
    check_data,
    determinism,
    own_randomness,
)
from calsweep.platform.fold.trainee import LIVE, Diverged, Trainee
from calsweep.platform.fold.weights import said_of, with_local_weights, without_weights
from calsweep.platform.places import open_cache
from calsweep.platform.plain import content_hash, from_plain, overlay, to_plain
from calsweep.platform.population.decoder_stack import DecoderStack
from calsweep.platform.population.learner import Learner, SpreadLearners, StackableLearners
from calsweep.platform.population.live_setting import TRAINABLES, TRAINING, build_alone, carriers
from calsweep.platform.population.member import read_member
from calsweep.platform.settings import Settings
from calsweep.search_spaces.population import Unit
from calsweep.trainables.decoder import Problem


@dataclass(frozen=True, kw_only=True)
class DecoderLearners:
    """What builds members of a population of one decoder.

    Attributes
    ----------
    tasks
        The folds, with the settings that the search starts from.
    searched
        Dotted names of searched settings to the ends of their ranges.
    unit
        What a generation is counted in.
    device
        Where members train.
    shares, wrap
        As `calsweep.platform.fold.loop.train_fold` takes them; a process of several sets them.
    """

    tasks: tuple[FoldTask, ...]
    searched: Mapping[str, tuple[float, float]]
    unit: Unit = Unit.EPOCHS
    device: str = "cpu"
    shares: Shares = field(default_factory=Shares)
    wrap: Callable[[nn.Module], nn.Module] | None = None

    def spread(self, shares: Shares, wrap: Callable[[nn.Module], nn.Module], /) -> DecoderLearners:
        """Give what builds members in one of several processes that train each together."""
        return replace(self, shares=shares, wrap=wrap)

    @property
    def why_alone(self) -> str:
        """Why members cannot be stacked; empty if they can."""
        settings: Settings = from_plain(self.tasks[0].settings)
        if self.unit is not Unit.EPOCHS:
            return "a generation is counted in steps, which folds do not take together"
        return why_alone(settings.trainables, settings.training, searched=tuple(self.searched))

    def stack(self, seeds: Sequence[int], /) -> DecoderStack:
        """Build fresh members, all their folds as one program."""
        return DecoderStack([self.build(seed=seed) for seed in seeds])

    def build(self, *, seed: int) -> DecoderLearner:
        """Build a fresh member.

        Raises
        ------
        CodeChanged
            If this process has other code than the sweep began with.
        ValueError
            If the folds cannot be trained on.
        """
        check_code(self.tasks[0])
        settings: Settings = from_plain(self.tasks[0].settings)
        decoder = with_local_weights(settings.trainables, cache=open_cache(self.tasks[0].cache))
        return DecoderLearner(
            replace(settings, trainables=decoder),
            data=_data_of(self.tasks),
            seeds=[fold_seed(seed, task.fold.index) for task in self.tasks],
            searched=self.searched,
            unit=self.unit,
            device=self.device,
            shares=self.shares,
            wrap=self.wrap,
        )


class DecoderLearner:
    """A decoder in training on all its folds.

    Parameters
    ----------
    settings
        Decoder and training that it begins with.
    data
        Of each fold.
    seeds
        Of each fold: of weights and sample order.
    searched
        Dotted names of settings that may change to the ends of their ranges.
    unit
        What `train` counts.
    device
        Where.
    shares, wrap
        As `calsweep.platform.fold.loop.train_fold` takes them.
    """

    def __init__(
        self,
        settings: Settings,
        /,
        *,
        data: Sequence[FoldData],
        seeds: Sequence[int],
        searched: Mapping[str, tuple[float, float]],
        unit: Unit = Unit.EPOCHS,
        device: str = "cpu",
        shares: Shares = Shares(),  # noqa: B008 - frozen
        wrap: Callable[[nn.Module], nn.Module] | None = None,
    ) -> None:
        self._settings = settings
        self._data = data
        self._seeds = seeds
        self._unit = unit
        self._device = device
        self._n_done = 0
        self._is_diverged = False
        self._epochs = [1] * len(data)
        self._carriers = {
            name: carriers(
                settings.trainables, name.removeprefix(TRAINABLES), ends, problem_of(data[0])
            )
            for name, ends in searched.items()
            if name.startswith(TRAINABLES)
        }
        with own_randomness(device):
            self._folds = [
                _Fold(settings, data=one, seed=seed, device=device, shares=shares, wrap=wrap)
                for one, seed in zip(data, seeds, strict=True)
            ]

    def train(self, n: int, /) -> None:
        """Train on for so many epochs, or steps, each fold in turn."""
        with (
            own_randomness(self._device),
            determinism(enabled=self._settings.training.deterministic),
        ):
            try:
                for i in range(len(self._folds)):
                    self._train_fold(i, n)
            except Diverged:
                self._is_diverged = True
        self._n_done += n

    @property
    def n_done(self) -> int:
        """Epochs or steps done."""
        return self._n_done

    @property
    def runs(self) -> tuple[tuple[FoldTraining, int], ...]:
        """Each fold's training, with the seed of its order of samples."""
        return tuple((fold.run, seed) for fold, seed in zip(self._folds, self._seeds, strict=True))

    def count_epochs(self, n: int, /, *, is_diverged: bool) -> None:
        """Count epochs that a stack has trained for this learner."""
        self._n_done += n
        self._is_diverged |= is_diverged

    def validate(self) -> float:
        """Give the mean over the folds of the validation loss after the last epoch or step."""
        if self._unit is Unit.STEPS and not self._is_diverged:
            try:
                for fold in self._folds:
                    fold.run.validate_steps()
            except Diverged:
                self._is_diverged = True
        if self._is_diverged:
            return math.nan
        return statistics.fmean(fold.run.curve[-1].validation.loss for fold in self._folds)

    def change(self, values: Mapping[str, float], /) -> None:
        """Set searched values, in the live optimizer and modules.

        Raises
        ------
        ValueError
            If a value does not suit its setting.
        """
        self._settings = overlay(self._settings, values)
        decoder = self._settings.trainables
        plain = without_weights(decoder)
        fresh = build_alone(plain, problem_of(self._data[0])) if self._carriers else None
        for fold in self._folds:
            fold.run.change(self._settings.training, decoder=decoder)
            for places in self._carriers.values():
                for module, attribute in places:
                    assert fresh is not None  # noqa: S101 - there are carriers
                    value = getattr(fresh.get_submodule(module), attribute)
                    setattr(fold.module.get_submodule(module), attribute, value)

    def values(self) -> Mapping[str, float]:
        """Read back every value that can be searched; NaN where folds do not agree."""
        live = [dict(self._live(fold)) for fold in self._folds]
        return {
            name: value if all(one[name] == value for one in live) else math.nan
            for name, value in live[0].items()
        }

    def state(self) -> dict[str, Any]:
        """Give what training goes on from, as tensors and plain values."""
        live = self.values()
        changed = [f"{TRAINING}{name}" for name in LIVE] + list(self._carriers)
        return {
            "folds": [fold.run.progress().state() for fold in self._folds],
            "epochs": list(self._epochs),
            "n_done": self._n_done,
            "values": {name: live[name] for name in changed},
        }

    def load_state(self, state: dict[str, Any], /) -> None:
        """Go on from a state, with the values that it was trained with."""
        for fold, progress in zip(self._folds, state["folds"], strict=True):
            fold.run.go_on_from(Progress.from_state(progress))
        self._epochs = list(state["epochs"])
        self._n_done = state["n_done"]
        self.change(state["values"])

    def finished(self, *, train_seconds: float) -> Iterator[tuple[Settings, FoldData, TrainedFold]]:
        """Give each fold with the weights of its best epoch, tested once.

        Parameters
        ----------
        train_seconds
            That the folds took together.
        """
        for fold, data in zip(self._folds, self._data, strict=True):
            run = fold.run
            test = run.test()
            yield (
                self._settings,
                data,
                TrainedFold(
                    state_dict=run.best,
                    best_epoch=run.best_epoch.epoch,
                    curve=tuple(run.curve),
                    validation=run.best_epoch.validation,
                    test=test.score,
                    test_probability_WC=test.probability_WC,
                    test_sides=test.sides,
                    train_seconds=train_seconds / len(self._folds),
                    n_windows_trained=run.n_windows,
                ),
            )

    def _train_fold(self, i: int, n: int) -> None:
        run, seed = self._folds[i].run, self._seeds[i]
        if self._unit is Unit.STEPS:
            self._epochs[i] = run.train_steps(n, epoch=self._epochs[i], seed=seed)
            return
        for epoch in range(self._n_done + 1, self._n_done + n + 1):
            run.train_epoch(epoch, seed=seed)

    def _live(self, fold: _Fold) -> Iterator[tuple[str, float]]:
        for name, value in fold.trainee.live().items():
            yield f"{TRAINING}{name}", value
        for name, places in self._carriers.items():
            module, attribute = places[0]
            yield name, float(getattr(fold.module.get_submodule(module), attribute))


class _Fold:
    """A module on one fold."""

    def __init__(
        self,
        settings: Settings,
        /,
        *,
        data: FoldData,
        seed: int,
        device: str,
        shares: Shares,
        wrap: Callable[[nn.Module], nn.Module] | None,
    ) -> None:
        decoder, training = settings.trainables, settings.training
        check_data(data, training=training)
        self.module = build_module(decoder, data=data, seed=seed).to(device)
        self.trainee = Trainee(
            decoder,
            module=self.module,
            data=data,
            training=training,
            n_steps=0,
            shares=shares,
            wrap=wrap,
        )
        self.run = FoldTraining(
            decoder=decoder,
            module=self.module,
            trainee=self.trainee,
            data=data,
            training=training,
            shares=shares,
        )


def problem_of(data: FoldData, /) -> Problem:
    """Give what a fold asks a decoder to solve."""
    return Problem(
        frame_shape=data.frame_shape,
        window_length=data.window_length,
        class_shares=data.class_shares,
    )


@dataclass(frozen=True, kw_only=True)
class FinishedMember:
    """A member whose population is over, to be left in the sweep's record.

    Attributes
    ----------
    member
        Its number.
    place
        Where its last state lies.
    tasks
        Its folds, with its last values and its history.
    train_seconds
        That its lives took together.
    """

    member: int
    place: Path
    tasks: tuple[FoldTask, ...]
    train_seconds: float

    @property
    def members(self) -> tuple[int]:
        """Its number."""
        return (self.member,)


def save_member(learners: DecoderLearners, finished: FinishedMember, /) -> None:
    """Leave the folds of a member in the sweep's folder, tested once."""
    tasks = finished.tasks
    if all(task.place.exists() for task in tasks):
        return
    learner = learners.build(seed=0)  # whose weights are replaced
    learner.load_state(read_member(finished.place)["state"])
    address = from_plain(tasks[0].settings).datasets.address
    dataset = unchanged_dataset(address, tasks[0].dataset_hash, tasks[0].cache)
    note = "trained in a population; its values are those of the last generation"
    done = learner.finished(train_seconds=finished.train_seconds)
    for task, (settings, data, trained) in zip(tasks, done, strict=True):
        if not task.place.exists():
            notes = (*said_of(settings.trainables), note)
            save_fold(task, settings, trained, notes, dataset=dataset, data=data)


_KEPT: dict[str, tuple[FoldData, ...]] = {}


def _data_of(tasks: Sequence[FoldTask]) -> tuple[FoldData, ...]:
    """Give the windows of folds, once for all members that a process trains."""
    first = tasks[0]
    view = first.settings["datasets"]
    key = content_hash([first.dataset_hash, view, [[t.seed, to_plain(t.fold)] for t in tasks]])
    if key not in _KEPT:
        _KEPT.clear()
        settings: Settings = from_plain(first.settings)
        dataset = unchanged_dataset(settings.datasets.address, first.dataset_hash, first.cache)
        cache = open_cache(first.cache)
        _KEPT[key] = tuple(
            split_fold(dataset, settings.datasets, task.fold, seed=task.seed, cache=cache)
            for task in tasks
        )
    return _KEPT[key]


_: type[Learner] = DecoderLearner
__: tuple[type[StackableLearners], type[SpreadLearners]] = (DecoderLearners, DecoderLearners)
