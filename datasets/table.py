"""Behavior in a text table beside the activity: a column each, a row a frame or a sample."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
from numpy.typing import NDArray

from calsweep.datasets.align import align, even_times
from calsweep.datasets.source import behavior_unit, naming, sha256_of, whole_if_whole


@dataclass(frozen=True, kw_only=True)
class Behavior:
    """Behavior of a recording, as `Recording` takes it.

    Attributes
    ----------
    values
        Name to values of shape ``(time,)``.
    units
        Name to physical unit.
    steps
        What was done to it.
    source_sha256
        Name of the table to its SHA-256.
    """

    values: Mapping[str, NDArray[np.generic]] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    steps: tuple[str, ...] = ()
    source_sha256: Mapping[str, str] = field(default_factory=dict)


def behavior_beside(
    file: Path,
    /,
    *,
    n_frames: int,
    rate_hz: float,
    time: str = "",
    units: Mapping[str, str],
) -> Behavior:
    """Read the behavior of a recording from the ``.csv`` beside it.

    Columns of whole numbers are labels, unless they have a unit; an empty cell is a missing value.

    Parameters
    ----------
    file
        File or folder with the activity: the table has its name, with the ending ``.csv``.
    n_frames, rate_hz
        Of the activity.
    time
        Column with times in seconds from the first frame; without one, there is a row a frame.
    units
        Name of a column to its physical unit; others are guessed from the name's ending.

    Raises
    ------
    ValueError
        If there is no table, it is ragged, or does not go with the frames.
    """
    table = file.parent / f"{file.name if file.is_dir() else file.stem}.csv"
    if not table.is_file():
        raise ValueError(
            f"behavior must lie beside it in {table.name}, but there is no such file. "
            "Leave behavior out with `--no-behavior`."
        )
    sha256 = {table.name: sha256_of(table)}
    with naming(table, csv.Error):
        columns = read_columns(table)
        unit_of = {name: behavior_unit(name, given=units) for name in columns if name != time}
        values = {
            name: columns[name] if unit else whole_if_whole(columns[name])
            for name, unit in unit_of.items()
        }
        if not time:
            _check_rows(columns, n_frames=n_frames)
            return Behavior(values=values, units=unit_of, source_sha256=sha256)
        if time not in columns:
            raise ValueError(_no_column(time, columns))
        frame_times_s = even_times(n_frames, rate_hz=rate_hz)
        aligned = {
            name: align(
                of_name,
                name=name,
                times_s=columns[time],
                frame_times_s=frame_times_s,
                unit=unit_of[name],
            )
            for name, of_name in values.items()
        }
    return Behavior(
        values={name: of_name.values_T for name, of_name in aligned.items()},
        units=unit_of,
        steps=tuple(of_name.step for of_name in aligned.values() if of_name.step),
        source_sha256=sha256,
    )


def read_columns(file: Path, /) -> dict[str, NDArray[np.float64]]:
    """Read a table of numbers whose first line names the columns; an empty cell is NaN.

    Raises
    ------
    ValueError
        If a name is missing or stands twice, a row is ragged, or a cell is no number.
    """
    with file.open(newline="", encoding="utf-8-sig", errors="replace") as opened:
        reader = csv.reader(opened)
        names = tuple(cell.strip() for cell in next(reader, []))
        _check_header(names)
        plain = _plain_columns(file, names=names)
        if plain is not None:
            return plain
        rows = [_row(cells, names=names, line=reader.line_num) for cells in reader if cells]
    if not rows:
        raise ValueError("the table has no rows.")
    return dict(zip(names, np.array(rows, dtype=np.float64).T.copy(), strict=True))


def _plain_columns(file: Path, *, names: tuple[str, ...]) -> dict[str, NDArray[np.float64]] | None:
    """Read a table that holds rows of plain numbers, as most do; of others nothing is told here."""
    try:
        table = pa_csv.read_csv(
            file,
            read_options=pa_csv.ReadOptions(column_names=list(names), skip_rows=1),
            convert_options=pa_csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.float64()), null_values=[""]
            ),
        )
    except (pa.ArrowException, ValueError):
        return None
    if not table.num_rows:
        return None
    return {name: table.column(name).to_numpy().copy() for name in names}


def _check_header(names: tuple[str, ...]) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if not names or "" in names or twice or all(_is_number(name) for name in names):
        raise ValueError(
            "the first line must name each column, each with a name of its own, but is "
            f"{','.join(names)[:80]!r}."
        )


def _row(cells: list[str], *, names: tuple[str, ...], line: int) -> list[float]:
    if len(cells) != len(names):
        raise ValueError(
            f"every row must have {len(names)} cells, but line {line} has {len(cells)}."
        )
    try:
        return [float(cell) if cell.strip() else np.nan for cell in cells]
    except ValueError as error:
        column = next(i for i, cell in enumerate(cells) if cell.strip() and not _is_number(cell))
        raise ValueError(
            f"every cell must be a number or empty, but line {line}, column {column + 1} "
            f"(`{names[column]}`) is {cells[column]!r}."
        ) from error


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _check_rows(columns: Mapping[str, NDArray[np.float64]], *, n_frames: int) -> None:
    n_rows = len(next(iter(columns.values())))
    if n_rows != n_frames:
        raise ValueError(
            f"the table must have one row per frame ({n_frames}), but has {n_rows}. If it has "
            f"times of its own, name the column with `--time`: {', '.join(columns)}."
        )


def _no_column(name: str, columns: Mapping[str, object]) -> str:
    return f"there is no column `{name}` for the times. Columns: {', '.join(columns)}."
