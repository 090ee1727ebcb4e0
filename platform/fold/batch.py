"""Batches of a fold: short runs of neighboring windows, in an order that the seed alone decides.

Windows that share frames can share work, and a batch holds the frames of its runs once.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from calsweep.datasets.lent_memory import LENDER
from calsweep.datasets.split import FrameArray, Part, Scaling, ShardedFrames
from calsweep.platform.fold.training import Training

# T time, N unit, W windows of a part, S segments, R runs of neighboring windows, K windows per run


_N_LANES = 4


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
    """Runs of frames with what is asked of their windows.

    Attributes
    ----------
    frames
        Scaled, shape ``(run, time, *frame_shape)``.
    labels_RK, weights_RK
        Class and weight of each window; padding has weight 0.
    n_windows
        Without padding.
    """

    frames: Tensor
    labels_RK: Tensor
    weights_RK: Tensor
    n_windows: int


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
        frames=take_frames(
            part.frames,
            start_R,
            n_R + window_length - 1,
            n_frames=run_length + window_length - 1,
            scaling=scaling,
            device=device,
        ),
        labels_RK=torch.from_numpy(part.labels_W[windows_RK]).to(device),
        weights_RK=torch.from_numpy(weights_RK).to(device),
        n_windows=runs.n_windows,
    )


def _shuffled_pass(part: Part, *, training: Training, seed: int, number: int) -> list[Runs]:
    rng = np.random.default_rng([seed, number])
    runs = cut_runs(part.starts_W, run_length=training.run_length, rng=rng)
    order = _order(part, runs, rng)
    n_runs = training.batch_size // training.run_length
    return [runs[order[first : first + n_runs]] for first in range(0, len(runs), n_runs)]


def _order(part: Part, runs: Runs, rng: np.random.Generator) -> NDArray[np.int64]:
    """Shuffle runs; where frames lie in shards, among those of a few shards at a time.

    Recordings are read in a permuted order, several side by side, each from its first shard to its
    last. So each shard is fetched once, and batches mix recordings.
    """
    frames = part.frames
    if not isinstance(frames, ShardedFrames):
        return rng.permutation(len(runs))
    starts_R = part.starts_W[runs.first_R]
    shard_R = np.searchsorted(frames.shard_borders, starts_R, side="right") - 1
    runs_of = {int(shard): np.flatnonzero(shard_R == shard) for shard in np.unique(shard_R)}
    recordings: dict[int, list[int]] = {}
    for shard in runs_of:
        recordings.setdefault(int(frames.shard_recordings[shard]), []).append(shard)
    lanes: list[list[int]] = [[] for _ in range(_N_LANES)]
    for recording in rng.permutation(list(recordings)):
        min(lanes, key=len).extend(recordings[recording])  # to the lane that is free first
    together = itertools.zip_longest(*lanes)
    return np.concatenate(
        [
            rng.permutation(np.concatenate([runs_of[s] for s in group if s is not None]))
            for group in together
        ]
    )


def frames_of(part: Part, runs: Runs, /, *, window_length: int) -> NDArray[np.int64]:
    """Give the first and the last frame of each run."""
    start_R = part.starts_W[runs.first_R]
    stop_R = start_R + np.maximum(runs.n_windows_R, 1) + window_length - 2
    return np.concatenate([start_R, stop_R])


def take_frames(
    frames: FrameArray,
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
    if isinstance(frames, ShardedFrames):
        return _take_images(frames, frames_TR.T, scaling=scaling, device=device)
    taken_TR = torch.from_numpy(frames[frames_TR]).to(device).float()
    return _scaled(taken_TR, scaling).transpose(0, 1)


def _take_images(
    frames: ShardedFrames,
    frames_RT: NDArray[np.int64],
    *,
    scaling: Scaling,
    device: torch.device,
) -> Tensor:
    """Take runs of images; on the CPU each is scaled while it is at hand, elsewhere all at once."""
    here = torch.device(device).type == "cpu"
    # Whole numbers go to another device as they are: they are smaller.
    kind = np.dtype(np.float32) if here else frames.dtype
    taken_RT = LENDER.array((*frames_RT.shape, *frames.shape[1:]), dtype=kind)
    for numbers_T, taken_T in zip(frames_RT, taken_RT, strict=True):
        frames.read(numbers_T, into=taken_T)
        if here and not scaling.changes_nothing:
            taken_T -= scaling.offset_N
            taken_T *= scaling.scale_N
    images = torch.from_numpy(taken_RT)
    return images if here else _scaled(images.to(device).float(), scaling)


def _scaled(frames: Tensor, scaling: Scaling) -> Tensor:
    offset_N = torch.from_numpy(scaling.offset_N).to(frames.device)
    scale_N = torch.from_numpy(scaling.scale_N).to(frames.device)
    return frames.sub_(offset_N).mul_(scale_N)
