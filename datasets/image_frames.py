"""The images of a dataset as one array of frames, whose shards are fetched as they are needed."""

from __future__ import annotations

import bisect
import contextlib
import math
import threading
from collections import OrderedDict
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calsweep.datasets.cache import Cache
from calsweep.datasets.image_cache import cached_images
from calsweep.datasets.manifest import ImageFormat, Manifest
from calsweep.datasets.store import Store

# T time, H height, W width, S shard

_OPEN_BYTES = 0.5e9
_AHEAD_BYTES = 224e6  # less, and readers wait whenever one shard is late


class ImageFrames:
    """Frames of all recordings, one recording after the other, read by their numbers.

    A shard is fetched when a frame of it is first asked for, or announced by `prefetch`. It lies in
    memory while it is needed; decoded, it is written to the machine's cache, which all processes
    share, and read from there the next time, as far as there is room.

    Parameters
    ----------
    manifest, store
        Of the dataset.
    cache
        Of this machine.
    n_readers
        Threads that fetch; what is read does not depend on it.

    Raises
    ------
    ValueError
        If the dataset has no images.
    """

    def __init__(
        self, manifest: Manifest, /, *, store: Store, cache: Cache, n_readers: int = 4
    ) -> None:
        self.format = images_of_dataset(manifest)
        self._manifest = manifest
        self._store = store
        self._cache = cache
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(n_readers, thread_name_prefix="images")
        # They take memory, so only some are, by when they were used.
        self._open: OrderedDict[int, Future[NDArray[np.generic]]] = OrderedDict()
        rows = [shard.n_rows for shard in manifest.image_shards]
        names = [entry.name for entry in manifest.recordings]
        self._n_open = max(4, int(_OPEN_BYTES / (max(rows) * self.format.n_bytes)))
        self.n_ahead = max(2, int(_AHEAD_BYTES / (max(rows) * self.format.n_bytes)))
        """Shards that may be announced before those in use are done with."""
        self.shard_borders = np.concatenate([[0], np.cumsum(rows)]).astype(np.int64)
        """First frame of each shard, and the number of frames."""
        self._borders: list[int] = self.shard_borders.tolist()
        self.shard_recordings = np.array(
            [names.index(shard.spans[0].recording) for shard in manifest.image_shards]
        )
        """Number of the recording that each shard begins with."""

    @property
    def shape(self) -> tuple[int, ...]:
        """``(time, height, width)``."""
        return int(self.shard_borders[-1]), self.format.height, self.format.width

    @property
    def ndim(self) -> int:
        """Three."""
        return 3

    @cached_property
    def dtype(self) -> np.dtype[Any]:
        """Of a pixel, as recorded."""
        return np.dtype(self.format.dtype)

    @property
    def nbytes(self) -> int:
        """Bytes of all frames."""
        return math.prod(self.shape) * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, frames: NDArray[np.int64] | slice, /) -> NDArray[np.generic]:
        """Read frames by number, in the shape of the numbers, or a stretch of them."""
        if isinstance(frames, slice):
            frames = np.arange(*frames.indices(len(self)))
        taken = np.empty((*frames.shape, *self.shape[1:]), dtype=self.dtype)
        self.read(frames.ravel(), into=taken.reshape(-1, *self.shape[1:]))
        return taken

    def read(self, frames: NDArray[np.int64], /, *, into: NDArray[Any]) -> None:
        """Read frames by number, each converted to the type of an array as it is put there.

        Parameters
        ----------
        frames
            Shape ``(frame,)``.
        into
            Shape ``(frame, height, width)``.
        """
        for here, images_RHW in self._stretches(frames):
            np.copyto(into[here], images_RHW, casting="unsafe")

    def prefetch(self, frames: NDArray[np.int64], /) -> None:
        """Begin to fetch the shards of frames that are needed soon."""
        for shard in np.unique(self.shards_with(frames.ravel())):
            self._shard(int(shard))

    def let_go(self, frames: NDArray[np.int64], /) -> None:
        """Give back what the shards of frames take that are not needed soon."""
        with self._lock:
            for shard in np.unique(self.shards_with(frames.ravel())):
                if images := self._open.pop(int(shard), None):
                    images.cancel()  # if it is not being fetched yet

    def close(self) -> None:
        """Wait until what was fetched is written; no more is fetched."""
        self._pool.shutdown(cancel_futures=True)
        self.let_go(np.arange(len(self)))

    def shards_with(self, frames: NDArray[np.int64], /) -> NDArray[np.int64]:
        """Give the shard of each frame."""
        shards: NDArray[np.int64] = np.searchsorted(self.shard_borders, frames, side="right") - 1
        return shards

    def _stretches(self, frames: NDArray[np.int64]) -> Iterator[tuple[slice, NDArray[np.generic]]]:
        """Give the images of each stretch of neighbors in a shard, and where it stands."""
        # Of the ten frames of a run, Python's own numbers are quicker than NumPy.
        numbers = frames.tolist()
        start = 0
        while start < len(numbers):
            first = numbers[start]
            shard = bisect.bisect_right(self._borders, first) - 1
            longest = min(len(numbers) - start, self._borders[shard + 1] - first)
            n = 1
            while n < longest and numbers[start + n] == first + n:
                n += 1
            row = first - self._borders[shard]
            yield slice(start, start + n), self._images(shard)[row : row + n]
            start += n

    def _images(self, shard: int) -> NDArray[np.generic]:
        while True:
            with contextlib.suppress(CancelledError):  # somebody else let it go
                return self._shard(shard).result()

    def _shard(self, shard: int) -> Future[NDArray[np.generic]]:
        with self._lock:  # one thread reads, another announces
            if shard in self._open:
                self._open.move_to_end(shard)
            else:
                while len(self._open) >= self._n_open:
                    self._open.popitem(last=False)
                self._open[shard] = Future()
                self._pool.submit(self._fetch, shard, self._open[shard])
            return self._open[shard]

    def _fetch(self, shard: int, images: Future[NDArray[np.generic]]) -> None:
        if not images.set_running_or_notify_cancel():
            return
        try:
            cached_images(
                self._manifest.image_shards[shard],
                store=self._store,
                images=self.format,
                cache=self._cache,
                hand_on=images.set_result,
            )
        except BaseException as error:  # noqa: BLE001 - who waits for them is told
            with self._lock:  # who asks again has it fetched again
                if self._open.get(shard) is images:
                    del self._open[shard]
            if not images.done():
                images.set_exception(error)


def images_of_dataset(manifest: Manifest, /) -> ImageFormat:
    """Give the format of a dataset's images.

    Raises
    ------
    ValueError
        If it has none.
    """
    if manifest.images is None:
        raise ValueError(
            "a decoder of images needs a dataset with images, but it has traces only: ingest its "
            "images, or decode traces (datasets=widefield)."
        )
    return manifest.images
