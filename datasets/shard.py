"""Parquet files of a dataset: written with checksums, read only if whole."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq
from numpy.typing import NDArray

import calsweep
from calsweep.datasets.manifest import (
    MANIFEST_FILE,
    MAX_CLASSES,
    Manifest,
    RecordingEntry,
    ShardEntry,
    Span,
)
from calsweep.datasets.recording import Recording, is_label, trial_borders

UNIT = "unit."
BEHAVIOR = "behavior."


class DamagedShard(ValueError):
    """A shard is not what was written."""

    def __init__(self, file: str, reason: str) -> None:
        super().__init__(file, reason)
        self.file = file
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"The shard {self.file} is damaged: {self.reason}. It was read twice and is refused; "
            "bring back a copy of it, or ingest the recordings again."
        )


def write_dataset(
    recordings: Iterable[Recording], /, *, folder: Path, shard_mb: float = 32.0
) -> Manifest:
    """Write recordings as Parquet shards and a manifest into a new folder.

    One recording is held in memory at a time, and at most one shard.

    Parameters
    ----------
    recordings
        All with the same units, rate and behaviors. Units are told by name: where a later recording
        has them in another order, they are written in the order of the first.
    folder
        Is made; it must not hold anything yet.
    shard_mb
        Megabytes of frames in a shard, before compression.

    Returns
    -------
    manifest
        As written to ``manifest.json``, the last file.

    Raises
    ------
    ValueError
        If there is no recording, or two do not go together.
    FileExistsError
        If the folder holds anything.

    Examples
    --------
    >>> import tempfile
    >>> recording = Recording(
    ...     subject="m1",
    ...     name="m1_d1",
    ...     activity_TN=np.ones((3, 2), dtype=np.float32),
    ...     behavior={"run": np.array([0, 1, 1])},
    ...     rate_hz=30.0,
    ...     units=("a", "b"),
    ...     trial_T=np.zeros(3, dtype=np.int32),
    ... )
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     manifest = write_dataset([recording], folder=Path(folder) / "m1")
    >>> manifest.recordings[0].label_counts
    {'run': {0: 1, 1: 2}}
    """
    if shard_mb <= 0:
        raise ValueError(f"`shard_mb > 0` must hold, but got {shard_mb=}.")
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise FileExistsError(f"A dataset is written into an empty folder, but {folder} is not.")
    contents = _Contents()
    shards = tuple(_write_shards(contents.check(recordings), folder=folder, shard_mb=shard_mb))
    manifest = contents.manifest(shards)
    (folder / MANIFEST_FILE).write_text(manifest.to_json())
    return manifest


def read_shard(entry: ShardEntry, /, *, filesystem: pafs.FileSystem, path: str) -> pa.Table:
    """Read the frames of one shard, if they are those that were written.

    Parameters
    ----------
    entry
        What the manifest says of it.
    filesystem, path
        Where the dataset lies.

    Raises
    ------
    DamagedShard
        If the file is missing or another; it is read a second time first.
    """
    try:
        return _read(entry, filesystem=filesystem, path=path)
    except DamagedShard:
        return _read(entry, filesystem=filesystem, path=path)


def units_of(table: pa.Table, /, *, units: Iterable[str]) -> NDArray[np.float32]:
    """Give the activity of a shard's frames, shape ``(row, unit)``."""
    columns = [table.column(UNIT + unit).to_numpy() for unit in units]
    return np.stack(columns, axis=1)


def _read(entry: ShardEntry, *, filesystem: pafs.FileSystem, path: str) -> pa.Table:
    try:
        with filesystem.open_input_file(f"{path}/{entry.file}") as file:
            data = file.read()
    except FileNotFoundError as error:
        raise DamagedShard(entry.file, "the file is missing") from error
    if hashlib.sha256(data).hexdigest() != entry.sha256:
        reason = f"its {len(data)} bytes do not have the SHA-256 of the {entry.n_bytes} written"
        raise DamagedShard(entry.file, reason)
    try:
        shard = pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True)
        table = shard.read()
    except (OSError, pa.ArrowException) as error:
        raise DamagedShard(entry.file, str(error)) from error
    if table.num_rows != entry.n_rows:
        raise DamagedShard(entry.file, f"it holds {table.num_rows} rows, not {entry.n_rows}")
    return table


