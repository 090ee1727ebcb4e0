"""Writing of a sweep's record: one process holds its name and adds a line for all that happens."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from calsweep.datasets.cache import beside
from calsweep.platform.plain import TARGET
from calsweep.platform.provenance import process_name
from calsweep.platform.record import TrialState


class SweepTaken(FileExistsError):
    """Another sweep owns this name."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(name, reason)
        self.name = name
        self.reason = reason

    def __str__(self) -> str:
        return f"The sweep {self.name!r} {self.reason}"


class Record:
    """Writer of a sweep's record; one process at a time holds it.

    Use as a context: at its end the name is free, and a sweep that never began leaves nothing.
    """

    def __init__(self, folder: Path, /) -> None:
        self.folder = folder
        self._lock = contextlib.ExitStack()
        self._is_new = False

    def begin(self, description: Mapping[str, Any], /) -> bool:
        """Take the name, or attach to what the same sweep has done already.

        Parameters
        ----------
        description
            What `sweep.json` holds.

        Returns
        -------
        attached
            Whether the sweep had begun before.

        Raises
        ------
        SweepTaken
            If another process runs it, or another sweep has the name; nothing is changed.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock.enter_context(_lease(self.folder))
        path = self.folder / "sweep.json"
        text = json.dumps(description, indent=1, sort_keys=True)
        if path.exists():
            _check_same(self.folder.name, json.loads(path.read_text()), json.loads(text))
            return True
        self._is_new = True
        (self.folder / "folds").mkdir(exist_ok=True)
        with beside(path) as partial:
            partial.write_text(text)
        return False

    def append(self, line: Mapping[str, Any], /) -> None:
        """Add one line, with the time in seconds since 1970, and see it onto the disk."""
        self._is_new = False
        append_line(self.folder / "record.jsonl", line)

    def begin_trial(
        self,
        number: int,
        /,
        *,
        name: str,
        values: Mapping[str, Any],
        verdict: Any,
        settings: Mapping[str, Any],
    ) -> None:
        """Write that a trial began, all of it given as plain data."""
        self.append(
            {
                "event": "trial",
                "trial": number,
                "name": name,
                "values": dict(values),
                "verdict": verdict,
                "settings": {k: v for k, v in settings.items() if k != TARGET},
            }
        )

    def add_fold(self, number: int, /, *, key: str) -> None:
        """Write that a fold of a trial is done."""
        self.append({"event": "fold", "trial": number, "key": key})

    def end_trial(
        self, number: int, state: TrialState, /, *, error: str = "", may_pass: bool = False
    ) -> None:
        """Write that a trial is over."""
        self.append(
            {
                "event": "end",
                "trial": number,
                "state": state.value,
                "error": error,
                "may_pass": may_pass,
            }
        )

    def close(self) -> None:
        """Free the sweep's name; remove what was made if no trial began."""
        if self._is_new:
            shutil.rmtree(self.folder, ignore_errors=True)
        self._lock.close()

    def __enter__(self) -> Record:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def append_line(path: Path, line: Mapping[str, Any], /) -> None:
    """Add one line to a file of lines, with the time, and see it onto the disk."""
    with path.open("ab+") as file:
        text = json.dumps({**line, "at": round(time.time(), 3)}) + "\n"
        file.write((b"" if _ends_whole(file) else b"\n") + text.encode())
        file.flush()
        os.fsync(file.fileno())


def _ends_whole(file: BinaryIO) -> bool:
    """Say whether the last line was written to its end; a full disk can cut it."""
    if file.seek(0, os.SEEK_END) == 0:
        return True
    file.seek(-1, os.SEEK_END)
    return file.read(1) == b"\n"


def is_held(folder: Path, /) -> bool:
    """Say whether a process of this machine runs the sweep of a folder just now."""
    path = folder / "owner.lock"
    if not path.exists():
        return False
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


@contextlib.contextmanager
def _lease(folder: Path) -> Iterator[None]:
    with (folder / "owner.lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            owner = file.read() or "another process"
            reason = f"is being run by {owner} just now: wait for it, or give another `name=`."
            raise SweepTaken(folder.name, reason) from None
        file.truncate(0)
        file.write(process_name())
        file.flush()
        yield


def _check_same(name: str, there: Mapping[str, Any], here: Mapping[str, Any]) -> None:
    said = {"overrides"}  # the same settings may be said in other words
    differing = sorted(key for key in here if there.get(key) != here[key] and key not in said)
    if not differing:
        return
    if "settings" in differing:
        names = _differing_names(there["settings"], here["settings"])
        what = f"has other settings ({', '.join(names[:4])})"
    else:
        what = f"differs in {', '.join(differing).replace('_', ' ')}"
        if "code_version" in differing:
            then, now = there.get("code_version"), here["code_version"]
            what += f" (it was begun with calsweep {then}, and this is {now})"
    reason = f"is there already and {what}; it is left as it is: give another `name=`."
    raise SweepTaken(name, reason)


def _differing_names(there: Any, here: Any, at: str = "") -> list[str]:
    if isinstance(there, Mapping) and isinstance(here, Mapping):
        return [
            name
            for key in sorted({*there, *here})
            for name in _differing_names(there.get(key), here.get(key), f"{at}.{key}".strip("."))
        ]
    return [] if there == here else [at]
