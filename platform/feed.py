"""Batches brought to where they are trained on, images while the batches before are trained on."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import torch

from calsweep.datasets.split import Part, Scaling, ShardedFrames
from calsweep.platform.batch import Batch, Runs, draw, frames_of, share_of
from calsweep.platform.training import Training

_DRAWN_AHEAD = 1
_WINDOWS_FETCHED_AHEAD = 8192


@dataclass(frozen=True, kw_only=True)
class Shares:
    """Which of the processes that train a fold together this one is."""

    rank: int = 0
    world_size: int = 1


@dataclass(frozen=True, kw_only=True)
class Feed:
    """Gives this process its share of batches, frames and labels together.

    Attributes
    ----------
    part
        The windows.
    scaling
        Applied to frames.
    window_length
        Frames in a window.
    training
        Length of a run, and pieces of a batch.
    device
        Where batches are wanted.
    shares
        This process among others.
    """

    part: Part
    scaling: Scaling
    window_length: int
    training: Training
    device: torch.device
    shares: Shares

    def batches(self, batches: Sequence[Runs], /) -> Iterator[list[Batch]]:
        """Give the pieces of each batch, in order.

        Where frames lie in shards, those of the next batches are fetched, and the very next batch
        is drawn, while the caller works on one.
        """
        frames = self.part.frames
        if not isinstance(frames, ShardedFrames):
            yield from map(self._draw, batches)
            return
        ahead = max(1, _WINDOWS_FETCHED_AHEAD // self.training.batch_size)
        for runs in batches[:ahead]:
            self._prefetch(frames, runs)
        with ThreadPoolExecutor(1) as pool:
            waiting: deque[Future[list[Batch]]] = deque()
            try:
                for step in range(len(batches)):
                    for later in batches[step + len(waiting) : step + 1 + _DRAWN_AHEAD]:
                        waiting.append(pool.submit(self._draw, later))
                    for later in batches[step + ahead : step + ahead + 1]:
                        self._prefetch(frames, later)
                    yield waiting.popleft().result()
            finally:
                pool.shutdown(cancel_futures=True)

    def _prefetch(self, frames: ShardedFrames, runs: Runs) -> None:
        frames.prefetch(frames_of(self.part, runs, window_length=self.window_length))

    def _draw(self, runs: Runs) -> list[Batch]:
        own = share_of(runs, rank=self.shares.rank, world_size=self.shares.world_size)
        size = math.ceil(len(own) / self.training.accumulation)
        return [
            draw(
                self.part,
                own[first : first + size],
                scaling=self.scaling,
                run_length=self.training.run_length,
                window_length=self.window_length,
                device=self.device,
            )
            for first in range(0, len(own), size)
        ]
