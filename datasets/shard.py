"""Parquet files of a dataset: written with checksums, read only if whole."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

import calsweep
from calsweep.datasets.manifest import (
    MANIFEST_FILE,
    MAX_CLASSES,
    ImageFormat,
    Manifest,
    RecordingEntry,
    ShardEntry,
    Span,
)
from calsweep.datasets.recording import Recording, is_label, trial_borders, with_units
from calsweep.datasets.store import Store

UNIT = "unit."
BEHAVIOR = "behavior."
IMAGE = "image"
SHARD_MB = 32.0
_N_WRITERS = 2


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
    recordings: Iterable[Recording], /, *, folder: Path, shard_mb: float = SHARD_MB
) -> Manifest:
    """Write recordings as Parquet shards and a manifest into a new folder.

    One recording is held in memory at a time, of its images no more than three shards.

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
    with ThreadPoolExecutor(_N_WRITERS) as pool:
        frames = _Writer("frames", _frames_table, folder=folder, shard_mb=shard_mb, pool=pool)
        images = _Writer("images", _images_table, folder=folder, shard_mb=shard_mb, pool=pool)
        for recording in contents.check(recordings):
            frames.add(recording)
            if recording.images is not None:
                images.add(recording)
                images.cut()  # a fold streams whole recordings
        manifest = contents.manifest(frames.close(), images.close())
    (folder / MANIFEST_FILE).write_text(manifest.to_json())
    return manifest


def is_shard_name(name: str, /) -> bool:
    """Say whether a file is called as a shard is.

    Examples
    --------
    >>> is_shard_name("frames-00000-0123456789abcdef.parquet"), is_shard_name("mine.parquet")
    (True, False)
    """
    return re.fullmatch(r"(frames|images)-\d{5,}-[0-9a-f]{16}\.parquet", name) is not None


def read_shard(entry: ShardEntry, /, *, store: Store) -> pa.Table:
    """Read the frames of one shard, if they are those that were written.

    Parameters
    ----------
    entry
        What the manifest says of it.
    store
        Where the dataset lies.

    Raises
    ------
    DamagedShard
        If the file is missing or another; it is read a second time first.
    """
    try:
        return _read(entry, store=store)
    except DamagedShard:
        return _read(entry, store=store)


def units_of(table: pa.Table, /, *, units: Iterable[str]) -> NDArray[np.float32]:
    """Give the activity of a shard's frames, shape ``(row, unit)``."""
    columns = [table.column(UNIT + unit).to_numpy() for unit in units]
    if not columns:
        return np.empty((table.num_rows, 0), dtype=np.float32)
    return np.stack(columns, axis=1)


def images_of(table: pa.Table, /, *, images: ImageFormat) -> NDArray[np.generic]:
    """Give the images of a shard's frames, shape ``(row, height, width)``."""
    chunks = [_pixels(chunk, images=images) for chunk in table.column(IMAGE).chunks]
    return chunks[0] if len(chunks) == 1 else np.concatenate(chunks)


def _pixels(chunk: pa.Array[Any], *, images: ImageFormat) -> NDArray[np.generic]:
    """Give images of neighboring frames without a copy."""
    data = chunk.buffers()[1]
    assert data is not None  # noqa: S101 - a column of bytes has them
    pixels = np.frombuffer(memoryview(data), dtype=np.dtype(images.dtype).newbyteorder("<"))
    images_RHW: NDArray[np.generic] = pixels.reshape(-1, images.height, images.width)
    return images_RHW[chunk.offset : chunk.offset + len(chunk)]


def _read(entry: ShardEntry, *, store: Store) -> pa.Table:
    try:
        data = store.read(entry.file)
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


@dataclass(frozen=True, kw_only=True)
class _Form:
    """What all recordings of a dataset have in common."""

    recording: str
    rate_hz: float
    units: tuple[str, ...]
    behaviors: dict[str, tuple[str, str]]
    images: ImageFormat | None


