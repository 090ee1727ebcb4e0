"""Images that lie in many files or pages, read a stretch at a time."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calsweep.datasets.recording import PIXEL_TYPES

# T time, H height, W width

_NARROWER = {"bool": "uint8", "float16": "float32", "float64": "float32"}


@dataclass(frozen=True, kw_only=True)
class ImageSeries:
    """Images of one shape and type, each read when it is asked for.

    Attributes
    ----------
    shape
        ``(time, height, width)``.
    dtype
        Of a pixel, as it is given.
    read
        Reads the frames of a slice, as recorded.
    """

    shape: tuple[int, int, int]
    dtype: np.dtype[np.generic]
    read: Callable[[slice], NDArray[np.generic]]

    def __getitem__(self, frames: slice, /) -> NDArray[np.generic]:
        """Read neighboring frames, shape ``(time, height, width)``."""
        start, stop, _ = frames.indices(self.shape[0])
        images_THW = self.read(slice(start, stop))
        expected = (stop - start, *self.shape[1:])
        if images_THW.shape != expected:
            raise ValueError(
                f"images of a recording must have one shape, but frames {start} to {stop} have "
                f"{images_THW.shape} rather than {expected}."
            )
        return images_THW.astype(self.dtype, copy=False)


def pixel_type(dtype: np.dtype[np.generic], /) -> np.dtype[np.generic]:
    """Give the type that pixels are kept in: their own, or the one that stands for it.

    Raises
    ------
    ValueError
        If no type that images are kept in holds such pixels.

    Examples
    --------
    >>> pixel_type(np.dtype(">u2")), pixel_type(np.dtype("float64"))
    (dtype('uint16'), dtype('float32'))
    """
    name = _NARROWER.get(dtype.name, dtype.name)
    if name not in PIXEL_TYPES:
        raise ValueError(
            f"pixels must be of one of the types {', '.join(PIXEL_TYPES)}, but are {dtype.name}. "
            "Convert them before ingesting."
        )
    return np.dtype(name)


def pixel_step(dtype: np.dtype[np.generic], /) -> tuple[str, ...]:
    """Say how pixels were converted, for `Recording.steps`.

    Examples
    --------
    >>> pixel_step(np.dtype("float64")), pixel_step(np.dtype("uint8"))
    (('pixels converted from float64 to float32',), ())
    """
    kept = pixel_type(dtype)
    return (f"pixels converted from {dtype.name} to {kept}",) if kept.name != dtype.name else ()


def numbered(files: list[Path], /) -> tuple[tuple[Path, ...], NDArray[np.int64]]:
    """Give files in the order of the last number in their names, and these numbers.

    Raises
    ------
    ValueError
        If a name has no number, or two have the same.

    Examples
    --------
    >>> files, numbers = numbered([Path("m1_10.tif"), Path("m1_9.tif")])
    >>> [file.name for file in files], numbers.tolist()
    (['m1_9.tif', 'm1_10.tif'], [9, 10])
    """
    number_of: dict[int, Path] = {}
    for file in sorted(files):
        digits = re.findall(r"\d+", file.stem)
        if not digits:
            raise ValueError(f"the file of each frame must have a number, but is {file.name!r}.")
        if int(digits[-1]) in number_of:
            raise ValueError(
                f"the file of each frame must have a number of its own, but {file.name!r} and "
                f"{number_of[int(digits[-1])].name!r} have the same."
            )
        number_of[int(digits[-1])] = file
    numbers = sorted(number_of)
    return tuple(number_of[i] for i in numbers), np.array(numbers, dtype=np.int64)


def find_folders(location: Path, /, *, suffix: str | tuple[str, ...]) -> tuple[Path, ...]:
    """Give the folders below a location that hold files with a suffix, or the location itself.

    Raises
    ------
    ValueError
        If there is none.
    """
    if not location.is_dir():
        raise ValueError(f"There is no folder {location}.")
    folders = [location, *sorted(path for path in location.iterdir() if path.is_dir())]
    found = tuple(folder for folder in folders if _holds(folder, suffix=suffix))
    if not found:
        raise ValueError(f"{location} holds no {_said(suffix)} file, nor does a folder in it.")
    return found


def files_in(folder: Path, /, *, suffix: str | tuple[str, ...]) -> list[Path]:
    """Give the files with a suffix in a folder.

    Raises
    ------
    ValueError
        If there is none, or no folder.
    """
    if not folder.is_dir():
        raise ValueError("a recording must be a folder of images, but this is none.")
    files = _holds(folder, suffix=suffix)
    if not files:
        raise ValueError(f"it holds no {_said(suffix)} file.")
    return files


def _holds(folder: Path, *, suffix: str | tuple[str, ...]) -> list[Path]:
    suffixes = (suffix,) if isinstance(suffix, str) else suffix
    return [file for file in folder.iterdir() if file.suffix.lower() in suffixes]


def _said(suffix: str | tuple[str, ...]) -> str:
    return suffix if isinstance(suffix, str) else " or ".join(suffix)
