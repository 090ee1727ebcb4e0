"""MLflow: runs of trials and folds, their models, and the registry. The only module that knows it.

The sweep's record is written first; what stands here is fed from it and may be late. A run is found
by its key before it is made, so feeding the same record again changes nothing.
"""

from __future__ import annotations

import getpass
import logging
import os
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# MLflow reads these when it is imported: no usage reports, no bars, no minutes of silent retries.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")

import mlflow
import mlflow.pyfunc
from mlflow.entities import Metric, Param, Run
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.tracking import MlflowClient
from mlflow.types import ColSpec, Schema

import calsweep
from calsweep.datasets.cache import build_once
from calsweep.platform.leaderboard import summarize
from calsweep.platform.model import FoldModel
from calsweep.platform.record import (
    FoldRecord,
    SweepRecord,
    TrialRecord,
    TrialState,
    read_sweep,
)

RUN_KEY = "calsweep.run_key"
MODEL_ID = "calsweep.model_id"
CHAMPION = "champion"
SYNC_EVERY_S = 2.0
_SQLITE = "sqlite:///"
_PAGE = 1000
_BATCH = 1000
_TEXT = 500

# The signature is written from the units' names; an example would cost a prediction per model.
warnings.filterwarnings("ignore", message=".*input example was not provided.*")
for _name in ("mlflow", "alembic"):
    logging.getLogger(_name).setLevel(logging.WARNING)


class ModelNotFound(LookupError):
    """No model at an address."""

    def __init__(self, uri: str, reason: str) -> None:
        super().__init__(uri, reason)
        self.uri = uri
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"No model at {self.uri}: {self.reason} "
            "`calsweep promote SWEEP` registers one as models:/NAME@champion."
        )


@dataclass(frozen=True, kw_only=True)
class RegisteredModel:
    """A version of a registered model.

    Attributes
    ----------
    name, version
        Of the model in the registry.
    """

    name: str
    version: str

    @property
    def uri(self) -> str:
        """The address under which the champion is loaded."""
        return f"models:/{self.name}@{CHAMPION}"


