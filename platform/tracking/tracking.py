"""MLflow: runs of trials and folds, and their models.

The sweep's record is written first; what stands here is fed from it and may be late. A run is found
by its key before it is made, so feeding the same record again changes nothing.
"""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
import time
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

# MLflow reads these when it is imported: no usage reports, no bars, no minutes of silent retries.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # two lines a fold
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
from calsweep.datasets.cache import LockTimeout, build_once, file_lock
from calsweep.platform.errors import first_line, hide_login
from calsweep.platform.fold.ensemble import read_model
from calsweep.platform.record import (
    FoldRecord,
    SweepRecord,
    TrialRecord,
    TrialState,
    sweeps_folder,
)
from calsweep.platform.tracking import tracked
from calsweep.platform.tracking.tracking_errors import TrackingRefused

MODEL_ID = "calsweep.model_id"
LOCK_DEADLINE_S = 60.0
_SQLITE = "sqlite:///"
_VARIABLE = "MLFLOW_TRACKING_URI"
_NO_RUN = {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}  # the latter for no id at all
_PAGE = 1000
_BATCH = 1000

# The signature is written from the units' names; an example would cost a prediction per model.
warnings.filterwarnings("ignore", message=".*input example was not provided.*")
for _name in ("mlflow", "alembic"):
    logging.getLogger(_name).setLevel(logging.WARNING)


