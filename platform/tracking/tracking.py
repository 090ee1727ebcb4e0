"""MLflow: runs of trials and folds, and their models.

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
from pathlib import Path

from calsweep.platform.tracking import environment  # noqa: F401

# isort: split
import mlflow
from mlflow.entities import Experiment
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from calsweep.datasets.cache import LockTimeout, build_once, file_lock
from calsweep.platform.errors import first_line, hide_login
from calsweep.platform.record import SweepRecord, TrialRecord, sweeps_folder
from calsweep.platform.tracking import tracked
from calsweep.platform.tracking.run_store import RunStore
from calsweep.platform.tracking.run_tables import RunTables
from calsweep.platform.tracking.run_writer import Fed, RunWriter
from calsweep.platform.tracking.tracking_errors import TrackingRefused

LOCK_DEADLINE_S = 60.0
_SQLITE = "sqlite:///"
_VARIABLE = "MLFLOW_TRACKING_URI"
_NO_RUN = {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}  # the latter for no id at all

# The signature is written from the units' names; an example would cost a prediction per model.
warnings.filterwarnings("ignore", message=".*input example was not provided.*")
for _name in ("mlflow", "alembic"):
    logging.getLogger(_name).setLevel(logging.WARNING)


class Turns:
    """Turns that the writers of one experiment take, by a lock in the folder that they read.

    Parameters
    ----------
    uri
        MLflow's address.
    folder
        Of the sweep or population.
    experiment
        Name of the experiment, which is made if it is not there.
    location
        Where a new one keeps models and files; ``None`` leaves it to MLflow's server.
    fed
        Counts runs that were there twice.

    Attributes
    ----------
    client
        Of MLflow.
    runs
        Of the experiment.
    tables
        Of the experiment's runs, where MLflow is a database.
    """

    def __init__(
        self, uri: str, folder: Path, /, *, experiment: str, location: str | None, fed: Fed
    ) -> None:
        self.client = open_client(uri)
        self._lock = folder / "tracking.lock"
        self._id = uuid.uuid4().hex
        self._fed = fed
        with file_lock(self._lock, deadline_s=LOCK_DEADLINE_S):
            found = self._find_or_create(experiment, location)
        number = str(found.experiment_id)
        self.runs = RunStore(self.client, number)
        self.tables = RunTables.at(uri, experiment=number, location=found.artifact_location)

    @contextlib.contextmanager
    def take(self) -> Iterator[None]:
        """Hold the lock, which names its last holder.

        Raises
        ------
        LockTimeout
            If another writer does not end its turn.
        """
        with file_lock(self._lock, deadline_s=LOCK_DEADLINE_S):
            if self._lock.read_text() != self._id:
                self._fed.n_removed += self.runs.read()
            self._lock.write_text("")  # a turn that breaks off lets everyone read anew
            yield
            self._lock.write_text(self._id)

    def _find_or_create(self, name: str, location: str | None) -> Experiment:
        found = self.client.get_experiment_by_name(name)
        if found is None:
            number = self.client.create_experiment(name, artifact_location=location)
            found = self.client.get_experiment(number)
        return found


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
        fed = Fed() if fed is None else fed
        self._turns = Turns(
            uri,
            sweeps_folder(home) / sweep,
            experiment=_experiment_name(sweep),
            location=tracked.artifact_location(uri, home / "artifacts", sweep=sweep),
            fed=fed,
        )
        self._writer = RunWriter(
            self._turns.client, self._turns.runs, tables=self._turns.tables, fed=fed
        )

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
        with self._turns.take():
            self._writer.sync(sweep, check=check, is_running=is_running)
        return self.fed.n_folds - before

    def close_running(self) -> None:
        """Close the runs of trials that have not ended, for their process ends now."""
        with self._turns.take():
            self._writer.close_running()

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
        with self._turns.take():
            self._writer.sync(sweep)
            for fold in trial.folds:
                if fold.key in folders:
                    run_id = self._turns.runs[tracked.fold_key(trial, fold)].run_id
                    self._turns.client.log_artifacts(run_id, str(folders[fold.key]), under)


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


def find_runs(uri: str, sweep: str, /) -> tuple[MlflowClient, RunStore | None]:
    """Give the runs of a sweep as they are there, and make nothing.

    Returns
    -------
    client
        Of MLflow.
    runs
        Of the sweep's experiment; ``None`` if there is none.
    """
    client = open_client(uri)
    found = client.get_experiment_by_name(_experiment_name(sweep))
    return client, RunStore(client, str(found.experiment_id)) if found else None


def _experiment_name(sweep: str) -> str:
    return f"calsweep/{sweep}"


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
