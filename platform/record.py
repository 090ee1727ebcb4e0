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

import hashlib
import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import Enum
from functools import cached_property
from pathlib import Path
from typing import Any

from calsweep.datasets.audit import Verdict
from calsweep.datasets.fold import FoldPlan
from calsweep.platform.compute import Compute
from calsweep.platform.plain import from_plain, nearest
from calsweep.platform.pruning import Pruned
from calsweep.platform.score import Epoch, Score
from calsweep.platform.stored_curve import epochs
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


class _NotFound(LookupError):
    """Nothing of this name."""

    def __init__(self, name: str, known: tuple[str, ...]) -> None:
        super().__init__(name, known)
        self.name = name
        self.known = known


class SweepNotFound(_NotFound):
    """No sweep of this name."""

    def __str__(self) -> str:
        if not self.known:
            return f"No sweep {self.name!r}, nor any other: begin one with `calsweep sweep`."
        return f"No sweep {self.name!r}. {nearest(self.name, self.known)}"


class NoDynamics(_NotFound):
    """There is no such population of models of dynamics."""

    def __str__(self) -> str:
        there = f"There are: {', '.join(self.known)}." if self.known else "There are none."
        return f"`calsweep lfads` has left nothing of the name {self.name!r}. {there}"


def sweeps_folder(home: Path, /) -> Path:
    """Give the folder that holds the sweeps of a home."""
    return home / "sweeps"


def dynamics_folder(home: Path, /) -> Path:
    """Give the folder that holds the populations of models of dynamics of a home."""
    return home.expanduser().resolve() / "dynamics"


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
