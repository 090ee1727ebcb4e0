"""Runs written whole into the tables of MLflow's database, many in one transaction.

MLflow's client makes a run, its rows, its model and its end by some forty statements in ten
transactions, which takes some 40 ms of a processor: a fifth of what a small fold trains. Where the
database itself is the address, a run that is over is written here by one statement a table; what
MLflow reads afterwards is the same (`tests/platform/tracking/test_run_tables.py`). Servers, and
databases of an MLflow whose tables this was not tried on, are written by the client.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from calsweep.platform.tracking import environment  # noqa: F401

# isort: split
import mlflow
from mlflow.entities import LifecycleStage, LoggedModelStatus, SourceType
from mlflow.store.db.utils import create_sqlalchemy_engine_with_retry
from mlflow.store.tracking.dbmodels import models as tables
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from mlflow.utils.uri import append_to_uri_path
from sqlalchemy import insert
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import IntegrityError

from calsweep.platform.tracking.artifact_folder import artifact_folder
from calsweep.platform.tracking.tracked import Figure

TRIED_VERSIONS = ("3.17",)
"""Versions of MLflow whose tables are known to be as they are written here."""

_DATABASES = ("sqlite:", "postgresql:", "postgresql+psycopg:")


@dataclass(frozen=True, kw_only=True)
class WholeRun:
    """A run that is over, with its model.

    Attributes
    ----------
    run_id, model_id
        Of 32 hexadecimal digits each; those of models have MLflow's ``m-`` before them.
    name
        Of the run.
    model_name, model_type
        As `MlflowClient.create_logged_model` takes them.
    tags, params, figures
        All that is told of it.
    begun_ms, ended_ms
        In milliseconds since 1970; figures have the time of the end.
    """

    run_id: str
    model_id: str
    name: str
    model_name: str
    model_type: str
    tags: Mapping[str, str]
    params: Mapping[str, str]
    figures: Sequence[Figure]
    begun_ms: int
    ended_ms: int


class RunTables:
    """MLflow's tables of one experiment's runs and models.

    Parameters
    ----------
    uri
        Of the database, which is opened when something is written.
    experiment
        MLflow's number of the experiment.
    location
        Address of the experiment's artifacts.
    """

    def __init__(self, uri: str, /, *, experiment: str, location: str) -> None:
        self._uri = uri
        self._experiment = int(experiment)
        self._location = location

    @classmethod
    def at(cls, uri: str, /, *, experiment: str, location: str) -> RunTables | None:
        """Give the tables at an address.

        Returns
        -------
        tables
            ``None`` if it is no database, of an MLflow they were not tried with, or files do not
            lie on this machine.
        """
        is_tried = ".".join(mlflow.__version__.split(".")[:2]) in TRIED_VERSIONS
        if not is_tried or not uri.startswith(_DATABASES) or artifact_folder(location) is None:
            return None
        return cls(uri, experiment=experiment, location=location)

    def artifacts_of_run(self, run_id: str, /) -> str:
        """Give the address of a run's artifacts, as MLflow chooses it."""
        return self._within(run_id, SqlAlchemyStore.ARTIFACTS_FOLDER_NAME)

    def artifacts_of_model(self, model_id: str, /) -> str:
        """Give the address of a model's artifacts, as MLflow chooses it."""
        models, artifacts = (
            SqlAlchemyStore.MODELS_FOLDER_NAME,
            SqlAlchemyStore.ARTIFACTS_FOLDER_NAME,
        )
        return self._within(models, model_id, artifacts)

    @cached_property
    def _engine(self) -> Engine:
        engine: Engine = create_sqlalchemy_engine_with_retry(self._uri)  # type: ignore[no-untyped-call]
        return engine

    def _within(self, *folders: str) -> str:
        place = append_to_uri_path(self._location, *folders)  # type: ignore[no-untyped-call]
        return str(place)

    def insert(self, runs: Sequence[WholeRun], /) -> bool:
        """Write runs with their models: all of them, or none.

        Returns
        -------
        is_done
            False where one is there already by its number, as one that was removed by hand is.

        Raises
        ------
        sqlalchemy.exc.SQLAlchemyError
            If the database cannot be asked.
        """
        try:
            if runs:
                self._insert(runs)
        except IntegrityError:
            return False
        return True

    def _insert(self, runs: Sequence[WholeRun]) -> None:
        with self._engine.begin() as connection:
            _add(connection, tables.SqlRun, [self._run_row(run) for run in runs])
            _add(connection, tables.SqlTag, [row for run in runs for row in _tag_rows(run)])
            _add(connection, tables.SqlParam, [row for run in runs for row in _param_rows(run)])
            _add(connection, tables.SqlMetric, [row for run in runs for row in _metric_rows(run)])
            latest = [row for run in runs for row in _latest_rows(run)]
            _add(connection, tables.SqlLatestMetric, latest)
            _add(connection, tables.SqlLoggedModel, [self._model_row(run) for run in runs])

    def _run_row(self, run: WholeRun) -> dict[str, Any]:
        return {
            "run_uuid": run.run_id,
            "name": run.name,
            "source_type": SourceType.to_string(SourceType.UNKNOWN),
            "source_name": "",
            "entry_point_name": "",
            "source_version": "",
            "user_id": run.tags["mlflow.user"],
            "status": "FINISHED",
            "start_time": run.begun_ms,
            "end_time": run.ended_ms,
            "lifecycle_stage": LifecycleStage.ACTIVE,
            "artifact_uri": self.artifacts_of_run(run.run_id),
            "experiment_id": self._experiment,
        }

    def _model_row(self, run: WholeRun) -> dict[str, Any]:
        now_ms = round(1000 * time.time())
        return {
            "model_id": run.model_id,
            "experiment_id": self._experiment,
            "name": run.model_name,
            "artifact_location": self.artifacts_of_model(run.model_id),
            "creation_timestamp_ms": now_ms,
            "last_updated_timestamp_ms": now_ms,
            "status": LoggedModelStatus.READY.to_int(),
            "lifecycle_stage": LifecycleStage.ACTIVE,
            "model_type": run.model_type,
            "source_run_id": run.run_id,
        }


