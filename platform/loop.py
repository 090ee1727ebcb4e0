"""Train one decoder on one fold: the only training loop, in plain PyTorch.

Samples are short runs of neighboring windows, so that windows which share frames can share work.
Frames stay where they are; a batch holds the frames of its runs once.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, distributed, nn

from calsweep.datasets.split import FoldData, Part, Scaling
from calsweep.platform.batch import (
    Batch,
    Runs,
    cut_runs,
    draw,
    epoch_batches,
    segment_lengths,
    share_of,
    take_frames,
)
from calsweep.platform.score import Epoch, Score
from calsweep.platform.training import Training
from calsweep.trainables.decoder import Decoder
from calsweep.trainables.metrics import accuracy, auc

# T time, N unit, W windows of a part, S segments, R runs of neighboring windows, K windows per run

# A prediction steps over up to this many windows at once: enough that starting an operation costs
# little, few enough that a step stays in the processor's cache.
PREDICTED_AT_ONCE = 1024


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
    test_probability_W
        Probability of class 1 of each test window.
    train_seconds
        Seconds inside training and scoring.
    n_windows_trained
        Training windows seen over all epochs and devices.
    """

    state_dict: Mapping[str, Tensor]
    best_epoch: int
    curve: tuple[Epoch, ...]
    validation: Score
    test: Score
    test_probability_W: NDArray[np.float32]
    train_seconds: float
    n_windows_trained: int


class Diverged(ArithmeticError):
    """The loss is no longer a finite number."""

    def __init__(self, epoch: int, learning_rate: float) -> None:
        super().__init__(epoch, learning_rate)
        self.epoch = epoch
        self.learning_rate = learning_rate

    def __str__(self) -> str:
        return (
            f"The loss was not finite in epoch {self.epoch} at learning rate "
            f"{self.learning_rate:g}: lower `training.learning_rate`."
        )


def train_fold(
    decoder: Decoder,
    /,
    *,
    data: FoldData,
    training: Training,
    seed: int,
    device: str = "cpu",
    rank: int = 0,
    world_size: int = 1,
    wrap: Callable[[nn.Module], nn.Module] | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
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
    rank, world_size
        This process among those that train the fold together. All draw the same batches, and each
        takes its share.
    wrap
        Wraps the module to average gradients over processes (DDP).
    on_epoch
        Called after each epoch.

    Raises
    ------
    ValueError
        If a part has no windows or only one class, or windows do not lie within the frames.
    Diverged
        If the loss is not finite.
    """
    begun = time.perf_counter()
    _check(data, training=training)
    module = build_module(decoder, data=data, seed=seed).to(device)
    trainee = _Trainee(
        decoder=decoder,
        module=wrap(module) if wrap else module,
        optimizer=_optimizer(module, training=training),
        training=training,
        rank=rank,
        world_size=world_size,
    )
    n_windows_trained = 0
    curve: list[Epoch] = []
    for epoch in range(1, training.epochs + 1):
        batches = epoch_batches(data.train, training=training, seed=seed, epoch=epoch)
        n_windows_trained += sum(batch.n_windows for batch in batches)
        train_loss = trainee.train(batches, data=data)
        validation, _ = _score(module, decoder=decoder, data=data, part=data.validation)
        _check_finite(train_loss, validation.loss, epoch=epoch, training=training)
        curve.append(Epoch(epoch=epoch, train_loss=train_loss, validation=validation))
        best = min(curve, key=lambda row: row.validation.loss)  # of equals the earlier
        if best is curve[-1]:
            chosen, state_dict = validation, _copy_weights(module)
        if on_epoch:
            on_epoch(curve[-1])
    module.load_state_dict(state_dict)
    test, test_probability_W = _score(module, decoder=decoder, data=data, part=data.test)
    _check_finite(test.loss, epoch=best.epoch, training=training)
    return TrainedFold(
        state_dict=state_dict,
        best_epoch=best.epoch,
        curve=tuple(curve),
        validation=chosen,
        test=test,
        test_probability_W=test_probability_W,
        train_seconds=time.perf_counter() - begun,
        n_windows_trained=n_windows_trained,
    )


def predict(
    module: nn.Module,
    /,
    *,
    frames_TN: NDArray[np.float32],
    starts_W: NDArray[np.int64],
    scaling: Scaling,
    window_length: int,
    probability: Callable[[Tensor], Tensor],
) -> NDArray[np.float32]:
    """Give a decoder's probability for each window.

    Parameters
    ----------
    module
        What `Decoder.build` gives.
    frames_TN
        Frames before scaling, shape ``(time, unit)``.
    starts_W
        First frame of each window, increasing.
    scaling
        As fitted on the training part.
    window_length
        Frames in a window.
    probability
        `Decoder.probability`.

    Returns
    -------
    probability
        Shape ``(window,)``.

    Raises
    ------
    ValueError
        If a window does not lie within the frames.

    Examples
    --------
    >>> from calsweep.trainables.linear import Linear
    >>> predict(
    ...     Linear().build(n_units=2, window_length=3),
    ...     frames_TN=np.zeros((5, 2), np.float32),
    ...     starts_W=np.array([0, 1, 2]),
    ...     scaling=Scaling(offset_N=np.zeros(2, np.float32), scale_N=np.ones(2, np.float32)),
    ...     window_length=3,
    ...     probability=Linear().probability,
    ... ).tolist()
    [0.5, 0.5, 0.5]
    """
    _check_within(starts_W, n_frames=len(frames_TN), window_length=window_length)
    logits_W = _logits(
        module,
        frames_TN=frames_TN,
        starts_W=starts_W,
        scaling=scaling,
        window_length=window_length,
    )
    return np.asarray(probability(logits_W[None])[0].numpy())


def build_module(decoder: Decoder, /, *, data: FoldData, seed: int) -> nn.Module:
    """Build a decoder for a fold's data with weights that depend on the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return decoder.build(
            n_units=data.train.frames_TN.shape[1],
            window_length=data.window_length,
            base_rate=float(data.train.labels_W.mean()),
        )


