"""MLflow: runs of trials and folds, their models, and the registry. The only module that knows it.

The sweep's record is written first; what stands here is fed from it and may be late. A run is found
by its key before it is made, so feeding the same record again changes nothing.
"""

from __future__ import annotations

import contextlib
import logging
import os
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from calsweep.platform.tracking import environment  # noqa: F401

# isort: split
import mlflow
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from calsweep.datasets.cache import LockTimeout, build_once, file_lock
from calsweep.platform.errors import first_line, hide_login
from calsweep.platform.record import (
    FoldRecord,
    SweepRecord,
    TrialRecord,
    sweeps_folder,
)
from calsweep.platform.tracking import tracked
from calsweep.platform.tracking.run_store import RunStore
from calsweep.platform.tracking.run_writer import MODEL_ID, Fed, RunWriter
from calsweep.platform.tracking.tracking_errors import ModelNotFound, TrackingRefused

CHAMPION = "champion"
LOCK_DEADLINE_S = 60.0
_SQLITE = "sqlite:///"
_VARIABLE = "MLFLOW_TRACKING_URI"
_NOT_THERE = "RESOURCE_DOES_NOT_EXIST"
_NO_MODEL = {_NOT_THERE, "INVALID_PARAMETER_VALUE"}  # so it calls an alias that is not there

# The signature is written from the units' names; an example would cost a prediction per model.
warnings.filterwarnings("ignore", message=".*input example was not provided.*")
for _name in ("mlflow", "alembic"):
    logging.getLogger(_name).setLevel(logging.WARNING)


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

    Writers of one sweep take turns by a lock in its folder, and read anew what is there when
    another had a turn between. After an error begin with a new one: what this one knows of runs
    may be behind what is there.

    Parameters
    ----------
    uri
        MLflow's address.
    home
        Of the sweep; new experiments keep models and files in its folder ``artifacts``, in what
        ``CALSWEEP_ARTIFACTS`` names, or where MLflow's server decides.
    sweep
        Name of the sweep.
    fed
        Counts what is written, of a writer before this one too.
    """

    def __init__(self, uri: str, /, *, home: Path, sweep: str, fed: Fed | None = None) -> None:
        self._client = _client(uri)
        self._lock = sweeps_folder(home) / sweep / "tracking.lock"
        self._id = uuid.uuid4().hex
        with file_lock(self._lock, deadline_s=LOCK_DEADLINE_S):
            location = tracked.artifact_location(uri, home / "artifacts", sweep=sweep)
            experiment = self._find_or_create(_experiment_name(sweep), location)
        self._runs = RunStore(self._client, experiment)
        self._writer = RunWriter(self._client, self._runs, fed=fed)

    @property
    def fed(self) -> Fed:
        """What it did so far."""
        return self._writer.fed

    def sync(
        self,
        sweep: SweepRecord,
        /,
        *,
        check: Callable[[], None] | None = None,
        is_running: bool | None = None,
    ) -> int:
        """Write what the record holds and MLflow does not.

        Parameters
        ----------
        sweep
            What the record holds.
        check
            Called before each fold: what it raises ends the writing, and nothing is left half done.
        is_running
            Whether a process runs the sweep, so that trials without an end are under way; by
            default whether one holds its name. Runs of trials that are not are closed as KILLED.

        Returns
        -------
        n_written
            Fold runs written.

        Raises
        ------
        LockTimeout
            If another writer does not end its turn.
        """
        before = self.fed.n_folds
        with self._turn():
            self._writer.sync(sweep, check=check, is_running=is_running)
        return self.fed.n_folds - before

    def close_running(self) -> None:
        """Close the runs of trials that have not ended, for their process ends now."""
        with self._turn():
            self._writer.close_running()

    def register(
        self, sweep: SweepRecord, trial: TrialRecord, fold: FoldRecord, /, *, name: str
    ) -> RegisteredModel:
        """Register a fold's model and make it the champion.

        A fold that is a version of this model already is not registered twice.

        Raises
        ------
        ValueError
            If the registry does not take the name; nothing is written.
        LockTimeout
            If another writer does not end its turn.
        """
        tracked.check_model_name(name)
        with self._turn():
            self._writer.sync(sweep)
            run = self._client.get_run(self._runs[tracked.fold_key(trial, fold)].run_id)
            self._ensure_registered(name)
            version = self._version_of(name, run.info.run_id) or self._create_version(
                name, run, sweep=sweep, trial=trial, fold=fold
            )
            self._client.set_registered_model_alias(name, CHAMPION, version)
        return RegisteredModel(name=name, version=version)

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
            self._writer.sync(sweep)
            for fold in trial.folds:
                if fold.key in folders:
                    run_id = self._runs[tracked.fold_key(trial, fold)].run_id
                    self._client.log_artifacts(run_id, str(folders[fold.key]), under)

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        """Hold the lock, which names its last holder."""
        with file_lock(self._lock, deadline_s=LOCK_DEADLINE_S):
            if self._lock.read_text() != self._id:
                self.fed.n_removed += self._runs.read()
            self._lock.write_text("")  # a turn that breaks off lets everyone read anew
            yield
            self._lock.write_text(self._id)

    def _find_or_create(self, name: str, location: str | None) -> str:
        found = self._client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        return str(self._client.create_experiment(name, artifact_location=location))

    def _ensure_registered(self, name: str) -> None:
        try:
            self._client.get_registered_model(name)
        except MlflowException as error:
            if error.error_code != _NOT_THERE:
                raise
            self._client.create_registered_model(name)

    def _version_of(self, name: str, run_id: str) -> str | None:
        found = self._client.search_model_versions(f"run_id='{run_id}'")
        return next((str(version.version) for version in found if version.name == name), None)

    def _create_version(
        self, name: str, run: Run, *, sweep: SweepRecord, trial: TrialRecord, fold: FoldRecord
    ) -> str:
        model_id = run.data.tags[MODEL_ID]
        version = self._client.create_model_version(
            name,
            source=f"models:/{model_id}",
            run_id=run.info.run_id,
            model_id=model_id,
            tags={**tracked.provenance(sweep, trial), "calsweep.fold": str(fold.fold)},
            description=tracked.description(sweep, trial, fold),
        )
        return str(version.version)


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
    TrackingRefused
        If MLflow cannot be asked.
    """
    with refusals(tracking_uri):
        _client(tracking_uri)
        try:
            folder = Path(mlflow.artifacts.download_artifacts(uri))
        except (MlflowException, FileNotFoundError) as error:
            if isinstance(error, MlflowException) and error.error_code not in _NO_MODEL:
                raise
            raise ModelNotFound(uri, f"{first_line(error).rstrip('.')}.") from error
    return folder / "data" / "model"


def find_runs(uri: str, sweep: str, /) -> tuple[MlflowClient, RunStore | None]:
    """Give the runs of a sweep as they are there, and make nothing.

    Returns
    -------
    client
        Of MLflow.
    runs
        Of the sweep's experiment; ``None`` if there is none.
    """
    client = _client(uri)
    found = client.get_experiment_by_name(_experiment_name(sweep))
    return client, RunStore(client, str(found.experiment_id)) if found else None


def _experiment_name(sweep: str) -> str:
    return f"calsweep/{sweep}"


def _client(uri: str) -> MlflowClient:
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