class Tracker:
    """Writer of one sweep's runs: one experiment, a parent run a trial, a child run a fold.

    Parameters
    ----------
    uri
        MLflow's address.
    sweep
        Name of the sweep.
    artifacts
        Folder for models and files of the runs, used when the experiment is made.
    """

    def __init__(self, uri: str, /, *, sweep: str, artifacts: Path) -> None:
        self._client = _client(uri)
        self._experiment = self._find_or_create(f"calsweep/{sweep}", artifacts / sweep)
        self._runs = self._known_runs()

    def sync(self, sweep: SweepRecord, /) -> int:
        """Write what the record holds and MLflow does not.

        Returns
        -------
        n_written
            Fold runs written.
        """
        return sum(self._sync_trial(sweep, trial) for trial in sweep.trials)

    def register(
        self, sweep: SweepRecord, trial: TrialRecord, fold: FoldRecord, /, *, name: str
    ) -> RegisteredModel:
        """Register a fold's model and make it the champion.

        A fold that is a version of this model already is not registered twice.
        """
        self.sync(sweep)
        run = self._client.get_run(self._runs[_fold_key(trial, fold)])
        self._ensure_registered(name)
        version = self._version_of(name, run.info.run_id) or self._create_version(
            name, run, sweep=sweep, trial=trial, fold=fold
        )
        self._client.set_registered_model_alias(name, CHAMPION, version)
        return RegisteredModel(name=name, version=version)

    def _sync_trial(self, sweep: SweepRecord, trial: TrialRecord) -> int:
        key = _trial_key(trial)
        parent = self._runs.get(key)
        if parent is None:
            parent = self._create(key, name=trial.name, sweep=sweep, trial=trial, tags={})
        missing = [fold for fold in trial.folds if _fold_key(trial, fold) not in self._runs]
        for fold in missing:
            self._put_fold(sweep, trial, fold, parent=parent)
        if trial.state is not TrialState.RUNNING and f"{key}/ended" not in self._runs:
            self._end_trial(parent, trial)
            self._runs[f"{key}/ended"] = parent
        return len(missing)

    def _put_fold(
        self, sweep: SweepRecord, trial: TrialRecord, fold: FoldRecord, *, parent: str
    ) -> None:
        key = _fold_key(trial, fold)
        tags = {
            "mlflow.parentRunId": parent,
            "calsweep.fold": str(fold.fold),
            "calsweep.fold_key": fold.key,
            "calsweep.fold_seed": str(fold.seed),
            "calsweep.test_group": str(fold.test_group),
            "calsweep.validation_group": str(fold.validation_group),
        }
        name = f"{trial.name} fold {fold.fold:02d}"
        run_id = self._create(key, name=name, sweep=sweep, trial=trial, tags=tags)
        self._log_metrics(run_id, _fold_metrics(fold))
        model_id = self._log_model(sweep.fold_folder(fold) / "model", run_id=run_id)
        self._client.set_tag(run_id, MODEL_ID, model_id)
        self._client.set_terminated(run_id)

    def _end_trial(self, parent: str, trial: TrialRecord) -> None:
        self._log_metrics(parent, _trial_metrics(trial))
        self._client.log_dict(
            parent, {"folds": [_fold_row(fold) for fold in trial.folds]}, "folds.json"
        )
        failed = trial.state is TrialState.FAILED
        if failed:
            self._client.set_tag(parent, "calsweep.error", trial.error)
        self._client.set_terminated(parent, status="FAILED" if failed else "FINISHED")

    def _create(
        self,
        key: str,
        *,
        name: str,
        sweep: SweepRecord,
        trial: TrialRecord,
        tags: Mapping[str, str],
    ) -> str:
        run = self._client.create_run(
            self._experiment,
            run_name=name,
            tags={
                RUN_KEY: key,
                "mlflow.user": getpass.getuser(),
                "mlflow.source.name": "calsweep",
                **_provenance(sweep, trial),
                **tags,
            },
        )
        run_id: str = run.info.run_id
        self._client.log_batch(run_id, params=_params(trial.settings))
        self._client.log_dict(run_id, dict(trial.settings), "settings.json")
        self._runs[key] = run_id
        return run_id

    def _log_metrics(self, run_id: str, metrics: list[Metric]) -> None:
        for first in range(0, len(metrics), _BATCH):
            self._client.log_batch(run_id, metrics=metrics[first : first + _BATCH])

    def _log_model(self, folder: Path, *, run_id: str) -> str:
        """Store a model as MLflow stores its own, without loading it or guessing requirements."""
        units = FoldModel.load(folder).units
        logged = self._client.create_logged_model(
            self._experiment, name="decoder", source_run_id=run_id, model_type="pyfunc"
        )
        with tempfile.TemporaryDirectory(prefix="calsweep-model-") as scratch:
            path = Path(scratch) / "model"
            mlflow.pyfunc.save_model(
                str(path),
                loader_module="calsweep.platform.model",
                data_path=str(folder),
                signature=_signature(units),
                pip_requirements=[f"calsweep=={calsweep.__version__}"],
            )
            self._client.log_model_artifacts(logged.model_id, str(path))
        self._client.finalize_logged_model(logged.model_id, "READY")
        model_id: str = logged.model_id
        return model_id

    def _find_or_create(self, name: str, artifacts: Path) -> str:
        found = self._client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        location = artifacts.expanduser().resolve().as_uri()
        return str(self._client.create_experiment(name, artifact_location=location))

    def _known_runs(self) -> dict[str, str]:
        """Find the runs that are there; a child that was never finished is made again."""
        runs = {}
        for run in self._all_runs():
            key = run.data.tags.get(RUN_KEY, "")
            is_child = "mlflow.parentRunId" in run.data.tags
            if is_child and run.info.status == "RUNNING":
                self._client.delete_run(run.info.run_id)
                continue
            runs[key] = run.info.run_id
            if not is_child and run.info.status != "RUNNING":
                runs[f"{key}/ended"] = run.info.run_id
        return runs

    def _all_runs(self) -> Iterator[Run]:
        token = None
        while True:
            page = self._client.search_runs([self._experiment], max_results=_PAGE, page_token=token)
            yield from page
            token = page.token
            if not token:
                return

    def _ensure_registered(self, name: str) -> None:
        try:
            self._client.get_registered_model(name)
        except MlflowException:
            self._client.create_registered_model(name)

    def _version_of(self, name: str, run_id: str) -> str | None:
        found = self._client.search_model_versions(f"name='{name}' and run_id='{run_id}'")
        return str(found[0].version) if found else None

    def _create_version(
        self, name: str, run: Run, *, sweep: SweepRecord, trial: TrialRecord, fold: FoldRecord
    ) -> str:
        model_id = run.data.tags[MODEL_ID]
        version = self._client.create_model_version(
            name,
            source=f"models:/{model_id}",
            run_id=run.info.run_id,
            model_id=model_id,
            tags={**_provenance(sweep, trial), "calsweep.fold": str(fold.fold)},
            description=_description(sweep, trial, fold),
        )
        return str(version.version)


