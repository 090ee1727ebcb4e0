"""Files written from memory to disk without a copy in the page cache."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

BLOCK_BYTES = 4096
"""Memory to write begins with a page, and its length is a multiple of this."""

_DIRECT = getattr(os, "O_DIRECT", 0)  # Linux has it
_SLOW_BYTES_PER_S = 5e7
_JUDGED_AFTER_S = 2.0


class _Device:
    """How fast a disk has been so far."""

    def __init__(self) -> None:
        self.n_bytes = 0
        self.seconds = 0.0

    @property
    def is_slow(self) -> bool:
        return self.seconds > _JUDGED_AFTER_S and self.n_bytes < _SLOW_BYTES_PER_S * self.seconds


_devices: defaultdict[int, _Device] = defaultdict(_Device)


def write_direct(path: Path, memory: NDArray[np.uint8], /, *, n_bytes: int) -> None:
    """Write a new file; on disks that take it, past the page cache.

    Pages for the copy cost more than all else where memory is scarce, or is the guest's of a host
    that gives it bit by bit. A disk that turns out to be slow is written to by way of them.

    Parameters
    ----------
    path
        Of the file.
    memory
        Begins with a page, and has a multiple of `BLOCK_BYTES`.
    n_bytes
        Length of the file, not more than `memory` has.

    Raises
    ------
    OSError
        If the disk is full, or refuses.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    try:
        device = _devices[os.fstat(descriptor).st_dev]
        if device.is_slow:
            _write(descriptor, memory)
        else:
            _set_direct(descriptor, True)
            begun = time.monotonic()
            _write(descriptor, memory)
            device.seconds += time.monotonic() - begun
            device.n_bytes += len(memory)
        os.ftruncate(descriptor, n_bytes)
    finally:
        os.close(descriptor)


def _write(descriptor: int, memory: NDArray[np.uint8]) -> None:
    done = 0
    while done < len(memory):
        try:
            done += os.write(descriptor, memory[done:].data)
        except OSError as error:
            if error.errno != errno.EINVAL or not _is_direct(descriptor):
                raise
            _set_direct(descriptor, False)  # the file system does not do it, or not from here


def _is_direct(descriptor: int) -> bool:
    return bool(fcntl.fcntl(descriptor, fcntl.F_GETFL) & _DIRECT)


def _set_direct(descriptor: int, direct: bool) -> None:
    flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
    flags = flags | _DIRECT if direct else flags & ~_DIRECT
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETFL, flags)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