def _add(connection: Connection, table: type[Any], rows: Sequence[Mapping[str, Any]]) -> None:
    if rows:
        connection.execute(insert(table.__table__), rows)


def _tag_rows(run: WholeRun) -> list[dict[str, Any]]:
    tags = {**run.tags, "mlflow.runName": run.name}
    return [{"key": key, "value": value, "run_uuid": run.run_id} for key, value in tags.items()]


def _param_rows(run: WholeRun) -> list[dict[str, Any]]:
    return [
        {"key": key, "value": value, "run_uuid": run.run_id} for key, value in run.params.items()
    ]


def _metric_rows(run: WholeRun) -> list[dict[str, Any]]:
    rows = (_metric_row(run, figure) for figure in run.figures)
    return list({(row["key"], row["step"], row["value"]): row for row in rows}.values())


def _latest_rows(run: WholeRun) -> list[dict[str, Any]]:
    """Give the figure of the last step of each name; all have one time."""
    latest: dict[str, Figure] = {}
    for figure in run.figures:
        if figure.name not in latest or figure.step >= latest[figure.name].step:
            latest[figure.name] = figure
    return [_metric_row(run, figure) for figure in latest.values()]


def _metric_row(run: WholeRun, figure: Figure) -> dict[str, Any]:
    is_nan = math.isnan(figure.value)
    largest = sys.float_info.max  # databases know no infinity
    return {
        "key": figure.name,
        "value": 0.0 if is_nan else min(max(figure.value, -largest), largest),
        "timestamp": run.ended_ms,
        "step": figure.step,
        "is_nan": is_nan,
        "run_uuid": run.run_id,
    }