@dataclass
class _Contents:
    """What was written so far; each recording must go with the first."""

    entries: list[RecordingEntry] = field(default_factory=list)
    first: _Form | None = None

    def check(self, recordings: Iterable[Recording]) -> Iterator[Recording]:
        """Hand recordings on, each checked, entered, and its units in the order of the first."""
        for recording in recordings:
            fitted = self._fitted(recording)
            self.entries.append(_entry(fitted))
            yield fitted

    def manifest(
        self, shards: tuple[ShardEntry, ...], image_shards: tuple[ShardEntry, ...]
    ) -> Manifest:
        """Give the manifest of all."""
        if self.first is None:
            raise ValueError("a dataset must hold at least one recording, but got none.")
        return Manifest(
            rate_hz=self.first.rate_hz,
            units=self.first.units,
            behaviors={name: unit for name, (unit, _) in self.first.behaviors.items()},
            recordings=tuple(self.entries),
            shards=shards,
            images=self.first.images,
            image_shards=image_shards,
            calsweep_version=calsweep.__version__,
        )

    def _fitted(self, recording: Recording) -> Recording:
        here = _form(recording)
        first = self.first = self.first or here
        if here.recording in {entry.name for entry in self.entries}:
            raise ValueError(
                f"recordings must have names of their own, but {recording.name!r} comes twice: "
                "let the pattern of file names tell them apart."
            )
        if here.rate_hz != first.rate_hz:
            raise ValueError(
                f"recordings must have one rate, but {first.recording} has {first.rate_hz:g} Hz "
                f"and {here.recording} {here.rate_hz:g} Hz: resample them to one rate."
            )
        if here.images != first.images:
            raise ValueError(_images_differ(first, here))
        if set(here.units) != set(first.units):
            raise ValueError(_units_differ(first.recording, first.units, recording))
        if here.behaviors != first.behaviors:
            raise ValueError(_behaviors_differ(first.recording, first.behaviors, recording))
        return with_units(recording, units=first.units)


def _form(recording: Recording) -> _Form:
    images = recording.images
    return _Form(
        recording=recording.name,
        rate_hz=recording.rate_hz,
        units=recording.units,
        behaviors=_behaviors(recording),
        images=None
        if images is None
        else ImageFormat(height=images.shape[1], width=images.shape[2], dtype=images.dtype.name),
    )


def _images_differ(first: _Form, here: _Form) -> str:
    said = [
        f"{form.recording} has "
        + (
            f"{form.images.height} x {form.images.width} pixels of type {form.images.dtype}"
            if form.images
            else "none"
        )
        for form in (first, here)
    ]
    return (
        f"recordings must have images of one size and type, but {said[0]} and {said[1]}. "
        "Crop, bin or convert them before ingesting, or ingest them into datasets of their own."
    )


def _units_differ(first: str, units: tuple[str, ...], recording: Recording) -> str:
    here, there = set(recording.units), set(units)
    return (
        "recordings of a dataset must have the same units by name, but "
        f"{len(here - there)} of {recording.name} and {len(there - here)} of {first} are not in "
        f"the other ({len(here)} and {len(there)} units). Name the same units alike in every file "
        "and keep those that all have (`--common-units`), or ingest files with others into a "
        "dataset of their own (`--only`)."
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
        n_missing=_n_missing(recording),
        positions=tuple(map(tuple, _floats(recording.positions_ND))),
        position_unit=recording.position_unit,
        phases=tuple(_floats(recording.phase_N)),
        steps=recording.steps,
    )


def _floats(values: NDArray[np.float32] | None) -> list[Any]:
    return [] if values is None else values.astype(np.float64).tolist()


def _n_missing(recording: Recording) -> dict[str, int]:
    measures = {n: v for n, v in sorted(recording.behavior.items()) if not is_label(v)}
    values = {"activity": recording.activity_TN, **measures}
    counts = {name: int(np.isnan(values[name]).sum()) for name in values}
    return {name: count for name, count in counts.items() if count}


