"""Reading of a sweep's record (`calsweep.platform.record`), once or again and again as it grows."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from calsweep.datasets.fold import FoldPlan
from calsweep.platform.plain import from_plain
from calsweep.platform.pruning import Pruned
from calsweep.platform.record import (
    FoldRecord,
    SweepNotFound,
    SweepRecord,
    TrialRecord,
    TrialState,
    sweeps_folder,
)
from calsweep.platform.stored_curve import StoredCurve

LINES = "record.jsonl"
DESCRIPTION = "sweep.json"


def read_sweep(home: Path, name: str, /) -> SweepRecord:
    """Read a sweep's record, finished or not.

    Parameters
    ----------
    home
        Folder of sweeps.
    name
        Of the sweep.

    Raises
    ------
    SweepNotFound
        If there is none of this name.
    """
    return RecordReader(home, name).read()


class RecordReader:
    """Reads a sweep's record, and after that only what was added since.

    Trials to which nothing was added are the very same objects.

    Parameters
    ----------
    home, name
        As `read_sweep` takes them.
    """

    def __init__(self, home: Path, name: str, /) -> None:
        self._home = home
        self._name = name
        self._folder = sweeps_folder(home) / name
        self._begin()

    def read(self) -> SweepRecord:
        """Give the record as it is now.

        Raises
        ------
        SweepNotFound
            If there is no sweep of this name.
        """
        if not (self._folder / DESCRIPTION).exists():
            known = sorted(
                path.parent.name for path in sweeps_folder(self._home).glob("*/sweep.json")
            )
            raise SweepNotFound(self._name, tuple(known))
        plain = json.loads((self._folder / DESCRIPTION).read_text())
        try:
            self._read_added()
        except BaseException:
            self._begin()  # what is half read is read anew
            raise
        trials = tuple(self._built[number] for number in sorted(self._built))
        verdict = sum((trial.verdict for trial in trials), start=from_plain(plain["verdict"]))
        changes = plain.get("changes", ())
        return SweepRecord(
            name=self._name,
            folder=self._folder,
            settings=plain["settings"],
            overrides=tuple(plain.get("overrides", ())),
            dataset=plain["dataset"],
            plan=_plan(json.dumps(plain["plan"])),
            plan_hash=plain["plan_hash"],
            code_version=plain["code_version"],
            verdict=verdict,
            n_planned=plain["n_planned"],
            trials=trials,
            identity=plain.get("identity", ""),
            changes=tuple(change["sentence"] for change in changes),
            earlier_code=tuple(change["then"] for change in changes if change["what"] == "code"),
            stopped=self._stopped,
        )

    def _begin(self) -> None:
        self._lines = RecordLines(self._folder)
        self._stopped = ""
        self._trials: dict[int, dict[str, Any]] = {}
        self._built: dict[int, TrialRecord] = {}

    def _read_added(self) -> None:
        added = self._lines.read()
        if added is None:
            self._begin()
            added = self._lines.read()
        changed: set[int] = set()
        for event in added or ():
            self._stopped = str(event["why"]) if event["event"] == "stopped" else ""
            if event["event"] == "anew":  # with other data or folds
                self._trials, self._built, changed = {}, {}, set()
            elif "trial" in event:
                self._replay(event)
                changed.add(event["trial"])
        for number in changed & set(self._trials):
            self._built[number] = _trial(self._trials[number])

    def _replay(self, event: Mapping[str, Any]) -> None:
        """Take one line; of a sweep that was started again, the last run of a trial counts."""
        number, at = event["trial"], event.get("at", 0.0)
        if event["event"] == "trial":
            before = self._trials.get(number, {"attempt": 0, "begun_at": at, "fold_done_at": {}})
            kept = {key: before[key] for key in ("begun_at", "fold_done_at")}
            attempt = before["attempt"] + 1
            self._trials[number] = {**event, **_BEGUN, **kept, "attempt": attempt, "folds": {}}
        elif number in self._trials and event["event"] == "fold":
            trial, key = self._trials[number], event["key"]
            trial["folds"][key] = _fold(self._folder / "folds", key, event.get("figures"))
            trial["fold_done_at"].setdefault(key, at)
        elif number in self._trials:
            kept = {key: event[key] for key in ("error", "may_pass")}
            kept |= {"pruned": event.get("pruned"), "ended_at": at}
            self._trials[number].update(state=TrialState(event["state"]), **kept)


class AddedLines:
    """The lines of a file that is only added to, each given once.

    Parameters
    ----------
    path
        Of the file, which need not be there.
    """

    def __init__(self, path: Path, /) -> None:
        self._path = path
        self._file: tuple[int, int] | None = None
        self._n_read = 0

    def read(self) -> list[dict[str, Any]] | None:
        """Give the lines that were added since the last time.

        Returns
        -------
        lines
            Those that are whole: one that was cut short by a kill or a full disk is left out, and
            one that is being written is given when it is. ``None`` if the file is another.
        """
        try:
            file = self._path.open("rb")
        except FileNotFoundError:
            return None if self._n_read else []
        with file:
            stat = os.fstat(file.fileno())
            which = (stat.st_dev, stat.st_ino)
            if self._n_read and (which != self._file or stat.st_size < self._n_read):
                return None
            self._file = which
            file.seek(self._n_read)
            whole, newline, rest = file.read().rpartition(b"\n")
        self._n_read += len(whole) + len(newline)
        lines = list(_parsed(whole.splitlines()))
        for line in _parsed([rest]):  # its end was cut off, and nothing else
            self._n_read += len(rest)
            lines.append(line)
        return lines


def read_lines(path: Path, /) -> Iterator[dict[str, Any]]:
    """Give the whole lines of a file that is only added to; none if there is no file."""
    yield from AddedLines(path).read() or ()


def record_events(folder: Path, /) -> Iterator[dict[str, Any]]:
    """Give the lines of a sweep's record, see `RecordLines`."""
    yield from RecordLines(folder).read() or ()


