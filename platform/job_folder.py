"""The folder that Ray unpacks a job's working directory into, and removes with it."""

from __future__ import annotations

from pathlib import Path

_UNPACKED = "working_dir_files"


def is_lost_with_job(path: Path, /) -> bool:
    """Say whether a path lies where a job runs, and so goes when it ends.

    Examples
    --------
    >>> is_lost_with_job(Path("/tmp/ray/runtime_resources/working_dir_files/_ray_pkg_1/out"))
    True
    >>> is_lost_with_job(Path("/data/out"))
    False
    """
    return _UNPACKED in path.expanduser().resolve().parts
