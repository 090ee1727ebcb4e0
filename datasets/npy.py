"""Activity in one NumPy array a recording, mapped rather than read; behavior in a table."""

from __future__ import annotations

import tokenize
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from calsweep.datasets.recording import Recording
from calsweep.datasets.source import (
    Axes,
    Source,
    activity_of,
    check_pattern,
    check_rate,
    find_files,
    name_of,
    naming,
    sha256_of,
)
from calsweep.datasets.table import Behavior, behavior_beside


@dataclass(frozen=True, kw_only=True)
class NpySource:
    """One .npy a recording with its activity; behavior in a .csv of the same name.

    Attributes
    ----------
    rate_hz
        Frames per second.
    axes
        Order of the array's axes.
    behavior
        Whether behavior lies beside it, in a .csv of the same name: a column each, named in the
        first line, and a row a frame.
    time
        Column of the .csv with times in seconds from the first frame, if its rows are not the
        frames.
    behavior_units
        Name of a behavior to its physical unit; others are guessed from the name's ending.
    names
        Regular expression for file names with the groups ``subject`` and ``recording``, as in
        ``(?P<subject>[^_]+)_(?P<recording>.+)``; by default the subject is what stands before the
        first ``_``.
    """

    example: ClassVar[str] = "calsweep ingest npy traces/ lab/m1 --rate-hz 30 --axes unit-time"

    rate_hz: float
    axes: Axes = Axes.TIME_UNIT
    behavior: bool = True
    time: str = ""
    behavior_units: Mapping[str, str] = field(default_factory=dict, metadata={"option": "unit"})
    names: str = field(default="", metadata={"metavar": "REGEX"})

    def __post_init__(self) -> None:
        check_pattern(self.names)
        check_rate(self.rate_hz)

    def files(self, location: Path, /) -> tuple[Path, ...]:
        """Give the ``.npy`` files of a folder, or the one file."""
        return find_files(location, suffix=".npy")

    def read(self, file: Path, /) -> Recording:
        """Read the recording of one file; float32 stays on disk until it is used.

        Raises
        ------
        ValueError
            If the array or the table cannot be read, or they do not go together.
        """
        sha256 = sha256_of(file)
        with naming(file):
            activity_TN = activity_of(_mapped(file), name=file.name, axes=self.axes)
            behavior = self._behavior(file, n_frames=len(activity_TN))
            name = name_of(file, pattern=self.names)
            return Recording(
                subject=name.subject,
                name=name.recording,
                activity_TN=activity_TN,
                behavior=behavior.values,
                behavior_unit=behavior.units,
                rate_hz=self.rate_hz,
                units=tuple(f"unit{i}" for i in range(1, activity_TN.shape[1] + 1)),
                trial_T=np.zeros(len(activity_TN), dtype=np.int32),
                source_sha256={file.name: sha256, **behavior.source_sha256},
                steps=behavior.steps,
            )

    def _behavior(self, file: Path, *, n_frames: int) -> Behavior:
        if not self.behavior:
            return Behavior()
        return behavior_beside(
            file,
            n_frames=n_frames,
            rate_hz=self.rate_hz,
            time=self.time,
            units=self.behavior_units,
        )


def _mapped(file: Path) -> NDArray[np.generic]:
    with file.open("rb") as opened:
        if opened.read(6) != b"\x93NUMPY":
            raise ValueError("this is no .npy file.")
    try:
        mapped: NDArray[np.generic] = np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, EOFError, SyntaxError, tokenize.TokenError) as error:
        raise ValueError(f"this is no whole .npy file: {error}.") from error
    except ValueError as error:
        if "objects" in str(error):
            raise ValueError("it holds Python objects: save numbers only.") from error
        raise ValueError(f"this is no whole .npy file: {error}.") from error
    return mapped


_: type[Source] = NpySource
