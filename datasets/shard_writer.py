"""Recordings written as Parquet shards with checksums, and the manifest of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash
from numpy.typing import NDArray

from calsweep.datasets.contents import Contents
from calsweep.datasets.manifest import MANIFEST_FILE, Manifest, ShardEntry, Span
from calsweep.datasets.recording import Recording, is_label
from calsweep.datasets.shard import BEHAVIOR, IMAGE, UNIT

SHARD_MB = 32.0
_N_WRITERS = 2
_SAMPLE_BYTES = 2**20
_MOST_LEFT = 0.5
_MOST_LEFT_FAR = 0.75


class Compression(Enum):
    """How images lie in shards.

    The noise of a camera leaves Zstandard little to save, and whoever reads from a disk pays for
    that with most of the time: `AUTO` takes it where it saves half of the bytes or more. Of a
    dataset that is read over a network, a quarter.
    """

    AUTO = "auto"
    ZSTD = "zstd"
    NONE = "none"


def write_dataset(
    recordings: Iterable[Recording],
    /,
    *,
    folder: Path,
    shard_mb: float = SHARD_MB,
    compression: Compression = Compression.AUTO,
    is_far: bool = False,
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
    compression
        Of images; traces are small, and decoded once.
    is_far
        Whether the dataset is to be read over a network.

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
    contents = Contents()
    with ThreadPoolExecutor(_N_WRITERS) as pool:
        frames = _Writer("frames", _frames_table, folder=folder, shard_mb=shard_mb, pool=pool)
        images = _Writer(
            "images",
            _images_table,
            folder=folder,
            shard_mb=shard_mb,
            pool=pool,
            compression=compression,
            most_left=_MOST_LEFT_FAR if is_far else _MOST_LEFT,
        )
        for recording in contents.check(recordings):
            frames.add(recording)
            if recording.images is not None:
                images.add(recording)
                images.cut()  # a fold streams whole recordings
        manifest = contents.manifest(frames.close(), images.close())
    (folder / MANIFEST_FILE).write_text(manifest.to_json())
    return manifest


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
        compression: Compression = Compression.ZSTD,
        most_left: float = 1.0,
    ) -> None:
        self._kind = kind
        self._compression = compression
        self._most_left = most_left
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
        is_compressed = self._is_compressed(table)
        # Without page checksums a flipped bit would be read as data.
        pq.write_table(
            table,
            sink,
            compression="zstd" if is_compressed else "none",
            # In a single page, what is not compressed lies there as it is in memory.
            data_page_size=None if is_compressed else table.nbytes + 1,
            # Activity seldom repeats: a dictionary makes it larger. (The stubs know no list here.)
            use_dictionary=["recording"],  # type: ignore[arg-type]
            write_page_checksum=True,
        )
        data = sink.getvalue()
        sha256 = hashlib.sha256(data).hexdigest()
        file = f"{self._kind}-{index:05d}-{sha256[:16]}.parquet"
        (self._folder / file).write_bytes(data)
        return ShardEntry(
            file=file,
            sha256=sha256,
            xxh3=xxhash.xxh3_128_hexdigest(data),
            images_at=None if is_compressed else _images_at(data, table),
            n_bytes=len(data),
            n_rows=table.num_rows,
            spans=spans,
        )

    def _is_compressed(self, table: pa.Table) -> bool:
        if self._compression is not Compression.AUTO:
            return self._compression is Compression.ZSTD
        column = table.column(IMAGE)
        n_rows = max(1, table.num_rows * _SAMPLE_BYTES // max(1, table.nbytes))
        sample = _image_bytes(column.slice(0, n_rows))
        return len(pa.Codec("zstd").compress(sample)) <= self._most_left * len(sample)


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
    columns = {**_places(recording, frames), IMAGE: _image_column(recording.images[frames])}
    fields = [
        pa.field(name, column.type, nullable=name != IMAGE) for name, column in columns.items()
    ]
    return pa.table(columns, schema=pa.schema(fields))


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


def _images_at(data: pa.Buffer, table: pa.Table) -> int | None:
    """Find where in a file that is not compressed its images lie as they are."""
    column = (
        pq.read_metadata(pa.BufferReader(data)).row_group(0).column(table.column_names.index(IMAGE))
    )
    images = _image_bytes(table.column(IMAGE))
    # What stands before them in the column is the head of its page.
    at = column.data_page_offset + column.total_compressed_size - len(images)
    return at if data.slice(at, len(images)).equals(images) else None


def _image_bytes(column: pa.ChunkedArray[Any]) -> pa.Buffer:
    images = pa.concat_arrays(column.chunks)
    width = images.type.byte_width
    data = images.buffers()[1]
    assert data is not None  # noqa: S101 - a column of bytes has them
    return data.slice(images.offset * width, len(images) * width)
