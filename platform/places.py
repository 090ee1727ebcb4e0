"""Where things lie unless they are named: the home of sweeps, the cache, MLflow."""

from __future__ import annotations

import functools
import os
from pathlib import Path

from calsweep.datasets.cache import LIMIT_MB, Cache

_LONGEST_NAME = 200  # file systems take 255, and a name may be put before others


def check_name(name: str, /) -> None:
    """Check that a name may be that of a folder; an empty one is given later.

    Raises
    ------
    ValueError
        If it could lead elsewhere.
    """
    plain = name == Path(name).name and not name.startswith(".")
    if not plain or not name.isprintable() or len(name.encode()) > _LONGEST_NAME:
        raise ValueError(
            f"`name` must be a plain name of a folder, of at most {_LONGEST_NAME} bytes, but got "
            f"{name[:100]!r}."
        )


def default_home() -> Path:
    """Give the home where none is named: ``CALSWEEP_HOME``, or ``.calsweep`` in this folder."""
    return Path(os.environ.get("CALSWEEP_HOME", ".calsweep"))


def own_tracking_uri(home: Path, /) -> str:
    """Give the address of the MLflow that lies in a home."""
    return f"sqlite:///{home.expanduser().resolve() / 'mlflow.db'}"


def tracking_uri(home: Path, given: str = "", /) -> str:
    """Give MLflow's address: as given, from ``MLFLOW_TRACKING_URI``, or SQLite in the home."""
    return given or os.environ.get("MLFLOW_TRACKING_URI", "") or own_tracking_uri(home)


@functools.cache
def open_cache(folder: Path, /) -> Cache:
    """Give the cache in a folder, of at most ``CALSWEEP_CACHE_MB`` megabytes (20,000).

    Raises
    ------
    ValueError
        If that is no positive number.
    """
    given = os.environ.get("CALSWEEP_CACHE_MB", str(LIMIT_MB))
    try:
        return Cache(folder, limit_mb=float(given))
    except ValueError as error:
        raise ValueError(
            f"CALSWEEP_CACHE_MB must be a positive number of megabytes, but is {given!r}."
        ) from error


def cache_folder(home: Path, /) -> Path:
    """Give the folder for decoded frames: ``CALSWEEP_CACHE``, or one in the home.

    Where the home is shared by several machines, name a folder on each machine's own disk.
    """
    given = os.environ.get("CALSWEEP_CACHE")
    return (Path(given) if given else home / "cache").expanduser().resolve()
