"""A dataset as mapped arrays, shared by all processes of a machine."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from calsweep.datasets.cache import Cache
from calsweep.datasets.image_frames import ImageFrames
from calsweep.datasets.manifest import MANIFEST_FILE, Manifest
from calsweep.datasets.npy_file import HEADER_BYTES, npy_file
from calsweep.datasets.shard import BEHAVIOR, read_shard, units_of
from calsweep.datasets.store import Store
from calsweep.datasets.timeline import Timeline

# T frames of all recordings one after the other, N units


class DatasetNotFound(LookupError):
    """There is no dataset at a place."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path

    def __str__(self) -> str:
        return (
            f"No dataset at {self.path}: there is no {MANIFEST_FILE}. "
            "`calsweep ingest SOURCE FROM TO` makes one."
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Dataset:
    """Frames of all recordings, one recording after the other.

    Attributes
    ----------
    manifest
        What the dataset holds.
    activity_TN
        Shape ``(time, unit)``, float32, mapped from `folder` and read only.
    behavior
        Name to values of shape ``(time,)``: int64 for labels, float64 for measures.
    trial_T
        Trial of each frame.
    spans
        Name of each recording to its frames.
    folder
        Where the mapped arrays lie.
    store, cache
        Where its shards are, and where images of them are kept.
    """

    manifest: Manifest
    activity_TN: NDArray[np.float32]
    behavior: Mapping[str, NDArray[np.int64] | NDArray[np.float64]]
    trial_T: NDArray[np.int32]
    spans: Mapping[str, slice]
    folder: Path
    store: Store
    cache: Cache

    def copy_recording(self, name: str, /, *, frames: slice = slice(None)) -> NDArray[np.float32]:
        """Give a copy of the activity of one recording, or of some frames of it.

        Nothing stays mapped for it.
        """
        frames_TN: NDArray[np.float32] = np.load(self.folder / _ACTIVITY, mmap_mode="r")
        return np.array(frames_TN[self.spans[name]][frames])

    def images(self) -> ImageFrames:
        """Give its images, fetched as they are needed.

        Raises
        ------
        ValueError
            If it has none.
        """
        return ImageFrames(self.manifest, store=self.store, cache=self.cache)

    def timeline(self, target: str, /) -> Timeline:
        """Give labels of a behavior, and trials, recording by recording; nothing is copied."""
        labels = self.behavior[target]
        return Timeline(
            manifest=self.manifest,
            target=target,
            labels={name: labels[span] for name, span in self.spans.items()},
            trials={name: self.trial_T[span] for name, span in self.spans.items()},
        )


def read_manifest(store: Store, /) -> Manifest:
    """Read the manifest of the dataset at a place.

    Raises
    ------
    DatasetNotFound
        If there is none.
    ValueError
        If it was changed or damaged.
    """
    try:
        text = str(store.read(MANIFEST_FILE), errors="replace")
    except FileNotFoundError as error:
        raise DatasetNotFound(store.address) from error
    return Manifest.from_json(text)


def read_timelines(store: Store, /) -> dict[str, Timeline]:
    """Read every shard of a dataset, images too, and give the timeline of each of its labels.

    Raises
    ------
    DatasetNotFound
        If there is none.
    DamagedShard
        If a shard is missing or was changed.
    """
    manifest = read_manifest(store)
    columns = ["trial", *(BEHAVIOR + label for label in manifest.labels)]
    parts: dict[str, list[NDArray[np.generic]]] = {column: [] for column in columns}
    for shard in manifest.shards:
        table = read_shard(shard, store=store, thoroughly=True)
        for column, found in parts.items():
            found.append(np.array(table.column(column).to_numpy()))
    for shard in manifest.image_shards:
        read_shard(shard, store=store, thoroughly=True)
    whole = {column: np.concatenate(found) for column, found in parts.items()}
    spans = _spans(manifest)

    def by_recording(column: str) -> dict[str, NDArray[np.int64]]:
        return {name: whole[column][span] for name, span in spans.items()}

    trials = {name: trial_T.astype(np.int32) for name, trial_T in by_recording("trial").items()}
    return {
        label: Timeline(
            manifest=manifest, target=label, labels=by_recording(BEHAVIOR + label), trials=trials
        )
        for label in manifest.labels
    }


def open_dataset(store: Store, /, *, cache: Cache) -> Dataset:
    """Open a dataset; the first to do so on a machine verifies and decodes its shards.

    Images stay where they are until they are asked for (`Dataset.images`).

    Parameters
    ----------
    store
        Where the dataset lies.
    cache
        Of this machine, for decoded arrays under the dataset's content hash; they are kept there
        while this process lives.

    Raises
    ------
    DatasetNotFound
        If there is none.
    DamagedShard
        If a shard is missing or was changed; nothing of the dataset is then kept.
    NoRoom
        If the cache is too small, or its disk is full.
    """
    manifest = read_manifest(store)

    def decode(folder: Path) -> None:
        _decode(manifest, store=store, folder=folder)

    folder = cache.keep(
        f"datasets/{manifest.content_hash}", n_bytes=_n_bytes(manifest), build=decode
    )
    return _map(manifest, folder=folder, store=store, cache=cache)


_ACTIVITY = "activity.npy"
_TRIAL = "trial.npy"


def _n_bytes(manifest: Manifest) -> int:
    """Bytes of the decoded arrays: float32 of units, int32 of trials, eight of each behavior."""
    per_frame = 4 * len(manifest.units) + 4 + 8 * len(manifest.behaviors)
    return manifest.n_frames * per_frame + HEADER_BYTES * (2 + len(manifest.behaviors))


def _behavior_file(manifest: Manifest, name: str) -> str:
    return f"behavior-{list(manifest.behaviors).index(name)}.npy"


def _spans(manifest: Manifest) -> dict[str, slice]:
    spans, start = {}, 0
    for entry in manifest.recordings:
        spans[entry.name] = slice(start, start + entry.n_frames)
        start += entry.n_frames
    return spans


def _map(manifest: Manifest, *, folder: Path, store: Store, cache: Cache) -> Dataset:
    return Dataset(
        manifest=manifest,
        activity_TN=np.load(folder / _ACTIVITY, mmap_mode="r"),
        behavior={
            name: np.load(folder / _behavior_file(manifest, name), mmap_mode="r")
            for name in manifest.behaviors
        },
        trial_T=np.load(folder / _TRIAL, mmap_mode="r"),
        spans=_spans(manifest),
        folder=folder,
        store=store,
        cache=cache,
    )


def _decode(manifest: Manifest, *, store: Store, folder: Path) -> None:
    folder.mkdir(parents=True)
    n_frames, labels = manifest.n_frames, manifest.labels
    with contextlib.ExitStack() as stack:
        activity = stack.enter_context(
            npy_file(folder / _ACTIVITY, shape=(n_frames, len(manifest.units)), dtype="float32")
        )
        trial = stack.enter_context(npy_file(folder / _TRIAL, shape=(n_frames,), dtype="int32"))
        behavior = {
            name: stack.enter_context(
                npy_file(
                    folder / _behavior_file(manifest, name),
                    shape=(n_frames,),
                    dtype="int64" if name in labels else "float64",
                )
            )
            for name in manifest.behaviors
        }
        for shard in manifest.shards:
            table = read_shard(shard, store=store)
            activity.append(units_of(table, units=manifest.units))
            trial.append(table.column("trial").to_numpy())
            for name, file in behavior.items():
                file.append(table.column(BEHAVIOR + name).to_numpy())
            del table
    pa.default_memory_pool().release_unused()  # a process that goes on to train needs it
