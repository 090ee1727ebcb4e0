"""A sweep's own record: everything it did, in one folder, readable without any service.

    <home>/sweeps/<name>/
        sweep.json             what the sweep would do: settings, dataset, fold plan, code
        record.jsonl           append-only: one line for each trial begun, fold done, trial ended
        lineage.jsonl          of a population: one line a member and generation
                               (`calsweep.platform.population.lineage`)
        folds/<key>/fold.json  figures and curves of one trained fold
        folds/<key>/predictions.parquet   recording, frame, label, probability of every test window
        folds/<key>/model/     weights and settings (`calsweep.platform.fold.model`)
        folds/<key>/SHA256SUMS of these files, for `sha256sum -c` and `calsweep verify`

A fold's key is the content hash of all that decides its result, so the same fold is never trained
twice, and a sweep that is started again goes on where it ended.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import Enum
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from calsweep.datasets.audit import Verdict
from calsweep.datasets.fold import FoldPlan
from calsweep.platform.compute import Compute
from calsweep.platform.plain import from_plain, nearest
from calsweep.platform.pruning import Pruned
from calsweep.platform.score import Epoch, Score
from calsweep.platform.stored_curve import StoredCurve, epochs
from calsweep.search_spaces.space import ARM

BASELINE = "baseline"


class TrialState(Enum):
    """How far a trial is."""

    RUNNING = "running"
    DONE = "done"
    PRUNED = "pruned"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True)
class FoldRecord:
    """What came of one trained fold.

    Attributes
    ----------
    key
        Content hash of all that decides the result.
    fold
        Number of the fold in its plan.
    test_group, validation_group
        Numbers of the groups that test and validate; ``None`` in a plan without groups.
    seed
        Seed of weights and sample order.
    best_epoch
        Epoch of lowest validation loss, from 1; its weights are the model.
    curve
        One row an epoch.
    validation, test
        Figures of the model; test figures are never read by the search.
    n_windows
        Training windows seen, over all epochs.
    train_seconds
        Seconds inside training and scoring.
    process
        Host and process that trained.
    notes
        What a reader must know of how it was trained.
    compute
        What the attempt took that ended with it; ``None`` in records of a version that did not ask.
    """

    key: str
    fold: int
    test_group: int | None
    validation_group: int | None
    seed: int
    best_epoch: int
    curve: Sequence[Epoch]
    validation: Score
    test: Score
    n_windows: int
    train_seconds: float
    process: str
    notes: tuple[str, ...] = ()
    compute: Compute | None = field(default=None, compare=False)

    @classmethod
    def read(cls, folder: Path, /) -> FoldRecord:
        """Read a fold's figures from its folder."""
        plain = json.loads((folder / "fold.json").read_text())
        return cls.from_figures(plain, curve=epochs(plain.pop("curve")))

    @classmethod
    def from_figures(cls, plain: Mapping[str, Any], /, *, curve: Sequence[Epoch]) -> FoldRecord:
        """Build it from plain data without a curve, as a line of the record holds them."""
        took = plain.get("compute")
        made = {
            "validation": Score(**plain["validation"]),
            "test": Score(**plain["test"]),
            "notes": tuple(plain.get("notes", ())),
            "compute": Compute(**took) if took else None,
        }
        return cls(curve=curve, **{**plain, **made})

    @cached_property
    def digest(self) -> str:
        """Tell this result from another of the same fold, as one trained anew has other seconds."""
        figures = asdict(replace(self, curve=()))  # the curve is read when it is asked for
        return hashlib.sha256(json.dumps(figures, sort_keys=True).encode()).hexdigest()[:16]

    def write(self, folder: Path, /) -> None:
        """Write the figures into the fold's folder."""
        (folder / "fold.json").write_text(json.dumps(asdict(self), indent=1))


