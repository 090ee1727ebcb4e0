"""Batches brought to where they are trained on, images while the batches before are trained on."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from calsweep.datasets.split import Part, Scaling, ShardedFrames
from calsweep.platform.fold.batch import Batch, Runs, draw, frames_of, share_of
from calsweep.platform.fold.training import Training

_DRAWN_AHEAD = 1


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

        Where frames lie in shards, the next of these are fetched, and the very next batch is drawn,
        while the caller works on one.
        """
        frames = self.part.frames
        if not isinstance(frames, ShardedFrames) or not batches:
            yield from map(self._draw, batches)
            return
        needs = _Needs(frames, self.part, batches, window_length=self.window_length)
        with ThreadPoolExecutor(1) as pool:
            waiting: deque[Future[list[Batch]]] = deque()
            try:
                for step in range(len(batches)):
                    needs.announce(step)
                    for later in batches[step + len(waiting) : step + 1 + _DRAWN_AHEAD]:
                        waiting.append(pool.submit(self._draw, later))
                    drawn = waiting.popleft().result()
                    needs.let_go(step)
                    yield drawn
            finally:
                pool.shutdown(cancel_futures=True)
                needs.let_go(len(batches))

    def _draw(self, runs: Runs) -> list[Batch]:
        # Pieces first, then shares: so all processes have as many, and each piece is that of one.
        size = math.ceil(len(runs) / self.training.accumulation)
        rank, world_size = self.shares.rank, self.shares.world_size
        return [
            draw(
                self.part,
                share_of(runs[first : first + size], rank=rank, world_size=world_size),
                scaling=self.scaling,
                run_length=self.training.run_length,
                window_length=self.window_length,
                device=self.device,
            )
            for first in range(0, len(runs), size)
        ]


class _Needs:
    """Which shards batches need, from which step to which."""

    def __init__(
        self, frames: ShardedFrames, part: Part, batches: Sequence[Runs], *, window_length: int
    ) -> None:
        self._frames = frames
        whole = Runs(
            first_R=np.concatenate([runs.first_R for runs in batches]),
            n_windows_R=np.concatenate([runs.n_windows_R for runs in batches]),
        )
        numbers = frames_of(part, whole, window_length=window_length)  # first ones, last ones
        shards = np.searchsorted(frames.shard_borders, numbers, side="right") - 1
        steps = np.tile(np.repeat(np.arange(len(batches)), [len(runs) for runs in batches]), 2)
        self._first_S = np.full(len(frames.shard_borders), len(batches))
        self._last_S = np.full(len(frames.shard_borders), -1)
        np.minimum.at(self._first_S, shards, steps)
        np.maximum.at(self._last_S, shards, steps)
        needed = np.unique(shards)
        self._next = deque(needed[np.argsort(self._first_S[needed], kind="stable")].tolist())
        self._done = deque(needed[np.argsort(self._last_S[needed], kind="stable")].tolist())
        self._ahead: deque[int] = deque()  # announced, and not needed yet

    def announce(self, step: int) -> None:
        """Have shards fetched that are needed by a step, and some that are needed next."""
        while self._ahead and self._first_S[self._ahead[0]] <= step:
            self._ahead.popleft()
        while self._next and len(self._ahead) < self._frames.n_ahead:
            shard = self._next.popleft()
            self._frames.prefetch(self._first_frame(shard))
            if self._first_S[shard] > step:
                self._ahead.append(shard)

    def let_go(self, step: int) -> None:
        """Give back shards that no batch needs after a step."""
        while self._done and self._last_S[self._done[0]] <= step:
            self._frames.let_go(self._first_frame(self._done.popleft()))

    def _first_frame(self, shard: int) -> NDArray[np.int64]:
        return self._frames.shard_borders[shard : shard + 1]
