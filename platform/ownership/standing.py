"""How far a sweep is and who runs it, from its folder alone and without reading figures."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from calsweep.platform.ownership.lease import Owner, read_owner
from calsweep.platform.population.generations import Generations, read_generations
from calsweep.platform.progress import minutes
from calsweep.platform.record_reader import record_events
from calsweep.platform.record_writer import DONE, INTERRUPTED, STOPPED
from calsweep.search_spaces.suggestion import Tuner

BEST = "best.json"
"""File that a population of models of dynamics leaves when it is over."""


class State(Enum):
    """What becomes of a sweep just now."""

    RUNNING = "running"
    SILENT = "no sign of life"
    GONE = "its process is gone"
    INTERRUPTED = "interrupted"
    STOPPED = "stopped"
    FAILED = "ended by an error"
    OVER = "over"


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How far a sweep is.

    Attributes
    ----------
    name
        Of the sweep.
    identity
        Hash of what it would do.
    state
        What becomes of it.
    owner
        Who runs it, or ran it last; ``None`` if nobody is known.
    n_trials, n_planned
        Configurations that ended, and all of them, the baseline among them.
    n_folds, n_folds_planned
        Folds that are done, and all of them, as far as none is left out.
    left_s
        Seconds that the rest may take at the rate of its present owner; ``None`` if not known.
    error
        What failed last, or why it was stopped; empty if nothing did.
    generations
        How far its population is; ``None`` if it is none.
    """

    name: str
    identity: str
    state: State
    owner: Owner | None
    n_trials: int
    n_planned: int
    n_folds: int
    n_folds_planned: int
    left_s: float | None
    error: str
    generations: Generations | None = None

    @property
    def line(self) -> str:
        """How far it is, in one line."""
        has_folds = self.n_folds_planned > 0
        left = f"about {minutes(self.left_s)} left" if self.left_s is not None else ""
        parts = [
            self.generations.line if self.generations else "",
            f"{self.n_trials}/{self.n_planned} trials" if has_folds else "",
            f"{self.n_folds}/{self.n_folds_planned} folds" if has_folds else "",
            left if self.generations is None else "",
        ]
        return " · ".join(part for part in parts if part)


def read_standing(folder: Path, /, *, is_alive: bool | None = None) -> Standing:
    """Give how far the sweep, or the population of models of dynamics, in a folder is.

    Parameters
    ----------
    folder
        With its ``sweep.json``.
    is_alive
        Whether its owner gave a sign of life (`calsweep.platform.ownership.lease.wait_for_sign`);
        ``None`` if nobody holds it.
    """
    described = json.loads((folder / "sweep.json").read_text())
    counted = count_lines(folder)
    owner = read_owner(folder)
    n_folds_each = len(described.get("plan", {}).get("folds", ()))
    n_planned = described.get("n_planned", 0)
    n_planned_folds = max(n_planned * n_folds_each - counted.n_left_out(n_folds_each), 0)
    n_left = max(n_planned_folds - counted.n_folds, 0)
    generations = _generations(folder, described)
    is_over = (folder / BEST).exists() if n_planned == 0 else counted.n_final >= n_planned
    state = _state(owner, is_alive=is_alive, is_over=is_over)
    ending = owner.ending if owner and not owner.is_held else ""
    return Standing(
        name=folder.name,
        identity=described.get("identity", ""),
        state=state,
        owner=owner,
        n_trials=counted.n_ended,
        n_planned=n_planned,
        n_folds=counted.n_folds,
        n_folds_planned=n_planned_folds,
        left_s=_left_s(counted, generations, n_left=n_left) if state is State.RUNNING else None,
        error=ending if state in {State.FAILED, State.STOPPED} else counted.error,
        generations=generations,
    )


def _generations(folder: Path, described: Mapping[str, Any]) -> Generations | None:
    settings = described.get("settings", {})
    is_population = settings.get("tuner", Tuner.POPULATION.value) == Tuner.POPULATION.value
    if not is_population or "population" not in settings:
        return None
    return read_generations(folder, settings)


def _left_s(count: Count, generations: Generations | None, *, n_left: int) -> float | None:
    """Give how long the rest takes: the folds of a population come all at its end."""
    if generations is not None:
        return generations.left_s
    return count.worked_s / count.n_trained * n_left if count.n_trained else None


class Count:
    """What the lines of a record come to: folds and trials, and what this owner trained of them."""

    def __init__(self) -> None:
        self.token = 0
        self.worked_s = 0.0
        self.n_trained = 0
        self.error = ""
        self._folds: dict[int, set[str]] = {}
        self._ends: dict[int, Mapping[str, Any]] = {}

    @property
    def n_folds(self) -> int:
        """Folds that are done."""
        return sum(map(len, self._folds.values()))

    @property
    def n_ended(self) -> int:
        """Trials that ended."""
        return len(self._ends)

    def n_ended_as(self, state: str, /) -> int:
        """Count the trials that ended in a state (`calsweep.platform.record.TrialState`)."""
        return sum(end["state"] == state for end in self._ends.values())

    @property
    def n_final(self) -> int:
        """Trials whose end would stay if the sweep went on."""
        return sum(not end["may_pass"] for end in self._ends.values())

    def n_left_out(self, n_each: int, /) -> int:
        """Count the folds that trials which ended for good have not trained."""
        return sum(
            n_each - len(self._folds[trial])
            for trial, end in self._ends.items()
            if not end["may_pass"]
        )

    def add(self, line: Mapping[str, Any], /) -> None:
        """Take the next line."""
        if line.get("token", 0) > self.token:
            self.token, self.n_trained = line["token"], 0
        self.worked_s = line.get("worked_s", 0.0)
        kind = line["event"]
        if kind == "anew":
            self._folds, self._ends = {}, {}
        elif kind == "trial":
            self._folds[line["trial"]] = set()
            self._ends.pop(line["trial"], None)
        elif kind == "fold" and line["trial"] in self._folds:
            self._folds[line["trial"]].add(line["key"])
            self.n_trained += not line.get("stored", False)
        elif kind == "end" and line["trial"] in self._folds:
            self._ends[line["trial"]] = line
            if line["error"]:
                self.error = f"trial {line['trial']}: {line['error']}"


def count_lines(folder: Path, /) -> Count:
    """Count what the record of a sweep holds."""
    count = Count()
    for line in record_events(folder):
        count.add(line)
    return count


def _state(owner: Owner | None, *, is_alive: bool | None, is_over: bool) -> State:
    if owner is not None and owner.is_held:
        if owner.process.is_gone:
            return State.OVER if is_over else State.GONE
        return State.RUNNING if is_alive else State.SILENT
    if is_over:
        return State.OVER
    ending = owner.ending if owner else ""
    if ending.startswith(STOPPED):
        return State.STOPPED
    return State.INTERRUPTED if ending in {"", DONE, INTERRUPTED} else State.FAILED
