"""Who goes on from whom in a population, and with which values.

Every decision follows from the seed, the number of the generation and what the members came to.
Nothing else is remembered, so a search that was killed decides the same again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np

from calsweep.search_spaces.space import Space


class Exploit(Enum):
    """How a member finds out whether to take over another's weights.

    In a tournament each member meets another at random, and takes over if that one is better
    (AutoLFADS). By quantile the worst take over from the best, chosen at random (truncation).
    """

    TOURNAMENT = "tournament"
    QUANTILE = "quantile"


class Unit(Enum):
    """What a generation is counted in."""

    EPOCHS = "epochs"
    STEPS = "steps"


class Program(Enum):
    """How members are trained.

    ``ALONE``: each as a program of its own, one after the other in as many processes as fit.
    ``STACKED``: several in each process as one program over stacked weights, to rounding with the
    same results. ``AUTO`` stacks on a GPU, which one member does not fill, where the model can be
    stacked; on a CPU one member after the other is quicker, since it stays in the cache.
    """

    AUTO = "auto"
    ALONE = "alone"
    STACKED = "stacked"


class NoMemberLeft(RuntimeError):
    """Too many members of a population died."""

    def __init__(self, n_died: int, limit: int, error: str) -> None:
        super().__init__(n_died, limit, error)
        self.n_died = n_died
        self.limit = limit
        self.error = error

    def __str__(self) -> str:
        return (
            f"{self.n_died} members of the population died, where {self.limit} may be replaced "
            f"(population.replacements) and one has to be left; the last died of: {self.error}"
        )


@dataclass(frozen=True, kw_only=True)
class Population:
    """A search by members that train side by side and take over from each other.

    Attributes
    ----------
    size
        Members.
    generation
        Epochs or steps between two exploits.
    unit
        What `generation` counts.
    generations
        At most.
    patience
        Generations without a better loss after which the search ends; 0 for never.
    min_improvement
        Share of the best loss by which a lower one must be below it to count as better.
    hours
        After which the search ends with the generation under way; 0 for never.
    device_hours
        Of devices that members trained on, those that died left out, after which it does; 0 for
        never.
    exploit
        Who takes over from whom.
    quantile
        Share of members that is worst, and as many best, where `exploit` is by quantile.
    replacements
        Members that may die and be replaced by a copy of another, over the whole search.
    program
        How members are trained.
    """

    size: int = 20
    generation: int = 1
    unit: Unit = Unit.EPOCHS
    generations: int = 20
    patience: int = 0
    min_improvement: float = 5e-4
    hours: float = 0.0
    device_hours: float = 0.0
    exploit: Exploit = Exploit.TOURNAMENT
    quantile: float = 0.25
    replacements: int = 10
    program: Program = Program.AUTO

    def __post_init__(self) -> None:
        if self.size < 2:
            raise ValueError(
                f"`size >= 2` must hold, since members take over from each other, "
                f"but got {self.size=}."
            )
        if self.generations < 2:
            raise ValueError(
                "`generations >= 2` must hold, since members take over from each other between "
                f"two, but got {self.generations=}: the population could never exploit."
            )
        if self.generation < 1:
            raise ValueError(f"`generation >= 1` must hold, but got {self.generation=}.")
        ends = (self.patience, self.hours, self.device_hours)
        if min(*ends, self.replacements, self.min_improvement) < 0:
            raise ValueError(
                "`patience`, `hours`, `device_hours`, `replacements` and `min_improvement` must "
                f"not be negative, but got {self.patience=}, {self.hours=}, {self.device_hours=}, "
                f"{self.replacements=}, {self.min_improvement=}."
            )
        if not 0 < self.quantile <= 0.5:
            raise ValueError(f"`0 < quantile <= 0.5` must hold, but got {self.quantile=}.")
        if self.exploit is Exploit.QUANTILE and self.n_quantile < 1:
            raise ValueError(
                f"`quantile * size >= 1` must hold, but got {self.quantile=}, {self.size=}: "
                "nobody would be in the quantile, and the population could never exploit."
            )

    @property
    def n_quantile(self) -> int:
        """Members in the lowest and in the highest quantile."""
        return int(self.size * self.quantile + 1e-9)

    @property
    def members(self) -> range:
        """Numbers of the members, from 1."""
        return range(1, self.size + 1)


@dataclass(frozen=True, kw_only=True)
class Descent:
    """What a member goes into a generation with.

    Attributes
    ----------
    member
        Its number.
    parent
        Whose state of the generation before it goes on from, its own or another's; ``None`` in the
        first generation.
    values
        Dotted names of searched settings to its values.
    """

    member: int
    parent: int | None
    values: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a member came to in a generation.

    Attributes
    ----------
    values
        That it trained with.
    score
        Validation loss, the lower the better; not finite if the member died.
    """

    values: Mapping[str, float]
    score: float

    @property
    def is_alive(self) -> bool:
        """Whether others may go on from it."""
        return math.isfinite(self.score)


