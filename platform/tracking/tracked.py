"""What MLflow is told of a sweep: keys, parameters, figures, tags and texts, as plain data."""

from __future__ import annotations

import getpass
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from calsweep.platform.leaderboard import summarize
from calsweep.platform.record import FoldRecord, SweepRecord, TrialRecord, TrialState

RUN_KEY = "calsweep.run_key"
PARENT = "mlflow.parentRunId"
ERROR = "calsweep.error"
N_FOLDS = "n_folds"
_PARAM_LENGTH = 500
_TAG_LENGTH = 5000
_NAME_BYTES = 200  # of a folder of the home, too


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One number of a run; `step` counts epochs from 1, or folds."""

    name: str
    value: float
    step: int = 0


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How a trial's run stands: what is compared to see whether its summary has to be written.

    Attributes
    ----------
    status
        As MLflow has it.
    n_folds
        Folds that the summary counts.
    error
        Why the trial failed, empty if it did not.
    """

    status: str
    n_folds: int = 0
    error: str = ""


def check_model_name(name: str, /) -> None:
    """Check that the registry takes a name.

    Raises
    ------
    ValueError
        If it does not.

    Examples
    --------
    >>> check_model_name("runner")
    """
    is_plain = name.strip() and name not in {".", ".."} and not {"/", ":"} & set(name)
    if not is_plain or len(name.encode()) > _NAME_BYTES:
        raise ValueError(
            "a model's name must not be empty, hold `/` or `:`, or have more than "
            f"{_NAME_BYTES} bytes, but got {name!r}. Give another with `--name`."
        )


def artifact_location(uri: str, folder: Path, /) -> str | None:
    """Say where MLflow is to keep models and files: a folder, or where its server decides.

    Examples
    --------
    >>> artifact_location("sqlite:////data/mlflow.db", Path("/data/artifacts"))
    'file:///data/artifacts'
    >>> artifact_location("https://lab.org/mlflow", Path("/data/artifacts")) is None
    True
    """
    if uri.startswith(("http://", "https://")):
        return None  # a folder of this machine could not be reached from another
    return folder.expanduser().resolve().as_uri()


def trial_key(trial: TrialRecord, /) -> str:
    """Name a trial's run, so that it is found before it is made."""
    return f"trial {trial.number}"


def fold_key(trial: TrialRecord, fold: FoldRecord, /) -> str:
    """Name a fold's run, so that it is found before it is made."""
    return f"trial {trial.number}/{fold.key}"


def ending(trial: TrialRecord, /) -> Ending:
    """Give how the run of a trial that ended has to stand."""
    failed = trial.state is TrialState.FAILED
    return Ending(
        status="FAILED" if failed else "FINISHED",
        n_folds=len(trial.folds),
        error=trial.error.strip()[:_TAG_LENGTH] if failed else "",
    )


def provenance(sweep: SweepRecord, trial: TrialRecord, /) -> dict[str, str]:
    """Give the tags that say where numbers come from."""
    return {
        "calsweep.sweep": sweep.name,
        "calsweep.trial": str(trial.number),
        "calsweep.dataset": str(sweep.dataset["address"]),
        "calsweep.dataset_hash": str(sweep.dataset["content_hash"]),
        "calsweep.plan": sweep.plan.name,
        "calsweep.plan_hash": sweep.plan_hash,
        "calsweep.holds_out": sweep.plan.holds_out.value,
        "calsweep.verdict": trial.verdict.standing.value,
        "calsweep.evidence": "; ".join(f.sentence for f in trial.verdict.findings)[:_TAG_LENGTH],
        **({"calsweep.mask": trial.mask} if trial.mask else {}),
        "calsweep.code_version": sweep.code_version,
        "calsweep.seed": str(sweep.settings["seed"]),
    }


def run_tags(key: str, sweep: SweepRecord, trial: TrialRecord, /) -> dict[str, str]:
    """Give the tags of a new run."""
    return {
        RUN_KEY: key,
        "mlflow.user": user_name(),
        "mlflow.source.name": "calsweep",
        **provenance(sweep, trial),
    }


