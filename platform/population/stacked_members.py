"""Several members of a population through a generation as one program, from files to files.

The stack and the last states of its members stay in the process. If the next generation comes to
the same process, a member that goes on from another takes over a copy of its tensors where they
lie; if it does not, they are read from the files, and the same comes out.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from calsweep.platform.population.learner import Learner, Learners, Stack, StackableLearners
from calsweep.platform.population.member import (
    MemberTask,
    Outcome,
    Trained,
    UnderWay,
    ValuesNotCarried,
    check_carried,
    count_attempt,
    give_values,
    leave,
    outcome_of,
    read_member,
    train_in_pieces,
)
from calsweep.search_spaces.population import Program


@dataclass(frozen=True, kw_only=True)
class StackTask:
    """Members that are to go through a generation as one program."""

    tasks: tuple[MemberTask, ...]

    @property
    def members(self) -> tuple[int, ...]:
        """Their numbers."""
        return tuple(task.member for task in self.tasks)


@dataclass(frozen=True, kw_only=True)
class _Kept:
    """What a process keeps of the generation before."""

    learners: Learners
    seeds: tuple[int, ...]
    stack: Stack
    states: Mapping[Path, dict[str, Any]]


_KEPT: list[_Kept] = []


def is_stacked(program: Program, learners: Learners, /, *, on_gpu: bool) -> bool:
    """Say whether members are trained as one program.

    Raises
    ------
    ValueError
        If that was asked for and cannot be.
    """
    why = "their learners train alone"
    if isinstance(learners, StackableLearners):
        why = learners.why_alone
    if program is Program.STACKED and why:
        raise ValueError(
            f"`population.program=stacked` cannot be: {why}. Take population.program=auto, which "
            "stacks where it can."
        )
    return program is Program.STACKED or (program is Program.AUTO and on_gpu and not why)


def train_stack(learners: StackableLearners, together: StackTask, /) -> tuple[Outcome, ...]:
    """Take members through a generation together, but for those whose states are there already.

    Errors are as those of `calsweep.platform.population.member.train_member`; a member that does
    not take its values dies alone.
    """
    attempts = {task.member: count_attempt(task.place) for task in together.tasks}
    outcomes = {
        task.member: outcome_of(task.place, attempt=attempts[task.member])
        for task in together.tasks
        if task.place.exists()
    }
    missing = [task for task in together.tasks if task.member not in outcomes]
    if missing:
        trained: list[Trained | ValueError | ArithmeticError]
        try:
            trained = _trained(learners, missing)
        except (ValueError, ArithmeticError) as error:
            trained = [error] * len(missing)
        for task, one in zip(missing, trained, strict=True):
            attempt = attempts[task.member]
            if isinstance(one, Trained):
                outcomes[task.member] = leave(task, one, attempt=attempt)
            else:
                why = f"{type(one).__name__}: {one}"
                outcomes[task.member] = Outcome(score=math.nan, attempt=attempt, error=why)
        UnderWay.of(missing).forget()
    return tuple(outcomes[task.member] for task in together.tasks)


def _trained(
    learners: StackableLearners, tasks: Sequence[MemberTask]
) -> list[Trained | ValueError | ArithmeticError]:
    seeds = tuple(task.seed for task in tasks)
    kept = _kept(learners)
    before = [_before(task, kept) for task in tasks]
    # A stack that has trained can only go on from a state.
    is_there = kept is not None and kept.seeds == seeds and None not in before
    stack = kept.stack if kept and is_there else learners.stack(seeds)
    refused = {
        task.member: error
        for task, learner, state in zip(tasks, stack.learners, before, strict=True)
        if (error := _refused(learner, task, state))
    }
    under_way = UnderWay.of(tasks)
    seconds = train_in_pieces(stack.train, stack.learners, n=tasks[0].n, kept=under_way)
    begun = time.perf_counter()
    scores = stack.validate()
    seconds += time.perf_counter() - begun
    found: list[Trained | ValueError | ArithmeticError] = []
    for task, learner, score in zip(tasks, stack.learners, scores, strict=True):
        if task.member in refused:
            found.append(refused[task.member])
            continue
        check_carried(learner, task.values, when="after training,")
        found.append(Trained(learner=learner, score=score, train_seconds=seconds / len(tasks)))
    # Copies: the learners themselves go on from what others came to.
    states = {
        task.place: copy.deepcopy(one.state())
        for task, one in zip(tasks, stack.learners, strict=True)
    }
    _KEPT[:] = [_Kept(learners=learners, seeds=seeds, stack=stack, states=states)]
    return found


def _kept(learners: StackableLearners) -> _Kept | None:
    if _KEPT and _KEPT[0].learners == learners:
        return _KEPT[0]
    _KEPT.clear()
    return None


def _before(task: MemberTask, kept: _Kept | None) -> dict[str, Any] | None:
    if task.start is None:
        return None
    if kept and task.start in kept.states and task.start.exists():
        return copy.deepcopy(kept.states[task.start])  # several may go on from it
    state: dict[str, Any] = read_member(task.start)["state"]
    return state


def _refused(
    learner: Learner, task: MemberTask, state: dict[str, Any] | None
) -> ValuesNotCarried | None:
    try:
        give_values(learner, task, state)
    except ValuesNotCarried as error:
        return error
    return None
