"""Parquet files of a dataset: read only if they are whole."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from calsweep.datasets.manifest import ImageFormat, ShardEntry
from calsweep.datasets.store import Store

UNIT = "unit."
BEHAVIOR = "behavior."
IMAGE = "image"


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
