"""Writing of a sweep's record: one process holds its lease and adds a line for all that happens."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from calsweep.datasets.cache import beside
from calsweep.platform.errors import first_line
from calsweep.platform.ownership.change import (
    Change,
    Changed,
    changed,
    differing_settings,
    identity,
    without_budget,
)
from calsweep.platform.ownership.lease import LEASE_S, RENEW_S, Lease, Owner, SweepTaken
from calsweep.platform.plain import TARGET, to_plain
from calsweep.platform.provenance import process_name
from calsweep.platform.record import TrialState
from calsweep.platform.record_reader import DESCRIPTION, LINES, read_lines

DONE = "done"
INTERRUPTED = "interrupted"
STOPPED = "stopped"


class Record:
    """Writer of a sweep's record; one process at a time holds its lease.

    Use as a context: at its end the lease is free, and a sweep that never began leaves nothing.

    Parameters
    ----------
    folder
        Of the sweep; is made.
    renew_s, lease_s
        Of the lease (`calsweep.platform.ownership.lease.Lease`).
    """

    def __init__(
        self, folder: Path, /, *, renew_s: float = RENEW_S, lease_s: float = LEASE_S
    ) -> None:
        self.folder = folder
        self._lease = Lease(folder, renew_s=renew_s, lease_s=lease_s)
        self._is_new = False
        self._begun = time.monotonic()
        self._ending = DONE

    @property
    def token(self) -> int:
        """The token of this process's lease."""
        return self._lease.token

    def begin(
        self,
        description: Mapping[str, Any],
        /,
        *,
        accept: Collection[Change] = (),
        silent: Owner | None = None,
    ) -> bool:
        """Take the name, or attach to what the same sweep has done already.

        Parameters
        ----------
        description
            What `sweep.json` holds.
        accept
            What may be other than when the sweep began. With other code, what is done stays; with
            other data or folds, every trial is begun again.
        silent
            Who ran it and was seen to give no sign of life for long enough to take over.

        Returns
        -------
        attached
            Whether the sweep had begun before.

        Raises
        ------
        SweepTaken
            If another sweep has the name, or this one has changed; nothing is changed.
        LeaseHeld
            If another process runs this very sweep.
        """
        path = self.folder / DESCRIPTION
        here = json.loads(json.dumps({**description, "identity": identity(description)}))
        if path.exists():
            self._check_same(json.loads(path.read_text()), here, accept=accept)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lease.take(least_token=1 + last_token(self.folder), silent=silent)
        self._begun = time.monotonic()
        if not path.exists():
            self._is_new = True
            (self.folder / "folds").mkdir(exist_ok=True)
            self._describe(here)
            return False
        there = json.loads(path.read_text())  # with the lease, as it stays
        differences = self._check_same(there, here, accept=accept)
        self.append({"event": "owner", "process": process_name()})
        if any(each.what is not Change.CODE for each in differences):
            self.append({"event": "anew"})
        history = [*there.get("changes", ()), *(to_plain(each) for each in differences)]
        if {**there, "overrides": ()} != {**here, "changes": history, "overrides": ()}:
            self._describe({**here, "changes": history})
        return True

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the lease's lock for one write into the sweep's folder.

        Raises
        ------
        LeaseLost
            If another process took the sweep over; nothing must be written then.
        """
        with self._lease.writing():
            yield

    def check(self) -> None:
        """Look whether another process took the sweep over, as far as this one knows.

        Raises
        ------
        LeaseLost
            If one did.
        """
        self._lease.check()

    def append(self, line: Mapping[str, Any], /) -> None:
        """Add one line and see it onto the disk.

        With it go the time in seconds since 1970, the lease's token, and for how many seconds this
        process has been at work.

        Raises
        ------
        LeaseLost
            If another process took the sweep over; nothing is written then.
        """
        whose = {"token": self.token, "worked_s": round(time.monotonic() - self._begun, 3)}
        with self._lease.writing():
            append_line(self.folder / LINES, {**line, **whose})
        self._is_new = False

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

    def add_fold(self, number: int, /, *, key: str, is_stored: bool = False) -> None:
        """Write that a fold of a trial is done, or was by an earlier run, with its figures.

        They lie with the fold as well; here they are read with one look, however many there are.
        """
        stored = {"stored": True} if is_stored else {}
        figures = json.loads((self.folder / "folds" / key / "fold.json").read_text())
        del figures["curve"]
        line = {"event": "fold", "trial": number, "key": key, "figures": figures}
        self.append({**line, **stored})

    def end_trial(
        self,
        number: int,
        state: TrialState,
        /,
        *,
        error: str = "",
        may_pass: bool = False,
        pruned: Mapping[str, Any] | None = None,
    ) -> None:
        """Write that a trial is over; `pruned` says why before its last fold."""
        self.append(
            {
                "event": "end",
                "trial": number,
                "state": state.value,
                "error": error,
                "may_pass": may_pass,
                **({"pruned": dict(pruned)} if pruned else {}),
            }
        )

    def stop(self, why: str, /) -> None:
        """Write that the search is ended before its time."""
        self.append({"event": "stopped", "why": why})
        self._ending = f"{STOPPED}: {why}"

    def close(self, ending: str = "", /) -> None:
        """Let go of the sweep, and say how the work ended; if no trial began, leave nothing."""
        was_held = self._lease.release(ending or self._ending)
        if self._is_new and was_held:  # or it is another's by now
            shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Record:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        self.close("" if error is None else _ending(error))

    def _describe(self, description: Mapping[str, Any]) -> None:
        text = json.dumps(description, indent=1, sort_keys=True)
        with self._lease.writing(), beside(self.folder / DESCRIPTION) as partial:
            partial.write_text(text)

    def _check_same(
        self, there: Mapping[str, Any], here: Mapping[str, Any], *, accept: Collection[Change]
    ) -> tuple[Changed, ...]:
        """Give what differs and was accepted; raise for all else."""
        names = differing_settings(
            without_budget(there["settings"]), without_budget(here["settings"])
        )
        if names:
            what = f"has other settings ({', '.join(names[:4])})"
            reason = f"is there already and {what}; it is left as it is: give another `name=`."
            raise SweepTaken(self.folder.name, reason)
        differences = changed(there, here)
        refused = [each for each in differences if each.what not in accept]
        if refused:
            raise SweepTaken(self.folder.name, _refusal(refused))
        return differences


def last_token(folder: Path, /) -> int:
    """Give the highest token that a line of a sweep's record carries; 0 if none does."""
    return max((line.get("token", 0) for line in read_lines(folder / LINES)), default=0)


def _refusal(refused: Sequence[Changed]) -> str:
    """Say what changed and what can be done about it."""
    words = ",".join(each.what.value for each in refused)
    does = (
        "goes on with this code, and what is done stays"
        if words == Change.CODE.value
        else "trains every configuration again"
    )
    return (
        f"is there already and has other {words.replace(',', ' and ')} than now "
        f"({'; '.join(each.sentence for each in refused)}); it is left as it is: give another "
        f"`name=`, or accept_changes=[{words}] (`calsweep resume --accept`), which {does}."
    )


def _ending(error: BaseException) -> str:
    if isinstance(error, (KeyboardInterrupt, SystemExit)):  # the latter where it was told to end
        return INTERRUPTED
    return f"{type(error).__name__}: {first_line(error)}"


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
