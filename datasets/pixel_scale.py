"""Images brought to one scale: the mean image subtracted, divided by the spread of all pixels."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, reduce
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calsweep.datasets.cache import Cache
from calsweep.datasets.image_frames import ImageFrames
from calsweep.datasets.npy_file import HEADER_BYTES, npy_file
from calsweep.datasets.split import Scaling

# T time, H height, W width

_FRAMES_AT_ONCE = 512


@dataclass(frozen=True, kw_only=True)
class Moments:
    """What is needed of images to scale them.

    Attributes
    ----------
    n_frames
        How many.
    sum_HW
        Sum of each pixel.
    squares
        Sum of all squares.

    Examples
    --------
    >>> one = Moments(n_frames=2, sum_HW=np.array([[2.0, 4.0]]), squares=12.0)
    >>> (one + one).scaling().offset_N.tolist()
    [[1.0, 2.0]]
    """

    n_frames: int
    sum_HW: NDArray[np.float64]
    squares: float

    def __add__(self, other: Moments) -> Moments:
        return Moments(
            n_frames=self.n_frames + other.n_frames,
            sum_HW=self.sum_HW + other.sum_HW,
            squares=self.squares + other.squares,
        )

    def scaling(self) -> Scaling:
        """Give the map to mean image 0 and spread 1 of all pixels; without spread all is 0."""
        mean_HW = self.sum_HW / self.n_frames
        variance = self.squares / (self.n_frames * mean_HW.size) - float(np.mean(mean_HW**2))
        scale = 1 / math.sqrt(variance) if variance > 0 else 0.0
        return Scaling(
            offset_N=mean_HW.astype(np.float32),
            scale_N=np.full(mean_HW.shape, scale, dtype=np.float32),
        )


def moments(
    frames: ImageFrames, stretches: Iterable[slice], /, *, content_hash: str, cache: Cache
) -> Moments:
    """Sum up the images of stretches; each stretch is read once on a machine.

    Parameters
    ----------
    frames
        Of the dataset.
    stretches
        At least one.
    content_hash
        Of the dataset, under which sums are kept.
    cache
        Of this machine.
    """
    parts = [_kept(frames, stretch, content_hash, cache) for stretch in stretches]
    return reduce(Moments.__add__, parts)


@dataclass(frozen=True, kw_only=True)
class ScaledFrames:
    """Frames of a dataset, each scaled as its recording is.

    Attributes
    ----------
    frames
        As recorded.
    scalings
        Stretch of a recording to its scaling; all frames lie in one.
    """

    frames: ImageFrames
    scalings: Mapping[tuple[int, int], Scaling]

    @property
    def shape(self) -> tuple[int, ...]:
        """``(time, height, width)``."""
        return self.frames.shape

    @property
    def ndim(self) -> int:
        """Three."""
        return 3

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of what is read."""
        return np.dtype(np.float32)

    @property
    def shard_borders(self) -> NDArray[np.int64]:
        """First frame of each shard, and the number of frames."""
        return self.frames.shard_borders

    @property
    def shard_recordings(self) -> NDArray[np.int64]:
        """Number of the recording that each shard begins with."""
        return self.frames.shard_recordings

    @property
    def n_ahead(self) -> int:
        """Shards that may be announced before those in use are done with."""
        return self.frames.n_ahead

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, frames: NDArray[np.int64] | slice, /) -> NDArray[np.float32]:
        """Read frames by number, in the shape of the numbers, or a stretch of them."""
        if isinstance(frames, slice):
            frames = np.arange(*frames.indices(len(self)))
        taken = np.empty((*frames.shape, *self.shape[1:]), dtype=np.float32)
        self.read(frames.ravel(), into=taken.reshape(-1, *self.shape[1:]))
        return taken

    def read(self, frames: NDArray[np.int64], /, *, into: NDArray[np.float32]) -> None:
        """Read frames by number, each scaled as it is put into an array.

        Parameters
        ----------
        frames
            Shape ``(frame,)``.
        into
            Shape ``(frame, height, width)``.
        """
        self.frames.read(frames, into=into)
        starts, scalings = self._in_order
        stretch_of = np.searchsorted(starts, frames, side="right") - 1
        stretches = np.unique(stretch_of)
        for stretch in stretches:
            here = slice(None) if len(stretches) == 1 else np.flatnonzero(stretch_of == stretch)
            into[here] -= scalings[stretch].offset_N
            into[here] *= scalings[stretch].scale_N

    def prefetch(self, frames: NDArray[np.int64], /) -> None:
        """Begin to fetch the shards of frames that are needed soon."""
        self.frames.prefetch(frames)

    def let_go(self, frames: NDArray[np.int64], /) -> None:
        """Give back what the shards of frames take that are not needed soon."""
        self.frames.let_go(frames)

    @cached_property
    def _in_order(self) -> tuple[NDArray[np.int64], tuple[Scaling, ...]]:
        """Give the first frame and the scaling of each stretch."""
        starts = sorted(self.scalings)
        scalings = tuple(self.scalings[start] for start in starts)
        return np.array([start for start, _ in starts], dtype=np.int64), scalings


def _kept(frames: ImageFrames, stretch: slice, content_hash: str, cache: Cache) -> Moments:
    name = hashlib.sha256(f"{content_hash} {stretch.start} {stretch.stop}".encode()).hexdigest()
    shape = frames.shape[1:]

    def build(path: Path) -> None:
        found = _sum(frames, stretch)
        with npy_file(path, shape=(found.sum_HW.size + 1,), dtype="float64") as rows:
            rows.append(found.sum_HW.ravel())
            rows.append(np.array([found.squares]))

    n_bytes = 8 * (math.prod(shape) + 1) + HEADER_BYTES
    with cache.entry(f"moments/{name}.npy", n_bytes=n_bytes, build=build) as place:
        values = np.load(place)
    return Moments(
        n_frames=stretch.stop - stretch.start,
        sum_HW=values[:-1].reshape(shape),
        squares=float(values[-1]),
    )


def _sum(frames: ImageFrames, stretch: slice) -> Moments:
    sum_HW, squares = np.zeros(frames.shape[1:]), 0.0
    for start in range(stretch.start, stretch.stop, _FRAMES_AT_ONCE):
        some = frames[start : min(start + _FRAMES_AT_ONCE, stretch.stop)].astype(np.float64)
        sum_HW += some.sum(axis=0)
        squares += float(np.einsum("thw,thw->", some, some))
    return Moments(n_frames=stretch.stop - stretch.start, sum_HW=sum_HW, squares=squares)
