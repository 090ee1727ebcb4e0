"""The members of a generation as Ray tasks: several of them in each process, one after the other.

Ray keeps the processes of finished tasks for the next ones. A task whose process dies is begun
again elsewhere, from the same file.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import ray

from calsweep.platform.cluster import n_parallel, nodes
from calsweep.platform.errors import first_line
from calsweep.platform.metrics.read_metrics import read_metrics
from calsweep.platform.population.learner import Learners
from calsweep.platform.population.member import MemberTask, Outcome, train_member
from calsweep.platform.population.spread_member import train_spread
from calsweep.platform.population.stacked_members import StackTask, train_stack
from calsweep.platform.resources import Resources
from calsweep.platform.trial import cause_of, next_done, stop_path


class MembersOverdue(TimeoutError):
    """No member came through a generation in time."""

    def __init__(self, members: tuple[int, ...], deadline_s: float) -> None:
        super().__init__(members, deadline_s)
        self.members = members
        self.deadline_s = deadline_s

    def __str__(self) -> str:
        return (
            f"None of the members {list(self.members)} came back within {self.deadline_s:.0f} s, "
            "and they were given up: raise resources.deadline_s if they need longer."
        )


def train_generation(
    learners: Learners,
    tasks: Sequence[MemberTask],
    /,
    *,
    resources: Resources,
    on_wait: Callable[[], None],
    as_one: bool = False,
) -> Iterator[tuple[MemberTask, Outcome]]:
    """Take members through a generation, as many at a time as fit, and give each as it is done.

    Parameters
    ----------
    learners
        What builds them.
    tasks
        The members.
    resources
        What one process takes.
    on_wait
        Called while none is done.
    as_one
        Whether the members of each process train as one program.

    Raises
    ------
    MembersOverdue
        If none comes back within the deadline.
    """
    if not tasks:
        return
    folder = tasks[0].place.parent
    how: dict[str, Any] = {"folder": folder, "resources": resources, "on_wait": on_wait}
    if resources.num_workers > 1:
        spread = (learners, resources)
        for task, outcome, error in work_on(train_spread, spread, tasks, **how):
            yield task, outcome or _lost(resources, error)
        return
    if not as_one:
        for task, outcome, error in work_on(train_member, learners, tasks, **how):
            yield task, outcome or _lost(resources, error)
        return
    for together, outcomes, error in work_on(
        train_stack, learners, _dealt(tasks, resources), **how
    ):
        lost = [_lost(resources, error)] * len(together.tasks)
        yield from zip(together.tasks, outcomes or lost, strict=True)


def _dealt(tasks: Sequence[MemberTask], resources: Resources) -> list[StackTask]:
    """Deal members out to as many processes as there can be at the same time."""
    n = min(n_parallel(resources, nodes=nodes()), len(tasks))
    return [StackTask(tasks=tuple(tasks[first::n])) for first in range(n)]


def _lost(resources: Resources, error: str) -> Outcome:
    return Outcome(score=math.nan, attempt=1 + resources.retries, error=error)


class OfMembers(Protocol):
    """Something to do with one member, or with several together."""

    @property
    def members(self) -> tuple[int, ...]:
        """Their numbers."""
        ...


_Task = TypeVar("_Task", bound=OfMembers)
_Result = TypeVar("_Result")


def work_on(
    function: Callable[[Any, _Task], _Result],
    learners: Any,
    tasks: Sequence[_Task],
    /,
    *,
    folder: Path,
    resources: Resources,
    on_wait: Callable[[], None],
) -> Iterator[tuple[_Task, _Result | None, str]]:
    """Call a function for each task of members in the processes that train.

    Parameters
    ----------
    function
        Takes `learners` and one of the tasks.
    learners, tasks
        What it is given.
    folder
        Where those that wait are told if nobody listens any more.
    resources, on_wait
        As in `train_generation`.

    Yields
    ------
    task, result, error
        As each is done; there is no result where there was an error.

    Raises
    ------
    MembersOverdue
        If none comes back within the deadline.
    """
    # max_calls=0: otherwise Ray ends a process with a GPU after each task.
    remote: Any = ray.remote(max_calls=0, max_retries=resources.retries, retry_exceptions=True)(
        _call
    )
    stop = stop_path(folder)
    shared = ray.put((function, learners))
    # A member of several workers only waits for them: what it held itself would be missing there.
    is_alone = resources.num_workers == 1
    pending = {
        remote.options(
            name=f"members {task.members}",
            num_cpus=resources.cpus if is_alone else 0,
            num_gpus=resources.gpus if is_alone else 0,
        ).remote(shared, task, resources.cpus, stop): task
        for task in tasks
    }
    try:
        while pending:
            ref = next_done(list(pending), deadline_s=resources.deadline_s, on_wait=on_wait)
            if ref is None:
                members = tuple(sorted(m for task in pending.values() for m in task.members))
                raise MembersOverdue(members, resources.deadline_s)
            task = pending.pop(ref)
            try:
                result = ray.get(ref)
            except Exception as error:  # noqa: BLE001 - it ends this member, the rest go on
                cause = cause_of(error)
                yield task, None, f"{type(cause).__name__}: {first_line(cause)}"
            else:
                yield task, result, ""
    finally:
        if pending:
            # Not `ray.cancel`: Ray ends this very process if a task ends while it is cancelled.
            stop.parent.mkdir(parents=True, exist_ok=True)
            stop.touch()


def _call(
    shared: tuple[Callable[[Any, _Task], _Result], Any], task: _Task, cpus: int, stop: Path
) -> _Result | None:
    if stop.exists():
        return None  # nobody waits for it any more
    import torch

    torch.set_num_threads(cpus)
    function, learners = shared
    with read_metrics(stop.parent):
        return function(learners, task)
