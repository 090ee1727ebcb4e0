"""Recordings in MATLAB's files: activity in one, behavior in the same or a second."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from calsweep.datasets.align import align, even_times
from calsweep.datasets.matlab import read_variables
from calsweep.datasets.recording import Recording
from calsweep.datasets.source import (
    Axes,
    RecordingName,
    Source,
    activity_of,
    behavior_unit,
    check_pattern,
    check_rate,
    label_or_measure,
    name_of,
    naming,
    sha256_of,
)

# T time, S sample of behavior


@dataclass(frozen=True, kw_only=True)
class MatSource:
    """One .mat a recording, of version 5 to 7.3, and maybe a second with its behavior.

    Attributes
    ----------
    activity
        Variable with the activity.
    axes
        Order of its axes.
    rate_hz
        Frames per second.
    recordings
        Pattern of the files with activity in a folder; ``*`` stands for the name of the recording.
    behavior_file
        Where behavior lies in a file of its own: its path from the folder, with ``*`` for the name
        of the recording.
    behaviors
        Variables with one value a frame. Floats that are all 0 or 1 are labels, unless they have a
        unit.
    behavior_units
        Name of a behavior to its physical unit; others are guessed from the name's ending.
    behavior_rate_hz
        Samples of behavior per second, where they are not those of the frames; the first is at the
        first frame.
    run_above_cm_s
        Adds the label ``run``: 1 in frames with a speed above this.
    speed
        Variable with the speed in cm/s that ``run`` is computed from.
    smooth_frames
        Frames of a centered moving average over the speed before; it shrinks at the ends.
    unit_name
        What units are called, and counted: ``region1``, ``region2``.
    subjects
        Table (.csv) that says whose recording it is.
    subjects_recording
        Its column with names of recordings.
    subjects_subject
        Its column with subjects.
    names
        Regular expression for the name of the recording with the groups ``subject`` and
        ``recording``; by default the subject is what stands before the first ``_``.
    """

    example: ClassVar[str] = (
        "calsweep ingest mat regions/ lab/widefield --behavior-file '../behavior/*_behavior.mat' "
        "--subjects data_64_5mice.csv"
    )

    activity: str = "dat_roi"
    axes: Axes = Axes.UNIT_TIME
    rate_hz: float = 30.0
    recordings: str = field(default="*.mat", metadata={"metavar": "PATTERN"})
    behavior_file: str = field(default="", metadata={"metavar": "PATTERN"})
    behaviors: tuple[str, ...] = ("runrest", "speed_rs")
    behavior_units: Mapping[str, str] = field(
        default_factory=lambda: {"speed_rs": "cm/s"}, metadata={"option": "unit"}
    )
    behavior_rate_hz: float | None = None
    run_above_cm_s: float | None = None
    speed: str = "speed_rs"
    smooth_frames: int = 1
    unit_name: str = "region"
    subjects: Path | None = None
    subjects_recording: str = "Data_ID"
    subjects_subject: str = "mouse_No."
    names: str = field(default="", metadata={"metavar": "REGEX"})

    def __post_init__(self) -> None:
        check_pattern(self.names)
        check_rate(self.rate_hz)
        check_rate(self.behavior_rate_hz)
        if self.smooth_frames < 1:
            raise ValueError(f"`smooth_frames >= 1` must hold, but got {self.smooth_frames=}.")
        if self.run_above_cm_s is not None and "run" in self.behaviors:
            raise ValueError(
                "`run` is computed with `run_above_cm_s`, and cannot be a variable of the file "
                f"too, but got {self.behaviors=}. Leave out either."
            )
        for pattern in filter(None, (self.recordings, self.behavior_file)):
            if pattern.count("*") != 1:
                raise ValueError(
                    "a pattern must have one `*`, for the name of the recording, "
                    f"but got {pattern!r}."
                )

    def files(self, location: Path, /) -> tuple[Path, ...]:
        """Give the files with activity of a folder, or the one file."""
        if location.is_file():
            return (location,)
        if not location.exists():
            raise ValueError(f"There is no file or folder {location}.")
        files = sorted(location.glob(self.recordings))
        behavior = {self._behavior_file(file).resolve() for file in files if self.behavior_file}
        files = [file for file in files if file.resolve() not in behavior]
        if not files:
            raise ValueError(f"{location} holds no file {self.recordings}.")
        return tuple(files)

    def read(self, file: Path, /) -> Recording:
        """Read the recording of one file, and of that with its behavior.

        Raises
        ------
        ValueError
            If a file cannot be read, lacks a variable, or a variable is not what it should be.
        """
        behavior_file = self._behavior_file(file) if self.behavior_file else file
        used = dict.fromkeys([file, behavior_file, *filter(None, [self.subjects])])
        source_sha256 = {path.name: sha256_of(path) for path in used}
        with naming(file):
            activity = read_variables(file, names=(self.activity,))[self.activity]
            activity_TN = activity_of(activity, name=self.activity, axes=self.axes)
            name = self._name(file)
            recording = Recording(
                subject=name.subject,
                name=name.recording,
                activity_TN=activity_TN,
                behavior={},
                rate_hz=self.rate_hz,
                units=tuple(f"{self.unit_name}{i}" for i in range(1, activity_TN.shape[1] + 1)),
                trial_T=np.zeros(len(activity_TN), dtype=np.int32),
                source_sha256=source_sha256,
            )
        with naming(behavior_file):
            return self._with_behavior(recording, self._behavior(behavior_file))

    def _behavior_file(self, file: Path) -> Path:
        return file.parent / self.behavior_file.replace("*", self._stem(file))

    def _stem(self, file: Path) -> str:
        """Give what ``*`` stands for."""
        before, _, after = self.recordings.rpartition("/")[2].partition("*")
        if file.name.startswith(before) and file.name.endswith(after):
            return file.name[len(before) : len(file.name) - len(after)]
        return file.stem

    def _name(self, file: Path) -> RecordingName:
        stem = self._stem(file)
        name = name_of(file.with_name(f"{stem}.mat"), pattern=self.names)
        if self.subjects is None:
            return name
        with naming(self.subjects, csv.Error):
            subject_of = _subjects(
                self.subjects, recording=self.subjects_recording, subject=self.subjects_subject
            )
            if stem not in subject_of:
                raise ValueError(
                    f"the table must name the subject of each recording, but {stem!r} is not in "
                    f"its column `{self.subjects_recording}` "
                    f"({', '.join(list(subject_of)[:3])}, ...)."
                )
        return dataclasses.replace(name, subject=subject_of[stem])

    def _behavior(self, file: Path) -> dict[str, NDArray[np.generic]]:
        wanted = dict.fromkeys(self.behaviors)
        if self.run_above_cm_s is not None:
            wanted[self.speed] = None
        return {
            name: _vector(values, name=name)
            for name, values in read_variables(file, names=tuple(wanted)).items()
        }

    def _with_behavior(
        self, recording: Recording, values_of: Mapping[str, NDArray[np.generic]]
    ) -> Recording:
        units = {name: behavior_unit(name, given=self.behavior_units) for name in values_of}
        labels = {
            name: label_or_measure(values, unit=units[name]) for name, values in values_of.items()
        }
        steps: list[str] = []
        if self.run_above_cm_s is not None:
            labels["run"], units["run"] = self._run(values_of, self.run_above_cm_s), ""
            steps.append(
                f"`run` is `{self.speed}` averaged over {self.smooth_frames} frames > "
                f"{self.run_above_cm_s:g} cm/s"
            )
        kept = {
            name: values
            for name, values in labels.items()
            if name in self.behaviors or name == "run"
        }
        if self.behavior_rate_hz is not None:
            kept, aligned = _aligned(
                kept, units, recording=recording, rate_hz=self.behavior_rate_hz
            )
            steps += aligned
        return dataclasses.replace(
            recording,
            behavior=kept,
            behavior_unit={name: units[name] for name in kept},
            steps=tuple(steps),
        )

    def _run(
        self, values_of: Mapping[str, NDArray[np.generic]], above_cm_s: float
    ) -> NDArray[np.int64]:
        speed_S = values_of[self.speed].astype(np.float64)
        if not np.isfinite(speed_S).all():
            raise ValueError(
                f"`{self.speed}` must be finite to tell run from rest, but is not in "
                f"{np.count_nonzero(~np.isfinite(speed_S))} samples. Fill them before ingesting."
            )
        return (moving_mean(speed_S, length=self.smooth_frames) > above_cm_s).astype(np.int64)


def moving_mean(values_T: NDArray[np.float64], /, *, length: int) -> NDArray[np.float64]:
    """Average over a window centered on each value, which shrinks at the ends.

    A window of even length holds one value more before than after, as MATLAB's ``movmean`` has it.

    Examples
    --------
    >>> moving_mean(np.array([0.0, 3.0, 6.0, 3.0]), length=3).tolist()
    [1.5, 3.0, 4.0, 4.5]
    """
    n = len(values_T)
    first = np.maximum(np.arange(n) - length // 2, 0)
    last = np.minimum(np.arange(n) + (length + 1) // 2, n)
    sums = np.concatenate([[0.0], np.cumsum(values_T)])
    mean_T: NDArray[np.float64] = (sums[last] - sums[first]) / (last - first)
    return mean_T


def _vector(values: NDArray[np.generic], *, name: str) -> NDArray[np.generic]:
    if values.size != max(values.shape, default=0):
        raise ValueError(f"`{name}` must be a row or a column, but has the shape {values.shape}.")
    return values.reshape(-1)


def _aligned(
    values_of: Mapping[str, NDArray[np.generic]],
    units: Mapping[str, str],
    *,
    recording: Recording,
    rate_hz: float,
) -> tuple[dict[str, NDArray[np.generic]], list[str]]:
    frame_times_s = even_times(recording.n_frames, rate_hz=recording.rate_hz)
    aligned = {
        name: align(
            values_S,
            name=name,
            times_s=even_times(len(values_S), rate_hz=rate_hz),
            frame_times_s=frame_times_s,
            unit=units[name],
        )
        for name, values_S in values_of.items()
    }
    return (
        {name: of_name.values_T for name, of_name in aligned.items()},
        [of_name.step for of_name in aligned.values() if of_name.step],
    )


def _subjects(table: Path, *, recording: str, subject: str) -> dict[str, str]:
    with table.open(newline="", encoding="utf-8-sig", errors="replace") as opened:
        reader = csv.DictReader(opened)
        columns = reader.fieldnames or ()
        for column in (recording, subject):
            if column not in columns:
                raise ValueError(
                    f"the table must have a column `{column}`, but has: {', '.join(columns)}."
                )
        return {row[recording]: row[subject] for row in reader}


_: type[Source] = MatSource
