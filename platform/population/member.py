"""One member of a population through one generation, from a file to a file.

Nothing is kept in a process between two generations, so any process can go on with any member, and
one that was killed is begun again from the same file.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from calsweep.datasets.cache import beside

if TYPE_CHECKING:
    from calsweep.platform.population.learner import Learner, Learners

FORMAT = 1
_PIECES = 10  # of a generation that several processes train together
_TOLERANCE = 1e-6  # of values that a model keeps in single precision


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
    checkpoint_s
        Seconds of training after which it is kept how far the generation is.
    """

    generation: int
    member: int
    parent: int | None
    values: Mapping[str, float]
    seed: int
    n: int
    start: Path | None
    place: Path
    checkpoint_s: float = 30.0

    @property
    def members(self) -> tuple[int]:
        """Its number, as of several that train together."""
        return (self.member,)


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


def train_member(learners: Learners, task: MemberTask, /, *, rank: int | None = None) -> Outcome:
    """Take a member through a generation, unless its state is there already.

    What can only fail again (settings, a loss that is no number) ends the member; what else is
    raised may pass, and is the caller's to try again. Of several processes that train a member
    together, each has a rank, and the first writes.
    """
    is_writer = not rank
    attempt = count_attempt(task.place) if is_writer else 0
    if task.place.exists():
        return outcome_of(task.place, attempt=attempt)
    try:
        before = read_member(task.start)["state"] if task.start else None
        trained = train_on(learners, task, before, kept=UnderWay.of([task], rank=rank))
    except (ValueError, ArithmeticError) as error:
        return Outcome(score=math.nan, attempt=attempt, error=f"{type(error).__name__}: {error}")
    if not is_writer:
        return Outcome(score=trained.score, attempt=attempt)
    outcome = leave(task, trained, attempt=attempt)
    UnderWay.of([task]).forget()
    return outcome


def leave(task: MemberTask, trained: Trained, /, *, attempt: int) -> Outcome:
    """Write the state of a member that came through a generation, and say what came of it."""
    score, train_seconds = trained.score, trained.train_seconds
    if not math.isfinite(score):
        return Outcome(score=math.nan, attempt=attempt, error="its loss was not finite")
    write_member(
        task.place, score=score, train_seconds=train_seconds, state=trained.learner.state()
    )
    return Outcome(score=score, attempt=attempt, train_seconds=train_seconds)


