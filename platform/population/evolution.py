"""A population from its first generation to its last, in synchronous generations.

Not Ray Tune's scheduler for populations: what it remembers of members is lost when the driver is
killed, and a sweep that is restored then waits for ever; a slow callback makes it end members early
without a word; and it undoes mutated values when an optimizer is loaded. Here each decision follows
from the seed and the scores of the generation before (`calsweep.search_spaces.population`), and the
lineage says what is done. So going on is the same as beginning: what has a line is taken from
there, the rest is trained, and the same comes out.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from calsweep.platform.budget import STOP_FILE
from calsweep.platform.population.generation import train_generation
from calsweep.platform.population.learner import Learners, SpreadLearners
from calsweep.platform.population.lineage import Life, Lineage, Writing
from calsweep.platform.population.member import MemberTask, Outcome, member_seed
from calsweep.platform.population.stacked_members import is_stacked
from calsweep.platform.progress import minutes
from calsweep.platform.resources import Resources
from calsweep.platform.trial import remove_stops
from calsweep.search_spaces.population import (
    Descent,
    NoMemberLeft,
    Population,
    Program,
    first_generation,
    next_generation,
    why_over,
)
from calsweep.search_spaces.space import Space


def _nothing() -> None:
    """Do nothing while members train."""


@dataclass(frozen=True, kw_only=True)
class Evolution:
    """A population and all that decides what becomes of it.

    Attributes
    ----------
    learners
        What builds members.
    space
        What is varied.
    population
        Size, generations, who takes over from whom.
    seed
        Of the search.
    folder
        Of the sweep; lineage and states of members lie there.
    resources
        What one member takes.
    say
        Tells a person how far it is.
    on_wait
        Called while members train; what it raises ends the search.
    writing
        Of the lineage (`calsweep.platform.population.lineage.Lineage`).
    """

    learners: Learners
    space: Space
    population: Population
    seed: int
    folder: Path
    resources: Resources = field(default_factory=Resources)
    say: Callable[[str], None] = print
    on_wait: Callable[[], None] = _nothing
    writing: Writing = contextlib.nullcontext

    def run(self) -> Lineage:
        """Train generations until the population is over, or go on with them.

        Raises
        ------
        ValueError
            If the space holds what a population cannot change, or members should train together, or
            in several processes each, that cannot.
        NoMemberLeft
            If more members died than may be replaced.
        MembersOverdue
            If none comes through a generation within the deadline.
        """
        begun = time.monotonic()
        self._is_stacked()  # what cannot be is told before anything begins
        lineage = Lineage(self.folder, writing=self.writing)
        remove_stops(lineage.place(generation=1, member=1).parent)
        descents = first_generation(self.space, self.population, seed=self.seed)
        n_stored = max(lineage.n_generations - 1, 0)
        if n_stored and not lineage.end:
            self.say(f"Going on at generation {lineage.n_generations}.")
        generation = 1
        while True:
            lives = self._generation(lineage, generation, descents)
            is_new = generation > n_stored
            lineage.forget_before(min(generation, lineage.n_generations))
            if is_new and not lineage.end:
                gone_s = time.monotonic() - begun
                self.say(self._line(lineage, generation, gone_s, n_trained=generation - n_stored))
            if self._is_over(lineage, generation):
                lineage.forget_attempts()
                return lineage
            generation += 1
            descents = next_generation(
                self.space,
                self.population,
                {member: life.result for member, life in lives.items()},
                generation=generation,
                seed=self.seed,
            )

    def _generation(
        self, lineage: Lineage, generation: int, descents: Sequence[Descent]
    ) -> Mapping[int, Life]:
        """Train those members of a generation that the lineage does not have."""
        done = {
            member
            for member, life in lineage.generation(generation).items()
            if generation < lineage.n_generations
            or not life.result.is_alive
            or lineage.place(generation=generation, member=member).exists()
        }
        missing = [descent for descent in descents if descent.member not in done]
        begun = time.monotonic()
        died: list[Life] = []
        for task, outcome in train_generation(
            self.learners,
            [self._task(lineage, generation, descent) for descent in missing],
            resources=self.resources,
            on_wait=self.on_wait,
            as_one=self._is_stacked(),
        ):
            life = _life(task, outcome, seconds=time.monotonic() - begun)
            if life.result.is_alive:
                lineage.add(life)
            else:
                died.append(life)
        self._bury(lineage, died, generation)
        return lineage.generation(generation)

    def _is_stacked(self) -> bool:
        n = self.resources.num_workers
        if n > 1:
            if self.population.program is Program.STACKED or not isinstance(
                self.learners, SpreadLearners
            ):
                raise ValueError(
                    "members that are stacked, and models of dynamics, train in one process each, "
                    f"but got resources.num_workers={n}: take 1, or for a decoder "
                    "population.program=alone."
                )
            return False
        on_gpu = self.resources.gpus > 0
        return is_stacked(self.population.program, self.learners, on_gpu=on_gpu)

    def _bury(self, lineage: Lineage, died: Sequence[Life], generation: int) -> None:
        """Write who died, once it is known that the others can go on.

        If they cannot, nothing of it is written: what made them die (a full disk) may pass, and the
        sweep then goes on from here.
        """
        if not died:
            return
        n_died = lineage.n_died + len(died)
        are_left = any(life.result.is_alive for life in lineage.generation(generation).values())
        if n_died > self.population.replacements or not are_left:
            raise NoMemberLeft(n_died, self.population.replacements, died[-1].error)
        for life in sorted(died, key=lambda one: one.member):
            lineage.add(life)
            self.say(
                f"Member {life.member} died in generation {generation} and is replaced by a copy "
                f"of another: {life.error}"
            )

    def _task(self, lineage: Lineage, generation: int, descent: Descent) -> MemberTask:
        start = None
        if descent.parent is not None:
            start = lineage.place(generation=generation - 1, member=descent.parent)
        return MemberTask(
            generation=generation,
            member=descent.member,
            parent=descent.parent,
            values=descent.values,
            seed=member_seed(self.seed, descent.member),
            n=self.population.generation,
            start=start,
            place=lineage.place(generation=generation, member=descent.member),
            checkpoint_s=self.resources.checkpoint_s,
        )

    def _is_over(self, lineage: Lineage, generation: int) -> bool:
        """Say whether this generation is the last; what a clock or a person said is written."""
        if generation < lineage.n_generations:
            return False
        if not lineage.end:
            why = why_over(self.population, lineage.best_losses()) or self._why_stopped(lineage)
            if why:
                lineage.finish(why)
                (self.folder / STOP_FILE).unlink(missing_ok=True)
                self.say(f"The population is over: {why}.")
        return bool(lineage.end)

    def _why_stopped(self, lineage: Lineage) -> str:
        if (self.folder / STOP_FILE).exists():
            return "stopped by hand"
        lives = [
            lineage.generation(number).values() for number in range(1, lineage.n_generations + 1)
        ]
        hours, device_hours = self.population.hours, self.population.device_hours
        if hours and sum(max(life.seconds for life in one) for one in lives) >= 3600 * hours:
            return f"{hours:g} hours are over"
        trained_s = sum(life.train_seconds for one in lives for life in one)
        if device_hours and trained_s * self.resources.n_devices >= 3600 * device_hours:
            return f"{device_hours:g} device-hours are over"
        return ""

    def _line(self, lineage: Lineage, generation: int, gone_s: float, *, n_trained: int) -> str:
        lives = lineage.generation(generation).values()
        best = min((life for life in lives if life.result.is_alive), key=lambda life: life.score)
        n_taken = sum(life.parent not in {None, life.member} for life in lives)
        left_s = gone_s / n_trained * (self.population.generations - generation)
        return (
            f"generation {generation}/{self.population.generations} · best loss {best.score:.4g} "
            f"(member {best.member}) · {n_taken} took over · {minutes(gone_s)} gone · "
            f"at most about {minutes(left_s)} left"
        )


def _life(task: MemberTask, outcome: Outcome, *, seconds: float) -> Life:
    return Life(
        generation=task.generation,
        member=task.member,
        parent=task.parent,
        values=task.values,
        score=outcome.score,
        attempt=outcome.attempt,
        seconds=seconds,
        train_seconds=outcome.train_seconds,
        error=outcome.error,
    )
