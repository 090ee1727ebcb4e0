"""What recordings of one dataset have in common, and what the manifest says of each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

import calsweep
from calsweep.datasets.manifest import (
    MAX_CLASSES,
    ImageFormat,
    Manifest,
    RecordingEntry,
    ShardEntry,
)
from calsweep.datasets.recording import Recording, is_label, trial_borders, with_units


@dataclass(frozen=True, kw_only=True)
class _Form:
    """What all recordings of a dataset have in common."""

    recording: str
    rate_hz: float
    units: tuple[str, ...]
    behaviors: dict[str, tuple[str, str]]
    images: ImageFormat | None


@dataclass
class Contents:
    """What was written so far; each recording must go with the first."""

    entries: list[RecordingEntry] = field(default_factory=list)
    first: _Form | None = None

    def check(self, recordings: Iterable[Recording]) -> Iterator[Recording]:
        """Hand recordings on, each checked, entered, and its units in the order of the first.

        Raises
        ------
        ValueError
            If one does not go with the first.
        """
        for recording in recordings:
            fitted = self._fitted(recording)
            self.entries.append(_entry(fitted))
            yield fitted

    def manifest(
        self, shards: tuple[ShardEntry, ...], image_shards: tuple[ShardEntry, ...]
    ) -> Manifest:
        """Give the manifest of all.

        Raises
        ------
        ValueError
            If there was no recording.
        """
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
