"""Decoded images of shards, kept on this machine's disk as far as there is room."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calsweep.datasets.cache import Cache, NoRoom
from calsweep.datasets.manifest import ImageFormat, ShardEntry
from calsweep.datasets.npy_file import HEADER_BYTES, npy_file
from calsweep.datasets.shard import images_of, read_shard
from calsweep.datasets.store import Store

# R row of a shard, H height, W width


def cached_images(
    entry: ShardEntry, /, *, store: Store, images: ImageFormat, cache: Cache
) -> NDArray[np.generic]:
    """Give the images of a shard, mapped from the cache where there is room.

    Where the disk is full, or nothing can make room, they are held in memory: nothing is lost, and
    they are fetched again the next time.

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

    Returns
    -------
    images_RHW
        Shape ``(row, height, width)``, read only; it stays valid if it has to make room.

    Raises
    ------
    DamagedShard
        If the shard is missing or was changed.
    LockTimeout
        If another process does not end fetching it.
    """
    fetched: list[NDArray[np.generic]] = []

    def build(path: Path) -> None:
        fetched.append(images_of(read_shard(entry, store=store), images=images))
        with npy_file(path, shape=fetched[0].shape, dtype=images.dtype) as rows:
            rows.append(fetched[0])

    n_bytes = entry.n_rows * images.n_bytes + HEADER_BYTES
    try:
        with cache.entry(f"images/{entry.sha256}.npy", n_bytes=n_bytes, build=build) as place:
            images_RHW: NDArray[np.generic] = np.load(place, mmap_mode="r")
    except NoRoom as error:
        warnings.warn(
            f"{error} Until then images are fetched each time they are needed.",
            RuntimeWarning,
            stacklevel=2,
        )
        return fetched[0] if fetched else images_of(read_shard(entry, store=store), images=images)
    return images_RHW
