"""NumPy's ``.npy`` files, written in order and never mapped while they are."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

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
    header = {
        "descr": np.lib.format.dtype_to_descr(np.dtype(dtype)),
        "fortran_order": False,
        "shape": shape,
    }
    with path.open("wb") as file:
        np.lib.format.write_array_header_2_0(file, header)
        yield NpyRows(file)
