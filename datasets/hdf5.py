"""Numbers in HDF5 files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

DAMAGED = (OSError, RuntimeError, KeyError)
"""What h5py raises where a file is damaged."""


@contextmanager
def open_hdf5(file: Path, /) -> Iterator[h5py.File]:
    """Open a file to read.

    Raises
    ------
    ValueError
        If it is no HDF5 file, or not whole.
    """
    if not h5py.is_hdf5(file):
        raise ValueError("this is no HDF5 file.")
    try:
        opened = h5py.File(file, "r")
    except DAMAGED as error:
        raise ValueError(f"this is no whole HDF5 file: {error}.") from error
    with opened:
        yield opened


def numbers(group: Any, name: str, /, *, what: str) -> NDArray[np.generic]:
    """Read an array of numbers from a file or group.

    Parameters
    ----------
    group
        An open file, or a group in one.
    name
        Of the array, with ``/`` between groups.
    what
        What it is wanted for, for messages.

    Raises
    ------
    ValueError
        If it is not there, is no array, or holds something other than numbers.
    """
    found = group.get(name)
    if found is None:
        raise ValueError(f"there is no array `{name}` for {what}. Arrays: {listing(group)}.")
    if not isinstance(found, h5py.Dataset) or found.dtype.kind not in "iubf":
        kind = found.dtype if isinstance(found, h5py.Dataset) else "a group"
        raise ValueError(f"`{name}` must be an array of numbers for {what}, but is {kind}.")
    try:
        values: NDArray[np.generic] = np.asarray(found[()])
    except DAMAGED as error:
        raise ValueError(f"`{name}` cannot be read, the file is damaged: {error}.") from error
    return values


def listing(group: Any, /) -> str:
    """Give the names and shapes of the arrays in a file or group, groups by name alone."""
    shown = [
        f"{name} {item.shape}" if isinstance(item, h5py.Dataset) else f"{name}/"
        for name, item in group.items()
    ]
    return ", ".join(shown) or "none"
