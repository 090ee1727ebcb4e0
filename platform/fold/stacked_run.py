"""The folds of a trial as one program, from their tasks to their folders in the sweep's record."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from calsweep.datasets.split import FoldData
from calsweep.datasets.view import split_fold
from calsweep.platform.errors import first_line
from calsweep.platform.fold.checkpoint import Checkpoint
from calsweep.platform.fold.feed import Shares
from calsweep.platform.fold.fold_run import (
    check_code,
    run_fold,
    save_fold,
    unchanged_dataset,
)
from calsweep.platform.fold.fold_stack import FoldStack, why_alone
from calsweep.platform.fold.fold_task import FoldTask
from calsweep.platform.fold.fold_training import FoldTraining
from calsweep.platform.fold.less_memory import give_memory_back, is_out_of_memory
from calsweep.platform.fold.loop import (
    TrainedFold,
    build_module,
    check_data,
    determinism,
    own_randomness,
)
from calsweep.platform.fold.trainee import Trainee
from calsweep.platform.fold.weights import said_of, with_local_weights
from calsweep.platform.places import open_cache
from calsweep.platform.plain import from_plain
from calsweep.platform.settings import Settings


def why_folds_alone(task: FoldTask, /) -> str:
    """Say why the folds of a trial cannot be stacked; empty if they can."""
    settings: Settings = from_plain(task.settings)
    return why_alone(settings.trainables, settings.training)


def run_folds(
    tasks: Sequence[FoldTask],
    /,
    *,
    device: str = "cpu",
    checkpoint_s: float = 30.0,
    on_epoch: Callable[[], None] = lambda: None,
) -> None:
    """Train folds as one program and leave what `calsweep.platform.fold.fold_run.run_fold` leaves.

    Where memory does not suffice for all together, they are trained one by one, which is noted with
    each; those that train alone are tried once more with less, if they must.

    Parameters
    ----------
    tasks
        Folds of one trial; those that are done are not trained again.
    device
        Where.
    checkpoint_s
        Seconds after which each keeps where it stands.
    on_epoch
        Called after each epoch.

    Raises
    ------
    CodeChanged, DatasetChanged
        If this process has other code or data than the sweep began with.
    Diverged
        If a loss is not finite.
    """
    check_code(tasks[0])
    missing = [task for task in tasks if not task.place.exists()]
    if not missing:
        return
    try:
        _run_together(missing, device=device, checkpoint_s=checkpoint_s, on_epoch=on_epoch)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        note = f"memory did not suffice for all folds together ({first_line(error)}); trained alone"
    else:
        return
    give_memory_back()  # outside of the block above: the error holds on to what took it
    for task in missing:
        run_fold(
            task,
            device=device,
            checkpoint_s=checkpoint_s,
            on_epoch=lambda _: on_epoch(),
            notes=(note,),
        )


def _run_together(
    tasks: Sequence[FoldTask],
    *,
    device: str,
    checkpoint_s: float,
    on_epoch: Callable[[], None],
) -> None:
    settings: Settings = from_plain(tasks[0].settings)
    begun = time.perf_counter()
    with own_randomness(device), determinism(enabled=settings.training.deterministic):
        together = [
            _OneFold(task, settings, device=device, checkpoint_s=checkpoint_s) for task in tasks
        ]
        _train(together, on_epoch)
        tests = [one.run.test() for one in together]
    seconds = (time.perf_counter() - begun) / len(together)
    for one, test in zip(together, tests, strict=True):
        run, task = one.run, one.task
        trained = TrainedFold(
            state_dict=run.best,
            best_epoch=run.best_epoch.epoch,
            curve=tuple(run.curve),
            validation=run.best_epoch.validation,
            test=test.score,
            test_probability_WC=test.probability_WC,
            train_seconds=seconds,
            n_windows_trained=run.n_windows,
            first_epoch=one.first_epoch,
            test_sides=test.sides,
        )
        dataset = unchanged_dataset(settings.datasets.address, task.dataset_hash, task.cache)
        notes = said_of(settings.trainables)
        save_fold(task, settings, trained, notes, dataset=dataset, data=one.data)
        one.checkpoint.remove()


def _train(together: Sequence[_OneFold], on_epoch: Callable[[], None]) -> None:
    """Train all epochs; folds that were killed at another epoch, or end early, go their own way."""
    stack = FoldStack([one.run for one in together], seeds=[one.task.seed for one in together])
    first = min(one.first_epoch for one in together)
    for epoch in range(first, together[0].run.training.epochs + 1):
        which = []
        for number, one in enumerate(together):
            if epoch < one.first_epoch or one.run.is_early_enough:
                continue
            if one.run.is_within_epoch:  # it was killed there when it trained alone
                one.run.train_epoch(epoch, seed=one.task.seed)
            else:
                which.append(number)
        if which:
            for diverged in stack.train_epoch(epoch, which=which).values():
                raise diverged
        on_epoch()


class _OneFold:
    """A fold in training."""

    def __init__(
        self, task: FoldTask, settings: Settings, /, *, device: str, checkpoint_s: float
    ) -> None:
        cache = open_cache(task.cache)
        view, training = settings.datasets, settings.training
        dataset = unchanged_dataset(view.address, task.dataset_hash, task.cache)
        decoder = with_local_weights(settings.trainables, cache=cache)
        self.task = task
        self.data: FoldData = split_fold(dataset, view, task.fold, seed=task.seed, cache=cache)
        check_data(self.data, training=training)
        self.checkpoint = Checkpoint(
            path=task.folder / f".{task.key}.checkpoint", every_s=checkpoint_s
        )
        module = build_module(decoder, data=self.data, seed=task.seed).to(device)
        trainee = Trainee(
            decoder,
            module=module,
            data=self.data,
            training=training,
            n_steps=0,  # no schedule of what is stacked asks
            shares=Shares(),
        )
        self.run = FoldTraining(
            decoder=decoder,
            module=module,
            trainee=trainee,
            data=self.data,
            training=training,
            checkpoint=self.checkpoint,
        )
        self.first_epoch = self.run.resume()
