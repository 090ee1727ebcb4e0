"""Members of a population of models of dynamics, as any process can build them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from calsweep.datasets.trial_view import TrialView
from calsweep.platform.dynamics.lfads_learner import (
    LEARNING_RATE,
    REGULARIZATION,
    SIG_PRIOR,
    LfadsLearner,
    LfadsLearners,
)
from calsweep.platform.dynamics.lfads_stack import SEVERAL_RECORDINGS, LfadsStack
from calsweep.platform.dynamics.settings import DynamicsSettings
from calsweep.platform.fold.fold_run import unchanged_dataset
from calsweep.platform.plain import from_plain, nearest, to_plain
from calsweep.platform.population.learner import Learner, Stack, StackableLearners
from calsweep.search_spaces.population import Unit

# Dotted names of settings that may change while a model trains, and what its learner calls them.
LIVE = {
    "training.learning_rate": LEARNING_RATE,
    **{f"training.regularization.{name}": name for name in REGULARIZATION},
    "trainables.observation.sig_prior": SIG_PRIOR,
}


@dataclass(frozen=True, kw_only=True)
class DynamicsLearners:
    """What builds the members; the trials are read where these train.

    Attributes
    ----------
    settings
        Of the population.
    hashes
        Content hash of each dataset that it began with.
    cache
        Folder on each node for decoded frames.
    """

    settings: DynamicsSettings
    hashes: tuple[str, ...]
    cache: Path

    def build(self, *, seed: int) -> Learner:
        """Build a fresh member.

        Raises
        ------
        DatasetChanged
            If the dataset is another than the population began with.
        """
        return _Named(self.model(seed=seed))

    def model(self, *, seed: int) -> LfadsLearner:
        """Build the model itself, whose values have their short names."""
        return self._models.build(seed=seed)

    @property
    def why_alone(self) -> str:
        """Why models cannot be stacked; empty if they can."""
        if self.settings.population.unit is Unit.STEPS:
            return "a generation is counted in steps, which a stack does not take"
        return SEVERAL_RECORDINGS if len(self._models.views) > 1 else ""

    def stack(self, seeds: Sequence[int], /) -> Stack:
        """Build fresh members as one program, which share the trials on the device."""
        models = self._models
        first = models.build(seed=seeds[0])
        others = [models.build(seed=seed, beside=first) for seed in seeds[1:]]
        return _NamedStack(LfadsStack([first, *others]))

    @property
    def _models(self) -> LfadsLearners:
        return LfadsLearners(
            config=self.settings.trainables,
            training=self.settings.training,
            views=_views(json.dumps(to_plain(self.settings)), self.hashes, self.cache),
            device="cuda" if self.settings.resources.gpus else "cpu",
            unit=self.settings.population.unit,
        )


def check_searched(settings: DynamicsSettings, /) -> None:
    """Check that a population can change all that its space names.

    Raises
    ------
    ValueError
        If a name is none that can change while the model trains, or the space gives no ranges.
    """
    for name in settings.search_spaces.mutable():
        if name not in LIVE:
            raise ValueError(
                f"`{name}` cannot change while a model of dynamics trains. {nearest(name, LIVE)}"
            )


class _Named:
    """A learner whose values go by the dotted names of settings."""

    def __init__(self, learner: LfadsLearner, /) -> None:
        self._learner = learner

    def train(self, n: int, /) -> None:
        """Train on for so many epochs, or steps."""
        self._learner.train(n)

    def validate(self) -> float:
        """Give the negative log-likelihood of validation trials."""
        return self._learner.validate()

    def change(self, values: Mapping[str, float], /) -> None:
        """Set searched values, in the live optimizer and modules."""
        self._learner.change({LIVE[name]: value for name, value in values.items()})

    def values(self) -> Mapping[str, float]:
        """Read every value that can be searched back from the live optimizer and modules."""
        live = self._learner.values()
        return {name: live[short] for name, short in LIVE.items() if short in live}

    def state(self) -> dict[str, Any]:
        """Give what training goes on from."""
        return self._learner.state()

    def load_state(self, state: dict[str, Any], /) -> None:
        """Go on from a state."""
        self._learner.load_state(state)


class _NamedStack:
    """A stack of learners whose values go by the dotted names of settings."""

    def __init__(self, stack: LfadsStack, /) -> None:
        self.learners = tuple(_Named(learner) for learner in stack.learners)
        self.train, self.validate = stack.train, stack.validate


_: type[Learner] = _Named
__: type[StackableLearners] = DynamicsLearners


@lru_cache(maxsize=1)
def _views(settings: str, hashes: tuple[str, ...], cache: Path) -> tuple[TrialView, ...]:
    """Give the trials of a population, which its members in this process share."""
    known: DynamicsSettings = from_plain(json.loads(settings))
    pairs = zip(known.datasets.addresses, hashes, strict=True)
    return known.views([unchanged_dataset(address, then, cache) for address, then in pairs])