@dataclass(frozen=True, kw_only=True)
class TrialRecord:
    """One configuration and the folds trained for it.

    Attributes
    ----------
    number
        0 for the linear baseline, then as they began.
    name
        ``"baseline"`` or ``"trial 3"``.
    values
        Dotted names of searched settings to the values tried.
    settings
        The whole configuration as plain data: ``trainables``, ``datasets``, ``training``.
    state
        How far it is.
    folds
        In the order of the plan.
    error
        Why it failed, empty if it did not.
    may_pass
        Whether what made it fail may pass (a full disk, a lost node), so that it is tried again.
    verdict
        What the audit of its own windows, steps and masks came to.
    pruned
        Why it was ended before its last fold; ``None`` if it was not.
    attempt
        How often it was begun: more than once if the sweep was interrupted and went on.
    begun_at, ended_at
        When it was first begun and last ended, in seconds since 1970; ``None`` if it did not end.
    fold_done_at
        Key of a fold to when it was first written as done.
    """

    number: int
    name: str
    values: Mapping[str, Any]
    settings: Mapping[str, Any]
    state: TrialState
    folds: tuple[FoldRecord, ...]
    error: str = ""
    may_pass: bool = False
    verdict: Verdict = field(default_factory=Verdict)
    pruned: Pruned | None = None
    # When and how often it was trained is no part of what came of it.
    attempt: int = field(default=1, compare=False)
    begun_at: float = field(default=0.0, compare=False)
    ended_at: float | None = field(default=None, compare=False)
    fold_done_at: Mapping[str, float] = field(default_factory=dict, compare=False)

    def fold(self, number: int, /) -> FoldRecord:
        """Give a fold by its number in the plan; a finished trial has them all."""
        return next(fold for fold in self.folds if fold.fold == number)

    @property
    def is_baseline(self) -> bool:
        """Whether this is the linear baseline that stands in every sweep."""
        return self.name == BASELINE

    @property
    def is_control(self) -> bool:
        """Whether it was trained on labels that are not real, and so is nothing to choose."""
        return str(self.settings.get("datasets", {}).get("labels", "")).lower() == "permuted"

    @property
    def decoder(self) -> str:
        """Short name of the decoder and what was tried with it."""
        kind = str(self.settings["trainables"]["_target_"]).rpartition(".")[2].lower()
        kind = str(self.values.get(ARM, kind))
        values = ", ".join(
            f"{name.rpartition('.')[2]}={_short(value)}"
            for name, value in self.values.items()
            if name != ARM
        )
        return f"{kind} ({values})" if values else kind

    @property
    def mask(self) -> str:
        """What of the input the decoder sees; empty where it sees all."""
        mask = self.settings.get("datasets", {}).get("mask")
        return str(from_plain(mask).label) if mask else ""

    def mean_validation_auc(self) -> float:
        """Give the figure that the search sees: mean validation AUC over the folds."""
        return statistics.fmean(fold.validation.auc for fold in self.folds)


@dataclass(frozen=True, kw_only=True)
class SweepRecord:
    """All that a sweep did, as read from its folder.

    Attributes
    ----------
    name
        Name of the sweep.
    folder
        Where its record lies.
    settings
        The resolved configuration as plain data.
    dataset
        ``content_hash``, ``address``, ``target``, ``rate_hz``, ``n_units``, ``n_frames``,
        ``subjects`` and ``recordings`` of the dataset.
    plan
        The fold plan.
    plan_hash
        Its content hash.
    code_version
        Version of calsweep and hash of its source.
    verdict
        That of the settings and of all trials.
    n_planned
        Trials that the sweep sets out to try, the baseline among them.
    trials
        In the order they began.
    overrides
        What its settings were composed from; empty if it was not begun from a command.
    identity
        Hash of what it would do (`calsweep.platform.ownership.change.identity`).
    changes
        Sentences on what is not as it was when the sweep began, and was accepted.
    earlier_code
        Versions of the code that it ran with before.
    stopped
        Why its search was ended before its time; empty if it was not, or went on since.
    """

    name: str
    folder: Path
    settings: Mapping[str, Any]
    dataset: Mapping[str, Any]
    plan: FoldPlan
    plan_hash: str
    code_version: str
    verdict: Verdict
    n_planned: int
    trials: tuple[TrialRecord, ...]
    overrides: tuple[str, ...] = ()
    identity: str = ""
    changes: tuple[str, ...] = ()
    earlier_code: tuple[str, ...] = ()
    stopped: str = ""

    @property
    def is_over(self) -> bool:
        """Whether every trial came to an end that running the sweep again would not change."""
        ended = [t for t in self.trials if t.state is not TrialState.RUNNING and not t.may_pass]
        return len(ended) >= self.n_planned

    @property
    def finished(self) -> tuple[TrialRecord, ...]:
        """The trials all of whose folds are done."""
        return tuple(trial for trial in self.trials if trial.state is TrialState.DONE)

    def fold_folder(self, fold: FoldRecord, /) -> Path:
        """Give the folder of a trained fold."""
        return self.folder / "folds" / fold.key


class SweepNotFound(LookupError):
    """No sweep of this name."""

    def __init__(self, name: str, known: tuple[str, ...]) -> None:
        super().__init__(name, known)
        self.name = name
        self.known = known

    def __str__(self) -> str:
        if not self.known:
            return f"No sweep {self.name!r}, nor any other: begin one with `calsweep sweep`."
        return f"No sweep {self.name!r}. {nearest(self.name, self.known)}"


