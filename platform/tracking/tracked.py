"""What MLflow is told of a sweep: keys, parameters, figures, tags and texts, as plain data."""

from __future__ import annotations

import getpass
import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from calsweep.platform.leaderboard import summarize
from calsweep.platform.object_storage.address import is_remote
from calsweep.platform.record import FoldRecord, SweepRecord, TrialRecord, TrialState

RUN_KEY = "calsweep.run_key"
PARENT = "mlflow.parentRunId"
ERROR = "calsweep.error"
RESULT = "calsweep.result"
"""Tag that tells which result of the record a run holds; it is written last of all."""
KIND = "calsweep.run"
"""Tag that tells runs of trials from runs of folds: a search of ``trial`` gives the parents."""
REPLACED = "calsweep.replaced_run_key"
"""Tag of a run whose fold was trained anew: the key that it had."""
MODEL_ID = "calsweep.model_id"
"""Tag of a fold's run: MLflow's number of its model."""
MODEL_NAME = "decoder"
LOADER = "calsweep.platform.fold.model"
"""Module that loads a fold's model for MLflow."""
FOLD_TABLE = "folds.json"
SETTINGS = "settings.json"
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
    result
        Tells one outcome from another: folds, attempt and error.
    error
        Why the trial failed, empty if it did not.
    """

    status: str
    result: str = ""
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


def artifact_location(uri: str, folder: Path, /, *, sweep: str) -> str | None:
    """Say where MLflow is to keep a sweep's models and files, or leave it to its server.

    Parameters
    ----------
    uri
        MLflow's address.
    folder
        Where they go if ``CALSWEEP_ARTIFACTS`` names no other folder or ``s3://`` address.
    sweep
        Has a folder of its own there.

    Examples
    --------
    >>> artifact_location("sqlite:////data/mlflow.db", Path("/data/artifacts"), sweep="gru")
    'file:///data/artifacts/gru'
    >>> artifact_location("https://lab.org/mlflow", Path("/data/artifacts"), sweep="gru") is None
    True
    """
    if uri.startswith(("http://", "https://")):
        return None  # a folder of this machine could not be reached from another
    given = os.environ.get("CALSWEEP_ARTIFACTS", "")
    if is_remote(given):
        return f"{given.rstrip('/')}/{sweep}"
    return ((Path(given) if given else folder).expanduser().resolve() / sweep).as_uri()


def trial_key(trial: TrialRecord, /) -> str:
    """Name a trial's run, so that it is found before it is made."""
    return f"trial {trial.number}"


def fold_key(trial: TrialRecord, fold: FoldRecord, /) -> str:
    """Name a fold's run, so that it is found before it is made."""
    return f"trial {trial.number}/{fold.key}"


def fold_name(trial: TrialRecord, fold: FoldRecord, /) -> str:
    """Name a fold's run for a person."""
    return f"{trial.name} fold {fold.fold:02d}"


def ending(trial: TrialRecord, /) -> Ending:
    """Give how the run of a trial has to stand that ended, or whose process is gone."""
    status = _STATUS.get(trial.state, "KILLED")
    error = trial.error.strip()[:_TAG_LENGTH] if trial.state is TrialState.FAILED else ""
    whole = [status, error, trial.attempt, [fold.digest for fold in trial.folds]]
    digest = hashlib.sha256(json.dumps(whole).encode()).hexdigest()[:16]
    return Ending(status=status, result=digest, error=error)


# A trial that is begun and has no process is dead until the sweep goes on.
_STATUS = {TrialState.DONE: "FINISHED", TrialState.FAILED: "FAILED"}


def begun_ms(trial: TrialRecord, fold: FoldRecord | None = None, /) -> int:
    """Give when a trial or the training of a fold began, in milliseconds since 1970."""
    if fold is None:
        return round(1000 * trial.begun_at)
    return ended_ms(trial, fold) - round(1000 * fold.train_seconds)


def ended_ms(trial: TrialRecord, fold: FoldRecord | None = None, /) -> int:
    """Give when a trial or a fold ended, in milliseconds since 1970.

    It comes from the record, so that what is written twice is the same, and MLflow keeps it once.
    """
    done_at = trial.fold_done_at.values()
    if fold is None:
        last = trial.ended_at or max(done_at, default=trial.begun_at)
    else:
        last = trial.fold_done_at.get(fold.key, trial.begun_at)
    return round(1000 * last)


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


def run_tags(sweep: SweepRecord, trial: TrialRecord, /) -> dict[str, str]:
    """Give the tags of a new run."""
    return {
        KIND: "trial",
        "calsweep.attempt": str(trial.attempt),
        "mlflow.user": user_name(),
        "mlflow.source.name": "calsweep",
        **provenance(sweep, trial),
    }


def fold_tags(fold: FoldRecord, /, *, parent: str) -> dict[str, str]:
    """Give the tags that a fold's run has beside those of its trial."""
    return {
        PARENT: parent,
        KIND: "fold",
        "calsweep.fold": str(fold.fold),
        "calsweep.fold_key": fold.key,
        "calsweep.fold_seed": str(fold.seed),
        "calsweep.process": fold.process,
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
    return curve + [Figure(name=name, value=value) for name, value in final_figures(fold).items()]


def final_figures(fold: FoldRecord, /) -> dict[str, float]:
    """Give the figures of a fold's model by name, as far as they are known."""
    final = {
        "best_epoch": fold.best_epoch,
        **{f"best_validation_{name}": value for name, value in asdict(fold.validation).items()},
        **{f"test_{name}": value for name, value in asdict(fold.test).items()},
        "n_windows": fold.n_windows,
        "train_seconds": fold.train_seconds,
    }
    return {name: float(value) for name, value in final.items() if not math.isnan(value)}


def trial_figures(trial: TrialRecord, /) -> list[Figure]:
    """Give every figure of a trial's folds, a step a fold, and their summary, a step an attempt."""
    figures = [
        Figure(name=f"fold_{_in_table(name)}", value=value, step=fold.fold)
        for fold in trial.folds
        for name, value in final_figures(fold).items()
    ]
    summary = summary_figures(trial).items()
    return figures + [Figure(name=name, value=value, step=trial.attempt) for name, value in summary]


def summary_figures(trial: TrialRecord, /) -> dict[str, float]:
    """Give what the folds of a trial come to, by name."""
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
    return summary


def fold_table(trial: TrialRecord, /) -> dict[str, Any]:
    """Give what lies with a trial's run: a line a fold, with all but the learning curve."""
    return {"folds": [_fold_row(fold) for fold in trial.folds]}


def _fold_row(fold: FoldRecord) -> dict[str, Any]:
    return {
        "fold": fold.fold,
        "test_group": fold.test_group,
        "validation_group": fold.validation_group,
        **{_in_table(name): value for name, value in final_figures(fold).items()},
        "seed": fold.seed,
        "process": fold.process,
        "notes": list(fold.notes),
        "key": fold.key,
    }


def _in_table(name: str) -> str:
    """Name a figure as in the table of folds, where there is no other validation than the best."""
    return name.replace("best_validation", "validation")


def _leaves(node: Any, at: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(node, Mapping):
        for key, item in node.items():
            yield from _leaves(item, f"{at}.{key}".strip(".").replace("._target_", ".type"))
    elif isinstance(node, list):
        for i, item in enumerate(node):
            yield from _leaves(item, f"{at}.{i}")
    else:
        yield at, node
