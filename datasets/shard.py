"""Parquet files of a dataset: read only if they are whole."""

from __future__ import annotations

import contextlib
import hashlib
import math
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash
from numpy.typing import NDArray

from calsweep.datasets.lent_memory import LENDER
from calsweep.datasets.manifest import ImageFormat, ShardEntry
from calsweep.datasets.store import FolderStore, Store
from calsweep.datasets.tally import TALLY, Counts

UNIT = "unit."
BEHAVIOR = "behavior."
IMAGE = "image"
_DECODED_BYTES = 2**20
_T = TypeVar("_T")


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


def read_shard(entry: ShardEntry, /, *, store: Store, thoroughly: bool = False) -> pa.Table:
    """Read the frames of one shard, if they are those that were written.

    Parameters
    ----------
    entry
        What the manifest says of it.
    store
        Where the dataset lies.
    thoroughly
        Whether by SHA-256, which not even a person can forge; otherwise by XXH3, which is enough
        against accidents and several times as fast.

    Raises
    ------
    DamagedShard
        If the file is missing or another; it is read a second time first.
    """
    return _twice(lambda: _table(_verified(entry, store=store, thoroughly=thoroughly), entry=entry))


def units_of(table: pa.Table, /, *, units: Iterable[str]) -> NDArray[np.float32]:
    """Give the activity of a shard's frames, shape ``(row, unit)``."""
    columns = [table.column(UNIT + unit).to_numpy() for unit in units]
    if not columns:
        return np.empty((table.num_rows, 0), dtype=np.float32)
    return np.stack(columns, axis=1)


def read_images(
    entry: ShardEntry,
    /,
    *,
    store: Store,
    images: ImageFormat,
    into: NDArray[np.generic] | None = None,
) -> NDArray[np.generic]:
    """Read the images of one shard, if they are those that were written.

    Parameters
    ----------
    entry
        What the manifest says of it.
    store
        Where the dataset lies.
    images
        What all images have in common.
    into
        Is filled; without it, images are given where they lie.

    Returns
    -------
    images_RHW
        Shape ``(row, height, width)``.

    Raises
    ------
    DamagedShard
        If the file is missing or another; it is read a second time first.
    """
    return _twice(lambda: _images(_verified(entry, store=store), entry, images, into))


def read_whole(entry: ShardEntry, /, *, store: Store) -> bytes | memoryview:
    """Read the bytes of one shard, if they are those that were written.

    Raises
    ------
    DamagedShard
        If the file is missing or another; it is read a second time first.
    """
    return _twice(lambda: _verified(entry, store=store))


def map_images(entry: ShardEntry, path: Path, /, *, images: ImageFormat) -> NDArray[np.generic]:
    """Give the images of one shard where they lie on disk, if they are those that were written.

    Parameters
    ----------
    entry
        Of a shard whose images are not compressed.
    path
        Of its file.
    images
        What all images have in common.

    Raises
    ------
    DamagedShard
        If the file is missing or another; it is read a second time first.
    """
    folder = FolderStore(path.parent)
    return _twice(
        lambda: images_of(_whole(entry, read=lambda _: folder.map(path.name)), entry, images=images)
    )


def images_of(
    data: bytes | memoryview, entry: ShardEntry, /, *, images: ImageFormat
) -> NDArray[np.generic]:
    """Give the images that lie uncompressed in the bytes of a shard."""
    shape = (entry.n_rows, images.height, images.width)
    kind = np.dtype(images.dtype).newbyteorder("<")
    flat = np.frombuffer(data, kind, math.prod(shape), offset=entry.images_at or 0)
    return flat.reshape(shape)


def _images(
    data: bytes | memoryview,
    entry: ShardEntry,
    images: ImageFormat,
    into: NDArray[np.generic] | None,
) -> NDArray[np.generic]:
    shape = (entry.n_rows, images.height, images.width)
    if entry.images_at is not None:
        there = images_of(data, entry, images=images)
        if into is None:
            return there
        np.copyto(into, there)
        return into
    images_RHW = LENDER.array(shape, dtype=images.dtype) if into is None else into
    _decode(data, images_RHW, entry=entry)
    return images_RHW


def _twice(read: Callable[[], _T]) -> _T:
    try:
        return read()
    except DamagedShard:
        return read()


def _verified(entry: ShardEntry, *, store: Store, thoroughly: bool = False) -> bytes | memoryview:
    return _whole(entry, read=store.read, thoroughly=thoroughly)


def _whole(
    entry: ShardEntry,
    *,
    read: Callable[[str], bytes | memoryview],
    thoroughly: bool = False,
) -> bytes | memoryview:
    """Read a file, and check that it is the one that was written."""
    try:
        data = read(entry.file)
    except FileNotFoundError as error:
        raise DamagedShard(entry.file, "the file is missing") from error
    TALLY.add(Counts(bytes_read=len(data)))
    if entry.xxh3 is None or thoroughly:
        name, is_whole = "SHA-256", hashlib.sha256(data).hexdigest() == entry.sha256
    else:
        name, is_whole = "XXH3", xxhash.xxh3_128_hexdigest(data) == entry.xxh3
    if not is_whole:
        reason = f"its {len(data)} bytes do not have the {name} of the {entry.n_bytes} written"
        raise DamagedShard(entry.file, reason)
    return data


@contextlib.contextmanager
def _opened(data: bytes | memoryview, *, entry: ShardEntry) -> Iterator[pq.ParquetFile]:
    """Open a shard whose bytes are verified: its pages' own checksums say no more."""
    try:
        with pq.ParquetFile(pa.BufferReader(data)) as file:
            n_rows = file.metadata.num_rows
            if n_rows != entry.n_rows:
                raise DamagedShard(entry.file, f"it holds {n_rows} rows, not {entry.n_rows}")
            yield file
    except (OSError, pa.ArrowException) as error:
        raise DamagedShard(entry.file, str(error)) from error


def _table(data: bytes | memoryview, *, entry: ShardEntry) -> pa.Table:
    with _opened(data, entry=entry) as file:
        return file.read()


def _decode(
    data: bytes | memoryview, images_RHW: NDArray[np.generic], *, entry: ShardEntry
) -> None:
    """Decode images into an array, a few at a time, so that they are copied while at hand."""
    n_at_once = max(1, _DECODED_BYTES // max(1, images_RHW[0].nbytes))
    row = 0
    with _opened(data, entry=entry) as file:
        for batch in file.iter_batches(n_at_once, columns=[IMAGE], use_threads=False):
            images_RHW[row : row + len(batch)] = _pixels(batch.column(0), like=images_RHW)
            row += len(batch)


def _pixels(column: pa.Array[Any], *, like: NDArray[np.generic]) -> NDArray[np.generic]:
    """Give images of neighboring frames without a copy."""
    data = column.buffers()[1]
    assert data is not None  # noqa: S101 - a column of bytes has them
    pixels = np.frombuffer(memoryview(data), dtype=like.dtype.newbyteorder("<"))
    images_RHW: NDArray[np.generic] = pixels.reshape(-1, *like.shape[1:])
    return images_RHW[column.offset : column.offset + len(column)]
