"""NumPy's ``.npy`` files: written in order, or as they lie in memory; never mapped before."""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from calsweep.datasets.direct_write import BLOCK_BYTES, write_direct
from calsweep.datasets.lent_memory import LENDER

HEADER_BYTES = 128
"""What stands before the rows, at most, for shapes of a few numbers."""


class NpyRows:
    """Appends rows to an open file."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def append(self, rows: NDArray[np.generic], /) -> None:
        """Write rows as they lie in memory."""
        # `tofile` goes through C's buffers, ten times as slow for megabytes.
        self._file.write(np.ascontiguousarray(rows).reshape(-1).view(np.uint8).data)


@contextlib.contextmanager
def npy_file(path: Path, /, *, shape: tuple[int, ...], dtype: str) -> Iterator[NpyRows]:
    """Open a new ``.npy`` file to append rows to.

    Rows are written, not mapped, so that they do not count as memory of the process.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with npy_file(Path(folder) / "a.npy", shape=(2, 1), dtype="int32") as rows:
    ...         rows.append(np.array([[3], [4]], dtype=np.int32))
    ...     np.load(Path(folder) / "a.npy").tolist()
    [[3], [4]]
    """
    with path.open("wb") as file:
        file.write(_header(shape, dtype=dtype))
        yield NpyRows(file)


class NpyMemory:
    """A ``.npy`` file in memory that is lent: its array can be used before it is written.

    Examples
    --------
    >>> import tempfile
    >>> memory, again = (NpyMemory((2, 1), dtype="int32") for _ in range(2))
    >>> memory.array[:] = [[3], [4]]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     memory.write(Path(folder) / "a.npy")
    ...     again.read(Path(folder) / "a.npy")
    ...     np.load(Path(folder) / "a.npy").tolist() == again.array.tolist()
    True
    """

    def __init__(self, shape: tuple[int, ...], /, *, dtype: str) -> None:
        self._header = _header(shape, dtype=dtype)
        kind = np.dtype(dtype)
        self._n_bytes = len(self._header) + math.prod(shape) * kind.itemsize
        self._memory = LENDER.bytes(-(-self._n_bytes // BLOCK_BYTES) * BLOCK_BYTES)
        self._memory[: len(self._header)] = np.frombuffer(self._header, dtype=np.uint8)
        values = self._memory[len(self._header) : self._n_bytes]
        self.array: NDArray[np.generic] = values.view(kind).reshape(shape)
        """Of the shape and type that were asked for, of any values at first."""

    def write(self, path: Path, /) -> None:
        """Write the file.

        Raises
        ------
        OSError
            If the disk is full, or refuses.
        """
        write_direct(path, self._memory, n_bytes=self._n_bytes)

    def read(self, path: Path, /) -> None:
        """Take the values of a file of the same shape and type.

        Raises
        ------
        ValueError
            If it is another.
        """
        data = self._memory[: self._n_bytes].data
        with path.open("rb", buffering=0) as file:
            n = 0
            while n < len(data) and (more := file.readinto(data[n:])):
                n += more
            if n < len(data) or file.read(1) or data[: len(self._header)] != self._header:
                raise ValueError(
                    f"{path} is not a .npy file of the shape and type it should have: remove it, "
                    "and it is made again."
                )


def _header(shape: tuple[int, ...], *, dtype: str) -> bytes:
    header = {
        "descr": np.lib.format.dtype_to_descr(np.dtype(dtype)),
        "fortran_order": False,
        "shape": shape,
    }
    file = io.BytesIO()
    np.lib.format.write_array_header_2_0(file, header)
    return file.getvalue()
