"""One member of a population through one generation, from a file to a file.

Nothing is kept in a process between two generations, so any process can go on with any member, and
one that was killed is begun again from the same file.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from calsweep.datasets.cache import beside

if TYPE_CHECKING:
    from calsweep.platform.population.learner import Learner

FORMAT = 1
_TOLERANCE = 1e-6  # of values that a model keeps in single precision


class Learners(Protocol):
    """What builds the learners of a population; it travels to the processes that train."""

    def build(self, *, seed: int) -> Learner:
        """Build a fresh learner, all that is random in it drawn by the seed."""
        ...


class ValuesNotCarried(ValueError):
    """What trains does not carry the values that the population gave it."""

    def __init__(self, name: str, wanted: float, got: float | None, when: str) -> None:
        super().__init__(name, wanted, got, when)
        self.name = name
        self.wanted = wanted
        self.got = got
        self.when = when

    def __str__(self) -> str:
        has = "has no such value" if self.got is None else f"has {self.got!r}"
        return (
            f"`{self.name}` was set to {self.wanted!r}, but {self.when} the live model {has}: it "
            "would train with other values than the record says."
        )


class OtherFormat(ValueError):
    """The state of a member was written by another version."""

    def __init__(self, path: str, found: object) -> None:
        super().__init__(path, found)
        self.path = path
        self.found = found

    def __str__(self) -> str:
        return (
            f"{self.path} holds a member in format {self.found}, but {FORMAT} is read here: go on "
            "with the version of calsweep that began the sweep."
        )


@dataclass(frozen=True, kw_only=True)
class MemberTask:
    """A member and a generation that it is to go through.

    Attributes
    ----------
    generation, member, parent, values
        As in `calsweep.platform.population.lineage.Life`.
    seed
        Of the member.
    n
        Epochs or steps of the generation.
    start
        State of the parent; ``None`` in the first generation.
    place
        Where the state goes.
    """

    generation: int
    member: int
    parent: int | None
    values: Mapping[str, float]
    seed: int
    n: int
    start: Path | None
    place: Path


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of it.

    Attributes
    ----------
    score
        Validation loss; NaN if the member died.
    attempt
        How often this generation of it was begun.
    train_seconds
        Seconds of training and scoring.
    error
        Why it died; empty if it did not.
    """

    score: float
    attempt: int
    train_seconds: float = 0.0
    error: str = ""


def member_seed(seed: int, member: int, /) -> int:
    """Give the seed of a member: two differ in weights and order of samples, not in values alone.

    Examples
    --------
    >>> member_seed(0, 1) == member_seed(0, 1) != member_seed(0, 2)
    True
    """
    return int(np.random.SeedSequence([seed, 1, member]).generate_state(1)[0] >> 1)


def train_member(learners: Learners, task: MemberTask, /) -> Outcome:
    """Take a member through a generation, unless its state is there already.

    What can only fail again (settings, a loss that is no number) ends the member; what else is
    raised may pass, and is the caller's to try again.
    """
    attempt = _count_attempt(task.place)
    if task.place.exists():
        there = read_member(task.place)
        return Outcome(score=there["score"], attempt=attempt, train_seconds=there["train_seconds"])
    try:
        before = read_member(task.start)["state"] if task.start else None
        trained = train_on(learners, task, before)
    except (ValueError, ArithmeticError) as error:
        return Outcome(score=math.nan, attempt=attempt, error=f"{type(error).__name__}: {error}")
    score, train_seconds = trained.score, trained.train_seconds
    if not math.isfinite(score):
        return Outcome(score=math.nan, attempt=attempt, error="its loss was not finite")
    _write(task.place, score=score, train_seconds=train_seconds, state=trained.learner.state())
    return Outcome(score=score, attempt=attempt, train_seconds=train_seconds)


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A member after a generation: what trained, its loss, and seconds of training and scoring."""

    learner: Learner
    score: float
    train_seconds: float


def train_on(learners: Learners, task: MemberTask, before: dict[str, Any] | None, /) -> Trained:
    """Build a member, let it go on from a state, and take it through the generation.

    Raises
    ------
    ValuesNotCarried
        If the live model does not carry the values, before or after training.
    """
    learner = learners.build(seed=task.seed)
    if before is not None:
        learner.load_state(before)
    learner.change(task.values)
    check_carried(learner, task.values, when="after they were set,")
    begun = time.perf_counter()
    learner.train(task.n)
    score = learner.validate()
    train_seconds = time.perf_counter() - begun
    check_carried(learner, task.values, when="after training,")
    return Trained(learner=learner, score=score, train_seconds=train_seconds)


def check_carried(learner: Learner, values: Mapping[str, float], /, *, when: str) -> None:
    """Check that a live model has the values that it should.

    Raises
    ------
    ValuesNotCarried
        If not.
    """
    live = learner.values()
    for name, wanted in values.items():
        got = live.get(name)
        if got is None or not math.isclose(got, wanted, rel_tol=_TOLERANCE):
            raise ValuesNotCarried(name, wanted, got, when)


def read_member(path: Path, /) -> dict[str, Any]:
    """Read a state that was written; nothing is unpickled.

    Returns
    -------
    member
        ``score``, ``train_seconds`` and ``state``.

    Raises
    ------
    OtherFormat
        If another version wrote it.
    """
    from calsweep.platform.population.state_file import read_state

    plain = read_state(path)
    if plain.get("format") != FORMAT:
        raise OtherFormat(str(path), plain.get("format"))
    return plain


def _write(path: Path, *, score: float, train_seconds: float, state: Mapping[str, Any]) -> None:
    from calsweep.platform.population.state_file import write_state

    member = {"format": FORMAT, "score": score, "train_seconds": train_seconds, "state": state}
    with beside(path) as partial:
        write_state(partial, member)


def _count_attempt(place: Path) -> int:
    """Count one more beginning, in a file that outlives the process."""
    place.parent.mkdir(parents=True, exist_ok=True)
    path = place.with_name(f".{place.name}.attempts")
    with path.open("ab") as file:
        file.write(b".")
        return file.tell()