def _label_counts(values: NDArray[np.generic]) -> dict[int, int]:
    classes, counts = np.unique(values.astype(np.int64), return_counts=True)
    if len(classes) > MAX_CLASSES:
        return {}
    return dict(zip(classes.tolist(), counts.tolist(), strict=True))


Table = Callable[[Recording, slice], pa.Table]


class _Writer:
    """Cuts and gathers frames of recordings into full shards, written while the next is read."""

    def __init__(
        self,
        kind: str,
        table: Table,
        *,
        folder: Path,
        shard_mb: float,
        pool: ThreadPoolExecutor,
    ) -> None:
        self._kind = kind
        self._table = table
        self._folder = folder
        self._shard_bytes = shard_mb * 1e6
        self._pool = pool
        self._entries: list[Future[ShardEntry]] = []
        self._tables: list[pa.Table] = []
        self._spans: list[Span] = []

    def add(self, recording: Recording) -> None:
        """Take the frames of a recording."""
        bytes_per_frame = max(1, self._table(recording, slice(0, 1)).nbytes)
        n_per_shard = max(1, int(self._shard_bytes // bytes_per_frame))
        start = 0
        while start < recording.n_frames:
            n_room = n_per_shard - sum(span.n_frames for span in self._spans)
            n_taken = max(0, min(n_room, recording.n_frames - start))
            if n_taken:
                self._tables.append(self._table(recording, slice(start, start + n_taken)))
                self._spans.append(
                    Span(recording=recording.name, start_frame=start, n_frames=n_taken)
                )
                start += n_taken
            if n_taken >= n_room:
                self._write()

    def cut(self) -> None:
        """Write what is left, so that the next shard begins with the next recording."""
        if self._spans:
            self._write()

    def close(self) -> tuple[ShardEntry, ...]:
        """Write what is left and give all shards."""
        self.cut()
        return tuple(entry.result() for entry in self._entries)

    def _write(self) -> None:
        table, spans = pa.concat_tables(self._tables), tuple(self._spans)
        self._tables, self._spans = [], []
        for entry in self._entries[-_N_WRITERS:-1]:
            entry.result()  # no more shards wait in memory than are being written
        index = len(self._entries)
        self._entries.append(self._pool.submit(self._put, table, spans, index))

    def _put(self, table: pa.Table, spans: tuple[Span, ...], index: int) -> ShardEntry:
        sink = pa.BufferOutputStream()
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
        file = f"{self._kind}-{index:05d}-{sha256[:16]}.parquet"
        (self._folder / file).write_bytes(data)
        return ShardEntry(
            file=file, sha256=sha256, n_bytes=len(data), n_rows=table.num_rows, spans=spans
        )


def _frames_table(recording: Recording, frames: slice) -> pa.Table:
    columns = _places(recording, frames)
    columns["trial"] = pa.array(recording.trial_T[frames].astype(np.int32))
    for name, values in sorted(recording.behavior.items()):
        kind = np.int64 if is_label(values) else np.float64
        columns[BEHAVIOR + name] = pa.array(values[frames].astype(kind))
    activity_NT = np.ascontiguousarray(recording.activity_TN[frames].T)
    for unit, activity_T in zip(recording.units, activity_NT, strict=True):
        columns[UNIT + unit] = pa.array(activity_T)
    return pa.table(columns)


def _images_table(recording: Recording, frames: slice) -> pa.Table:
    assert recording.images is not None  # noqa: S101 - `write_dataset` has looked
    return pa.table({**_places(recording, frames), IMAGE: _image_column(recording.images[frames])})


def _places(recording: Recording, frames: slice) -> dict[str, pa.Array[Any]]:
    return {
        "recording": pa.array([recording.name] * (frames.stop - frames.start)),
        "frame": pa.array(np.arange(frames.start, frames.stop, dtype=np.int64)),
    }


def _image_column(images_THW: NDArray[np.generic]) -> pa.Array[Any]:
    little = np.ascontiguousarray(images_THW, dtype=images_THW.dtype.newbyteorder("<"))
    data = pa.py_buffer(little.data)
    n_bytes = little[0].nbytes
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(n_bytes), len(little), [None, data])
