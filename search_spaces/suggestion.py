"""Where the next values to try come from: Optuna's samplers, or every combination in turn."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Protocol

import optuna

from calsweep.search_spaces.space import Space, Value


class Tuner(Enum):
    """How configurations are chosen.

    A population suggests none: its members train side by side and take over from each other
    (`calsweep.search_spaces.population`).
    """

    OPTUNA = "optuna"
    RANDOM = "random"
    GRID = "grid"
    POPULATION = "population"


class Suggestions(Protocol):
    """A source of values to try that may learn from what they came to."""

    def suggest(self, trial: int, /) -> Mapping[str, Value]:
        """Give the values of a trial; trials are asked for in order, from 1."""
        ...

    def tell(self, trial: int, value: float | None, /) -> None:
        """Say what a trial came to; nothing if it failed."""
        ...


def suggestions(
    space: Space,
    /,
    *,
    tuner: Tuner,
    seed: int,
    known: Mapping[int, Mapping[str, Value]] | None = None,
) -> Suggestions:
    """Give the source of values for a space.

    Parameters
    ----------
    space
        What is varied.
    tuner
        How values are chosen.
    seed
        Of what is drawn.
    known
        Trials of an earlier run of the same search to their values: those are kept, even where the
        sampler, told of results in another order, would draw others now.

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
        return _Sampled(space, optuna.samplers.RandomSampler(seed=seed), known or {})
    return _Sampled(space, optuna.samplers.TPESampler(seed=seed), known or {})


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

    def __init__(
        self,
        space: Space,
        sampler: optuna.samplers.BaseSampler,
        known: Mapping[int, Mapping[str, Value]],
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._study = optuna.create_study(direction="maximize", sampler=sampler)
        self._distributions = space.distributions()
        self._known = known
        self._trials: dict[int, optuna.Trial] = {}

    def suggest(self, trial: int, /) -> Mapping[str, Value]:
        asked = self._study.ask(self._distributions)
        known = self._known.get(trial)
        if known is not None and asked.params != dict(known):
            self._study.tell(asked, state=optuna.trial.TrialState.FAIL)
            self._study.enqueue_trial(dict(known))
            asked = self._study.ask(self._distributions)
        self._trials[trial] = asked
        return asked.params

    def tell(self, trial: int, value: float | None, /) -> None:
        failed = optuna.trial.TrialState.FAIL if value is None else None
        self._study.tell(self._trials.pop(trial), value, state=failed)