@dataclass
class _Contents:
    """What was written so far; each recording must go with the first."""

    entries: list[RecordingEntry] = field(default_factory=list)
    first: tuple[str, float, tuple[str, ...], dict[str, tuple[str, str]]] | None = None

    def check(self, recordings: Iterable[Recording]) -> Iterator[Recording]:
        """Hand recordings on, each checked, entered, and its units in the order of the first."""
        for recording in recordings:
            fitted = self._fitted(recording)
            self.entries.append(_entry(fitted))
            yield fitted

    def manifest(self, shards: tuple[ShardEntry, ...]) -> Manifest:
        """Give the manifest of all."""
        if self.first is None:
            raise ValueError("a dataset must hold at least one recording, but got none.")
        _, rate_hz, units, behaviors = self.first
        return Manifest(
            rate_hz=rate_hz,
            units=units,
            behaviors={name: unit for name, (unit, _) in behaviors.items()},
            recordings=tuple(self.entries),
            shards=shards,
            calsweep_version=calsweep.__version__,
        )

    def _fitted(self, recording: Recording) -> Recording:
        behaviors = _behaviors(recording)
        if self.first is None:
            self.first = (recording.name, recording.rate_hz, recording.units, behaviors)
            return recording
        first, rate_hz, units, first_behaviors = self.first
        if recording.name in {entry.name for entry in self.entries}:
            raise ValueError(
                f"recordings must have names of their own, but {recording.name!r} comes twice: "
                "let the pattern of file names tell them apart."
            )
        if recording.rate_hz != rate_hz:
            raise ValueError(
                f"recordings must have one rate, but {first} has {rate_hz:g} Hz and "
                f"{recording.name} {recording.rate_hz:g} Hz: resample them to one rate."
            )
        if set(recording.units) != set(units):
            raise ValueError(_units_differ(first, units, recording))
        if behaviors != first_behaviors:
            raise ValueError(_behaviors_differ(first, first_behaviors, recording))
        return _ordered(recording, units=units)


def _ordered(recording: Recording, *, units: tuple[str, ...]) -> Recording:
    if recording.units == units:
        return recording
    column_of = {unit: column for column, unit in enumerate(recording.units)}
    activity_TN = recording.activity_TN[:, [column_of[unit] for unit in units]]
    return dataclasses.replace(recording, units=units, activity_TN=activity_TN)


def _units_differ(first: str, units: tuple[str, ...], recording: Recording) -> str:
    here, there = set(recording.units), set(units)
    return (
        "recordings of a dataset must have the same units by name, but "
        f"{len(here - there)} of {recording.name} and {len(there - here)} of {first} are not in "
        f"the other ({len(here)} and {len(there)} units). Name the same units alike in every file "
        "and keep those that all have, or ingest files with others into a dataset of their own."
    )


def _behaviors_differ(
    first: str, behaviors: dict[str, tuple[str, str]], recording: Recording
) -> str:
    others = _behaviors(recording)
    name = min(set(behaviors.items()) ^ set(others.items()))[0]
    said = [
        f"{' in '.join(filter(None, reversed(of[name]))) if name in of else 'is missing'} in {who}"
        for who, of in ((first, behaviors), (recording.name, others))
    ]
    return (
        f"recordings of a dataset must have the same behaviors, but `{name}` "
        f"{said[0]} and {said[1]}. Name the behaviors to keep, and the unit of a measure that "
        "happens to be 0 or 1 throughout a recording; or ingest them into datasets of their own."
    )


