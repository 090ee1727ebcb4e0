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
from calsweep.platform.score import Epoch, Score
from calsweep.trainables.decoder import Decoder
from calsweep.trainables.metrics import accuracy, auc

# T time, N unit, W windows of a part, S segments, R runs of neighboring windows, K windows per run

# A prediction steps over up to this many windows at once: enough that starting an operation costs
# little, few enough that a step stays in the processor's cache.
PREDICTED_AT_ONCE = 1024


@dataclass(frozen=True, kw_only=True)
class Training:
    """How a decoder is trained.

    Attributes
    ----------
    epochs
        Epochs, each followed by a validation.
    batch_size
        Windows in a batch, over all devices; fewer where runs end short at a border.
    learning_rate
        Of Adam.
    weight_decay
        Decoupled from the gradient (AdamW); 0 is plain Adam.
    label_smoothing
        Of the training loss; validation and test losses are without.
    run_length
        Neighboring windows drawn together. Longer runs share more work, and make the windows of a
        batch more alike. With 8, six in seven input products are saved (31 frames), and the AUC
        after equal epochs is that of single windows; with 32, there is little left to save
        (``tests/benchmarks/RESULTS.md``).
    epoch_fraction
        Share of the training windows drawn in an epoch; the next epoch goes on where it ended.
    """

    epochs: int = 30
    batch_size: int = 256
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    label_smoothing: float = 0.01
    run_length: int = 8
    epoch_fraction: float = 1.0

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise ValueError(f"`epochs >= 1` must hold, but got {self.epochs=}.")
        if self.run_length < 1 or self.batch_size < 1 or self.batch_size % self.run_length:
            raise ValueError(
                "`batch_size` must be a positive multiple of `run_length`, "
                f"but got {self.batch_size=}, {self.run_length=}."
            )
        if not 0 < self.learning_rate < math.inf:
            raise ValueError(f"`learning_rate > 0` must hold, but got {self.learning_rate=}.")
        if not 0 <= self.weight_decay < math.inf:
            raise ValueError(f"`weight_decay >= 0` must hold, but got {self.weight_decay=}.")
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(
                f"`0 <= label_smoothing < 1` must hold, but got {self.label_smoothing=}."
            )
        if not 0 < self.epoch_fraction <= 1:
            raise ValueError(
                f"`0 < epoch_fraction <= 1` must hold, but got {self.epoch_fraction=}."
            )


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


