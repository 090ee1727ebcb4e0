"""Memory of a server that reads much now and then, and should not keep what it read it with."""

from __future__ import annotations

import contextlib
import ctypes

_M_ARENA_MAX = -8  # glibc's number of the setting
_ARENAS = 2


def give_back_memory() -> None:
    """Let the memory of reading go back to the system when the reading is over.

    Every thread of the server has an arena of malloc's own otherwise, and Arrow's pool keeps what
    decoding a dataset took: a fifth of the server's memory.
    """
    import pyarrow as pa

    pa.set_memory_pool(pa.system_memory_pool())
    with contextlib.suppress(OSError, AttributeError):  # another C library does without
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, _ARENAS)
