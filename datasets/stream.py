"""Windows of images in an order that the seed alone decides, read shard by shard ahead of need.

Recordings are read in a permuted order, several side by side, each from its first shard to its
last; windows are shuffled among the shards that are open at the same time. So each shard is fetched
once an epoch, and batches mix recordings, without more than a few shards in memory.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from calsweep.datasets.cache import Cache
from calsweep.datasets.image_cache import cached_images
from calsweep.datasets.manifest import Manifest
from calsweep.datasets.recording import trial_borders
from calsweep.datasets.store import Store

# W window, L frame of a window, C channel, F distinct frame of a batch, H height, X width, T time,
# S shard

N_CHANNELS = 3
"""The frame before, the frame, the frame after."""

_N_AT_ONCE = 8
_BATCHES_AHEAD = 2


@dataclass(frozen=True, kw_only=True)
class ImageBatch:
    """Windows that are trained on together.

    Attributes
    ----------
    windows_W
        Which windows of the stream these are.
    frames_FHX
        Every frame they need, once, shape ``(frame, height, width)``, pixels as recorded.
    index_WLC
        Shape ``(window, time, 3)``: which of these frames are the channels of each image.
    """

    windows_W: NDArray[np.int64]
    frames_FHX: NDArray[np.generic]
    index_WLC: NDArray[np.int64]

    def images(self) -> NDArray[np.float32]:
        """Give the windows as floats, shape ``(window, time, channel, height, width)``."""
        return float_images(self.frames_FHX, index=self.index_WLC)


def float_images(
    frames_FHX: NDArray[np.generic], /, *, index: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Take frames as floats, in the shape of an index.

    Examples
    --------
    >>> frames_FHX = np.array([[[1]], [[2]]], dtype=np.uint16)
    >>> float_images(frames_FHX, index=np.array([[1, 0], [1, 1]])).tolist()
    [[[[2.0]], [[1.0]]], [[[2.0]], [[2.0]]]]
    """
    taken = np.empty((index.size, *frames_FHX.shape[1:]), dtype=np.float32)
    # A few at a time: what is taken is turned into floats while the processor has it at hand.
    for first in range(0, index.size, _N_AT_ONCE):
        some = slice(first, first + _N_AT_ONCE)
        taken[some] = frames_FHX[index.ravel()[some]]
    return taken.reshape(*index.shape, *frames_FHX.shape[1:])


