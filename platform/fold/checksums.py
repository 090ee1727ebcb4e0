"""SHA-256 of the files in a fold's folder, as `sha256sum -c SHA256SUMS` reads them."""

from __future__ import annotations

import hashlib
from pathlib import Path

FILE = "SHA256SUMS"


def write_checksums(folder: Path, /) -> None:
    """Write the sums of all files that are in a folder now.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = (Path(folder) / "fold.json").write_text("{}")
    ...     write_checksums(Path(folder))
    ...     _ = (Path(folder) / "fold.json").write_text("[]")
    ...     damaged_files(Path(folder))
    {'fold.json': 'is damaged: its bytes are not those that were written'}
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != FILE)
    lines = [f"{sha256(path)}  {path.relative_to(folder).as_posix()}\n" for path in files]
    (folder / FILE).write_text("".join(lines))


def damaged_files(folder: Path, /) -> dict[str, str]:
    """Give what is wrong with the files of a folder, by name; nothing where no sums were kept."""
    sums = folder / FILE
    wrong = {}
    for line in sums.read_text().splitlines() if sums.exists() else ():
        kept, _, name = line.partition("  ")
        path = folder / name
        if not path.is_file():
            wrong[name] = "is missing"
        elif sha256(path) != kept:
            wrong[name] = "is damaged: its bytes are not those that were written"
    return wrong


def sha256(path: Path, /) -> str:
    """Give the SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
