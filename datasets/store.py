"""Where the files of a dataset lie, as its readers see it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


class Store(Protocol):
    """A place that gives whole files by name.

    A store that reaches over a network answers, or raises, within a limit of its own.
    """

    @property
    def address(self) -> str:
        """The place as a person writes it."""
        ...

    def read(self, name: str, /) -> bytes:
        """Give a file's bytes.

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
    ...     FolderStore(Path(folder)).read("a.txt")
    b'whole'
    """

    folder: Path

    @property
    def address(self) -> str:
        """The folder's path."""
        return str(self.folder)

    def read(self, name: str, /) -> bytes:
        """Give a file's bytes.

        Raises
        ------
        FileNotFoundError
            If there is none of this name.
        """
        try:
            return (self.folder / name).read_bytes()
        except NotADirectoryError as error:
            raise FileNotFoundError(f"There is no file {self.folder / name}.") from error


_: type[Store] = FolderStore
