"""Files that are made once and shared by the processes of a machine."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import glob
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

from calsweep.datasets.tally import TALLY, Counts

LOCK_DEADLINE_S = 600.0
LIMIT_MB = 20_000.0
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


class NoRoom(OSError):
    """A cache has no room for what is needed."""

    def __init__(self, folder: str, needed_mb: float, limit_mb: float) -> None:
        super().__init__(folder, needed_mb, limit_mb)
        self.folder = folder
        self.needed_mb = needed_mb
        self.limit_mb = limit_mb

    def __str__(self) -> str:
        return (
            f"{self.needed_mb:.0f} MB are needed in the cache {self.folder}, which may hold "
            f"{self.limit_mb:.0f} MB, or its disk is full: set CALSWEEP_CACHE_MB higher, free "
            "some of the disk, or name a folder of another in CALSWEEP_CACHE."
        )


class Cache:
    """A folder of this machine, up to a size: what was not used for longest makes room.

    Each entry is a file or folder that one process makes while the others that want it wait. What
    a process uses stays until it lets go, or ends.

    Parameters
    ----------
    folder
        Is made.
    limit_mb
        Megabytes of all entries, those being made included.

    Raises
    ------
    ValueError
        If the limit is not positive.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     cache = Cache(Path(folder))
    ...     with cache.entry("a.txt", n_bytes=5, build=lambda path: path.write_text("whole")) as a:
    ...         a.read_text()
    'whole'
    """

    def __init__(self, folder: Path, /, *, limit_mb: float = LIMIT_MB) -> None:
        if not limit_mb > 0:
            raise ValueError(f"`limit_mb > 0` must hold, but got {limit_mb=}.")
        self.folder = folder
        self._limit_bytes = int(limit_mb * 1e6)
        self._kept = contextlib.ExitStack()
        self._places: dict[str, Path] = {}

    @contextlib.contextmanager
    def entry(
        self, name: str, /, *, n_bytes: int, build: Callable[[Path], object]
    ) -> Iterator[Path]:
        """Give an entry, and hold it for the time of the block.

        Parameters
        ----------
        name
            Path in the folder.
        n_bytes
            What it takes on disk.
        build
            Makes it at the path it is given, if it is not there.

        Yields
        ------
        place
            Of the file or folder, whole.

        Raises
        ------
        NoRoom
            If it would not fit, or the disk is full; nothing of it is left then.
        LockTimeout
            If another process does not end making it.
        """
        place = self.folder / name
        with self._lock_of(name).open("a") as lock:
            # What is there stays from now on.
            _acquire(lock.fileno(), path=place, how=fcntl.LOCK_SH)
            is_there = place.exists()
            TALLY.add(Counts(cache_hits=is_there, cache_misses=not is_there))
            if not is_there:
                # A lock of its own: who uses what was removed by hand does not keep it from others.
                with file_lock(self._lock_of(f"{name}{_MAKING}")):
                    if not place.exists():
                        self._make(place, n_bytes=n_bytes, build=build)
            os.utime(place)
            yield place

    def keep(self, name: str, /, *, n_bytes: int, build: Callable[[Path], object]) -> Path:
        """Give an entry, see `entry`, and hold it until `close` or the end of the process."""
        if name not in self._places:
            entry = self.entry(name, n_bytes=n_bytes, build=build)
            self._places[name] = self._kept.enter_context(entry)
        return self._places[name]

    def close(self) -> None:
        """Let go of what is kept."""
        self._kept.close()
        self._places.clear()

    def _make(self, place: Path, *, n_bytes: int, build: Callable[[Path], object]) -> None:
        place.parent.mkdir(parents=True, exist_ok=True)
        _remove_partials(place)  # whoever made them is gone: the lock went with it
        try:
            with self._reserved(n_bytes), beside(place) as partial:
                build(partial)
        except OSError as error:
            if error.errno not in _DISK_FULL:
                raise
            raise self._no_room(n_bytes) from error

    @contextlib.contextmanager
    def _reserved(self, n_bytes: int) -> Iterator[None]:
        """Make room, and let others see what is going to be used."""
        place = self._locks / f"{uuid.uuid4().hex}{_RESERVED}"
        with contextlib.ExitStack() as stack:
            with file_lock(self._locks / "room"):
                self._make_room(n_bytes)
                file = stack.enter_context(place.open("w"))
                stack.callback(place.unlink, missing_ok=True)
                _acquire(file.fileno(), path=place)
                file.truncate(n_bytes)  # takes no disk
            yield

    def _make_room(self, n_bytes: int) -> None:
        used = sum(self._reservations())
        entries = [(*_used(path), path) for path in self._entries()]
        used += sum(size for _, size, _ in entries)
        for _, size, path in sorted(entries):
            if used + n_bytes <= self._limit_bytes:
                return
            if self._let_go(path):
                used -= size
        if used + n_bytes > self._limit_bytes:
            raise self._no_room(n_bytes)

    def _let_go(self, path: Path) -> bool:
        """Remove an entry that nobody holds."""
        with self._lock_of(str(path.relative_to(self.folder))).open("a") as lock:
            try:
                fcntl.flock(lock.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            _remove(path)
        return True

    def _reservations(self) -> Iterator[int]:
        for path in self._locks.glob(f"*{_RESERVED}"):
            with contextlib.suppress(FileNotFoundError), path.open("r+") as file:
                try:
                    fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    yield os.fstat(file.fileno()).st_size
                else:
                    path.unlink(missing_ok=True)  # of a process that was killed

    def _entries(self) -> Iterator[Path]:
        for kind in self.folder.iterdir():
            if kind.is_dir() and kind != self._locks:
                yield from (path for path in kind.iterdir() if not path.name.startswith("."))

    @property
    def _locks(self) -> Path:
        return self.folder / "locks"

    def _lock_of(self, name: str) -> Path:
        self._locks.mkdir(parents=True, exist_ok=True)
        return self._locks / name.replace("/", "-")

    def _no_room(self, n_bytes: int) -> NoRoom:
        return NoRoom(str(self.folder), n_bytes / 1e6, self._limit_bytes / 1e6)


_DISK_FULL = {errno.ENOSPC, errno.EDQUOT}
_RESERVED = ".reserved"
_MAKING = ".making"


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


def _acquire(
    descriptor: int,
    *,
    path: Path,
    deadline_s: float = LOCK_DEADLINE_S,
    how: int = fcntl.LOCK_EX,
) -> None:
    give_up = time.monotonic() + deadline_s
    while True:
        try:
            fcntl.flock(descriptor, how | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() > give_up:
                raise LockTimeout(str(path), deadline_s) from error
            time.sleep(0.05)
        else:
            return


def _used(path: Path) -> tuple[int, int]:
    """Give when an entry was last used, and its bytes."""
    with contextlib.suppress(FileNotFoundError):
        files = path.iterdir() if path.is_dir() else (path,)
        return path.stat().st_mtime_ns, sum(file.stat().st_size for file in files)
    return 0, 0


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
