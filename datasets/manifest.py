"""What a dataset holds, and how to know that it is whole."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

SCHEMA_VERSION = 2
MANIFEST_FILE = "manifest.json"
MAX_CLASSES = 100


@dataclass(frozen=True, kw_only=True)
class RecordingEntry:
    """What the manifest says of one recording.

    Attributes
    ----------
    subject, name
        The animal, and the recording's name.
    n_frames
        Frames in the recording.
    n_trials
        Trials in the recording.
    longest_trial_frames
        Frames in the longest of them; no longer window fits.
    label_counts
        Behavior with whole numbers to class to number of frames; without classes where there are
        more than 100 (a counter of frames, say).
    source_sha256
        Name of each source file to its SHA-256.
    n_missing
        Behavior, or ``activity``, to how many of its values are missing (NaN), where any are.
    positions, position_unit
        Where each unit lies, as the dataset orders units, and in what unit.
    phases
        When each unit is sampled, as a share of the frame's duration after its start.
    steps
        What was done to activity or behavior before, a sentence a step.
    """

    subject: str
    name: str
    n_frames: int
    n_trials: int
    longest_trial_frames: int
    label_counts: Mapping[str, Mapping[int, int]]
    source_sha256: Mapping[str, str] = field(default_factory=dict)
    n_missing: Mapping[str, int] = field(default_factory=dict)
    positions: tuple[tuple[float, ...], ...] = ()
    position_unit: str = ""
    phases: tuple[float, ...] = ()
    steps: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Span:
    """Neighboring frames of one recording.

    Attributes
    ----------
    recording
        Its name.
    start_frame, n_frames
        First frame, counted in the recording, and how many.
    """

    recording: str
    start_frame: int
    n_frames: int


@dataclass(frozen=True, kw_only=True)
class ShardEntry:
    """What the manifest says of one Parquet file.

    Attributes
    ----------
    file
        Its name in the dataset's folder.
    sha256, n_bytes
        Of the whole file.
    n_rows
        Frames it holds.
    spans
        Which frames these are, in order.
    xxh3
        XXH3-128 of the whole file, by which readers tell that it is whole: several times as fast as
        SHA-256. None in datasets of before it was taken.
    images_at
        Byte of the file from which its images lie as they are, one after the other; None where they
        are compressed.
    """

    file: str
    sha256: str
    n_bytes: int
    n_rows: int
    spans: tuple[Span, ...]
    xxh3: str | None = None
    images_at: int | None = None


@dataclass(frozen=True, kw_only=True)
class ImageFormat:
    """What every image of a dataset has in common.

    Attributes
    ----------
    height, width
        In pixels.
    dtype
        NumPy's name of a pixel's type; several bytes lie least significant first.
    """

    height: int
    width: int
    dtype: str

    @property
    def n_bytes(self) -> int:
        """Bytes of one image."""
        return self.height * self.width * np.dtype(self.dtype).itemsize


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """Table of contents of a dataset.

    Attributes
    ----------
    rate_hz
        Frames per second, one for all recordings.
    units
        Names of the units, one order for all recordings.
    behaviors
        Name of each behavior to its physical unit, ``""`` where there is none.
    recordings
        One entry a recording, in the order of their frames.
    shards
        One entry a file, in the order of their frames.
    images
        Of each frame, if there are any.
    image_shards
        One entry a file with images, in the order of their frames.
    calsweep_version
        What wrote it; not part of the content.
    schema_version
        Of the layout of files and manifest.

    Raises
    ------
    ValueError
        If the parts do not fit together.
    """

    rate_hz: float
    units: tuple[str, ...]
    behaviors: Mapping[str, str]
    recordings: tuple[RecordingEntry, ...]
    shards: tuple[ShardEntry, ...]
    images: ImageFormat | None = None
    image_shards: tuple[ShardEntry, ...] = ()
    calsweep_version: str = ""
    schema_version: int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        if self.schema_version != SCHEMA_VERSION:
            raise ValueError(
                f"the schema version must be {SCHEMA_VERSION}, but is {self.schema_version}: "
                "another release of calsweep wrote this dataset."
            )
        if not (math.isfinite(self.rate_hz) and self.rate_hz > 0):
            raise ValueError(f"`rate_hz > 0` must hold, but got {self.rate_hz=}.")
        _check_recordings(self.recordings)
        _check_files(self.all_shards)
        _check_spans(self.recordings, self.shards)
        if self.images:
            _check_spans(self.recordings, self.image_shards)

    @property
    def all_shards(self) -> tuple[ShardEntry, ...]:
        """Every file, those with images last."""
        return (*self.shards, *self.image_shards)

    @property
    def n_frames(self) -> int:
        """Frames in all recordings."""
        return sum(entry.n_frames for entry in self.recordings)

    @property
    def subjects(self) -> tuple[str, ...]:
        """Each animal once, in order of name."""
        return tuple(sorted({entry.subject for entry in self.recordings}))

    @property
    def labels(self) -> tuple[str, ...]:
        """Behaviors that are whole numbers."""
        return tuple(name for name in self.behaviors if name in self.recordings[0].label_counts)

    @property
    def content_hash(self) -> str:
        """SHA-256 of all that the dataset holds, in hexadecimal."""
        plain = _plain(dataclasses.replace(self, calsweep_version=""))
        text = json.dumps(plain, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()

    def to_json(self) -> str:
        """Give the text of ``manifest.json``."""
        plain = {"content_hash": self.content_hash, **_plain(self)}
        return json.dumps(plain, indent=1, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str, /) -> Manifest:
        """Read the text of ``manifest.json``.

        Raises
        ------
        ValueError
            If it is not a manifest, or was changed after it was written.
        """
        try:
            plain = json.loads(text)
        except ValueError as error:
            raise ValueError(f"{MANIFEST_FILE} is not JSON: {error}.") from error
        try:
            manifest = _manifest(plain)
            content_hash = manifest.content_hash
        except (KeyError, TypeError, AttributeError, OverflowError) as error:
            raise ValueError(
                f"{MANIFEST_FILE} is not a manifest of calsweep: {error!r}."
            ) from error
        except ValueError as error:
            raise ValueError(f"{MANIFEST_FILE} cannot be used: {error}") from error
        if content_hash != plain.get("content_hash"):
            raise ValueError(
                f"{MANIFEST_FILE} was changed or damaged after it was written: "
                "its content hash is another. Ingest the recordings again."
            )
        return manifest


def _plain(manifest: Manifest) -> dict[str, Any]:
    """Give a manifest as plain data; what a shard's entry does not say is left out."""
    plain = dataclasses.asdict(manifest)
    for kind in ("shards", "image_shards"):
        plain[kind] = [
            {key: value for key, value in entry.items() if value is not None}
            for entry in plain[kind]
        ]
    return plain


