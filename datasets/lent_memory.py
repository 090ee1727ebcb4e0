"""Memory for large arrays that is used again: a page costs most when it is touched first."""

from __future__ import annotations

import contextlib
import math
import mmap
import weakref
from collections import defaultdict
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

KEPT_BYTES = 256 * 2**20


class Lender:
    """Lends memory, and lends it again once nothing looks at it any more.

    Parameters
    ----------
    kept_bytes
        Of memory that nobody has; what comes back beyond it goes to the system.

    Examples
    --------
    >>> lender = Lender()
    >>> first = lender.array((2, 3), dtype="uint8")
    >>> place, view = first.ctypes.data, first[1:]
    >>> del first
    >>> lender.array((2, 3), dtype="uint8").ctypes.data == place  # `view` still looks at it
    False
    >>> del view
    >>> lender.array((2, 3), dtype="uint8").ctypes.data == place
    True
    """

    def __init__(self, *, kept_bytes: int = KEPT_BYTES) -> None:
        self._kept_bytes = kept_bytes
        # Memory may come back at any moment, also while some is lent: no lock, but steps that
        # no other thread can come between.
        self._free: defaultdict[int, list[mmap.mmap]] = defaultdict(list)

    def array(self, shape: tuple[int, ...], /, *, dtype: DTypeLike) -> NDArray[Any]:
        """Lend an array, in C order, of any values."""
        kind = np.dtype(dtype)
        n_bytes = math.prod(shape) * kind.itemsize
        return self.bytes(n_bytes).view(kind).reshape(shape)

    def bytes(self, n_bytes: int, /) -> NDArray[np.uint8]:
        """Lend bytes of any values; they begin with a page."""
        # Few sizes, so that memory fits again; what is not touched of it takes none.
        size = max(mmap.PAGESIZE, 1 << max(0, n_bytes - 1).bit_length())
        try:
            memory = self._free[size].pop()
        except IndexError:
            memory = _new(size)
        lent = np.frombuffer(memory, dtype=np.uint8, count=n_bytes)
        # Every view of it keeps it, as it is not itself a view of an array.
        back = weakref.finalize(lent, self._take_back, memory)
        back.atexit = False
        return lent

    def _take_back(self, memory: mmap.mmap) -> None:
        n_free = sum(size * len(kept) for size, kept in tuple(self._free.items()))
        if n_free + len(memory) <= self._kept_bytes:
            self._free[len(memory)].append(memory)


def with_last_page(lent: memoryview, /) -> NDArray[np.uint8] | None:
    """Give lent bytes to the end of their last page, as a disk takes them.

    Returns
    -------
    memory
        ``None`` if the bytes are not lent from their first one on.

    Examples
    --------
    >>> len(with_last_page(Lender().bytes(5000).data)) % mmap.PAGESIZE
    0
    >>> with_last_page(memoryview(b"mine")) is None
    True
    """
    owner = getattr(getattr(lent.obj, "base", None), "obj", None)
    if not isinstance(owner, mmap.mmap):
        return None
    n_bytes = -(-len(lent) // mmap.PAGESIZE) * mmap.PAGESIZE
    whole = np.frombuffer(owner, dtype=np.uint8, count=n_bytes)
    is_from_first = whole.ctypes.data == np.frombuffer(lent, dtype=np.uint8).ctypes.data
    return whole if is_from_first else None


def _new(size: int) -> mmap.mmap:
    # Shared memory, which Python maps unless told, has no huge pages, and touching it costs more.
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with contextlib.suppress(AttributeError, OSError):  # not every system has huge pages
        memory.madvise(mmap.MADV_HUGEPAGE)
    return memory


LENDER = Lender()
"""Of this process."""
