"""Decoded images of shards, kept on this machine's disk as far as there is room."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calsweep.datasets.cache import Cache, NoRoom
from calsweep.datasets.manifest import ImageFormat, ShardEntry
from calsweep.datasets.npy_file import HEADER_BYTES, NpyMemory
from calsweep.datasets.shard import map_images, read_images
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
        hand(map_images(entry, store=store, images=images))
        return handed[0]
    memory = NpyMemory((entry.n_rows, images.height, images.width), dtype=images.dtype)

    def fetch() -> None:
        hand(read_images(entry, store=store, images=images, into=memory.array))

    def build(path: Path) -> None:
        fetch()
        memory.write(path)

    n_bytes = entry.n_rows * images.n_bytes + HEADER_BYTES
    try:
        with cache.entry(f"images/{entry.sha256}.npy", n_bytes=n_bytes, build=build) as place:
            if not handed:
                memory.read(place)
                hand(memory.array)
    except NoRoom as error:
        if not handed:
            fetch()
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


def _is_as_near(entry: ShardEntry, *, store: FolderStore, cache: Cache) -> bool:
    """Say whether a shard can be read as fast as what would be kept of it."""
    if entry.images_at is None:
        return False
    cache.folder.mkdir(parents=True, exist_ok=True)
    return store.folder.stat().st_dev == cache.folder.stat().st_dev
