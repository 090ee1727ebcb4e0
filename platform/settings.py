"""The typed settings of a sweep and of one configuration it tries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from calsweep.datasets.transform import Scope, ZScore
from calsweep.datasets.view import Inputs, View
from calsweep.platform.budget import Budget
from calsweep.platform.fold.training import Schedule, Training
from calsweep.platform.ownership.change import Change, without_budget
from calsweep.platform.places import check_name, default_home
from calsweep.platform.plain import content_hash, overlay, to_plain
from calsweep.platform.pruning import Pruning, PruningMethod
from calsweep.platform.resources import Resources
from calsweep.search_spaces.population import Population
from calsweep.search_spaces.space import Space
from calsweep.search_spaces.suggestion import Tuner
from calsweep.trainables.decoder import Decoder, TwoStep
from calsweep.trainables.linear import Linear


@dataclass(frozen=True, kw_only=True)
class Settings:
    """One configuration: which decoder sees what, and how it is trained.

    Attributes
    ----------
    trainables
        The decoder.
    datasets
        The dataset and how it is presented.
    training
        Epochs, batches, learning rate.
    first_training
        How the first step of a decoder of two is trained; ``None`` for others.
    """

    trainables: Decoder
    datasets: View
    training: Training
    first_training: Training | None = None

    def __post_init__(self) -> None:
        # One that is not used must not tell two configurations apart that do the same.
        if not isinstance(self.trainables, TwoStep):
            object.__setattr__(self, "first_training", None)

    @property
    def first(self) -> Settings | None:
        """The configuration of the first step; ``None`` if there is none."""
        decoder, training = self.trainables, self.first_training
        if not isinstance(decoder, TwoStep) or training is None:
            return None
        window = replace(self.datasets.window, length=decoder.first_window_length)
        view = replace(self.datasets, window=window)
        return Settings(trainables=decoder.first, datasets=view, training=training)


@dataclass(frozen=True, kw_only=True)
class SweepSettings:
    """A search over configurations, each trained on all folds.

    Attributes
    ----------
    trainables, datasets, training
        The configuration that the search starts from (`Settings`).
    search_spaces
        What is varied.
    first_training
        How the first step of a decoder of two steps is trained: W's CNN, by default.
    baseline
        The decoder that stands beside the search in every leaderboard.
    baseline_training
        How it is trained. A baseline must be given its best: see `linear`.
    tuner
        How configurations are chosen.
    population
        Where `tuner` is ``population``: how members train side by side and take over.
    n_trials
        Configurations to try, the baseline not counted; by default 20, or the whole grid.
    budget
        What the search may use at most, beside ``n_trials``.
    pruning
        Whether configurations may be ended before their last fold; by default none is.
    seed
        Seed of the search, of weights and of sample order.
    resources
        What one fold's training takes.
    name
        Name of the sweep; by default from its settings.
    home
        Folder of sweeps, models and cache; by default ``CALSWEEP_HOME``, or ``.calsweep``.
    tracking_uri
        MLflow's address; by default SQLite under ``home``.
    accept_changes
        What may be other than when the sweep began, where it goes on: ``code`` (what is done
        stays), ``data``, ``folds`` (every configuration is trained again).
    overrides
        What these settings were composed from, to be composed again.
    """

    trainables: Decoder
    datasets: View
    search_spaces: Space
    training: Training = field(default_factory=Training)
    first_training: Training = field(
        default_factory=lambda: Training(
            epochs=3, batch_size=512, run_length=8, schedule=Schedule.ONE_CYCLE
        )
    )
    baseline: Decoder = field(default_factory=Linear)
    baseline_training: Training = field(
        default_factory=lambda: Training(epochs=10, learning_rate=1e-3)
    )
    tuner: Tuner = Tuner.OPTUNA
    population: Population = field(default_factory=Population)
    n_trials: int | None = None
    budget: Budget = field(default_factory=Budget)
    pruning: Pruning = field(default_factory=Pruning)
    seed: int = 0
    resources: Resources = field(default_factory=Resources)
    name: str = ""
    home: Path = field(default_factory=default_home)
    tracking_uri: str = ""
    accept_changes: tuple[Change, ...] = ()
    overrides: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.n_trials is not None and self.n_trials < 1:
            raise ValueError(f"`n_trials >= 1` must hold, but got {self.n_trials=}.")
        if self.n_trials is not None and self.tuner is Tuner.POPULATION:
            raise ValueError("a population has as many trials as members: give population.size.")
        if not 0 <= self.seed < 2**31:
            raise ValueError(f"`0 <= seed < 2**31` must hold, but got {self.seed=}.")
        check_name(self.name)
        is_population = self.tuner is Tuner.POPULATION
        if is_population and self.budget != Budget():
            raise ValueError(
                "a population ends with a generation, by population.hours or .device_hours: give "
                "these in place of budget."
            )
        if is_population and self.pruning.method is not PruningMethod.NONE:
            raise ValueError("members of a population are not pruned: leave out pruning.method.")
        if self.accept_changes and self.tuner is Tuner.POPULATION:
            raise ValueError(
                "a population goes on with what it began with: leave out accept_changes."
            )

    @property
    def start(self) -> Settings:
        """The configuration that the search starts from."""
        return Settings(
            trainables=self.trainables,
            datasets=self.datasets,
            training=self.training,
            first_training=self.first_training,
        )

    @property
    def intent(self) -> dict[str, Any]:
        """What the sweep would do, wherever and under whatever name, as plain data."""
        plain = to_plain(self)
        return {key: plain[key] for key in plain if key not in _ELSEWHERE}

    @property
    def sweep_name(self) -> str:
        """The sweep's name: as given, or from what it would do."""
        kind = type(self.trainables).__name__.lower()
        return self.name or f"{kind}-{content_hash(without_budget(self.intent))[:8]}"

    @property
    def linear(self) -> Settings:
        """The baseline: its decoder and training in place of those that the search starts from.

        Units are z-scored. What logistic regression can say does not depend on the scale of a
        unit, but how well gradient descent finds it does: min-max scaled, it needs a learning rate
        at which z-scored recordings overfit.
        """
        view = self.datasets
        if view.inputs is Inputs.IMAGES:
            return Settings(
                trainables=self.baseline, datasets=view, training=self.baseline_training
            )
        over = view.transforms.scaling.over if view.transforms.scaling else Scope.TRAINING
        transforms = replace(view.transforms, scaling=ZScore(over=over))
        return Settings(
            trainables=self.baseline,
            datasets=replace(view, transforms=transforms),
            training=self.baseline_training,
        )

    def configuration(self, values: Mapping[str, Any], /) -> Settings:
        """Give the configuration of a trial: the start with some settings changed.

        Raises
        ------
        ValueError
            If a name is not a setting or a value does not suit it.
        """
        settings: Settings = overlay(self.start, self.search_spaces.settings(values))
        return settings


_ELSEWHERE = {"name", "home", "tracking_uri", "resources", "accept_changes", "overrides"}
