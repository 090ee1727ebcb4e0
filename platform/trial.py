"""One configuration over all its folds: each a Ray task whose training Ray Train runs.

Ray keeps the processes of finished tasks for the next ones, so a fold pays for no start of its own.
On a GPU, which one small decoder does not fill, all folds of a trial that can be stacked train as
one program in one process. A fold on one device trains in that very process (Ray Train's local
mode); a fold on several gets a group of Ray Train's workers under DDP. Either way `_train_worker`
is what runs. Members of a population that take several devices go the same way (`in_group`).

A trial's own process only hands out folds, so torch and Ray Train are imported where folds train.
"""

from __future__ import annotations

import importlib
import tempfile
import time
import uuid
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
from ray.exceptions import RayTaskError

from calsweep.platform.fold.fold_task import FoldTask
from calsweep.platform.metrics.read_metrics import read_metrics
from calsweep.platform.record import FoldRecord
from calsweep.platform.resources import Resources
from calsweep.search_spaces.population import Program

if TYPE_CHECKING:
    from torch import nn

    from calsweep.platform.fold.feed import Shares
    from calsweep.platform.score import Epoch

    Wrap = Callable[[nn.Module], nn.Module]

WAIT_S = 5.0
_STOP = ".stop-"


class FoldsOverdue(TimeoutError):
    """No fold of a trial came back in time."""

    def __init__(self, folds: tuple[int, ...], deadline_s: float) -> None:
        super().__init__(folds, deadline_s)
        self.folds = folds
        self.deadline_s = deadline_s

    def __str__(self) -> str:
        return (
            f"None of the folds {list(self.folds)} came back within {self.deadline_s:.0f} s, and "
            "they were given up: raise resources.deadline_s if they need longer."
        )


class FoldStopped(RuntimeError):
    """The trial of a fold ended before the fold did."""


def train_folds(
    tasks: Sequence[FoldTask],
    /,
    *,
    resources: Resources,
    on_wait: Callable[[], None] = lambda: None,
) -> Generator[FoldRecord, None, None]:
    """Train folds in parallel as resources allow, and give each as it is done.

    Folds whose result lies in the sweep's folder are not trained again. If the caller stops
    listening, or a fold fails, those that wait are dropped and those that train end with their
    epoch. While folds train, `on_wait` is called; what it raises ends them.

    Raises
    ------
    FoldsOverdue
        If no fold comes back within the deadline.
    ValueError
        If folds should be stacked that cannot be.
    Exception
        What a fold's training raised.
    """
    done = [task for task in tasks if task.place.exists()]
    missing = [task for task in tasks if task not in done]
    stop = stop_path(tasks[0].folder)
    submit = _submitter(resources, stop)
    for task in done:  # first: who listens may have heard enough
        yield FoldRecord.read(task.place)
    at_once = (
        [missing] if missing and _is_stacked(missing[0], resources) else [[t] for t in missing]
    )
    pending = {submit(together): together for together in at_once}
    try:
        while pending:
            ref = next_done(list(pending), deadline_s=resources.deadline_s, on_wait=on_wait)
            if ref is None:
                folds = tuple(sorted(t.fold.index for group in pending.values() for t in group))
                raise FoldsOverdue(folds, resources.deadline_s)
            ray.get(ref)
            for task in pending.pop(ref):
                yield FoldRecord.read(task.place)
    finally:
        if pending:
            # Not `ray.cancel`: Ray ends this very process if a fold ends while it is cancelled.
            stop.parent.mkdir(parents=True, exist_ok=True)
            stop.touch()


def _is_stacked(task: FoldTask, resources: Resources) -> bool:
    """Say whether the folds of a trial train as one program."""
    is_asked = resources.folds is Program.STACKED
    fits = resources.gpus > 0 and resources.num_workers == 1
    if not is_asked and (resources.folds is Program.ALONE or not fits):
        return False
    from calsweep.platform.fold.stacked_run import why_folds_alone

    why = why_folds_alone(task)
    if why and is_asked:
        raise ValueError(
            f"`resources.folds=stacked` cannot be: {why}. Take resources.folds=auto, which stacks "
            "where it can."
        )
    return not why


def next_done(
    refs: list[Any], /, *, deadline_s: float, on_wait: Callable[[], None] = lambda: None
) -> Any:
    """Wait for one of some tasks; ``None`` if none ends within the deadline."""
    begun = time.monotonic()
    while time.monotonic() - begun < deadline_s:
        ready, _ = ray.wait(refs, num_returns=1, timeout=WAIT_S)
        on_wait()
        if ready:
            return ready[0]
    return None


def stop_path(folder: Path, /) -> Path:
    """Give a path at which a file will tell tasks that nobody waits for them any more."""
    return folder / f"{_STOP}{uuid.uuid4().hex}"


def remove_stops(folder: Path, /) -> None:
    """Remove what told tasks of an earlier run to stop, which ended with it."""
    for stop in folder.glob(f"{_STOP}*"):
        stop.unlink(missing_ok=True)


def cause_of(error: BaseException, /) -> BaseException:
    """Give what a fold's training raised, without the layers of Ray that carried it here."""
    while True:
        inner = error.cause if isinstance(error, RayTaskError) else None
        for failure in getattr(error, "worker_failures", {}).values():  # Ray Train's, by rank
            inner = failure
            break
        if not isinstance(inner, BaseException):
            return error
        error = inner