class TrackingThread:
    """Feeds MLflow from a sweep's record while the sweep runs, and never holds it up.

    Errors of MLflow are waited out: the record keeps everything, and the next look writes it.
    """

    def __init__(self, uri: str, /, *, home: Path, sweep: str) -> None:
        self._uri = uri
        self._home = home
        self._sweep = sweep
        self._ending = threading.Event()
        self._deadline = 0.0
        self._error = ""
        self._thread = threading.Thread(target=self._run, name="tracking", daemon=True)
        self._thread.start()

    def close(self, *, deadline_s: float = 60.0) -> str:
        """Write what is left.

        Returns
        -------
        error
            Why MLflow does not have everything yet; empty if it has.
        """
        self._deadline = time.monotonic() + deadline_s
        self._ending.set()
        self._thread.join(deadline_s)
        if self._thread.is_alive() and not self._error:
            return f"it did not take everything within {deadline_s:.0f} s"
        return self._error

    def _run(self) -> None:
        tracker: Tracker | None = None
        is_over = False
        while not is_over:
            is_ending = self._ending.wait(SYNC_EVERY_S)
            try:
                tracker = tracker or Tracker(
                    self._uri, sweep=self._sweep, artifacts=self._home / "artifacts"
                )
                tracker.sync(read_sweep(self._home, self._sweep))
                self._error = ""
            except Exception as error:  # noqa: BLE001 - of MLflow's many; all are waited out
                self._error = str(error).strip().splitlines()[0]
                tracker = None  # what it knew of runs may be behind what is there
                if is_ending:
                    time.sleep(SYNC_EVERY_S)
            is_over = is_ending and (not self._error or time.monotonic() > self._deadline)


def download_model(uri: str, /, *, tracking_uri: str) -> Path:
    """Fetch a model of the registry or of a run.

    Parameters
    ----------
    uri
        ``models:/NAME@champion``, ``models:/NAME/VERSION`` or ``runs:/...``.
    tracking_uri
        MLflow's address.

    Returns
    -------
    folder
        What `FoldModel.load` reads.

    Raises
    ------
    ModelNotFound
        If there is none.
    """
    _client(tracking_uri)
    try:
        folder = Path(mlflow.artifacts.download_artifacts(uri))
    except (MlflowException, OSError) as error:
        raise ModelNotFound(uri, f"{str(error).strip().splitlines()[0]}.") from error
    return folder / "data" / "model"


def _client(uri: str) -> MlflowClient:
    if uri.startswith(_SQLITE):
        # A process that ends while MLflow makes its tables leaves a file that none can use.
        build_once(Path(uri.removeprefix(_SQLITE)), build=_make_tables)
    mlflow.set_tracking_uri(
        uri
    )  # the registry looks a model up through this, not through the client
    return MlflowClient(uri)


def _make_tables(file: Path) -> None:
    MlflowClient(f"{_SQLITE}{file}").search_experiments(max_results=1)


def _trial_key(trial: TrialRecord) -> str:
    return f"trial {trial.number}"