@dataclass(frozen=True, kw_only=True)
class _Trainee:
    """A module in training and this process's share of the work."""

    decoder: Decoder
    module: nn.Module
    optimizer: torch.optim.Optimizer
    training: Training
    rank: int
    world_size: int

    def train(self, batches: Sequence[Runs], *, data: FoldData) -> float:
        """Take a step for each batch and give the mean loss of its windows."""
        self.module.train()
        device = next(self.module.parameters()).device
        losses = torch.zeros((), device=device)
        for runs in batches:
            batch = draw(
                data.train,
                share_of(runs, rank=self.rank, world_size=self.world_size),
                scaling=data.scaling,
                run_length=self.training.run_length,
                window_length=data.window_length,
                device=device,
            )
            losses += self.step(batch, n_windows=runs.n_windows)
        if self.world_size > 1 and distributed.is_initialized():
            distributed.all_reduce(losses)
        return losses.item() / sum(runs.n_windows for runs in batches)

    def step(self, batch: Batch, *, n_windows: int) -> Tensor:
        """Take a step and give the summed loss of this process's windows.

        DDP averages gradients over processes, so each counts its sum over the mean share of a
        process: the average is then the gradient of the mean over the whole batch.
        """
        loss = self.decoder.loss(
            self.module(batch.frames_RTN),
            batch.labels_RK,
            batch.weights_RK,
            label_smoothing=self.training.label_smoothing,
        )
        self.optimizer.zero_grad()
        (loss * (self.world_size / n_windows)).backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return loss.detach()


def _optimizer(module: nn.Module, *, training: Training) -> torch.optim.Optimizer:
    # Without weight decay, AdamW is Adam.
    return torch.optim.AdamW(
        module.parameters(),
        lr=training.learning_rate,
        weight_decay=training.weight_decay,
        fused=True,
    )


def _score(
    module: nn.Module, *, decoder: Decoder, data: FoldData, part: Part
) -> tuple[Score, NDArray[np.float32]]:
    logits_W = _logits(
        module,
        frames_TN=part.frames_TN,
        starts_W=part.starts_W,
        scaling=data.scaling,
        window_length=data.window_length,
    )
    labels_W = torch.from_numpy(part.labels_W)
    loss = decoder.loss(
        logits_W[None].double(), labels_W[None], torch.ones(1, len(labels_W)), label_smoothing=0.0
    )
    probability_W = decoder.probability(logits_W[None])[0].numpy()
    if not math.isfinite(loss.item()):  # the caller refuses it
        return Score(loss=math.inf, auc=math.nan, accuracy=math.nan), probability_W
    score = Score(
        loss=loss.item() / len(labels_W),
        auc=auc(part.labels_W, probability_W),
        accuracy=accuracy(part.labels_W, probability_W),
    )
    return score, probability_W


def _check_finite(*losses: float, epoch: int, training: Training) -> None:
    if not all(map(math.isfinite, losses)):
        raise Diverged(epoch, training.learning_rate)


def _logits(
    module: nn.Module,
    *,
    frames_TN: NDArray[np.float32],
    starts_W: NDArray[np.int64],
    scaling: Scaling,
    window_length: int,
) -> Tensor:
    """Give the logit of each window, on the CPU, by runs as long as the segments allow."""
    device = next(module.parameters()).device
    run_length = min(int(segment_lengths(starts_W).max()), PREDICTED_AT_ONCE)
    runs = cut_runs(starts_W, run_length=run_length)
    n_together = PREDICTED_AT_ONCE // run_length
    logits_W = torch.empty(len(starts_W))
    module.eval()
    with torch.inference_mode():
        for first in range(0, len(runs), n_together):
            together = runs[first : first + n_together]
            frames_RTN = take_frames(
                frames_TN,
                starts_W[together.first_R],
                together.n_windows_R + window_length - 1,
                n_frames=run_length + window_length - 1,
                scaling=scaling,
                device=device,
            )
            is_real_RK = np.arange(run_length) < together.n_windows_R[:, None]
            begin = int(together.first_R[0])
            logits_W[begin : begin + together.n_windows] = module(frames_RTN).cpu()[is_real_RK]
    return logits_W


def _copy_weights(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().cpu().clone() for name, value in module.state_dict().items()}


def _check(data: FoldData, *, training: Training) -> None:
    for name, part in (("train", data.train), ("validation", data.validation), ("test", data.test)):
        if len(part.starts_W) == 0:
            raise ValueError(
                f"the {name} part needs at least one window, but has none of "
                f"{data.window_length} frames: shorten the window."
            )
        _check_within(part.starts_W, n_frames=len(part.frames_TN), window_length=data.window_length)
    n_batches = math.ceil(len(data.train.starts_W) / training.batch_size)
    if training.epoch_fraction * n_batches < 1:
        raise ValueError(
            f"an epoch must hold at least one of {n_batches} batches, "
            f"but got {training.epoch_fraction=}: raise it or lower `batch_size`."
        )


def _check_within(starts_W: NDArray[np.int64], *, n_frames: int, window_length: int) -> None:
    if len(starts_W) == 0:
        raise ValueError("at least one window is needed, but got none: shorten the window.")
    if starts_W[0] < 0 or starts_W[-1] + window_length > n_frames:
        raise ValueError(
            f"windows of {window_length} frames must lie within the {n_frames} frames, "
            f"but they reach from frame {starts_W[0]} to {starts_W[-1] + window_length - 1}."
        )