class Tracker:
    """Writer of one sweep's runs: one experiment, a parent run a trial, a child run a fold.

    Writers of one sweep take turns by a lock in its folder, and read anew what is there when
    another had a turn between.

    Parameters
    ----------
    uri
        MLflow's address.
    home
        Of the sweep; new experiments keep models and files in its folder ``artifacts``, or where
        MLflow's server decides.
    sweep
        Name of the sweep.
    """

    def __init__(self, uri: str, /, *, home: Path, sweep: str) -> None:
        self._client = open_client(uri)
        self._lock = sweeps_folder(home) / sweep / "tracking.lock"
        self._id = uuid.uuid4().hex
        self._runs: dict[str, str] = {}
        self._endings: dict[str, tracked.Ending] = {}
        with file_lock(self._lock, deadline_s=LOCK_DEADLINE_S):
            location = tracked.artifact_location(uri, home / "artifacts" / sweep)
            self._experiment = self._find_or_create(f"calsweep/{sweep}", location)

    def sync(self, sweep: SweepRecord, /, *, check: Callable[[], None] | None = None) -> int:
        """Write what the record holds and MLflow does not.

        Parameters
        ----------
        sweep
            What the record holds.
        check
            Called before each fold: what it raises ends the writing, and nothing is left half done.

        Returns
        -------
        n_written
            Fold runs written.

        Raises
        ------
        LockTimeout
            If another writer does not end its turn.
        """
        with self._turn():
            return self._sync(sweep, check=check)

    def attach(
        self, sweep: SweepRecord, trial: TrialRecord, folders: Mapping[str, Path], /, *, under: str
    ) -> None:
        """Put folders of files with the runs of folds; files that are there are replaced.

        Parameters
        ----------
        sweep, trial
            Whose folds.
        folders
            Key of a fold (`FoldRecord.key`) to a folder.
        under
            Path of the files in the run's artifacts.

        Raises
        ------
        LockTimeout
            If another writer does not end its turn.
        """
        with self._turn():
            self._sync(sweep)
            for fold in trial.folds:
                if fold.key in folders:
                    run_id = self._runs[tracked.fold_key(trial, fold)]
                    self._client.log_artifacts(run_id, str(folders[fold.key]), under)

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        """Hold the lock, which names its last holder."""
        with file_lock(self._lock, deadline_s=LOCK_DEADLINE_S):
            if self._lock.read_text() != self._id:
                self._read_runs()
            self._lock.write_text("")  # a turn that breaks off lets everyone read anew
            yield
            self._lock.write_text(self._id)

    def _sync(self, sweep: SweepRecord, *, check: Callable[[], None] | None = None) -> int:
        return sum(self._sync_trial(sweep, trial, check=check) for trial in sweep.trials)

    def _sync_trial(
        self, sweep: SweepRecord, trial: TrialRecord, *, check: Callable[[], None] | None
    ) -> int:
        key = tracked.trial_key(trial)
        if key not in self._runs:
            self._create(key, name=trial.name, sweep=sweep, trial=trial, tags={})
        missing = [fold for fold in trial.folds if tracked.fold_key(trial, fold) not in self._runs]
        for fold in missing:
            if check:
                check()
            self._put_fold(sweep, trial, fold, parent=self._runs[key])
        if trial.state is not TrialState.RUNNING:
            self._end_trial(trial)
        return len(missing)

    def _put_fold(
        self, sweep: SweepRecord, trial: TrialRecord, fold: FoldRecord, *, parent: str
    ) -> None:
        key = tracked.fold_key(trial, fold)
        tags = tracked.fold_tags(fold, parent=parent)
        name = f"{trial.name} fold {fold.fold:02d}"
        run_id = self._create(key, name=name, sweep=sweep, trial=trial, tags=tags)
        self._log_figures(run_id, tracked.fold_figures(fold))
        model_id = self._log_model(sweep.fold_folder(fold) / "model", run_id=run_id)
        self._client.set_tag(run_id, MODEL_ID, model_id)
        self._client.set_terminated(run_id)

    def _end_trial(self, trial: TrialRecord) -> None:
        """Write a trial's summary, unless it stands there: a trial may end again, and otherwise."""
        key = tracked.trial_key(trial)
        run_id, there, here = self._runs[key], self._endings.get(key), tracked.ending(trial)
        if there == here:
            return
        self._log_figures(run_id, tracked.trial_figures(trial))
        self._client.log_dict(
            run_id, {"folds": [tracked.fold_row(fold) for fold in trial.folds]}, "folds.json"
        )
        if here.error:
            self._client.set_tag(run_id, tracked.ERROR, here.error)
        elif there and there.error:
            self._client.delete_tag(run_id, tracked.ERROR)
        self._client.set_terminated(run_id, status=here.status)
        self._endings[key] = here

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
            self._experiment, run_name=name, tags={**tracked.run_tags(key, sweep, trial), **tags}
        )
        run_id: str = run.info.run_id
        rows = [Param(name, value) for name, value in tracked.params(trial.settings).items()]
        self._client.log_batch(run_id, params=rows)
        self._client.log_dict(run_id, dict(trial.settings), "settings.json")
        self._runs[key] = run_id
        return run_id

    def _log_figures(self, run_id: str, figures: list[tracked.Figure]) -> None:
        now = int(time.time() * 1000)
        metrics = [Metric(figure.name, figure.value, now, figure.step) for figure in figures]
        for first in range(0, len(metrics), _BATCH):
            self._client.log_batch(run_id, metrics=metrics[first : first + _BATCH])

    def _log_model(self, folder: Path, *, run_id: str) -> str:
        return store_model(
            self._client,
            folder,
            loader="calsweep.platform.fold.model",
            name="decoder",
            experiment=self._experiment,
            run_id=run_id,
        )

    def _find_or_create(self, name: str, location: str | None) -> str:
        found = self._client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        return str(self._client.create_experiment(name, artifact_location=location))

    def _read_runs(self) -> None:
        """Find the runs that are there; a child that was never finished is made again.

        With the lock held, nobody else is writing a child that is not finished.
        """
        self._runs, self._endings = {}, {}
        for run in self._all_runs():
            is_child = tracked.PARENT in run.data.tags
            if is_child and run.info.status == "RUNNING":
                self._client.delete_run(run.info.run_id)
                continue
            key = run.data.tags.get(tracked.RUN_KEY, "")
            self._runs[key] = run.info.run_id
            if not is_child:
                self._endings[key] = _ending_of(run)

    def _all_runs(self) -> Iterator[Run]:
        token = None
        while True:
            page = self._client.search_runs([self._experiment], max_results=_PAGE, page_token=token)
            yield from page
            token = page.token
            if not token:
                return


