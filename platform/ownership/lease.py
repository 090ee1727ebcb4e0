"""Who may write a sweep's record: a lease in its folder that one process holds at a time.

    <sweep>/owner.json     token, process, and a count that its holder raises every second
    <sweep>/owner.lock     held for as long as one line is written

Each holder has a token, one more than the one before. Every write looks, under the lock, whether
the token is still its own, so a process that was paused and wakes after another took over writes
nothing more; and each line carries its token, so that one which was cut in two by such a pause is
not read (`calsweep.platform.record`).

No clock is compared with that of another machine, nor with itself after it may have been set: a
lease is free when its holder let it go, when its holder is known to have ended, or when its content
has not changed for `LEASE_S` of the time of whoever looks.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from calsweep.datasets.cache import beside
from calsweep.platform.ownership.process import Process, this_process

RENEW_S = 1.0
LEASE_S = 20.0
_LOOK_S = 0.1
_OWNER = "owner.json"
_LOCK = "owner.lock"


@dataclass(frozen=True, kw_only=True)
class Owner:
    """Who holds a lease, or held it last.

    Attributes
    ----------
    token
        Raised by one with each holder.
    process
        The holder.
    beat
        Raised while it works.
    is_held
        Whether it has not let go.
    ending
        How its work ended, once it has let go.
    """

    token: int
    process: Process
    beat: int = 0
    is_held: bool = True
    ending: str = ""


class SweepTaken(FileExistsError):
    """Another sweep owns this name."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(name, reason)
        self.name = name
        self.reason = reason

    def __str__(self) -> str:
        return f"The sweep {self.name!r} {self.reason}"


class LeaseHeld(SweepTaken):
    """Another process holds the lease and renews it."""

    def __init__(self, name: str, owner: Owner) -> None:
        super().__init__(name, f"is being run by {owner.process.name} just now: wait for it.")
        self.args = (name, owner)
        self.owner = owner


class LeaseLost(RuntimeError):
    """Another process took the lease over, since this one gave no sign of life."""

    def __init__(self, name: str, by: str, silent_s: float) -> None:
        super().__init__(name, by, silent_s)
        self.name = name
        self.by = by
        self.silent_s = silent_s

    def __str__(self) -> str:
        return (
            f"The sweep {self.name!r} was taken over by {self.by}: this process gave no sign of "
            f"life for {self.silent_s:g} s, as one that was paused does. It has written nothing "
            f"since, and ends. `calsweep status {self.name}` shows how far the other is."
        )


