"""Decoded images of shards on this machine's disk: shared by its processes, up to a size."""

from __future__ import annotations

import errno
import os
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calsweep.datasets.cache import beside, file_lock
from calsweep.datasets.manifest import ImageFormat, ShardEntry
from calsweep.datasets.shard import images_of, read_shard
from calsweep.datasets.store import Store

# R row of a shard, H height, W width

LIMIT_MB = 20_000.0
_DISK_FULL = {errno.ENOSPC, errno.EDQUOT}


class ImageCache:
    """Images by the content of their shard; those unused for longest make room for new ones.

    A shard is fetched by one process while the others that want it wait. Where the disk is full, or
    a shard is larger than the limit, its images are held in memory and nothing is lost.

    Parameters
    ----------
    folder
        Of this machine; is made.
    limit_mb
        Megabytes of decoded images on disk.

    Raises
    ------
    ValueError
        If the limit is not positive.
    """

    def __init__(self, folder: Path, /, *, limit_mb: float = LIMIT_MB) -> None:
        if not limit_mb > 0:
            raise ValueError(f"`limit_mb > 0` must hold, but got {limit_mb=}.")
        self._folder = folder
        self._limit_bytes = int(limit_mb * 1e6)

    def images(
        self, entry: ShardEntry, /, *, store: Store, images: ImageFormat
    ) -> NDArray[np.generic]:
        """Give the images of a shard, mapped from disk where there is room.

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
        place = self._folder / f"{entry.sha256}.npy"
        there = _mapped(place)
        if there is not None:
            return there
        with file_lock(self._folder / "locks" / entry.sha256):
            there = _mapped(place)
            if there is not None:
                return there
            images_RHW = images_of(read_shard(entry, store=store), images=images)
            self._keep(place, images_RHW)
        there = _mapped(place)
        return images_RHW if there is None else there

    def _keep(self, place: Path, images_RHW: NDArray[np.generic]) -> None:
        """Write images, if they find room."""
        if images_RHW.nbytes > self._limit_bytes:
            return
        try:
            # One writer at a time, so that what is written is never more than the limit.
            with file_lock(self._folder / "locks" / "room"):
                self._make_room(images_RHW.nbytes)
                with beside(place) as partial, partial.open("wb") as file:
                    np.save(file, images_RHW)
        except OSError as error:
            if error.errno not in _DISK_FULL:
                raise
            warnings.warn(
                f"No room is left in {self._folder}: images are fetched again each time they are "
                "needed. Free some, or name another disk's folder in CALSWEEP_CACHE.",
                RuntimeWarning,
                stacklevel=2,
            )

    def _make_room(self, n_bytes: int) -> None:
        files = [(file.stat(), file) for file in self._folder.glob("*.npy")]
        used = sum(stat.st_size for stat, _ in files)
        for stat, file in sorted(files, key=lambda item: item[0].st_mtime_ns):
            if used + n_bytes <= self._limit_bytes:
                return
            file.unlink(missing_ok=True)  # who has mapped it keeps it
            used -= stat.st_size


def _mapped(place: Path) -> NDArray[np.generic] | None:
    """Map images that are there and note that they were used."""
    try:
        images_RHW: NDArray[np.generic] = np.load(place, mmap_mode="r")
        os.utime(place)
    except FileNotFoundError:  # never there, or just gone to make room
        return None
    return images_RHW
