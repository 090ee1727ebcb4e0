"""Where the files of a dataset lie, as its readers see it."""

from __future__ import annotations

import contextlib
import mmap
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from calsweep.datasets.lent_memory import LENDER


class Store(Protocol):
    """A place that gives whole files by name.

    A store that reaches over a network answers, or raises, within a limit of its own.
    """

    @property
    def address(self) -> str:
        """The place as a person writes it."""
        ...

    def read(self, name: str, /) -> bytes | memoryview:
        """Give a file's bytes, in memory that is lent where they are many.

        Raises
        ------
        FileNotFoundError
            If there is none of this name.
        """
        ...


@dataclass(frozen=True)
class FolderStore:
    """Files of a folder on disk.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "a.txt").write_bytes(b"whole")
    ...     bytes(FolderStore(Path(folder)).read("a.txt"))
    b'whole'
    """

    folder: Path

    @property
    def address(self) -> str:
        """The folder's path."""
        return str(self.folder)

    def read(self, name: str, /) -> memoryview:
        """Give a file's bytes.

        Raises
        ------
        FileNotFoundError
            If there is none of this name.
        """
        try:
            with (self.folder / name).open("rb", buffering=0) as file:
                data = LENDER.bytes(os.fstat(file.fileno()).st_size).data
                n = 0
                while n < len(data) and (more := file.readinto(data[n:])):
                    n += more
                return data[:n]
        except NotADirectoryError as error:
            raise FileNotFoundError(f"There is no file {self.folder / name}.") from error

    def map(self, name: str, /) -> memoryview:
        """Give a file's bytes where the system has them, without a copy; read only.

        Raises
        ------
        FileNotFoundError
            If there is none of this name.
        """
        with (self.folder / name).open("rb", buffering=0) as file:
            if not os.fstat(file.fileno()).st_size:
                return memoryview(b"")  # nothing cannot be mapped
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        with contextlib.suppress(OSError):  # an older kernel maps page by page as they are read
            mapped.madvise(_POPULATE_READ)
        return memoryview(mapped)


_POPULATE_READ = 22  # of Linux, which Python has no name for

_: type[Store] = FolderStore