def outcome_of(place: Path, /, *, attempt: int) -> Outcome:
    """Say what came of a member whose state is there."""
    there = read_member(place)
    return Outcome(score=there["score"], attempt=attempt, train_seconds=there["train_seconds"])


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A member after a generation: what trained, its loss, and seconds of training and scoring."""

    learner: Learner
    score: float
    train_seconds: float


def train_on(
    learners: Learners,
    task: MemberTask,
    before: dict[str, Any] | None,
    /,
    *,
    kept: UnderWay | None = None,
) -> Trained:
    """Build a member, let it go on from a state, and take it through the generation.

    Parameters
    ----------
    learners, task
        What is to be done.
    before
        State that it goes on from; ``None`` in the first generation.
    kept
        Where it is kept how far the generation is.

    Raises
    ------
    ValuesNotCarried
        If the live model does not carry the values, before or after training.
    """
    learner = learners.build(seed=task.seed)
    give_values(learner, task, before)
    seconds = train_in_pieces(learner.train, [learner], n=task.n, kept=kept)
    begun = time.perf_counter()
    score = learner.validate()
    seconds += time.perf_counter() - begun
    check_carried(learner, task.values, when="after training,")
    return Trained(learner=learner, score=score, train_seconds=seconds)


def give_values(learner: Learner, task: MemberTask, before: dict[str, Any] | None, /) -> None:
    """Let a member go on from a state, with the values of its task.

    Raises
    ------
    ValuesNotCarried
        If it does not take them.
    """
    if before is not None:
        learner.load_state(before)
    learner.change(task.values)
    check_carried(learner, task.values, when="after they were set,")


def train_in_pieces(
    train: Callable[[int], None],
    learners: Sequence[Learner],
    /,
    *,
    n: int,
    kept: UnderWay | None,
) -> float:
    """Train through a generation, and keep every so often how far it is.

    A generation that a killed process had under way goes on where that was kept, and comes to the
    same.

    Parameters
    ----------
    train
        Trains the learners on for so many epochs or steps.
    learners
        What `train` trains.
    n
        Of the generation.
    kept
        Where it is kept; ``None`` for nowhere.

    Returns
    -------
    seconds
        Of training, with those of the process before.
    """
    if kept is None:
        begun = time.perf_counter()
        train(n)
        return time.perf_counter() - begun
    n_done, seconds = kept.go_on(learners)
    # Processes that train together must divide alike, whatever their clocks say.
    size = max(n // _PIECES, 1) if kept.is_shared else 1
    last_s = time.monotonic()
    while n_done < n:
        size = min(size, n - n_done)
        begun = time.perf_counter()
        train(size)
        piece_s = time.perf_counter() - begun
        n_done, seconds = n_done + size, seconds + piece_s
        # The next piece is to take about as long as may be lost.
        if not kept.is_shared:
            size = max(int(size * kept.every_s / max(piece_s, 1e-9)), 1)
        if n_done < n and time.monotonic() - last_s >= kept.every_s:
            kept.keep(learners, n_done=n_done, seconds=seconds)
            last_s = time.monotonic()
    return seconds


@dataclass(frozen=True, kw_only=True)
class UnderWay:
    """A file that says how far members are in a generation; it is none of their records.

    Attributes
    ----------
    path
        Where, beside the states of members; it goes with those of its generation.
    every_s
        Seconds of training between two.
    is_shared, is_writer
        Whether several processes train together, and whether this one writes.
    """

    path: Path
    every_s: float
    is_shared: bool = False
    is_writer: bool = True

    @classmethod
    def of(cls, tasks: Sequence[MemberTask], /, *, rank: int | None = None) -> UnderWay:
        """Give the file of members that train together, maybe in several processes."""
        first = tasks[0].place
        whole = "".join(f"-{task.member:03d}" for task in tasks)
        generation = f"{tasks[0].generation:04d}"
        # Names have an end: that of many members is their sum.
        if len(tasks) > 1:
            whole = f"-{hashlib.sha256(whole.encode()).hexdigest()[:16]}"
        return cls(
            path=first.with_name(f".{generation}{whole}.under_way"),
            every_s=tasks[0].checkpoint_s,
            is_shared=rank is not None,
            is_writer=not rank,
        )

    def keep(self, learners: Sequence[Learner], /, *, n_done: int, seconds: float) -> None:
        """Replace what is there; a kill at any moment leaves the old or the new."""
        if not self.is_writer:
            return
        states = [learner.state() for learner in learners]
        _write(self.path, {"n_done": n_done, "train_seconds": seconds, "states": states})

    def forget(self) -> None:
        """Remove it: the generation is done."""
        self.path.unlink(missing_ok=True)

    def go_on(self, learners: Sequence[Learner], /) -> tuple[int, float]:
        """Let learners go on from what is there, and give epochs or steps done, and seconds."""
        try:
            plain = read_member(self.path)
        except FileNotFoundError:
            return 0, 0.0
        for learner, state in zip(learners, plain["states"], strict=True):
            learner.load_state(state)
        return plain["n_done"], plain["train_seconds"]


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


def write_member(
    path: Path, /, *, score: float, train_seconds: float, state: Mapping[str, Any]
) -> None:
    """Write the state of a member after a generation, which `read_member` reads."""
    _write(path, {"score": score, "train_seconds": train_seconds, "state": state})


def _write(path: Path, plain: Mapping[str, Any]) -> None:
    from calsweep.platform.population.state_file import write_state

    with beside(path) as partial:
        write_state(partial, {"format": FORMAT, **plain})


def count_attempt(place: Path, /) -> int:
    """Count one more beginning, in a file that outlives the process."""
    place.parent.mkdir(parents=True, exist_ok=True)
    path = place.with_name(f".{place.name}.attempts")
    with path.open("ab") as file:
        file.write(b".")
        return file.tell()