@dataclass(frozen=True, kw_only=True)
class Runs:
    """Runs of neighboring windows: the first window of each, and how many it holds."""

    first_R: NDArray[np.int64]
    n_windows_R: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.first_R)

    def __getitem__(self, index: slice | NDArray[np.int64], /) -> Runs:
        return Runs(first_R=self.first_R[index], n_windows_R=self.n_windows_R[index])

    @property
    def n_windows(self) -> int:
        """Windows in all runs."""
        return int(self.n_windows_R.sum())


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Runs of frames with what is asked of their windows; padding has weight 0."""

    frames_RTN: Tensor
    labels_RK: Tensor
    weights_RK: Tensor


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
            n_units=data.train.frames_TN.shape[1], window_length=data.window_length
        )


def segment_lengths(starts_W: NDArray[np.int64], /) -> NDArray[np.int64]:
    """Count the windows of each segment: a stretch whose windows start one frame apart.

    Examples
    --------
    >>> segment_lengths(np.array([0, 1, 2, 10, 11])).tolist()
    [3, 2]
    """
    first_S = np.flatnonzero(np.diff(starts_W, prepend=-2) != 1)
    return np.diff(first_S, append=len(starts_W))


def cut_runs(
    starts_W: NDArray[np.int64], /, *, run_length: int, rng: np.random.Generator | None = None
) -> Runs:
    """Cut windows into runs of neighbors, so that each window lies in one run.

    Parameters
    ----------
    starts_W
        First frame of each window, increasing.
    run_length
        Windows in a run; fewer at the ends of a segment.
    rng
        Draws where the first cut lies in each segment longer than a run; without it, after
        `run_length` windows.

    Examples
    --------
    >>> cut_runs(np.array([0, 1, 2, 10, 11]), run_length=2)
    Runs(first_R=array([0, 2, 3]), n_windows_R=array([2, 1, 2]))
    """
    lengths_S = segment_lengths(starts_W)
    first_S = np.cumsum(lengths_S) - lengths_S
    # A segment's first run begins up to a run's length before it, and loses what lies there.
    ahead_S = rng.integers(run_length, size=len(first_S)) if rng else np.zeros_like(first_S)
    ahead_S[lengths_S <= run_length] = 0  # a segment that fits into one run is not cut
    n_runs_S = -(-(lengths_S + ahead_S) // run_length)
    number_R = np.arange(n_runs_S.sum()) - np.repeat(np.cumsum(n_runs_S) - n_runs_S, n_runs_S)
    begin_R = np.repeat(first_S - ahead_S, n_runs_S) + number_R * run_length
    first_R = np.maximum(begin_R, np.repeat(first_S, n_runs_S))
    return Runs(first_R=first_R, n_windows_R=np.diff(first_R, append=len(starts_W)))


def epoch_batches(part: Part, /, *, training: Training, seed: int, epoch: int) -> list[Runs]:
    """Give the batches of an epoch, which depend on seed and epoch alone.

    A pass takes every window once, in an order of its own. Epochs lie end to end on the passes:
    an epoch is the stretch from ``(epoch - 1) * epoch_fraction`` to ``epoch * epoch_fraction``.

    Parameters
    ----------
    part
        The windows.
    training
        Batch size, run length and share of a pass.
    seed
        Of the order.
    epoch
        From 1.
    """
    begin, end = (epoch - 1) * training.epoch_fraction, epoch * training.epoch_fraction
    batches: list[Runs] = []
    for number in range(math.floor(begin), math.ceil(end)):
        whole = _shuffled_pass(part, training=training, seed=seed, number=number)
        first, last = (max(math.ceil((at - number) * len(whole)), 0) for at in (begin, end))
        batches += whole[first:last]
    return batches


def share_of(batch: Runs, /, *, rank: int, world_size: int) -> Runs:
    """Give the runs of a batch that one process trains; where there is none, one of no windows."""
    share = batch[rank::world_size]
    return share if len(share) else Runs(first_R=batch.first_R[:1], n_windows_R=np.array([0]))


def draw(
    part: Part,
    runs: Runs,
    /,
    *,
    scaling: Scaling,
    run_length: int,
    window_length: int,
    device: torch.device,
) -> Batch:
    """Take the scaled frames of runs, with the labels of their windows.

    A short run is filled up with its last frame, and the windows that see the filling have weight
    0: no frame beyond a border is read.
    """
    n_R = np.maximum(runs.n_windows_R, 1)
    start_R = part.starts_W[runs.first_R]
    windows_RK = runs.first_R[:, None] + np.minimum(np.arange(run_length), n_R[:, None] - 1)
    weights_RK = np.arange(run_length) < runs.n_windows_R[:, None]
    return Batch(
        frames_RTN=_take_frames(
            part.frames_TN,
            start_R,
            n_R + window_length - 1,
            n_frames=run_length + window_length - 1,
            scaling=scaling,
            device=device,
        ),
        labels_RK=torch.from_numpy(part.labels_W[windows_RK]).to(device),
        weights_RK=torch.from_numpy(weights_RK).to(device),
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


def _shuffled_pass(part: Part, *, training: Training, seed: int, number: int) -> list[Runs]:
    rng = np.random.default_rng([seed, number])
    runs = cut_runs(part.starts_W, run_length=training.run_length, rng=rng)
    order = rng.permutation(len(runs))
    n_runs = training.batch_size // training.run_length
    return [runs[order[first : first + n_runs]] for first in range(0, len(runs), n_runs)]


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
            frames_RTN = _take_frames(
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


def _take_frames(
    frames_TN: NDArray[np.float32],
    start_R: NDArray[np.int64],
    n_real_R: NDArray[np.int64],
    *,
    n_frames: int,
    scaling: Scaling,
    device: torch.device,
) -> Tensor:
    """Take runs of frames, scaled; beyond its real frames, a run repeats the last."""
    # Time before run, as `calsweep.trainables.recurrence` lays its columns out.
    frames_TR = start_R + np.minimum(np.arange(n_frames)[:, None], n_real_R - 1)
    taken_TRN = torch.from_numpy(frames_TN[frames_TR]).to(device)
    offset_N = torch.from_numpy(scaling.offset_N).to(device)
    scale_N = torch.from_numpy(scaling.scale_N).to(device)
    return taken_TRN.sub_(offset_N).mul_(scale_N).transpose(0, 1)


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
