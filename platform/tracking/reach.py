"""Whether MLflow answers at an address, without leaving anything there."""

from __future__ import annotations

import os
from urllib.parse import urlsplit


def reach(uri: str, /) -> None:
    """Ask MLflow's server or database something small; a file of SQLite is not made.

    Raises
    ------
    TrackingRefused
        If it does not answer, or not to this user.
    """
    if uri.startswith("sqlite:"):
        return
    from calsweep.platform.tracking.tracking import refusals

    with refusals(uri):
        if urlsplit(uri).scheme in {"http", "https"}:
            _ask_server(uri)
        else:
            _ask_database(uri)


def _ask_server(uri: str) -> None:
    os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"
    from mlflow.tracking import MlflowClient

    MlflowClient(uri).search_experiments(max_results=1)


def _ask_database(uri: str) -> None:
    # MLflow's own way in would make or change tables.
    from sqlalchemy import create_engine, text

    with create_engine(uri).connect() as connection:
        connection.execute(text("select 1"))