def sweeps_folder(home: Path, /) -> Path:
    """Give the folder that holds the sweeps of a home."""
    return home / "sweeps"


def dynamics_folder(home: Path, /) -> Path:
    """Give the folder that holds the populations of models of dynamics of a home."""
    return home.expanduser().resolve() / "dynamics"


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
    folder = sweeps_folder(home) / name
    if not (folder / "sweep.json").exists():
        known = sorted(path.parent.name for path in sweeps_folder(home).glob("*/sweep.json"))
        raise SweepNotFound(name, tuple(known))
    plain = json.loads((folder / "sweep.json").read_text())
    events = tuple(record_events(folder))
    trials = _read_trials(folder, events)
    verdict = sum((trial.verdict for trial in trials), start=from_plain(plain["verdict"]))
    return SweepRecord(
        name=name,
        folder=folder,
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
        changes=tuple(change["sentence"] for change in plain.get("changes", ())),
        earlier_code=tuple(
            change["then"] for change in plain.get("changes", ()) if change["what"] == "code"
        ),
        stopped=str(events[-1]["why"]) if events and events[-1]["event"] == "stopped" else "",
    )


@lru_cache(maxsize=4)
def _plan(text: str) -> FoldPlan:
    """Build a plan once: it may have thousands of stretches, and a record is read often."""
    plan: FoldPlan = from_plain(json.loads(text))
    return plan


def read_lines(path: Path, /) -> Iterator[dict[str, Any]]:
    """Give the whole lines of a file that is only added to; none if there is no file."""
    for line in path.read_text().splitlines() if path.exists() else ():
        with contextlib.suppress(json.JSONDecodeError):  # cut short by a kill or a full disk
            yield json.loads(line)


def record_events(folder: Path, /) -> Iterator[dict[str, Any]]:
    """Give the lines of a sweep's record, without those of an owner whose successor had begun.

    A process that was paused in the middle of a write, and wakes after another took over, may still
    add that one line (`calsweep.platform.ownership.lease`).
    """
    newest = 0
    for line in read_lines(folder / "record.jsonl"):
        token = line.get("token", 0)
        if token >= newest:
            newest = token
            yield line


_BEGUN: dict[str, Any] = {
    "state": TrialState.RUNNING,
    "error": "",
    "may_pass": False,
    "ended_at": None,
    "pruned": None,
}


def _read_trials(folder: Path, events: Sequence[Mapping[str, Any]]) -> tuple[TrialRecord, ...]:
    """Replay the lines; of a sweep that was started again, the last run of a trial counts."""
    trials: dict[int, dict[str, Any]] = {}
    for event in events:
        if event["event"] == "anew":  # with other data or folds
            trials.clear()
        if "trial" not in event:
            continue
        number, at = event["trial"], event.get("at", 0.0)
        if event["event"] == "trial":
            before = trials.get(number, {"attempt": 0, "begun_at": at, "fold_done_at": {}})
            kept = {key: before[key] for key in ("begun_at", "fold_done_at")}
            attempt = before["attempt"] + 1
            trials[number] = {**event, **_BEGUN, **kept, "attempt": attempt, "folds": {}}
        elif number in trials and event["event"] == "fold":
            trials[number]["folds"][event["key"]] = event.get("figures")
            trials[number]["fold_done_at"].setdefault(event["key"], at)
        elif number in trials:
            kept = {key: event[key] for key in ("error", "may_pass")}
            kept |= {"pruned": event.get("pruned"), "ended_at": at}
            trials[number].update(state=TrialState(event["state"]), **kept)
    return tuple(_trial(folder, trials[number]) for number in sorted(trials))


def _trial(folder: Path, event: Mapping[str, Any]) -> TrialRecord:
    place = folder / "folds"
    folds = [_fold(place, key, figures) for key, figures in event["folds"].items()]
    return TrialRecord(
        number=event["trial"],
        name=event["name"],
        values=event["values"],
        settings=event["settings"],
        state=event["state"],
        folds=tuple(sorted(folds, key=lambda fold: fold.fold)),
        error=event["error"],
        may_pass=event["may_pass"],
        verdict=from_plain(event["verdict"]),
        pruned=Pruned(**event["pruned"]) if event["pruned"] else None,
        attempt=event["attempt"],
        begun_at=event["begun_at"],
        ended_at=event["ended_at"],
        fold_done_at=event["fold_done_at"],
    )


def _fold(folder: Path, key: str, figures: Mapping[str, Any] | None) -> FoldRecord:
    """Give a fold from its line; one of an older version has no figures there."""
    if figures is None:
        return FoldRecord.read(folder / key)
    return FoldRecord.from_figures(figures, curve=StoredCurve(folder, key))


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
