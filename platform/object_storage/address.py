"""Addresses: folders of this machine, and ``s3://BUCKET/NAME``."""

from __future__ import annotations

import re
from pathlib import Path


class StorageRefused(ValueError):
    """A storage address cannot be used, and why."""

    def __init__(self, address: str, reason: str) -> None:
        super().__init__(address, reason)
        self.address = address
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.address} cannot be used: {self.reason}"


def is_remote(address: str) -> bool:
    """Say whether an address is on an S3 service."""
    return address.startswith("s3://")


def local_path(address: str | Path, /) -> Path:
    """Give the path that an address on this machine means, in full.

    Raises
    ------
    StorageRefused
        If it is an address of some service.

    Examples
    --------
    >>> local_path("/data/mice/../m1").name
    'm1'
    >>> local_path("gs://lab/m1")
    Traceback (most recent call last):
    calsweep.platform.object_storage.address.StorageRefused: gs://lab/m1 cannot be used: a path on \
this machine is needed here, and of other addresses only s3://BUCKET/NAME is known, for datasets.
    """
    # A `Path` made of gs://lab/m1 has become gs:/lab/m1.
    text = re.sub(r"^([A-Za-z][A-Za-z0-9+.-]+):/(?!/)", r"\1://", str(address))
    if "://" in text:
        reason = (
            "a path on this machine is needed here, and of other addresses only "
            "s3://BUCKET/NAME is known, for datasets."
        )
        raise StorageRefused(text, reason)
    return Path(text).expanduser().resolve()


def nearest_folder(place: Path, /) -> Path:
    """Give the folder closest above a place that is there: a file beside it can be renamed to it.

    Raises
    ------
    NotADirectoryError
        If a file is in the way.
    """
    folder = next(above for above in place.parents if above.exists())
    if not folder.is_dir():
        raise NotADirectoryError(
            f"{place} must lie in a folder, but {folder} is a file: choose another place."
        )
    return folder
