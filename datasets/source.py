"""What a source of recordings is, and what sources share."""

from __future__ import annotations

import hashlib
import io
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from calsweep.datasets.recording import Recording


class Source(Protocol):
    """A format that recordings come in: a frozen dataclass of its options.

    ``calsweep ingest`` makes a command of it: fields become options, the section ``Attributes``
    their help, the first line of the docstring the command's.
    """

    example: ClassVar[str]
    """A command line that uses it."""

    def files(self, location: Path, /) -> tuple[Path, ...]:
        """Give the files, or folders, of a location that hold a recording each."""
        ...

    def read(self, file: Path, /) -> Recording:
        """Read the recording of one file or folder."""
        ...


class Axes(Enum):
    """Order of the axes of an array with activity."""

    TIME_UNIT = "time-unit"
    UNIT_TIME = "unit-time"


@runtime_checkable
class StreamSource(Source, Protocol):
    """A source that can read an open file, and so parts of one at an ``s3://`` address."""

    suffixes: ClassVar[tuple[str, ...]]
    """Endings of its files' names."""

    def read_open(self, opened: io.RawIOBase, /, *, name: str, version: str) -> Recording:
        """Read the recording of one open file.

        Parameters
        ----------
        opened
            To read and seek in; it stays open.
        name
            Address of the file, for messages and for the recording's name.
        version
            What tells its bytes from others, for `Recording.source_sha256`: a SHA-256 would need
            all of them.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class RecordingName:
    """Whose recording a file holds, and what it is called."""

    subject: str
    recording: str


def find_files(location: Path, /, *, suffix: str | tuple[str, ...]) -> tuple[Path, ...]:
    """Give the files with a suffix in a folder, in order of name, or the one file itself.

    Parameters
    ----------
    location
        A folder, or a file of any name.
    suffix
        ``".h5"``, or several.

    Raises
    ------
    ValueError
        If there is none.
    """
    if location.is_file():
        return (location,)
    if not location.exists():
        raise ValueError(f"There is no file or folder {location}.")
    suffixes = (suffix,) if isinstance(suffix, str) else suffix
    files = tuple(sorted(file for file in location.iterdir() if file.suffix in suffixes))
    if not files:
        raise ValueError(f"{location} holds no {' or '.join(suffixes)} file.")
    return files


def check_pattern(pattern: str, /) -> None:
    """Check a pattern of file names.

    Raises
    ------
    ValueError
        If it is no regular expression, or has no group ``subject``.
    """
    try:
        groups = re.compile(pattern).groupindex
    except re.error as error:
        raise ValueError(
            f"`names` must be a regular expression, but got {pattern!r}: {error}."
        ) from error
    if pattern and "subject" not in groups:
        raise ValueError(
            f"`names` must have a group `(?P<subject>...)`, but got {pattern!r}. "
            "A group `(?P<recording>...)` may stand beside it."
        )


def name_of(file: Path, /, *, pattern: str = "") -> RecordingName:
    r"""Tell subject and recording from a file's name without its ending.

    Parameters
    ----------
    file
        The file or folder.
    pattern
        Regular expression with the named groups ``subject`` and, if wanted, ``recording``. Without
        one, the subject is what stands before the first underscore. The recording is named by the
        whole stem, or by both groups.

    Raises
    ------
    ValueError
        If the name does not match.

    Examples
    --------
    >>> name_of(Path("m1_d3.npz"))
    RecordingName(subject='m1', recording='m1_d3')
    >>> name_of(Path("2020-d3-m1.npz"), pattern=r"(?P<recording>d\d+)-(?P<subject>m\d+)")
    RecordingName(subject='m1', recording='m1_d3')
    """
    stem = file.name if file.is_dir() else file.stem
    if not pattern:
        return RecordingName(subject=stem.split("_")[0] or stem, recording=stem)
    match = re.search(pattern, stem)
    if match is None:
        raise ValueError(
            f"the file's name must match the pattern {pattern!r}, but is {file.name!r}."
        )
    subject = match["subject"]
    recording = match.groupdict().get("recording")
    return RecordingName(subject=subject, recording=f"{subject}_{recording}" if recording else stem)


def sha256_of_all(files: Sequence[Path], /) -> str:
    """Give one SHA-256 for many files: that of the lines ``SHA-256  NAME``, in the order given.

    Raises
    ------
    ValueError
        If one is not there or empty.
    """
    lines = "".join(f"{sha256_of(file)}  {file.name}\n" for file in files)
    return hashlib.sha256(lines.encode()).hexdigest()


def sha256_of(file: Path, /) -> str:
    """Give the SHA-256 of a file.

    Raises
    ------
    ValueError
        If it is not there or empty.
    """
    if not file.is_file():
        raise ValueError(f"There is no file {file}.")
    if file.stat().st_size == 0:
        raise ValueError(f"{file} is empty: there is no recording in it.")
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


@contextmanager
def naming(file: Path | str, /, *refused: type[Exception]) -> Iterator[None]:
    """Raise what goes wrong inside as a `ValueError` that names the file.

    Parameters
    ----------
    file
        File or folder of the recording, or its address.
    refused
        Errors that the format's library raises for a damaged file, beside `ValueError`.

    Examples
    --------
    >>> with naming(Path("m1.h5"), OSError):
    ...     raise OSError("truncated file")
    Traceback (most recent call last):
    ValueError: m1.h5: truncated file
    """
    kinds: tuple[type[Exception], ...] = (ValueError, *refused)
    try:
        yield
    except kinds as error:
        raise ValueError(f"{file}: {error}") from error


def activity_of(
    values: NDArray[np.generic], /, *, name: str, axes: Axes = Axes.TIME_UNIT
) -> NDArray[np.float32]:
    """Give activity as `Recording` takes it; what is float32 already is not copied.

    Raises
    ------
    ValueError
        If it is not numbers of two axes.

    Examples
    --------
    >>> activity_of(np.array([[0, 1, 2]]), name="C", axes=Axes.UNIT_TIME).shape
    (3, 1)
    """
    if values.ndim != 2 or values.dtype.kind not in "iubf":
        raise ValueError(
            f"`{name}` must be numbers of shape ({axes.value.replace('-', ', ')}), "
            f"but is {values.dtype} of shape {values.shape}."
        )
    values_TN = values if axes is Axes.TIME_UNIT else values.T
    return values_TN.astype(np.float32, copy=False)


def check_rate(rate_hz: float | None, /) -> None:
    """Check a rate that a person gave, if one was given.

    Raises
    ------
    ValueError
        If it is not above 0.
    """
    if rate_hz is not None and not (math.isfinite(rate_hz) and rate_hz > 0):
        raise ValueError(f"`rate_hz > 0` must hold, but got {rate_hz=}.")


_EXACT_BELOW = 2.0**53  # from here on a float is one of several whole numbers


def whole_if_whole(values: NDArray[np.floating], /) -> NDArray[np.generic]:
    """Give floats as int64 if all of them are whole and finite, and as they are otherwise.

    Examples
    --------
    >>> whole_if_whole(np.array([0.0, 1.0])), whole_if_whole(np.array([0.0, 0.5]))
    (array([0, 1]), array([0. , 0.5]))
    """
    whole = (np.rint(values) == values) & (np.abs(values) < _EXACT_BELOW)
    return values.astype(np.int64) if whole.all() else values


def label_or_measure(values: NDArray[np.generic], /, *, unit: str) -> NDArray[np.generic]:
    """Give floats that are all 0 or 1 as the label they are, unless they have a physical unit.

    Parameters
    ----------
    values
        One behavior of a recording, of any length.
    unit
        Its physical unit: zeros in cm/s are the speed of a mouse at rest, not a class.

    Examples
    --------
    >>> label_or_measure(np.array([0.0, 1.0]), unit="")
    array([0, 1])
    >>> label_or_measure(np.array([0.0, 1.0]), unit="cm/s")
    array([0., 1.])
    """
    if unit or not np.issubdtype(values.dtype, np.floating):
        return values
    is_flag = np.isin(values, (0, 1)).all()
    return whole_if_whole(values.astype(np.float64)) if is_flag else values


_UNIT_OF_ENDING = {
    "_deg_s": "deg/s",
    "_rad_s": "rad/s",
    "_cm_s": "cm/s",
    "_mm_s": "mm/s",
    "_m_s": "m/s",
    "_deg": "deg",
    "_rad": "rad",
    "_cm": "cm",
    "_mm": "mm",
    "_ms": "ms",
    "_hz": "Hz",
    "_s": "s",
}


def behavior_unit(name: str, /, *, given: Mapping[str, str] | None = None) -> str:
    """Give the physical unit of a behavior: as given, or guessed from the ending of its name.

    Examples
    --------
    >>> behavior_unit("speed_cm_s"), behavior_unit("heading_rad"), behavior_unit("moving")
    ('cm/s', 'rad', '')
    """
    if given and name in given:
        return given[name]
    # Longest endings first: `_cm_s` also ends in `_s`.
    return next((unit for end, unit in _UNIT_OF_ENDING.items() if name.endswith(end)), "")
