"""A member of a population trained again along its lineage, to be compared bit by bit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from calsweep.platform.population.learner import Learner, Learners
from calsweep.platform.population.lineage import Life, Lineage
from calsweep.platform.population.member import (
    MemberTask,
    member_seed,
    read_member,
    train_on,
)


@dataclass(frozen=True, kw_only=True)
class Replayed:
    """What came of training a member again along its lineage.

    Attributes
    ----------
    lives
        That it went through, as the lineage has them.
    scores
        Loss after each, now.
    differing
        Names of the numbers in its last state that differ in any bit.
    """

    lives: tuple[Life, ...]
    scores: tuple[float, ...]
    differing: tuple[str, ...]

    @property
    def is_same(self) -> bool:
        """Whether every loss and the whole last state are the same."""
        return not self.differing and self.scores == tuple(life.score for life in self.lives)


def replay_member(
    learners: Learners, folder: Path, /, *, member: int, seed: int, n: int, cpus: int
) -> Replayed:
    """Train a member again, from its first generation to its last, in this process.

    Parameters
    ----------
    learners
        Of the population.
    folder
        Where its lineage lies.
    member
        Its number.
    seed
        Of the search.
    n
        Epochs or steps of a generation.
    cpus
        That a member trained with: sums are divided among them.

    Raises
    ------
    LookupError
        If the population has no living member of this number.
    """
    lineage = Lineage(folder)
    last = lineage.n_generations
    life = lineage.generation(last).get(member)
    if life is None or not life.result.is_alive:
        alive = [m for m, one in lineage.generation(last).items() if one.result.is_alive]
        known = f"There are: {', '.join(map(str, alive))}." if alive else "It is no population."
        raise LookupError(f"{folder.name!r} has no living member {member}. {known}")
    lives = lineage.ancestry(member, generation=last)
    threads = torch.get_num_threads()
    torch.set_num_threads(cpus)
    try:
        learner, scores = _along(learners, lives, seed=seed, n=n)
    finally:
        torch.set_num_threads(threads)
    stored = read_member(lineage.place(generation=last, member=member))["state"]
    return Replayed(lives=lives, scores=scores, differing=tuple(differing(learner.state(), stored)))


def _along(
    learners: Learners, ancestry: Sequence[Life], *, seed: int, n: int
) -> tuple[Learner, tuple[float, ...]]:
    learner: Learner | None = None
    scores = []
    for life in ancestry:
        task = MemberTask(
            generation=life.generation,
            member=life.member,
            parent=life.parent,
            values=life.values,
            seed=member_seed(seed, life.member),
            n=n,
            start=None,
            place=Path(),
        )
        trained = train_on(learners, task, learner.state() if learner else None)
        learner = trained.learner
        scores.append(trained.score)
    assert learner is not None  # noqa: S101 - a lineage has a first generation
    return learner, tuple(scores)


def differing(one: Any, other: Any, /, *, at: str = "") -> list[str]:
    """Name the places in which two states differ in any bit.

    Examples
    --------
    >>> differing({"a": 1.0, "b": [2.0, 3.0]}, {"a": 1.0, "b": [2.0, 4.0]})
    ['b.1']
    """
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        pairs = [(key, one.get(key), other.get(key)) for key in dict.fromkeys([*one, *other])]
    elif isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        if len(one) != len(other):
            return [at]
        pairs = [(i, a, b) for i, (a, b) in enumerate(zip(one, other, strict=True))]
    elif isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return [] if torch.equal(one.cpu(), other.cpu()) else [at]
    else:
        return [] if one == other else [at]
    return [name for key, a, b in pairs for name in differing(a, b, at=f"{at}.{key}".strip("."))]
