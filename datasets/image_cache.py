"""Decoded images of shards, kept on this machine's disk as far as there is room."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calsweep.datasets.cache import Cache, NoRoom
from calsweep.datasets.direct_write import write_direct
from calsweep.datasets.lent_memory import with_last_page
from calsweep.datasets.manifest import ImageFormat, ShardEntry
from calsweep.datasets.npy_file import HEADER_BYTES, NpyMemory
from calsweep.datasets.shard import (
    DamagedShard,
    images_of,
    map_images,
    read_images,
    read_whole,
)
from calsweep.datasets.store import FolderStore, Store

# R row of a shard, H height, W width

Taker = Callable[[NDArray[np.generic]], object]


def cached_images(
    entry: ShardEntry,
    /,
    *,
    store: Store,
    images: ImageFormat,
    cache: Cache,
    hand_on: Taker | None = None,
) -> NDArray[np.generic]:
    """Give the images of a shard in memory that is lent: from the cache, or fetched.

    What is fetched goes to the cache. Where the disk is full, or nothing can make room, nothing is
    lost, and it is fetched again the next time. A shard of this disk whose images are not
    compressed is as good as what would be kept of it: it is verified and used where it lies.

    Parameters
    ----------
    entry
        What the manifest says of the shard.
    store
        Where it lies.
    images
        What all images have in common.
    cache
        Of this machine. A shard is fetched by one process while the others that want it wait.
    hand_on
        Called once with what is returned, as soon as it is there: before it is written.

    Returns
    -------
    images_RHW
        Shape ``(row, height, width)``, read only.

    Raises
    ------
    DamagedShard
        If the shard is missing or was changed.
    LockTimeout
        If another process does not end fetching it.
    """
    handed: list[NDArray[np.generic]] = []

    def hand(images_RHW: NDArray[np.generic]) -> None:
        images_RHW.flags.writeable = False
        handed.append(images_RHW)
        if hand_on is not None:
            hand_on(images_RHW)

    if isinstance(store, FolderStore) and _is_as_near(entry, store=store, cache=cache):
        hand(map_images(entry, store.folder / entry.file, images=images))
        return handed[0]
    kind = _Decoded if entry.images_at is None else _AsTheyAre
    kept = kind(entry, store=store, images=images)

    def build(path: Path) -> None:
        hand(kept.fetch())
        kept.write(path)

    try:
        with cache.entry(kept.name, n_bytes=kept.n_bytes, build=build) as place:
            if not handed:
                hand(_kept_or_fetched(kept, place))
    except NoRoom as error:
        if not handed:
            hand(kept.fetch())
        warnings.warn(
            f"{error} Until then images are fetched each time they are needed.",
            RuntimeWarning,
            stacklevel=2,
        )
    except OSError as error:
        if not handed:
            raise
        warnings.warn(f"Images cannot be kept: {error}.", RuntimeWarning, stacklevel=2)
    return handed[0]


class _Decoded:
    """Images of a shard that is compressed, kept as a ``.npy`` file."""

    def __init__(self, entry: ShardEntry, /, *, store: Store, images: ImageFormat) -> None:
        self._entry, self._store, self._images = entry, store, images
        self._memory = NpyMemory((entry.n_rows, images.height, images.width), dtype=images.dtype)
        self.name = f"images/{entry.sha256}.npy"
        self.n_bytes = entry.n_rows * images.n_bytes + HEADER_BYTES

    def fetch(self) -> NDArray[np.generic]:
        """Give them from the store."""
        into = self._memory.array
        return read_images(self._entry, store=self._store, images=self._images, into=into)

    def write(self, path: Path, /) -> None:
        """Write what was fetched."""
        self._memory.write(path)

    def read(self, path: Path, /) -> NDArray[np.generic]:
        """Give them from what was written.

        They are read, not mapped: pages of a map come one by one as they are looked at.
        """
        self._memory.read(path)
        return self._memory.array


class _AsTheyAre:
    """Images of a shard that is not compressed: the shard itself is kept, and verified again."""

    def __init__(self, entry: ShardEntry, /, *, store: Store, images: ImageFormat) -> None:
        self._entry, self._store, self._images = entry, store, images
        self._data: bytes | memoryview = b""
        self.name = f"images/{entry.sha256}.parquet"
        self.n_bytes = entry.n_bytes

    def fetch(self) -> NDArray[np.generic]:
        """Give them from the store."""
        self._data = read_whole(self._entry, store=self._store)
        return images_of(self._data, self._entry, images=self._images)

    def write(self, path: Path, /) -> None:
        """Write what was fetched."""
        memory = with_last_page(memoryview(self._data))
        if memory is None:
            path.write_bytes(self._data)
        else:
            write_direct(path, memory, n_bytes=len(self._data))

    def read(self, path: Path, /) -> NDArray[np.generic]:
        """Give them from what was written."""
        return map_images(self._entry, path, images=self._images)


def _kept_or_fetched(kept: _Decoded | _AsTheyAre, place: Path) -> NDArray[np.generic]:
    """Give images from the cache; a copy that was damaged there goes, and is fetched anew."""
    try:
        return kept.read(place)
    except DamagedShard:
        place.unlink(missing_ok=True)
        return kept.fetch()


def _is_as_near(entry: ShardEntry, *, store: FolderStore, cache: Cache) -> bool:
    """Say whether a shard can be read as fast as what would be kept of it."""
    if entry.images_at is None:
        return False
    cache.folder.mkdir(parents=True, exist_ok=True)
    return store.folder.stat().st_dev == cache.folder.stat().st_dev