def warm_up(n_parallel: int, /, *, resources: Resources) -> None:
    """Start the processes that folds will train in, while the search is still being set up."""
    if resources.num_workers == 1:
        remote = ray.remote(_import_only)
        for _ in range(n_parallel):
            remote.options(num_cpus=resources.cpus, num_gpus=resources.gpus).remote()


def _import_only() -> None:
    """Leave a process that has loaded what training needs."""
    importlib.import_module("ray.train.torch")
    importlib.import_module("torch._dynamo")  # the first optimizer of a process imports it
    importlib.import_module("calsweep.platform.fold.fold_run")


def _submitter(resources: Resources, stop: Path) -> Callable[[Sequence[FoldTask]], Any]:
    # A fold of several workers only waits for them: what it held itself would be missing there.
    is_alone = resources.num_workers == 1
    # max_calls=0: otherwise Ray ends a process with a GPU after each task.
    remote = ray.remote(max_calls=0, max_retries=resources.retries)(_train)

    def submit(tasks: Sequence[FoldTask]) -> Any:
        return remote.options(
            name=f"fold {', '.join(str(task.fold.index) for task in tasks)}",
            num_cpus=resources.cpus if is_alone else 0,
            num_gpus=resources.gpus if is_alone else 0,
            # Otherwise Ray looks for these in the little that the trial itself holds.
            scheduling_strategy="DEFAULT",
        ).remote(tuple(tasks), resources, stop)

    return submit


def _train(tasks: tuple[FoldTask, ...], resources: Resources, stop: Path) -> None:
    """Train one fold under Ray Train, in this process or in a group of workers; or several here."""
    if stop.exists():
        return  # nobody waits for it any more
    if len(tasks) > 1:
        _train_together(tasks, resources, stop)
        return
    (task,) = tasks
    _fit(_train_worker, {"task": task, "resources": resources, "stop": stop}, resources)


def in_group(work: Callable[[Shares, Wrap], None], /, *, resources: Resources) -> None:
    """Do something in a group of Ray Train's workers, in each of them.

    Parameters
    ----------
    work
        Takes this process among the others, and what wraps a module to average gradients over them.
    resources
        How many workers, and what each takes.

    Raises
    ------
    Exception
        What Ray Train makes of what a worker raised; see `cause_of`.
    """
    _fit(_work_in_group, {"work": work, "resources": resources}, resources)


def _work_in_group(config: Mapping[str, Any]) -> None:
    import ray.train.torch
    import torch

    from calsweep.platform.fold.feed import Shares

    torch.set_num_threads(config["resources"].cpus)
    context = ray.train.get_context()
    shares = Shares(rank=context.get_world_rank(), world_size=context.get_world_size())
    config["work"](shares, ray.train.torch.prepare_model)


def _fit(
    worker: Callable[[Mapping[str, Any]], None], config: dict[str, Any], resources: Resources
) -> None:
    import ray.train.torch

    with tempfile.TemporaryDirectory(prefix="calsweep-train-") as scratch:
        trainer = ray.train.torch.TorchTrainer(
            worker,
            train_loop_config=config,
            scaling_config=_scaling(resources),
            torch_config=ray.train.torch.TorchConfig(backend="nccl" if resources.gpus else "gloo"),
            # A name of its own: Ray Train resumes the folder of a name that it knows.
            run_config=ray.train.RunConfig(name=uuid.uuid4().hex, storage_path=scratch),
        )
        trainer.fit()


def _train_together(tasks: tuple[FoldTask, ...], resources: Resources, stop: Path) -> None:
    import torch

    from calsweep.platform.fold.stacked_run import run_folds

    torch.set_num_threads(resources.cpus)
    with read_metrics(tasks[0].folder) as reads:

        def on_epoch() -> None:
            reads.tell()
            _stop_if_told(stop)

        run_folds(
            tasks,
            device="cuda" if resources.gpus else "cpu",
            checkpoint_s=resources.checkpoint_s,
            on_epoch=on_epoch,
        )


def _stop_if_told(stop: Path) -> None:
    if stop.exists():
        raise FoldStopped("The trial of this fold has ended: it is not trained on.")


def _scaling(resources: Resources) -> Any:
    import ray.train

    use_gpu = resources.gpus > 0
    if resources.num_workers == 1:
        return ray.train.ScalingConfig(num_workers=0, use_gpu=use_gpu)
    per_worker = {"CPU": float(resources.cpus)} | ({"GPU": resources.gpus} if use_gpu else {})
    return ray.train.ScalingConfig(
        num_workers=resources.num_workers, use_gpu=use_gpu, resources_per_worker=per_worker
    )


def _train_worker(config: Mapping[str, Any]) -> None:
    """Train one fold as the only process or as one rank of several."""
    import ray.train.torch
    import torch

    from calsweep.platform.fold.feed import Shares
    from calsweep.platform.fold.fold_run import run_fold

    task: FoldTask = config["task"]
    resources: Resources = config["resources"]
    stop: Path = config["stop"]
    context = ray.train.get_context()

    torch.set_num_threads(resources.cpus)
    with read_metrics(task.folder) as reads:

        def on_epoch(_: Epoch) -> None:
            reads.tell()
            _stop_if_told(stop)

        run_fold(
            task,
            device="cuda" if resources.gpus else "cpu",
            shares=Shares(rank=context.get_world_rank(), world_size=context.get_world_size()),
            n_devices=resources.n_devices,
            checkpoint_s=resources.checkpoint_s,
            wrap=ray.train.torch.prepare_model if context.get_world_size() > 1 else None,
            on_epoch=on_epoch,
        )
