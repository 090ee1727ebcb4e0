"""Who made which model champion, when and why: lines that are only added to.

    <home>/champions/<name>/history.jsonl

A change is written before the alias moves and once more when all is done, so that one that a crash
broke off is seen by the next, and finished or given up.
"""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import Any

from calsweep.platform.provenance import process_name
from calsweep.platform.record_reader import read_lines
from calsweep.platform.record_writer import append_line
from calsweep.platform.tracking.tracked import user_name

_SHOWN = 20


class Action(Enum):
    """What made a model champion."""

    PROMOTE = "promote"
    ROLLBACK = "rollback"
    ELSEWHERE = "elsewhere"


class Ending(Enum):
    """How a change came out."""

    UNDER_WAY = "under way"
    DONE = "done"
    MENDED = "finished by the next"
    GIVEN_UP = "given up"


@dataclass(frozen=True, kw_only=True)
class Change:
    """A change of champion.

    Attributes
    ----------
    id
        Its own.
    action
        What was done; `Action.ELSEWHERE` for one that another home or hand made.
    version, former
        That became champion, and that was it before; ``former`` is empty if none was.
    what
        The model in words.
    because
        The reason that was given; empty for none.
    evidence
        What the gate found, as plain data.
    by, process
        Who, and host and process.
    at
        Seconds since 1970.
    ending
        How it came out.
    """

    id: str
    action: Action
    version: str
    former: str
    what: str
    because: str
    by: str
    process: str
    at: float = 0.0
    evidence: Mapping[str, Any] = field(default_factory=dict)
    ending: Ending = Ending.UNDER_WAY

    @property
    def has_moved(self) -> bool:
        """Whether the champion is another since."""
        return self.ending in {Ending.DONE, Ending.MENDED}

    @property
    def when(self) -> str:
        """Time in UTC, to the second."""
        return iso_time(self.at)


class History:
    """The changes of one model's champion.

    Parameters
    ----------
    home
        Folder of sweeps.
    name
        Of the model, as `check_model_name` takes it.
    """

    def __init__(self, home: Path, name: str, /) -> None:
        self.folder = home / "champions" / name
        self._path = self.folder / "history.jsonl"

    def begin(
        self,
        action: Action,
        /,
        *,
        version: str,
        former: str,
        what: str,
        because: str,
        evidence: Mapping[str, Any],
    ) -> Change:
        """Write that a change begins."""
        self.folder.mkdir(parents=True, exist_ok=True)
        change = Change(
            id=uuid.uuid4().hex,
            action=action,
            version=version,
            former=former,
            what=what,
            because=because,
            by=user_name(),
            process=process_name(),
            evidence=evidence,
        )
        line = {**vars(change), "action": action.value, "event": "begun"}
        append_line(self._path, {k: v for k, v in line.items() if k not in ("at", "ending")})
        return self.read()[-1]

    def end(self, change: Change, ending: Ending, /) -> None:
        """Write how a change came out."""
        append_line(self._path, {"event": "ended", "id": change.id, "ending": ending.value})

    def read(self) -> tuple[Change, ...]:
        """Give the changes in the order in which they began."""
        changes: dict[str, Change] = {}
        for line in read_lines(self._path):
            known = changes.get(line["id"])
            if line["event"] == "begun":
                kept = {k: v for k, v in line.items() if k not in ("event", "action")}
                changes[line["id"]] = Change(action=Action(line["action"]), **kept)
            elif known:
                changes[line["id"]] = replace(known, ending=Ending(line["ending"]))
        return tuple(changes.values())


def histories(home: Path, /) -> dict[str, tuple[Change, ...]]:
    """Give the history of each model whose champion was changed from a home, by name."""
    names = sorted(path.parent.name for path in home.glob("champions/*/history.jsonl"))
    return {name: History(home, name).read() for name in names}


def line_of(changes: Iterable[Change], /) -> tuple[str, ...]:
    """Give the versions that led to the present champion: a rollback takes back what came after.

    Returns
    -------
    versions
        The champion last; empty if there was none.
    """
    line: list[str] = []
    for change in changes:
        if not change.has_moved:
            continue
        if change.action is Action.ROLLBACK and change.version in line:
            del line[line.index(change.version) + 1 :]
        else:
            line.append(change.version)
    return tuple(line)


def as_markdown(changes: Iterable[Change], /) -> str:
    """Give the last changes as a table for MLflow's page of a model."""
    rows = [
        f"| {change.when} | {change.action.value} | {change.version} | {change.former or '-'} | "
        f"{change.by} | {_cell(change.because or change.evidence.get('comparison', ''))} |"
        for change in [change for change in changes if change.has_moved][: -_SHOWN - 1 : -1]
    ]
    head = (
        "Champions, the last first:\n\n| when | how | version | in place of | by | why |\n"
        "|---|---|---|---|---|---|\n"
    )
    return head + "\n".join(rows)


def iso_time(at: float, /) -> str:
    """Write seconds since 1970 as a time in UTC.

    Examples
    --------
    >>> iso_time(0.0)
    '1970-01-01 00:00:00Z'
    """
    return datetime.datetime.fromtimestamp(at, datetime.UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def _cell(text: object) -> str:
    return " ".join(str(text).replace("|", "/").split())