def fold_tags(fold: FoldRecord, /, *, parent: str) -> dict[str, str]:
    """Give the tags that a fold's run has beside those of its trial."""
    return {
        PARENT: parent,
        "calsweep.fold": str(fold.fold),
        "calsweep.fold_key": fold.key,
        "calsweep.fold_seed": str(fold.seed),
        **({"calsweep.notes": "; ".join(fold.notes)[:_TAG_LENGTH]} if fold.notes else {}),
        **{
            f"calsweep.{name}": str(group)
            for name, group in {
                "test_group": fold.test_group,
                "validation_group": fold.validation_group,
            }.items()
            if group is not None
        },
    }


def user_name() -> str:
    """Name who runs this; a container's user may have a number and no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def params(settings: Mapping[str, Any], /) -> dict[str, str]:
    """Give settings by dotted name.

    Examples
    --------
    >>> params({"trainables": {"_target_": "calsweep.trainables.linear.Linear"}, "sizes": [8, 16]})
    {'trainables.type': 'calsweep.trainables.linear.Linear', 'sizes.0': '8', 'sizes.1': '16'}
    """
    return {name: str(value)[:_PARAM_LENGTH] for name, value in _leaves(settings)}


def fold_figures(fold: FoldRecord, /) -> list[Figure]:
    """Give a fold's learning curve, by epoch, and the figures of its model."""
    curve = [
        Figure(name=name, value=value, step=row.epoch)
        for row in fold.curve
        for name, value in {
            "train_loss": row.train_loss,
            "validation_loss": row.validation.loss,
            "validation_auc": row.validation.auc,
            "validation_accuracy": row.validation.accuracy,
        }.items()
    ]
    final = {
        "best_epoch": fold.best_epoch,
        **{f"best_validation_{name}": value for name, value in asdict(fold.validation).items()},
        **{f"test_{name}": value for name, value in asdict(fold.test).items()},
        "n_windows": fold.n_windows,
        "train_seconds": fold.train_seconds,
    }
    known = {name: float(value) for name, value in final.items() if not math.isnan(value)}
    return curve + [Figure(name=name, value=value) for name, value in known.items()]


def trial_figures(trial: TrialRecord, /) -> list[Figure]:
    """Give the figures of a trial's folds, by fold, and their summary."""
    figures = [
        Figure(name=name, value=value, step=fold.fold)
        for fold in trial.folds
        for name, value in {
            "fold_validation_auc": fold.validation.auc,
            "fold_test_auc": fold.test.auc,
        }.items()
    ]
    summary = {
        N_FOLDS: float(len(trial.folds)),
        "train_seconds": sum(fold.train_seconds for fold in trial.folds),
    }
    if trial.folds:
        row = summarize(trial, rank=0)
        summary |= {
            "validation_auc_mean": row.validation_auc,
            "validation_auc_sd": row.validation_auc_sd,
            "test_auc_mean": row.test_auc,
            "test_auc_sd": row.test_auc_sd,
            "test_accuracy_mean": row.test_accuracy,
        }
    return figures + [Figure(name=name, value=value) for name, value in summary.items()]


def fold_row(fold: FoldRecord, /) -> dict[str, Any]:
    """Give a fold's line in the table that lies with its trial."""
    return {
        "fold": fold.fold,
        "test_group": fold.test_group,
        "validation_group": fold.validation_group,
        "best_epoch": fold.best_epoch,
        "validation_auc": fold.validation.auc,
        "test_auc": fold.test.auc,
        "test_accuracy": fold.test.accuracy,
        "key": fold.key,
    }


def _leaves(node: Any, at: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(node, Mapping):
        for key, item in node.items():
            yield from _leaves(item, f"{at}.{key}".strip(".").replace("._target_", ".type"))
    elif isinstance(node, list):
        for i, item in enumerate(node):
            yield from _leaves(item, f"{at}.{i}")
    else:
        yield at, node
