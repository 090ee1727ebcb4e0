"""Folds of every decoder, and the second of two processes that train each of them together.

Started as ``python -m tests.platform.fold.two_processes FILE``, where both meet at FILE, it trains
the decoders whose names come by its standard input.
"""

import sys
from datetime import timedelta
from pathlib import Path

import numpy as np
import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from calsweep.datasets.split import FoldData, Part, Scaling
from calsweep.platform.fold.feed import Shares
from calsweep.platform.fold.loop import train_fold
from calsweep.platform.fold.training import Training
from tests.trainables.variants import VARIANTS, decoder_of, frame_shape_of, length_of

# 22 windows are six or seven runs: a batch of four, in two pieces of a run for each process, and a
# batch of what is left, where the second process is without a run.
TWO = Training(
    epochs=1, batch_size=16, run_length=4, accumulation=2, learning_rate=1e-3, label_smoothing=0.0
)


def part_of(frames, labels_T, start, *, n_windows, length):
    starts_W = np.arange(start, start + n_windows)
    targets_W = starts_W + length // 2
    return Part(frames=frames, starts_W=starts_W, targets_W=targets_W, labels_W=labels_T[targets_W])


def fold_of(variant, *, n_train=22, n_other=8, hidden=0.0, shown=1.0):
    """Give a fold of noise; its last unit, or column of pixels, is multiplied with `shown`.

    `hidden` is added to what `shown` may hide.
    """
    length, frame_shape = length_of(variant), frame_shape_of(variant)
    n_frames = n_train + 2 * n_other + 3 * length
    rng = np.random.default_rng(0)
    frames = rng.normal(size=(n_frames, *frame_shape)).astype(np.float32)
    frames[..., -1] += np.float32(hidden) * rng.normal(size=frames.shape[:-1]).astype(np.float32)
    labels_T = rng.permutation(np.arange(n_frames) % 2)
    scale = np.ones(frame_shape, np.float32)
    scale[..., -1] = shown
    first = n_train + length
    return FoldData(
        train=part_of(frames, labels_T, 0, n_windows=n_train, length=length),
        validation=part_of(frames, labels_T, first, n_windows=n_other, length=length),
        test=part_of(frames, labels_T, first + n_other + length, n_windows=n_other, length=length),
        scaling=Scaling(offset_N=np.zeros(frame_shape, np.float32), scale_N=scale),
        window_length=length,
    )


def meet(file, *, rank):
    distributed.init_process_group(
        "gloo",
        init_method=f"file://{file}",
        rank=rank,
        world_size=2,
        timeout=timedelta(seconds=60),
    )


def train_together(variant, *, rank):
    """Train this process's share of a fold; the other process does the same at the same time."""
    return train_fold(
        decoder_of(variant),
        data=fold_of(variant),
        training=TWO,
        seed=0,
        shares=Shares(rank=rank, world_size=2),
        wrap=DistributedDataParallel,
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    meet(Path(sys.argv[1]), rank=1)
    named = {variant.stem: variant for variant in VARIANTS}
    for line in sys.stdin:
        train_together(named[line.strip()], rank=1)