def first_generation(space: Space, population: Population, /, *, seed: int) -> tuple[Descent, ...]:
    """Draw the values that members start with.

    Raises
    ------
    ValueError
        If an axis of the space is none that a population can change.
    """
    axes = space.mutable()
    return tuple(
        Descent(
            member=member,
            parent=None,
            values={
                name: axis.first(_rng(seed, 0, member, place))
                for place, (name, axis) in enumerate(axes.items())
            },
        )
        for member in population.members
    )


def next_generation(
    space: Space,
    population: Population,
    results: Mapping[int, Result],
    /,
    *,
    generation: int,
    seed: int,
) -> tuple[Descent, ...]:
    """Decide who goes on from whom, and with which values.

    Parameters
    ----------
    space
        What is varied.
    population
        How members take over from each other.
    results
        Of every member in the generation before; one that died takes over from another.
    generation
        Number of the generation that begins, from 2.
    seed
        Of the search.

    Raises
    ------
    LookupError
        If every member died.

    Examples
    --------
    >>> space = Space(training={"learning_rate": {"low": 0.1, "high": 1.0}})
    >>> same = {"training.learning_rate": 0.5}
    >>> results = {1: Result(values=same, score=0.7), 2: Result(values=same, score=0.3)}
    >>> [
    ...     one.parent
    ...     for one in next_generation(space, Population(size=2), results, generation=2, seed=0)
    ... ]
    [2, 2]
    """
    alive = [member for member in sorted(results) if results[member].is_alive]
    if not alive:
        raise LookupError("every member of the population died, so none can be gone on from.")
    axes = space.mutable()
    descents = []
    for member in population.members:
        rng = _rng(seed, generation, member)
        parent = _parent(member, results, alive, population, rng)
        values = results[parent].values
        if parent != member:
            values = {name: axis.explore(values[name], rng=rng) for name, axis in axes.items()}
        descents.append(Descent(member=member, parent=parent, values=values))
    return tuple(descents)


def why_over(population: Population, best: Sequence[float], /) -> str:
    """Say why a search is over after the generations so far; empty if it is not.

    Parameters
    ----------
    population
        When it ends.
    best
        Lowest loss in each generation.

    Examples
    --------
    >>> why_over(Population(patience=2), [0.5, 0.4, 0.4, 0.41])
    'no better loss in 2 generations'
    """
    reference, at = math.inf, 0
    for generation, loss in enumerate(best):
        if math.isinf(reference) or reference - loss > population.min_improvement * abs(reference):
            reference, at = loss, generation
    if population.patience and len(best) - 1 - at >= population.patience:
        return f"no better loss in {population.patience} generations"
    if len(best) >= population.generations:
        return f"{population.generations} generations are done"
    return ""


def _parent(
    member: int,
    results: Mapping[int, Result],
    alive: Sequence[int],
    population: Population,
    rng: np.random.Generator,
) -> int:
    if population.exploit is Exploit.QUANTILE:
        ranked = sorted(alive, key=lambda one: (results[one].score, one))
        n = min(population.n_quantile, len(ranked))
        donor = ranked[int(rng.integers(n))]
        # Those that died are worse than the worst.
        n_died = population.size - len(alive)
        is_worst = member in ranked[len(ranked) - max(population.n_quantile - n_died, 0) :]
        is_below = member in alive and results[member].score > results[donor].score
        return donor if member not in alive or (is_worst and is_below) else member
    others = [one for one in alive if one != member]
    if not others:
        return member
    met = others[int(rng.integers(len(others)))]
    if member not in alive or results[met].score < results[member].score:
        return met
    return member


def _rng(*numbers: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(list(numbers)))