def _fold_key(trial: TrialRecord, fold: FoldRecord) -> str:
    return f"trial {trial.number}/{fold.key}"


def _provenance(sweep: SweepRecord, trial: TrialRecord) -> dict[str, str]:
    return {
        "calsweep.sweep": sweep.name,
        "calsweep.trial": str(trial.number),
        "calsweep.dataset": str(sweep.dataset["address"]),
        "calsweep.dataset_hash": str(sweep.dataset["content_hash"]),
        "calsweep.plan": sweep.plan.name,
        "calsweep.plan_hash": sweep.plan_hash,
        "calsweep.leaky": str(sweep.plan.leaky).lower(),
        "calsweep.notes": "; ".join(sweep.notes),
        "calsweep.code_version": sweep.code_version,
        "calsweep.seed": str(sweep.settings["seed"]),
    }


def _params(settings: Mapping[str, Any]) -> list[Param]:
    return [Param(name, str(value)[:_TEXT]) for name, value in _leaves(settings)]


def _leaves(node: Any, at: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(node, Mapping):
        for key, item in node.items():
            yield from _leaves(item, f"{at}.{key}".strip(".").replace("._target_", ".type"))
    elif isinstance(node, list):
        for i, item in enumerate(node):
            yield from _leaves(item, f"{at}.{i}")
    else:
        yield at, node


def _fold_metrics(fold: FoldRecord) -> list[Metric]:
    now = int(time.time() * 1000)
    curve = [
        Metric(name, value, now, row.epoch)
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
        "best_validation_loss": fold.validation.loss,
        "best_validation_auc": fold.validation.auc,
        "best_validation_accuracy": fold.validation.accuracy,
        "test_loss": fold.test.loss,
        "test_auc": fold.test.auc,
        "test_accuracy": fold.test.accuracy,
        "n_windows": fold.n_windows,
        "train_seconds": fold.train_seconds,
    }
    return curve + [Metric(name, float(value), now, 0) for name, value in final.items()]


def _trial_metrics(trial: TrialRecord) -> list[Metric]:
    now = int(time.time() * 1000)
    metrics = [
        Metric(name, value, now, fold.fold)
        for fold in trial.folds
        for name, value in {
            "fold_validation_auc": fold.validation.auc,
            "fold_test_auc": fold.test.auc,
        }.items()
    ]
    if trial.folds:
        row = summarize(trial, rank=0)
        figures = {
            "validation_auc_mean": row.validation_auc,
            "validation_auc_sd": row.validation_auc_sd,
            "test_auc_mean": row.test_auc,
            "test_auc_sd": row.test_auc_sd,
            "test_accuracy_mean": row.test_accuracy,
            "n_folds": float(len(trial.folds)),
            "train_seconds": sum(fold.train_seconds for fold in trial.folds),
        }
        metrics += [Metric(name, value, now, 0) for name, value in figures.items()]
    return metrics


def _fold_row(fold: FoldRecord) -> dict[str, Any]:
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


def _signature(units: tuple[str, ...]) -> ModelSignature:
    """One row a frame; frames of different recordings or trials are told apart by name."""
    optional = [
        ColSpec("string", "recording", required=False),
        ColSpec("integer", "trial", required=False),
    ]
    inputs = Schema([*(ColSpec("float", unit) for unit in units), *optional])
    return ModelSignature(inputs=inputs, outputs=Schema([ColSpec("float", "probability")]))


def _description(sweep: SweepRecord, trial: TrialRecord, fold: FoldRecord) -> str:
    row = summarize(trial, rank=0)
    return (
        f"{trial.decoder}: fold {fold.fold} of sweep {sweep.name}, chosen on validation "
        f"(AUC {fold.validation.auc:.3f}). Test AUC of this fold {fold.test.auc:.3f}; of the "
        f"configuration {row.test_auc:.3f} ± {row.test_auc_sd:.3f} over {len(trial.folds)} folds. "
        f"Decodes {sweep.dataset['target']} from {sweep.dataset['n_units']} units at "
        f"{sweep.dataset['rate_hz']} Hz."
    )
