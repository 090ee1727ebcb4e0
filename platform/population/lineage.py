"""What became of the members of a population: an append-only record beside that of the sweep.

    <home>/sweeps/<name>/lineage.jsonl          one line a member and generation, and why it ended
    <home>/sweeps/<name>/members/0007-003       state of member 3 after generation 7, while needed

A line is written when its state lies on the disk, so what has a line is done. NaN and infinity are
no JSON, so the score of a member that died is null.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from calsweep.platform.record_reader import read_lines
from calsweep.platform.record_writer import append_line
from calsweep.search_spaces.population import Result

Writing = Callable[[], contextlib.AbstractContextManager[None]]
_FILE = "lineage.jsonl"
_MEMBERS = "members"


@dataclass(frozen=True, kw_only=True)
class Life:
    """A member in one generation.

    Attributes
    ----------
    generation, member
        From 1.
    parent
        Member of the generation before whose state it went on from; ``None`` in the first.
    values
        Dotted names of searched settings to the values it trained with.
    score
        Validation loss at the end of the generation; NaN if it died.
    attempt
        How often this generation of it was begun, over all runs of the sweep.
    seconds
        From the beginning of the generation, in this run of the sweep.
    train_seconds
        Seconds of training and scoring.
    error
        Why it died; empty if it did not.
    """

    generation: int
    member: int
    parent: int | None
    values: Mapping[str, float]
    score: float
    attempt: int
    seconds: float
    train_seconds: float
    error: str = ""

    @property
    def result(self) -> Result:
        """What the next generation is decided by."""
        return Result(values=self.values, score=self.score)


class Lineage:
    """The lineage of a sweep, as it lies in the sweep's folder.

    Parameters
    ----------
    folder
        Of the sweep.
    writing
        Gives what is held while a line is written; it raises if another process took over.
    """

    def __init__(self, folder: Path, /, *, writing: Writing = contextlib.nullcontext) -> None:
        self._folder = folder
        self._writing = writing
        self._lives: dict[tuple[int, int], Life] = {}
        self.end = ""
        """Why the population was ended; empty while it goes on."""
        self.done_at: dict[int, float] = {}
        """Generation to when its last line was written, in seconds since 1970, of those read."""
        for line in read_lines(folder / _FILE):
            event = line.pop("event")
            if event == "end":
                self.end = line["why"]
                continue
            self.done_at[line["generation"]] = line.pop("at")
            score = math.nan if line["score"] is None else line["score"]
            life = Life(**{**line, "score": score})
            self._lives[life.generation, life.member] = life

    @property
    def n_generations(self) -> int:
        """Generations that at least one member has come through."""
        return max((generation for generation, _ in self._lives), default=0)

    @property
    def n_died(self) -> int:
        """Deaths so far."""
        return sum(not life.result.is_alive for life in self._lives.values())

    def generation(self, number: int, /) -> dict[int, Life]:
        """Give the members of a generation that are done with it, by number."""
        found = {m: life for (g, m), life in self._lives.items() if g == number}
        return dict(sorted(found.items()))

    def best_losses(self) -> tuple[float, ...]:
        """Give the lowest loss of each generation, which is infinite if none came through it."""
        alive = (
            [life.score for life in self.generation(number).values() if life.result.is_alive]
            for number in range(1, self.n_generations + 1)
        )
        return tuple(min(scores, default=math.inf) for scores in alive)

    def ancestry(self, member: int, /, *, generation: int) -> tuple[Life, ...]:
        """Give the lives that a member's state came from, from the first generation on.

        Raises
        ------
        LookupError
            If the member has none in that generation.
        """
        lives: list[Life] = []
        of: int | None = member
        for number in range(generation, 0, -1):
            life = self._lives.get((number, of if of is not None else 0))
            if life is None:
                known = ", ".join(map(str, self.generation(number))) or "none"
                raise LookupError(f"Generation {number} has no member {of}. There are: {known}.")
            lives.append(life)
            of = life.parent
        return tuple(reversed(lives))

    def add(self, life: Life, /) -> None:
        """Write that a member is done with a generation."""
        life = replace(
            life, seconds=round(life.seconds, 3), train_seconds=round(life.train_seconds, 3)
        )
        line = {
            "event": "life",
            "generation": life.generation,
            "member": life.member,
            "parent": life.parent,
            "values": dict(life.values),
            "score": life.score if life.result.is_alive else None,
            "attempt": life.attempt,
            "seconds": life.seconds,
            "train_seconds": life.train_seconds,
            "error": life.error,
        }
        with self._writing():
            append_line(self._folder / _FILE, line)
        self._lives[life.generation, life.member] = life

    def finish(self, why: str, /) -> None:
        """Write that the population was ended after the generations so far."""
        with self._writing():
            append_line(self._folder / _FILE, {"event": "end", "why": why})
        self.end = why

    def place(self, *, generation: int, member: int) -> Path:
        """Give where the state of a member after a generation lies."""
        return self._folder / _MEMBERS / f"{generation:04d}-{member:03d}"

    def forget_before(self, generation: int, /) -> None:
        """Remove states that nothing goes on from any more."""
        for path in (self._folder / _MEMBERS).glob("*"):
            number = path.name.lstrip(".").partition("-")[0]
            if number.isdecimal() and int(number) < generation:
                path.unlink(missing_ok=True)

    def forget_attempts(self) -> None:
        """Remove what only a population that goes on needs: counts, and files cut short."""
        for path in (self._folder / _MEMBERS).glob(".*"):
            path.unlink(missing_ok=True)