def store_model(
    client: MlflowClient,
    folder: Path,
    /,
    *,
    loader: str,
    name: str,
    experiment: str,
    run_id: str,
    tags: Mapping[str, str] | None = None,
) -> str:
    """Store a model as MLflow stores its own, without guessing requirements.

    Parameters
    ----------
    client
        Of the MLflow that takes it.
    folder
        Named ``model``, as `calsweep.platform.fold.ensemble.read_model` reads it.
    loader
        Module that loads it for MLflow.
    name
        Of the stored model.
    experiment, run_id
        Where it belongs.
    tags
        Of the stored model.

    Returns
    -------
    model_id
        Of the stored model, which is whole.
    """
    units = read_model(folder).units
    logged = client.create_logged_model(
        experiment,
        name=name,
        source_run_id=run_id,
        model_type="pyfunc",
        tags=dict(tags or {}),
    )
    with tempfile.TemporaryDirectory(prefix="calsweep-model-") as scratch:
        path = Path(scratch) / "model"
        mlflow.pyfunc.save_model(
            str(path),
            loader_module=loader,
            data_path=str(folder),
            signature=_signature(units),
            pip_requirements=[f"calsweep=={calsweep.__version__}"],
        )
        client.log_model_artifacts(logged.model_id, str(path))
    client.finalize_logged_model(logged.model_id, "READY")
    model_id: str = logged.model_id
    return model_id


@contextlib.contextmanager
def refusals(uri: str, /) -> Iterator[None]:
    """Turn what MLflow and its stores raise into one error that a person can act on.

    Raises
    ------
    TrackingRefused
        In place of their many; ours say themselves what is wrong, and pass.
    """
    try:
        yield
    except (ValueError, LookupError, LockTimeout):
        raise
    except Exception as error:  # its stores raise SQLAlchemy's, boto's and requests' errors too
        raise TrackingRefused(
            hide_login(uri, uri=uri), hide_login(first_line(error), uri=uri)
        ) from error


def fold_of_run(run_id: str, /, *, uri: str) -> tuple[str, str] | None:
    """Give the sweep and the key of the fold that a run is of; ``None`` if it is of none.

    Raises
    ------
    TrackingRefused
        If MLflow cannot be asked.
    """
    with refusals(uri):
        try:
            tags = open_client(uri).get_run(run_id).data.tags
        except MlflowException as error:
            if error.error_code not in _NO_RUN:
                raise
            return None
    sweep, key = tags.get("calsweep.sweep"), tags.get("calsweep.fold_key")
    return (sweep, key) if sweep and key else None


def _ending_of(run: Run) -> tracked.Ending:
    return tracked.Ending(
        status=run.info.status,
        n_folds=int(run.data.metrics.get(tracked.N_FOLDS, 0)),
        error=run.data.tags.get(tracked.ERROR, ""),
    )


def open_client(uri: str, /) -> MlflowClient:
    """Give what asks an MLflow; a SQLite file gets its tables first."""
    if uri.startswith(_SQLITE):
        # A process that ends while MLflow makes its tables leaves a file that none can use.
        build_once(Path(uri.removeprefix(_SQLITE)), build=_make_tables)
    _name_to_mlflow(uri)
    return MlflowClient(uri)


def _name_to_mlflow(uri: str) -> None:
    """Name the address under which models are looked up: this is not done through the client.

    MLflow writes it into the variable too, where it would decide for the next home.
    """
    given = os.environ.get(_VARIABLE)
    mlflow.set_tracking_uri(uri)
    if given is None:
        os.environ.pop(_VARIABLE, None)
    else:
        os.environ[_VARIABLE] = given


def _make_tables(file: Path) -> None:
    MlflowClient(f"{_SQLITE}{file}").search_experiments(max_results=1)


def _signature(units: tuple[str, ...]) -> ModelSignature:
    """One row a frame; frames of different recordings or trials are told apart by name.

    Double and long, which are pandas' own: MLflow refuses what would lose digits.
    """
    optional = [
        ColSpec("string", "recording", required=False),
        ColSpec("long", "trial", required=False),
    ]
    inputs = Schema([*(ColSpec("double", unit) for unit in units), *optional])
    return ModelSignature(inputs=inputs, outputs=Schema([ColSpec("float", "probability")]))
