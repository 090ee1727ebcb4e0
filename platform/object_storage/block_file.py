"""A file far away, read in blocks: as much of it as is asked for, and little more."""

from __future__ import annotations

import io
import os
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

BLOCK_BYTES = 256 * 2**10
MAX_BLOCKS_AT_ONCE = 32
MAX_BLOCKS_KEPT = 256


class BlockFile(io.RawIOBase):
    """A file to read and seek in, of which ranges are fetched when they are needed.

    Formats as HDF5 read many small pieces: they come out of blocks that were fetched before. Where
    reading goes on from block to block, twice as many are fetched each time, so that a long stretch
    takes few requests; never more is fetched ahead than was read of the stretch already.

    Parameters
    ----------
    read_range
        Given the first byte and that after the last, gives the bytes between.
    n_bytes
        Size of the file.
    version
        What tells these bytes from others under the same name.
    block_bytes
        Size of a block; `MAX_BLOCKS_KEPT` stay in memory, those used last.

    Examples
    --------
    >>> text, asked = b"calcium imaging", []
    >>> def read_range(start: int, stop: int) -> bytes:
    ...     asked.append((start, stop))
    ...     return text[start:stop]
    >>> file = BlockFile(read_range, n_bytes=15, version="1", block_bytes=4)
    >>> file.seek(9), file.read(2), file.read(1), asked
    (9, b'ma', b'g', [(8, 12)])
    """

    def __init__(
        self,
        read_range: Callable[[int, int], bytes],
        /,
        *,
        n_bytes: int,
        version: str,
        block_bytes: int = BLOCK_BYTES,
    ) -> None:
        super().__init__()
        self.version = version
        self._read_range = read_range
        self._n_bytes = n_bytes
        self._block_bytes = block_bytes
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self._at = 0
        self._next = -1
        self._ahead = 1

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def seekable(self) -> bool:
        """Say that it can be sought in."""
        return True

    def tell(self) -> int:
        """Give the place that is read next."""
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Go to a place, counted as `os.SEEK_SET` and its kin have it."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._n_bytes}[whence]
        if base + offset < 0:
            raise ValueError(f"a place in a file must not be negative, but got {base + offset}.")
        self._at = base + offset
        return self._at

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Fill a buffer, or as much of it as there is left in the file."""
        view = memoryview(buffer).cast("B")
        first, stop = self._at, min(self._at + len(view), self._n_bytes)
        while self._at < stop:
            number, offset = divmod(self._at, self._block_bytes)
            block = self._block(number, n_wanted=-(-stop // self._block_bytes) - number)
            piece = block[offset : offset + stop - self._at]
            view[self._at - first : self._at - first + len(piece)] = piece
            self._at += len(piece)
        return max(self._at - first, 0)

    def _block(self, number: int, *, n_wanted: int) -> bytes:
        if number not in self._blocks:
            self._fetch(number, n_wanted=n_wanted)
        self._blocks.move_to_end(number)
        return self._blocks[number]

    def _fetch(self, number: int, *, n_wanted: int) -> None:
        self._ahead = min(2 * self._ahead, MAX_BLOCKS_AT_ONCE) if number == self._next else 1
        n_blocks = min(max(n_wanted, self._ahead), MAX_BLOCKS_AT_ONCE)
        size = self._block_bytes
        data = self._read_range(number * size, min((number + n_blocks) * size, self._n_bytes))
        for i in range(-(-len(data) // size)):
            self._blocks[number + i] = data[i * size : (i + 1) * size]
        self._next = number + n_blocks
        while len(self._blocks) > MAX_BLOCKS_KEPT:
            self._blocks.popitem(last=False)
