"""Files that are made once and shared by the processes of a machine."""

from __future__ import annotations

import contextlib
import fcntl
import glob
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

LOCK_DEADLINE_S = 600.0
_HEX_DIGITS = 8  # that tell one partial file from another


class LockTimeout(TimeoutError):
    """Another process holds a lock for too long."""

    def __init__(self, path: str, deadline_s: float) -> None:
        super().__init__(path, deadline_s)
        self.path = path
        self.deadline_s = deadline_s

    def __str__(self) -> str:
        return (
            f"Another process has held {self.path} for {self.deadline_s:g} s: "
            "wait until it is done, or end it; the lock goes with the process."
        )


@contextlib.contextmanager
def file_lock(path: Path, /, *, deadline_s: float = LOCK_DEADLINE_S) -> Iterator[None]:
    """Hold a lock that other processes of this machine respect; it ends with the process.

    Raises
    ------
    LockTimeout
        If another process has it until the deadline.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, file_lock(Path(folder) / "lock"):
    ...     pass
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        _acquire(file.fileno(), path=path, deadline_s=deadline_s)
        yield


def build_once(place: Path, /, *, build: Callable[[Path], None]) -> Path:
    """Make a file or folder if it is not there; it is there only when it is whole.

    What a killed process left beside it, half made, is removed before it is made anew.

    Parameters
    ----------
    place
        Where it is to be.
    build
        Makes it at the path it is given, beside `place`.

    Returns
    -------
    place
        As given.
    """
    if place.exists():
        return place
    with file_lock(place.with_name(f".{place.name}.lock")):
        if not place.exists():
            _remove_partials(place)  # whoever made them is gone: the lock went with it
            with beside(place) as partial:
                build(partial)
    return place


@contextlib.contextmanager
def beside(place: Path) -> Iterator[Path]:
    """Give a fresh path beside a place; what is made there goes to the place when it is whole.

    Parameters
    ----------
    place
        Where the file or folder is to be. A file that is there is replaced.

    Yields
    ------
    partial
        ``.{name}.{8 hexadecimal digits}.partial`` in the same folder. It becomes `place` at the end
        of the block, and is removed, file or folder, if the block raises.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with beside(Path(folder) / "a.txt") as partial:
    ...         _ = partial.write_text("whole")
    ...     [file.name for file in Path(folder).iterdir()]
    ['a.txt']
    """
    partial = place.with_name(f".{place.name}.{uuid.uuid4().hex[:_HEX_DIGITS]}.partial")
    try:
        yield partial
        partial.rename(place)
    finally:
        _remove(partial)


def _acquire(descriptor: int, *, path: Path, deadline_s: float) -> None:
    give_up = time.monotonic() + deadline_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() > give_up:
                raise LockTimeout(str(path), deadline_s) from error
            time.sleep(0.05)
        else:
            return


def _remove_partials(place: Path) -> None:
    # Digits are named one by one: `.a.*.partial` would match those of `a.txt` too.
    pattern = f".{glob.escape(place.name)}.{'[0-9a-f]' * _HEX_DIGITS}.partial"
    for partial in place.parent.glob(pattern):
        _remove(partial)


def _remove(partial: Path) -> None:
    if partial.is_dir():
        shutil.rmtree(partial, ignore_errors=True)
    else:
        partial.unlink(missing_ok=True)
