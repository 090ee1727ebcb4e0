"""Recordings in text tables, one a file: frame number, one column a unit, label last."""

from __future__ import annotations

import csv
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from calsweep.datasets.recording import Recording
from calsweep.datasets.source import (
    Source,
    behavior_unit,
    check_pattern,
    check_rate,
    find_files,
    name_of,
    naming,
    sha256_of,
    whole_if_whole,
)
from calsweep.datasets.trial import trials_from

# T time, N unit, C column


@dataclass(frozen=True, kw_only=True)
class CsvSource:
    """One .csv a recording: the frame, one column a unit, the label last.

    The first column numbers the frames; where a number is left out, a new trial begins. The first
    line may name the columns; it does if its first or its last cell is no number, so units may be
    named by numbers. A label of whole numbers holds classes, any other is a measure.

    Attributes
    ----------
    rate_hz
        Frames per second; a table does not say.
    label
        Name of the last column; by default what the first line calls it, or ``label``.
    names
        Regular expression for file names with the groups ``subject`` and ``recording``, as in
        ``(?P<subject>[^_]+)_(?P<recording>.+)``; by default the subject is what stands before the
        first ``_``.
    """

    example: ClassVar[str] = (
        "calsweep ingest csv recordings/ s3://lab/m1 --rate-hz 15 --label footstep"
    )

    rate_hz: float
    label: str = ""
    names: str = field(default="", metadata={"metavar": "REGEX"})

    def __post_init__(self) -> None:
        check_pattern(self.names)
        check_rate(self.rate_hz)

    def files(self, location: Path, /) -> tuple[Path, ...]:
        """Give the ``.csv`` files of a folder, or the one file."""
        return find_files(location, suffix=".csv")

    def read(self, file: Path, /) -> Recording:
        """Read the recording of one file.

        Raises
        ------
        ValueError
            If the table is empty, ragged, or has a cell that is no number.
        """
        sha256 = sha256_of(file)
        with naming(file, csv.Error):
            return self._recording(file, sha256=sha256)

    def _recording(self, file: Path, *, sha256: str) -> Recording:
        header, values_TC = _read_table(file)
        if len(header) < 3:
            raise ValueError(
                f"a table must have frame, units and label, but has {len(header)} columns."
            )
        name, label = name_of(file, pattern=self.names), self.label or header[-1] or "label"
        return Recording(
            subject=name.subject,
            name=name.recording,
            activity_TN=np.ascontiguousarray(values_TC[:, 1:-1], dtype=np.float32),
            behavior={label: whole_if_whole(values_TC[:, -1])},
            behavior_unit={label: behavior_unit(label)},
            rate_hz=self.rate_hz,
            units=header[1:-1],
            trial_T=_trials(values_TC[:, 0]),
            source_sha256={file.name: sha256},
        )


def _read_table(file: Path) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    header: tuple[str, ...] = ()
    rows: list[NDArray[np.float64]] = []
    with file.open(newline="", encoding="utf-8-sig", errors="replace") as opened:
        reader = csv.reader(opened)
        for cells in reader:
            if not cells:
                continue
            if not header:
                names = _header(cells)
                header = names or _default_header(len(cells))
                if names:
                    continue
            rows.append(_row(cells, header=header, line=reader.line_num))
    if not rows:
        raise ValueError("the table has no rows.")
    return header, np.stack(rows)


def _header(cells: list[str]) -> tuple[str, ...]:
    """Give the names of columns if this line holds them: its first or last cell is no number."""
    first, last = cells[0], cells[-1]
    # An empty last cell is a label left out, rather than a name.
    if _is_number(first) and (_is_number(last) or not last.strip()):
        return ()
    return tuple(cell.strip() for cell in cells)


def _default_header(n_columns: int) -> tuple[str, ...]:
    return ("frame", *(f"unit{i}" for i in range(1, n_columns - 1)), "label")


def _row(cells: list[str], *, header: tuple[str, ...], line: int) -> NDArray[np.float64]:
    if len(cells) != len(header):
        raise ValueError(
            f"every row must have {len(header)} cells, but line {line} has {len(cells)}."
        )
    try:
        return np.array(cells, dtype=np.float64)
    except ValueError as error:
        column = next(i for i, cell in enumerate(cells) if not _is_number(cell))
        raise ValueError(
            f"every cell must be a number, but line {line}, column {column + 1} "
            f"(`{header[column]}`) is {cells[column]!r}."
        ) from error


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _trials(frame_T: NDArray[np.float64]) -> NDArray[np.int32]:
    steps = np.diff(frame_T)
    if not np.isfinite(frame_T).all() or np.mod(frame_T, 1).any() or (steps <= 0).any():
        raise ValueError(
            "the first column must number the frames, whole and increasing, but does not "
            f"(it begins {', '.join(f'{frame:g}' for frame in frame_T[:4])})."
        )
    return trials_from(frame_T - np.arange(len(frame_T)), n_frames=len(frame_T))


_: type[Source] = CsvSource