@dataclass(frozen=True, kw_only=True)
class ImageStream:
    """Windows over the images of a dataset.

    Attributes
    ----------
    manifest, store
        Of the dataset.
    cache
        Of this machine.
    trial_T
        Trial of each frame of the dataset: the frame before the first of a trial, and the frame
        after its last, are those themselves.
    starts_W
        First frame of each window, increasing, counted in the dataset.
    window_length
        Frames of a window.
    batch_size
        Windows of a batch; the last of an epoch may have fewer.
    seed
        Of the order.
    n_lanes
        Recordings that are read side by side.
    n_readers
        Threads that fetch; the batches do not depend on it.
    read_ahead
        Shards that are fetched before they are needed.

    Raises
    ------
    ValueError
        If there are no images, no windows, or a number is not positive.
    """

    manifest: Manifest
    store: Store
    cache: Cache
    trial_T: NDArray[np.int32]
    starts_W: NDArray[np.int64]
    window_length: int
    batch_size: int
    seed: int
    n_lanes: int = 4
    n_readers: int = 3
    read_ahead: int = 6

    def __post_init__(self) -> None:
        if self.manifest.images is None:
            raise ValueError("a stream of images needs a dataset with images, but it has none.")
        if not len(self.starts_W):
            raise ValueError("a stream needs at least one window, but got none.")
        for name in ("window_length", "batch_size", "n_lanes", "n_readers", "read_ahead"):
            if getattr(self, name) < 1:
                raise ValueError(f"`{name} >= 1` must hold, but got {name}={getattr(self, name)}.")

    @property
    def n_batches(self) -> int:
        """Batches of an epoch."""
        return -(-len(self.starts_W) // self.batch_size)

    def in_order(self) -> Iterator[ImageBatch]:
        """Give every window once, from the first to the last."""
        return self._batches(np.arange(len(self.starts_W)), first_batch=0)

    def epoch(self, number: int, /, *, first_batch: int = 0) -> Iterator[ImageBatch]:
        """Give every window once, in the order of an epoch.

        Parameters
        ----------
        number
            Of the epoch; another has another order.
        first_batch
            Where to go on; nothing is fetched for the batches before.
        """
        return self._batches(self.order(number), first_batch=first_batch)

    def order(self, number: int, /) -> NDArray[np.int64]:
        """Give the windows of an epoch in their order."""
        rng = np.random.default_rng([self.seed, number])
        windows_of = self._windows_of_shards
        lanes: list[list[int]] = [[] for _ in range(self.n_lanes)]
        recordings = self._shards_of_recordings
        for i in rng.permutation(len(recordings)):
            min(lanes, key=len).extend(recordings[i])  # to the lane that is free first
        shuffled = []
        for group in itertools.zip_longest(*lanes):
            open_together = [windows_of[shard] for shard in group if shard is not None]
            shuffled.append(rng.permutation(np.concatenate(open_together)))
        return np.concatenate(shuffled)

    @cached_property
    def _borders(self) -> NDArray[np.int64]:
        """First frame of each shard, and the number of frames."""
        rows = [shard.n_rows for shard in self.manifest.image_shards]
        return np.concatenate([[0], np.cumsum(rows)]).astype(np.int64)

    @cached_property
    def _trial_ends(self) -> NDArray[np.int64]:
        """First frame of each trial, and the number of frames; a recording begins a trial."""
        n_frames = np.cumsum([0, *(entry.n_frames for entry in self.manifest.recordings)])
        return np.union1d(trial_borders(self.trial_T), n_frames)

    @cached_property
    def _last_shards(self) -> NDArray[np.int64]:
        """Shard with the last frame that a window needs; the frames before lie in it or before."""
        return self._shard_with(self._reach(self.starts_W)[1])

    @cached_property
    def _windows_of_shards(self) -> dict[int, NDArray[np.int64]]:
        shards, first = np.unique(self._last_shards, return_index=True)
        parts = np.split(np.arange(len(self.starts_W)), first[1:])
        return dict(zip(shards.tolist(), parts, strict=True))

    @cached_property
    def _shards_of_recordings(self) -> list[tuple[int, ...]]:
        """Neighboring shards that have windows, one recording after the other."""
        ends = np.cumsum([entry.n_frames for entry in self.manifest.recordings])
        shards = list(self._windows_of_shards)
        first_frames = self.starts_W[[self._windows_of_shards[s][0] for s in shards]]
        recordings = np.searchsorted(ends, first_frames, side="right").tolist()
        grouped = itertools.groupby(zip(recordings, shards, strict=True), key=lambda pair: pair[0])
        return [tuple(shard for _, shard in group) for _, group in grouped]

    def _reach(self, starts_W: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Give the first and the last frame that windows need."""
        ends = self._trial_ends
        trial_W = np.searchsorted(ends, starts_W, side="right")
        first_W = np.maximum(starts_W - 1, ends[trial_W - 1])
        last_W = np.minimum(starts_W + self.window_length, ends[trial_W] - 1)
        return first_W, last_W

    def _needed(self, starts_W: NDArray[np.int64]) -> NDArray[np.int64]:
        """Give the frames that the channels of windows are made of, shape ``(W, L, C)``."""
        first_W, last_W = self._reach(starts_W)
        frames_WL = starts_W[:, None] + np.arange(self.window_length)
        frames_WLC = frames_WL[:, :, None] + np.arange(-1, N_CHANNELS - 1)
        needed_WLC: NDArray[np.int64] = np.clip(
            frames_WLC, first_W[:, None, None], last_W[:, None, None]
        )
        return needed_WLC

    def _shard_with(self, frames: NDArray[np.int64]) -> NDArray[np.int64]:
        shards: NDArray[np.int64] = np.searchsorted(self._borders, frames, side="right") - 1
        return shards

    def _batches(self, order_W: NDArray[np.int64], *, first_batch: int) -> Iterator[ImageBatch]:
        batches = [
            order_W[i : i + self.batch_size] for i in range(0, len(order_W), self.batch_size)
        ][first_batch:]
        shards = [self._shards_needed(windows_W) for windows_W in batches]
        # One thread puts the next batches together while the caller works on this one.
        with _Reader(self, shards) as reader, ThreadPoolExecutor(1) as ahead:
            pairs = zip(batches, shards, strict=True)
            waiting = deque(
                ahead.submit(self._batch, *pair, reader)
                for pair in itertools.islice(pairs, _BATCHES_AHEAD)
            )
            try:
                while waiting:
                    batch = waiting.popleft().result()
                    waiting.extend(
                        ahead.submit(self._batch, *pair, reader)
                        for pair in itertools.islice(pairs, 1)
                    )
                    yield batch
            finally:
                ahead.shutdown(cancel_futures=True)

    def _shards_needed(self, windows_W: NDArray[np.int64]) -> list[int]:
        first_W, last_W = map(self._shard_with, self._reach(self.starts_W[windows_W]))
        pairs = set(zip(first_W.tolist(), last_W.tolist(), strict=True))
        return sorted({shard for first, last in pairs for shard in range(first, last + 1)})

    def _batch(
        self, windows_W: NDArray[np.int64], shards: Sequence[int], reader: _Reader
    ) -> ImageBatch:
        needed_WLC = self._needed(self.starts_W[windows_W])
        frames_F, index = np.unique(needed_WLC, return_inverse=True)
        images = self.manifest.images
        assert images is not None  # noqa: S101 - checked when the stream was made
        frames_FHX = np.empty((len(frames_F), images.height, images.width), dtype=images.dtype)
        cuts = np.searchsorted(frames_F, self._borders)
        for shard, images_RHX in reader.open(shards).items():
            here = slice(cuts[shard], cuts[shard + 1])
            np.take(images_RHX, frames_F[here] - self._borders[shard], axis=0, out=frames_FHX[here])
        return ImageBatch(
            windows_W=windows_W,
            frames_FHX=frames_FHX,
            index_WLC=index.reshape(needed_WLC.shape),
        )


class _Reader:
    """Opens the shards that batches need, some of them ahead, and lets go of those done with."""

    def __init__(self, stream: ImageStream, shards: Sequence[Sequence[int]]) -> None:
        self._stream = stream
        self._last_use = {s: batch for batch, needed in enumerate(shards) for s in needed}
        self._to_fetch = iter(dict.fromkeys(s for needed in shards for s in needed))
        self._pool = ThreadPoolExecutor(stream.n_readers, thread_name_prefix="images")
        self._open: dict[int, Future[NDArray[np.generic]]] = {}
        self._batch = 0

    def __enter__(self) -> _Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def open(self, shards: Sequence[int]) -> dict[int, NDArray[np.generic]]:
        """Give the images of a batch's shards."""
        done = [s for s in self._open if self._last_use[s] < self._batch]
        for shard in done:
            del self._open[shard]
        self._batch += 1
        ahead = len([s for s in self._open if s not in shards])
        missing = len([s for s in shards if s not in self._open])
        n_new = missing + max(0, self._stream.read_ahead - ahead)
        for shard in itertools.islice(self._to_fetch, n_new):
            self._open[shard] = self._pool.submit(self._fetch, shard)
        return {shard: self._open[shard].result() for shard in shards}

    def _fetch(self, shard: int) -> NDArray[np.generic]:
        manifest = self._stream.manifest
        assert manifest.images is not None  # noqa: S101 - checked when the stream was made
        return cached_images(
            manifest.image_shards[shard],
            store=self._stream.store,
            images=manifest.images,
            cache=self._stream.cache,
        )