def _behaviors(recording: Recording) -> dict[str, tuple[str, str]]:
    return {
        name: (
            recording.behavior_unit.get(name, ""),
            "whole numbers" if is_label(values) else "floats",
        )
        for name, values in sorted(recording.behavior.items())
    }


def _entry(recording: Recording) -> RecordingEntry:
    trial_frames = np.diff(trial_borders(recording.trial_T))
    return RecordingEntry(
        subject=recording.subject,
        name=recording.name,
        n_frames=recording.n_frames,
        n_trials=len(trial_frames),
        longest_trial_frames=int(trial_frames.max()),
        label_counts={
            name: _label_counts(values)
            for name, values in sorted(recording.behavior.items())
            if is_label(values)
        },
        source_sha256=dict(recording.source_sha256),
    )


def _label_counts(values: NDArray[np.generic]) -> dict[int, int]:
    classes, counts = np.unique(values.astype(np.int64), return_counts=True)
    if len(classes) > MAX_CLASSES:
        return {}
    return dict(zip(classes.tolist(), counts.tolist(), strict=True))


def _write_shards(
    recordings: Iterable[Recording], *, folder: Path, shard_mb: float
) -> Iterator[ShardEntry]:
    for index, (tables, spans) in enumerate(_pack(recordings, shard_mb=shard_mb)):
        yield _write_shard(tables, spans, folder=folder, index=index)


def _pack(
    recordings: Iterable[Recording], *, shard_mb: float
) -> Iterator[tuple[list[pa.Table], list[Span]]]:
    """Cut and gather frames so that each shard but the last is full."""
    tables: list[pa.Table] = []
    spans: list[Span] = []
    for recording in recordings:
        table = _table(recording)
        n_per_shard = max(1, int(shard_mb * 1e6 // (table.nbytes / table.num_rows)))
        start = 0
        while start < table.num_rows:
            n_room = n_per_shard - sum(span.n_frames for span in spans)
            n_taken = max(0, min(n_room, table.num_rows - start))
            if n_taken:
                tables.append(table.slice(start, n_taken))
                spans.append(Span(recording=recording.name, start_frame=start, n_frames=n_taken))
                start += n_taken
            if n_taken >= n_room:
                yield tables, spans
                tables, spans = [], []
    if spans:
        yield tables, spans


def _table(recording: Recording) -> pa.Table:
    n_frames = recording.n_frames
    columns: dict[str, pa.Array[Any]] = {
        "recording": pa.array([recording.name] * n_frames),
        "frame": pa.array(np.arange(n_frames, dtype=np.int64)),
        "trial": pa.array(recording.trial_T.astype(np.int32)),
    }
    for name, values in sorted(recording.behavior.items()):
        kind = np.int64 if is_label(values) else np.float64
        columns[BEHAVIOR + name] = pa.array(values.astype(kind))
    for i, unit in enumerate(recording.units):
        columns[UNIT + unit] = pa.array(np.ascontiguousarray(recording.activity_TN[:, i]))
    return pa.table(columns)


def _write_shard(
    tables: list[pa.Table], spans: list[Span], *, folder: Path, index: int
) -> ShardEntry:
    sink = pa.BufferOutputStream()
    table = pa.concat_tables(tables)
    # Without page checksums a flipped bit would be read as data.
    pq.write_table(
        table,
        sink,
        compression="zstd",
        # Activity seldom repeats: a dictionary makes it larger. (The stubs know no list here.)
        use_dictionary=["recording"],  # type: ignore[arg-type]
        write_page_checksum=True,
    )
    data = sink.getvalue()
    sha256 = hashlib.sha256(data).hexdigest()
    file = f"shard-{index:05d}-{sha256[:16]}.parquet"
    (folder / file).write_bytes(data)
    return ShardEntry(
        file=file, sha256=sha256, n_bytes=len(data), n_rows=table.num_rows, spans=tuple(spans)
    )
