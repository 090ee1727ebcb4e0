"""Where the next values to try come from: Optuna's samplers, or every combination in turn."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Protocol

import optuna

from calsweep.search_spaces.space import Space, Value


class Tuner(Enum):
    """How configurations are chosen."""

    OPTUNA = "optuna"
    RANDOM = "random"
    GRID = "grid"


class Suggestions(Protocol):
    """A source of values to try that may learn from what they came to."""

    def suggest(self, trial: int, /) -> Mapping[str, Value]:
        """Give the values of a trial; trials are asked for in order, from 1."""
        ...

    def tell(self, trial: int, value: float | None, /) -> None:
        """Say what a trial came to; nothing if it failed."""
        ...


def suggestions(space: Space, /, *, tuner: Tuner, seed: int) -> Suggestions:
    """Give the source of values for a space.

    Examples
    --------
    >>> space = Space(training={"epochs": {"choices": [3, 5]}})
    >>> source = suggestions(space, tuner=Tuner.GRID, seed=0)
    >>> source.suggest(1), source.suggest(2)
    ({'training.epochs': 3}, {'training.epochs': 5})
    """
    if tuner is Tuner.GRID:
        return _Grid(space)
    if tuner is Tuner.RANDOM:
        return _Sampled(space, optuna.samplers.RandomSampler(seed=seed))
    return _Sampled(space, optuna.samplers.TPESampler(seed=seed))


class _Grid:
    """Every combination in turn."""

    def __init__(self, space: Space) -> None:
        self._rows = space.grid()

    def suggest(self, trial: int, /) -> Mapping[str, Value]:
        return self._rows[trial - 1]

    def tell(self, trial: int, value: float | None, /) -> None:
        """Learn nothing."""


class _Sampled:
    """What one of Optuna's samplers draws, the higher value the better."""

    def __init__(self, space: Space, sampler: optuna.samplers.BaseSampler) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._study = optuna.create_study(direction="maximize", sampler=sampler)
        self._distributions = space.distributions()
        self._trials: dict[int, optuna.Trial] = {}

    def suggest(self, trial: int, /) -> Mapping[str, Value]:
        self._trials[trial] = self._study.ask(self._distributions)
        return self._trials[trial].params

    def tell(self, trial: int, value: float | None, /) -> None:
        failed = optuna.trial.TrialState.FAIL if value is None else None
        self._study.tell(self._trials.pop(trial), value, state=failed)
