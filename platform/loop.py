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
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from calsweep.datasets.split import FoldData
from calsweep.platform.batch import epoch_batches
from calsweep.platform.checkpoint import Checkpoint, Progress
from calsweep.platform.feed import Shares
from calsweep.platform.inference import check_within, score
from calsweep.platform.score import Epoch, Score
from calsweep.platform.trainee import Diverged, Trainee
from calsweep.platform.training import Schedule, Training
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
    _check(data, training=training)
    with _own_randomness(device), _determinism(enabled=training.deterministic):
        module = build_module(decoder, data=data, seed=seed)
        if start:
            start(module)
        module = module.to(device)
        trainee = Trainee(
            decoder,
            module=wrap(module) if wrap else module,
            data=data,
            training=training,
            n_steps=_n_steps(data, training, seed=seed),
            shares=shares,
        )
        run = _Run(
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
        best = run.best_epoch
        module.load_state_dict(run.best)
        test = score(module, decoder=decoder, data=data, part=data.test)
    if not math.isfinite(test.score.loss):
        raise Diverged(best.epoch, 0, training.learning_rate)
    return TrainedFold(
        state_dict=run.best,
        best_epoch=best.epoch,
        curve=tuple(run.curve),
        validation=best.validation,
        test=test.score,
        test_probability_WC=test.probability_WC,
        train_seconds=time.perf_counter() - begun,
        n_windows_trained=run.n_windows,
        first_epoch=first_epoch,
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


class _Run:
    """A fold's training as it goes: its curve, and the weights of its best epoch."""

    def __init__(
        self,
        *,
        decoder: Decoder,
        module: nn.Module,
        trainee: Trainee,
        data: FoldData,
        training: Training,
        checkpoint: Checkpoint | None,
        shares: Shares,
    ) -> None:
        self._decoder = decoder
        self._module = module
        self._trainee = trainee
        self._data = data
        self._training = training
        self._checkpoint = checkpoint
        self._shares = shares
        self._done_S: Tensor | None = None
        self.curve: list[Epoch] = []
        self.n_windows = 0
        self.best: Mapping[str, Tensor] = {}

    @property
    def best_epoch(self) -> Epoch:
        """Of equals the earlier."""
        return min(self.curve, key=lambda row: row.validation.loss)

    @property
    def is_early_enough(self) -> bool:
        """Whether the validation loss has not fallen for as long as patience lasts."""
        patience = self._training.patience
        return bool(patience and self.curve) and (
            self.curve[-1].epoch - self.best_epoch.epoch >= patience
        )

    def train_epoch(self, epoch: int, /, *, seed: int) -> None:
        """Train an epoch and validate."""
        batches = epoch_batches(self._data.train, training=self._training, seed=seed, epoch=epoch)
        train_loss = self._trainee.train_epoch(
            batches,
            epoch=epoch,
            seed=seed,
            done_S=self._done_S,
            # Each of several processes knows its own losses only: they go on between two epochs.
            on_step=self._keep if self._shares.world_size == 1 else None,
        )
        self._done_S = None
        self.n_windows += sum(batch.n_windows for batch in batches)
        validation = score(
            self._module, decoder=self._decoder, data=self._data, part=self._data.validation
        ).score
        if not math.isfinite(validation.loss):
            raise Diverged(epoch, 0, self._training.learning_rate)
        self.curve.append(Epoch(epoch=epoch, train_loss=train_loss, validation=validation))
        if self.best_epoch is self.curve[-1]:
            self.best = _copy_weights(self._module)
        self._trainee.see_validation(validation.loss)
        self._keep(torch.empty(0))

    def _keep(self, losses_S: Tensor) -> None:
        """Keep what an interrupted training goes on from, if it is time."""
        if self._checkpoint is None or self._shares.rank > 0 or not self._checkpoint.is_due():
            return
        self._checkpoint.write(
            Progress(
                curve=tuple(self.curve),
                n_windows=self.n_windows,
                best=self.best,
                trainee=self._trainee.state(),
                losses_S=losses_S.cpu().clone(),
            )
        )

    def resume(self) -> int:
        """Go on from a checkpoint if there is one, and give the epoch to begin with."""
        progress = self._checkpoint.read() if self._checkpoint else None
        if progress is None:
            return 1
        self._trainee.load_state(dict(progress.trainee))
        self.curve = list(progress.curve)
        self.n_windows = progress.n_windows
        self.best = progress.best
        self._done_S = progress.losses_S if len(progress.losses_S) else None
        return len(self.curve) + 1


def _n_steps(data: FoldData, training: Training, *, seed: int) -> int:
    """Count the steps of all epochs; only schedules that go by them ask."""
    if training.schedule not in {Schedule.ONE_CYCLE, Schedule.COSINE}:
        return 0
    return sum(
        len(epoch_batches(data.train, training=training, seed=seed, epoch=epoch))
        for epoch in range(1, training.epochs + 1)
    )


@contextlib.contextmanager
def _own_randomness(device: str) -> Iterator[None]:
    """Leave torch's random state as it was."""
    devices = range(torch.cuda.device_count()) if device.startswith("cuda") else []
    with torch.random.fork_rng(devices=devices):
        yield


@contextlib.contextmanager
def _determinism(*, enabled: bool) -> Iterator[None]:
    before = torch.are_deterministic_algorithms_enabled()
    if enabled:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(enabled or before)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)


def _copy_weights(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().cpu().clone() for name, value in module.state_dict().items()}


def _check(data: FoldData, *, training: Training) -> None:
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
