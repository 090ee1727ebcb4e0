"""Train one decoder on one fold: the only training loop, in plain PyTorch.

Samples are short runs of neighboring windows, so that windows which share frames can share work.
Frames stay where they are; a batch holds the frames of its runs once.
"""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from calsweep.datasets.split import FoldData
from calsweep.platform.fold.batch import epoch_batches
from calsweep.platform.fold.checkpoint import Checkpoint
from calsweep.platform.fold.feed import Shares
from calsweep.platform.fold.fold_training import FoldTraining
from calsweep.platform.fold.inference import check_within
from calsweep.platform.fold.trainee import Trainee
from calsweep.platform.fold.training import Schedule, Training
from calsweep.platform.score import Epoch, Score
from calsweep.trainables.decoder import Decoder, Problem

# W windows of a part, C classes


@dataclass(frozen=True, kw_only=True)
class TrainedFold:
    """The model of the epoch with the lowest validation loss, and its figures.

    Attributes
    ----------
    state_dict
        Weights of that epoch, on the CPU.
    best_epoch
        From 1; of equal losses the earlier.
    curve
        One row an epoch.
    validation
        Figures of the chosen weights.
    test
        Figures of the chosen weights, computed once, after the choice.
    test_probability_WC
        Probability of each class at each test window.
    train_seconds
        Seconds inside training and scoring.
    n_windows_trained
        Training windows seen over all epochs and devices.
    first_epoch
        Epoch that this process began with: above 1 where it went on from a checkpoint.
    test_sides
        Class to its probability at each test window by a head of its own, where it has one.
    """

    state_dict: Mapping[str, Tensor]
    best_epoch: int
    curve: tuple[Epoch, ...]
    validation: Score
    test: Score
    test_probability_WC: NDArray[np.float32]
    train_seconds: float
    n_windows_trained: int
    first_epoch: int = 1
    test_sides: Mapping[int, NDArray[np.float32]] = field(default_factory=dict)


def train_fold(
    decoder: Decoder,
    /,
    *,
    data: FoldData,
    training: Training,
    seed: int,
    device: str = "cpu",
    shares: Shares = Shares(),  # noqa: B008 - frozen
    wrap: Callable[[nn.Module], nn.Module] | None = None,
    start: Callable[[nn.Module], None] | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
    checkpoint: Checkpoint | None = None,
) -> TrainedFold:
    """Train a decoder on a fold, and score the epoch with the lowest validation loss.

    Parameters
    ----------
    decoder
        What to train.
    data
        The fold's windows.
    training
        How.
    seed
        Of weights and sample order.
    device
        Where.
    shares
        This process among those that train the fold together. All draw the same batches, and each
        takes its share.
    wrap
        Wraps the module to average gradients over processes (DDP).
    start
        Changes the fresh weights of the module before training.
    on_epoch
        Called after each epoch.
    checkpoint
        Where training stands, if a process before this one was killed; the result is that of one
        that was not. It is the caller's to remove.

    Raises
    ------
    ValueError
        If a part has no windows or only one class, the training part lacks a class, or windows do
        not lie within the frames.
    Diverged
        If the loss is not finite.
    """
    begun = time.perf_counter()
    check_data(data, training=training)
    with own_randomness(device), determinism(enabled=training.deterministic):
        module = build_module(decoder, data=data, seed=seed)
        if start:
            start(module)
        module = module.to(device)
        trainee = Trainee(
            decoder,
            module=module,
            data=data,
            training=training,
            n_steps=_n_steps(data, training, seed=seed),
            shares=shares,
            wrap=wrap,
        )
        run = FoldTraining(
            decoder=decoder,
            module=module,
            trainee=trainee,
            data=data,
            training=training,
            checkpoint=checkpoint,
            shares=shares,
        )
        first_epoch = run.resume()
        for epoch in range(first_epoch, training.epochs + 1):
            if run.is_early_enough:
                break
            run.train_epoch(epoch, seed=seed)
            if on_epoch:
                on_epoch(run.curve[-1])
        test = run.test()
    return TrainedFold(
        state_dict=run.best,
        best_epoch=run.best_epoch.epoch,
        curve=tuple(run.curve),
        validation=run.best_epoch.validation,
        test=test.score,
        test_probability_WC=test.probability_WC,
        train_seconds=time.perf_counter() - begun,
        n_windows_trained=run.n_windows,
        first_epoch=first_epoch,
        test_sides=test.sides,
    )


def build_module(decoder: Decoder, /, *, data: FoldData, seed: int) -> nn.Module:
    """Build a decoder for a fold's data with weights that depend on the seed alone."""
    problem = Problem(
        frame_shape=data.frame_shape,
        window_length=data.window_length,
        class_shares=data.class_shares,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return decoder.build(problem)


def _n_steps(data: FoldData, training: Training, *, seed: int) -> int:
    """Count the steps of all epochs; only schedules that go by them ask."""
    if training.schedule not in {Schedule.ONE_CYCLE, Schedule.COSINE}:
        return 0
    return sum(
        len(epoch_batches(data.train, training=training, seed=seed, epoch=epoch))
        for epoch in range(1, training.epochs + 1)
    )


@contextlib.contextmanager
def own_randomness(device: str) -> Iterator[None]:
    """Leave torch's random state as it was."""
    devices = range(torch.cuda.device_count()) if device.startswith("cuda") else []
    with torch.random.fork_rng(devices=devices):
        yield


@contextlib.contextmanager
def determinism(*, enabled: bool) -> Iterator[None]:
    """Let torch take what gives the same bits each time, where that was asked for."""
    before = torch.are_deterministic_algorithms_enabled()
    if enabled:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(enabled or before)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)


def check_data(data: FoldData, /, *, training: Training) -> None:
    """Check that a fold can be trained on.

    Raises
    ------
    ValueError
        If a part has no windows or the training part lacks a class, windows do not lie within the
        frames, or an epoch would hold no batch.
    """
    for name, part in (("train", data.train), ("validation", data.validation), ("test", data.test)):
        if len(part.starts_W) == 0:
            raise ValueError(
                f"the {name} part needs at least one window, but has none of "
                f"{data.window_length} frames: shorten the window."
            )
        check_within(part.starts_W, n_frames=len(part.frames), window_length=data.window_length)
    if min(data.class_shares) == 0:
        missing = [c for c, share in enumerate(data.class_shares) if share == 0]
        raise ValueError(
            f"the train part must have windows of each of the {data.n_classes} classes, but has "
            f"none of {missing}: choose other folds, or a target whose classes are more frequent."
        )
    n_batches = math.ceil(len(data.train.starts_W) / training.batch_size)
    if training.epoch_fraction * n_batches < 1:
        raise ValueError(
            f"an epoch must hold at least one of {n_batches} batches, "
            f"but got {training.epoch_fraction=}: raise it or lower `batch_size`."
        )
