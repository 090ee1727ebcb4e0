"""Recordings in NWB files, on disk or streamed from object storage."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from calsweep.datasets.align import Outside
from calsweep.datasets.nwb_activity import Clock, Signal, read_activity
from calsweep.datasets.nwb_behavior import read_behavior, read_trials
from calsweep.datasets.recording import Recording
from calsweep.datasets.source import (
    RecordingName,
    Source,
    StreamSource,
    check_pattern,
    find_files,
    name_of,
    naming,
    sha256_of,
)
from calsweep.datasets.trial import trials_from

# T time

_LONGEST_FRAME = 1.5  # periods; a longer one is a gap


@dataclass(frozen=True, kw_only=True)
class NwbSource:
    """One .nwb (NWB 2, HDF5) a recording, on disk or streamed from s3://.

    Of a file at an ``s3://`` address no more is fetched than the chosen series need. Units are
    called after their ROI, where there are several planes also after the plane. Frames that
    timestamps leave out, and frames between trials, are borders: no window crosses them.

    Attributes
    ----------
    activity
        What is measured of a ROI, where no series is named.
    series
        Series of ROIs, or what holds them, as ``plane0`` or ``ophys/Fluorescence/plane0``.
    planes
        Plane segmentations, or their imaging planes; by default all, side by side.
    all_rois
        Whether ROIs are taken too that a column of the segmentation (``accepted``, ``iscell``,
        ``is_cell`` or ``keep``) rejects.
    positions
        Whether to read where ROIs lie: the centers of their masks, in the order of NWB's axes, or
        columns as ``x`` and ``y``. Image masks can be large.
    behaviors
        Series, containers, tables of intervals (1 inside) or columns of trials. By default all
        intervals, columns of trials with a few whole numbers, and series of behavior: those in
        behavior's containers, or in a processing module of that name.
    trials
        Table of intervals that are the trials; empty for one trial.
    classes
        A column of trials with words, and its words in the order of their numbers.
    outside
        Whether frames that a behavior does not reach are refused or missing.
    names
        Regular expression for file names with the groups ``subject`` and ``recording``; by default
        both come from the file: subject id and session id.
    """

    example: ClassVar[str] = (
        "calsweep ingest nwb s3://lab/sessions/ s3://lab/m1 --activity deconvolved "
        "--classes choice=left,right"
    )
    suffixes: ClassVar[tuple[str, ...]] = (".nwb",)

    activity: Signal = Signal.DFF
    series: tuple[str, ...] = field(default=(), metadata={"option": "series"})
    planes: tuple[str, ...] = ()
    all_rois: bool = False
    positions: bool = True
    behaviors: tuple[str, ...] = ()
    trials: str = "trials"
    classes: Mapping[str, str] = field(
        default_factory=dict, metadata={"option": "classes", "metavar": "COLUMN=WORD,WORD"}
    )
    outside: Outside = Outside.REFUSE
    names: str = field(default="", metadata={"metavar": "REGEX"})

    def __post_init__(self) -> None:
        check_pattern(self.names)

    def files(self, location: Path, /) -> tuple[Path, ...]:
        """Give the ``.nwb`` files of a folder, or the one file."""
        return find_files(location, suffix=self.suffixes)

    def read(self, file: Path, /) -> Recording:
        """Read the recording of one file.

        Raises
        ------
        ValueError
            If the file cannot be read, lacks a series, or what is in it does not go together.
        """
        sha256 = sha256_of(file)
        with naming(file), open_nwb(file) as nwb:
            return self._recording(nwb, file=file, version=sha256)

    def read_open(self, opened: io.RawIOBase, /, *, name: str, version: str) -> Recording:
        """Read the recording of one open file, as `read` does, but no more than it needs.

        Raises
        ------
        ValueError
            As `read`.
        """
        with naming(name), open_nwb(opened) as nwb:
            return self._recording(nwb, file=Path(name), version=version)

    def _recording(self, nwb: Any, *, file: Path, version: str) -> Recording:
        activity = read_activity(
            nwb,
            signal=self.activity,
            named=self.series,
            planes=self.planes,
            all_rois=self.all_rois,
            positions=self.positions,
        )
        clock, trials = activity.clock, self._trials(nwb)
        behavior = read_behavior(
            nwb,
            frame_times_s=clock.times_s,
            named=self.behaviors,
            trials=trials,
            classes=self.classes,
            outside=self.outside,
        )
        trial_T, gaps = _with_gaps(read_trials(trials, frame_times_s=clock.times_s), clock)
        name = self._name(nwb, file)
        planes = activity.planes
        return Recording(
            subject=name.subject,
            name=name.recording,
            activity_TN=planes.activity_TN,
            behavior={name: aligned.values_T for name, aligned in behavior.items()},
            behavior_unit={name: aligned.unit for name, aligned in behavior.items()},
            rate_hz=clock.rate_hz,
            units=planes.units,
            trial_T=trial_T,
            source_sha256={file.name: version},
            positions_ND=planes.positions_ND,
            position_unit=activity.position_unit,
            phase_N=planes.phase_N,
            steps=(
                *activity.steps,
                *gaps,
                *(step for aligned in behavior.values() for step in aligned.steps),
            ),
        )

    def _trials(self, nwb: Any) -> Any:
        from pynwb.epoch import TimeIntervals

        tables = {
            item.name: item for item in nwb.objects.values() if isinstance(item, TimeIntervals)
        }
        # A file need not have trials, but what was asked for by another name must be there.
        if self.trials in tables or self.trials in ("", "trials"):
            return tables.get(self.trials)
        there = ", ".join(f"`{name}`" for name in tables) or "none"
        raise ValueError(f"there is no table `{self.trials}` for the trials. Tables: {there}.")

    def _name(self, nwb: Any, file: Path) -> RecordingName:
        of_file = name_of(file, pattern=self.names)
        if self.names:
            return of_file
        subject = (nwb.subject and nwb.subject.subject_id) or of_file.subject
        session = nwb.session_id or of_file.recording
        # A session is often a number within its subject: datasets need names of their own.
        recording = session if session.startswith(subject) else f"{subject}_{session}"
        return RecordingName(subject=subject, recording=recording)


@contextmanager
def open_nwb(file: Path | io.RawIOBase, /) -> Iterator[Any]:
    """Open an NWB file to read; its arrays stay where they are until they are asked for.

    Raises
    ------
    ValueError
        If it is no NWB file, or not whole.
    """
    import h5py
    import pynwb
    from hdmf.build.errors import BuildError, ConstructError

    damaged = (OSError, RuntimeError, KeyError, TypeError, AttributeError, BuildError)
    try:
        hdf5 = h5py.File(file, "r")
    except damaged as error:
        raise ValueError(f"this is no whole NWB file (NWB 2 in HDF5): {error}.") from error
    with hdf5:
        try:
            with warnings.catch_warnings():
                # Of versions of the format, which a reader of recordings can do nothing about.
                warnings.simplefilter("ignore")
                nwb = pynwb.NWBHDF5IO(file=hdf5, mode="r", load_namespaces=True).read()
        except (*damaged, ConstructError) as error:
            raise ValueError(f"this is no NWB file that pynwb can read: {error}.") from error
        try:
            yield nwb
        except (OSError, RuntimeError) as error:
            raise ValueError(f"the file is damaged: {error}.") from error


def _with_gaps(
    trial_T: NDArray[np.int32], clock: Clock
) -> tuple[NDArray[np.int32], tuple[str, ...]]:
    """Begin a trial where frames are left out."""
    if len(trial_T) < 2:
        return trial_T, ()
    is_gap = np.diff(clock.times_s) > _LONGEST_FRAME / clock.rate_hz
    if not is_gap.any():
        return trial_T, ()
    n_gaps_T = np.concatenate([[0], np.cumsum(is_gap)])
    # Two numbers in one, so that a change of either is a change.
    both_T = trial_T.astype(np.int64) * (n_gaps_T[-1] + 1) + n_gaps_T
    step = f"a trial begins after each of {n_gaps_T[-1]} gaps in the timestamps of frames"
    return trials_from(both_T, n_frames=len(both_T)), (step,)


_: type[Source] = NwbSource
_streams: type[StreamSource] = NwbSource