class RecordLines:
    """The lines of a sweep's record, without those of an owner whose successor had begun.

    A process that was paused in the middle of a write, and wakes after another took over, may still
    add that one line (`calsweep.platform.ownership.lease`).

    Parameters
    ----------
    folder
        Of the sweep.
    """

    def __init__(self, folder: Path, /) -> None:
        self._added = AddedLines(folder / LINES)
        self._newest = 0

    def read(self) -> list[dict[str, Any]] | None:
        """Give the lines that were added since the last time, as `AddedLines.read` does."""
        added = self._added.read()
        if added is None:
            return None
        kept = []
        for line in added:
            token = line.get("token", 0)
            if token >= self._newest:
                self._newest = token
                kept.append(line)
        return kept


def _parsed(lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    for line in lines:
        with contextlib.suppress(ValueError):  # cut short, or no text at all
            whole = json.loads(line)
            if isinstance(whole, dict):
                yield whole


_BEGUN: dict[str, Any] = {
    "state": TrialState.RUNNING,
    "error": "",
    "may_pass": False,
    "ended_at": None,
    "pruned": None,
}


def _trial(event: Mapping[str, Any]) -> TrialRecord:
    return TrialRecord(
        number=event["trial"],
        name=event["name"],
        values=event["values"],
        settings=event["settings"],
        state=event["state"],
        folds=tuple(sorted(event["folds"].values(), key=lambda fold: fold.fold)),
        error=event["error"],
        may_pass=event["may_pass"],
        verdict=from_plain(event["verdict"]),
        pruned=Pruned(**event["pruned"]) if event["pruned"] else None,
        attempt=event["attempt"],
        begun_at=event["begun_at"],
        ended_at=event["ended_at"],
        fold_done_at=dict(event["fold_done_at"]),  # more are to come
    )


def _fold(folder: Path, key: str, figures: Mapping[str, Any] | None) -> FoldRecord:
    """Give a fold from its line; one of an older version has no figures there."""
    if figures is None:
        return FoldRecord.read(folder / key)
    return FoldRecord.from_figures(figures, curve=StoredCurve(folder, key))


@lru_cache(maxsize=4)
def _plan(text: str) -> FoldPlan:
    """Build a plan once: it may have thousands of stretches, and a record is read often."""
    plan: FoldPlan = from_plain(json.loads(text))
    return plan
