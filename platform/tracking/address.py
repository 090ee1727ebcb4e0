"""Which MLflow a sweep was tracked with."""

from __future__ import annotations

from pathlib import Path

from calsweep.platform.errors import hide_login
from calsweep.platform.places import tracking_uri
from calsweep.platform.record import SweepRecord

_FILE = "tracking_uri"


def keep_tracking_uri(folder: Path, uri: str, /) -> None:
    """Keep MLflow's address, without user and password, for commands that come later."""
    if uri:
        (folder / _FILE).write_text(hide_login(uri, uri=uri))


def sweep_tracking_uri(sweep: SweepRecord, /, *, home: Path) -> str:
    """Give the address of the MLflow that a sweep was tracked with.

    Returns
    -------
    uri
        From the file ``tracking_uri`` in the sweep's folder, which holds no user and password: they
        are those of ``MLFLOW_TRACKING_URI`` where this is the same address. Without the file, as
        `tracking_uri` says.
    """
    return recorded_tracking_uri(sweep.folder, home=home)


def recorded_tracking_uri(folder: Path, /, *, home: Path) -> str:
    """Give the address that was kept in a folder, see `sweep_tracking_uri`."""
    usual = tracking_uri(home)
    file = folder / _FILE
    recorded = file.read_text().strip() if file.exists() else ""
    return usual if recorded in {"", hide_login(usual, uri=usual)} else recorded