class Lease:
    """The right to write in a sweep's folder.

    Parameters
    ----------
    folder
        Of the sweep; is there.
    renew_s
        Seconds between two signs of life.
    lease_s
        Seconds without one after which another may take over.
    """

    def __init__(
        self, folder: Path, /, *, renew_s: float = RENEW_S, lease_s: float = LEASE_S
    ) -> None:
        self._folder = folder
        self._renew_s = renew_s
        self._lease_s = lease_s
        self._owner: Owner | None = None
        self._lost: LeaseLost | None = None
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def token(self) -> int:
        """The token of this holder; 0 if it holds nothing."""
        return self._owner.token if self._owner else 0

    def take(self, *, least_token: int = 1, silent: Owner | None = None) -> None:
        """Take the lease, waiting until it is known whether who has it still works.

        Parameters
        ----------
        least_token
            The token is not below it, whatever became of the file.
        silent
            Who was seen to give no sign of life for long enough: not waited for once more.

        Raises
        ------
        LeaseHeld
            If another process holds it and has just renewed it.
        """
        watch: _Watch | None = None
        while True:
            with self._locked():
                there = read_owner(self._folder)
                watch = watch or _Watch(there)
                if there in (None, silent) or watch.is_free(there, after_s=self._lease_s):
                    token = max(there.token + 1 if there else 1, least_token)
                    self._write(Owner(token=token, process=this_process()))
                    break
            if watch.has_changed(there):
                raise LeaseHeld(self._folder.name, there)
            time.sleep(_LOOK_S)
        self._thread = threading.Thread(target=self._renew, name="lease", daemon=True)
        self._thread.start()

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the lock for one write, if the lease is still held by this process.

        Raises
        ------
        LeaseLost
            If it is not; nothing must be written then.
        """
        with self._locked():
            self._look()
            yield

    def check(self) -> None:
        """Look whether the lease was lost, as far as this process knows.

        Raises
        ------
        LeaseLost
            If it was.
        """
        if self._lost:
            raise self._lost

    def release(self, ending: str, /) -> bool:
        """Let go and say how the work ended; of a lease that was lost, nothing is written.

        Returns
        -------
        was_held
            Whether it was this process's until now.
        """
        self._ending.set()
        if self._thread:
            self._thread.join()
        if self._owner is None or self._lost:
            return False
        with contextlib.suppress(LeaseLost), self.writing():
            self._write(replace(self._owner, is_held=False, ending=ending))
        self._owner = None
        return self._lost is None

    def _renew(self) -> None:
        while not self._ending.wait(self._renew_s):
            # A full disk, or a share that is away: the next beat may come through.
            with contextlib.suppress(OSError), contextlib.suppress(LeaseLost), self.writing():
                assert self._owner is not None  # noqa: S101 - it was taken
                self._write(replace(self._owner, beat=self._owner.beat + 1))
            if self._lost:
                return

    def _look(self) -> None:
        self.check()
        there = read_owner(self._folder)
        if there is None or self._owner is None or there.token != self._owner.token:
            by = there.process.name if there else "another process"
            self._lost = LeaseLost(self._folder.name, by, self._lease_s)
            raise self._lost

    def _write(self, owner: Owner) -> None:
        with beside(self._folder / _OWNER) as partial:
            partial.write_text(json.dumps(asdict(owner)))
        self._owner = owner

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the lock; of a process that was paused while it had it, the lock is put aside."""
        path = self._folder / _LOCK
        begun, waited_for = time.monotonic(), 0
        while True:
            with path.open("a") as file:
                number = os.fstat(file.fileno()).st_ino
                if number != waited_for:
                    begun, waited_for = time.monotonic(), number
                if _try_lock(file.fileno()) and _number(path) == number:  # not put aside meanwhile
                    yield
                    return
                if time.monotonic() - begun > self._lease_s and _number(path) == number:
                    path.unlink(missing_ok=True)
            time.sleep(_LOOK_S / 10)


class _Watch:
    """What was seen of a lease, and since when."""

    def __init__(self, seen: Owner | None) -> None:
        self._seen = seen
        self._since = time.monotonic()

    def is_free(self, there: Owner, *, after_s: float) -> bool:
        """Say whether its holder let go, has ended, or gives no sign of life."""
        is_silent = there == self._seen and time.monotonic() - self._since >= after_s
        return not there.is_held or there.process.is_gone or is_silent

    def has_changed(self, there: Owner) -> bool:
        """Say whether it was renewed since it was first seen."""
        return there != self._seen


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _number(path: Path) -> int:
    """Give what tells a file from another of its name; 0 if there is none."""
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return 0


def read_owner(folder: Path, /) -> Owner | None:
    """Give who holds a sweep's lease, or held it last; ``None`` if nobody ever did."""
    try:
        plain = json.loads((folder / _OWNER).read_text())
        return Owner(**{**plain, "process": Process(**plain["process"])})
    except (FileNotFoundError, ValueError, TypeError, KeyError):  # cut short by a lost machine
        return None


def is_held(folder: Path, /) -> bool:
    """Say whether a process has the lease of a sweep's folder and, as far as is known, lives."""
    owner = read_owner(folder)
    return owner is not None and owner.is_held and not owner.process.is_gone


def wait_for_sign(folders: list[Path], /, *, wait_s: float = 2.5 * RENEW_S) -> dict[Path, bool]:
    """Say of held leases whether their holders give a sign of life within some seconds.

    Returns
    -------
    is_alive
        Folder to whether its lease was renewed; those that nobody holds are left out.
    """
    before = {folder: owner for folder in folders if (owner := read_owner(folder)) is not None}
    held = {folder: o for folder, o in before.items() if o.is_held and not o.process.is_gone}
    begun = time.monotonic()
    silent = set(held)
    while silent and time.monotonic() - begun < wait_s:
        time.sleep(_LOOK_S)
        silent = {folder for folder in silent if read_owner(folder) == held[folder]}
    return {folder: folder not in silent for folder in held}