def _manifest(plain: Mapping[str, Any]) -> Manifest:
    return Manifest(
        schema_version=plain["schema_version"],
        calsweep_version=plain["calsweep_version"],
        rate_hz=plain["rate_hz"],
        units=tuple(plain["units"]),
        behaviors=dict(plain["behaviors"]),
        recordings=tuple(_recording_entry(item) for item in plain["recordings"]),
        images=ImageFormat(**plain["images"]) if plain["images"] else None,
        image_shards=tuple(_shard_entry(item) for item in plain["image_shards"]),
        shards=tuple(_shard_entry(item) for item in plain["shards"]),
    )


def _recording_entry(plain: Mapping[str, Any]) -> RecordingEntry:
    counts = {
        name: {int(label): count for label, count in of_label.items()}
        for name, of_label in plain["label_counts"].items()
    }
    arrays = {
        "positions": tuple(tuple(position) for position in plain["positions"]),
        "phases": tuple(plain["phases"]),
        "steps": tuple(plain["steps"]),
    }
    return RecordingEntry(**{**plain, **arrays, "label_counts": counts})


def _shard_entry(plain: Mapping[str, Any]) -> ShardEntry:
    return ShardEntry(**{**plain, "spans": tuple(Span(**span) for span in plain["spans"])})


def _check_recordings(recordings: tuple[RecordingEntry, ...]) -> None:
    if not recordings:
        raise ValueError("a dataset must hold at least one recording, but holds none.")
    twice = [name for name, n in Counter(e.name for e in recordings).items() if n > 1]
    if twice:
        raise ValueError(f"recordings must have names of their own, but {twice[0]!r} stands twice.")


# What a manifest says may come from anybody, and must not lead out of a folder.
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,191}\.parquet")
_SHA256 = re.compile("[0-9a-f]{64}")
_XXH3 = re.compile("[0-9a-f]{32}")


def _check_files(shards: tuple[ShardEntry, ...]) -> None:
    for shard in shards:
        if not _PLAIN_NAME.fullmatch(shard.file):
            raise ValueError(
                "a shard must be a Parquet file in the dataset's folder, with a plain name of at "
                f"most 200 letters, digits, . - and _, but got {shard.file[:100]!r}."
            )
        # Caches name files by them.
        if not _SHA256.fullmatch(shard.sha256) or not _XXH3.fullmatch(shard.xxh3 or "0" * 32):
            raise ValueError(
                f"{shard.file}: its SHA-256 must be 64 and its XXH3 32 hexadecimal digits, but "
                f"{shard.sha256[:100]!r} and {(shard.xxh3 or '')[:100]!r} are given."
            )
        if sum(span.n_frames for span in shard.spans) != shard.n_rows:
            raise ValueError(f"{shard.file}: its spans and its {shard.n_rows} rows do not agree.")


def _check_spans(recordings: tuple[RecordingEntry, ...], shards: tuple[ShardEntry, ...]) -> None:
    """Check that the shards, in order, hold every frame of every recording exactly once."""
    frames = iter([span for shard in shards for span in shard.spans])
    for entry in recordings:
        n_seen = 0
        while n_seen < entry.n_frames:
            span = next(frames, None)
            if span is None or (span.recording, span.start_frame) != (entry.name, n_seen):
                raise ValueError(f"the shards do not hold every frame of {entry.name} in order.")
            n_seen += span.n_frames
    if next(frames, None) is not None:
        raise ValueError("the shards hold frames that no recording has.")
