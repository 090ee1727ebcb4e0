"""One continuous imaging run of one subject."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

# T time, N unit, D dimension in space, H height, W width

MISSING_LABEL = -1  # a frame where a behavior is not known; no window decodes it
PIXEL_TYPES = ("uint8", "int8", "uint16", "int16", "float32")


class Images(Protocol):
    """Images of a recording, read a stretch at a time: the stack is never in memory whole."""

    @property
    def shape(self) -> tuple[int, ...]:
        """``(time, height, width)``."""
        ...

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """Of a pixel, as recorded: one of `PIXEL_TYPES`."""
        ...

    def __getitem__(self, frames: slice, /) -> NDArray[np.generic]:
        """Read neighboring frames, shape ``(time, height, width)``."""
        ...


@dataclass(frozen=True, kw_only=True)
class Recording:
    """Activity or images, and behavior, of one continuous imaging run, frame by frame.

    Attributes
    ----------
    subject
        The animal.
    name
        Name of the recording, unique in its dataset.
    activity_TN
        Shape ``(time, unit)``, finite, float32; no units where there are images only.
    behavior
        Name to values of shape ``(time,)``; labels are whole numbers, measures are floats.
    behavior_unit
        Name to physical unit (``"cm/s"``), ``""`` where there is none.
    rate_hz
        Frames per second.
    units
        Name of each column of ``activity_TN``, unique.
    trial_T
        Shape ``(time,)``, whole numbers. A window never crosses a change of this number.
    source_sha256
        Name of each source file to its SHA-256; for one that was read in part, from object storage,
        in its place the ETag and size that it had.
    images
        Of all frames; an array will do.
    may_miss
        Whether activity may be NaN where a unit was not sampled in a frame.
    positions_ND
        Where each unit lies, shape ``(unit, 2)`` or ``(unit, 3)``, in `position_unit`.
    position_unit
        ``"um"`` or ``"pixel"``.
    phase_N
        When each unit is sampled, as a share of the frame's duration after its start.
    steps
        What was done to activity or behavior on the way here, a sentence a step.

    Raises
    ------
    ValueError
        If a shape, a length, a name or a value breaks a rule above; the message names the
        recording, the unit or behavior, and how many frames.

    Examples
    --------
    >>> Recording(
    ...     subject="m1",
    ...     name="m1_d1",
    ...     activity_TN=np.array([[0.0], [np.nan], [1.0]], dtype=np.float32),
    ...     behavior={"run": np.array([0, 1, 1])},
    ...     rate_hz=30.0,
    ...     units=("region1",),
    ...     trial_T=np.zeros(3, dtype=np.int32),
    ... )
    Traceback (most recent call last):
    ValueError: m1_d1: activity must be finite, but unit `region1` is not in 1 of 3 frames \
(first: frame 1). Cut these frames out or fill them before ingesting.
    """

    subject: str
    name: str
    activity_TN: NDArray[np.float32]
    behavior: Mapping[str, NDArray[np.generic]]
    behavior_unit: Mapping[str, str] = field(default_factory=dict)
    rate_hz: float
    units: tuple[str, ...]
    trial_T: NDArray[np.int32]
    source_sha256: Mapping[str, str] = field(default_factory=dict)
    images: Images | None = None
    may_miss: bool = False
    positions_ND: NDArray[np.float32] | None = None
    position_unit: str = ""
    phase_N: NDArray[np.float32] | None = None
    steps: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check_names(self)
        _check_rate(self)
        _check_shapes(self)
        _check_images(self)
        _check_space(self)
        _check_finite(self)
        _check_labels(self)

    @property
    def n_frames(self) -> int:
        """Frames in the recording."""
        return len(self.activity_TN)


def is_label(values: NDArray[np.generic], /) -> bool:
    """Say whether values are whole numbers: classes, not measures.

    Examples
    --------
    >>> is_label(np.array([0, 1])), is_label(np.array([0.0, 1.0]))
    (True, False)
    """
    return values.dtype.kind in "iub"


def with_units(recording: Recording, /, *, units: tuple[str, ...]) -> Recording:
    """Give a recording with some of its units, or all, in an order.

    Parameters
    ----------
    recording
        Has each of `units`.
    units
        Names, as the result is to have them.
    """
    if recording.units == units:
        return recording
    column_of = {unit: column for column, unit in enumerate(recording.units)}
    order_N = [column_of[unit] for unit in units]
    positions_ND, phase_N = recording.positions_ND, recording.phase_N
    return dataclasses.replace(
        recording,
        units=units,
        activity_TN=recording.activity_TN[:, order_N],
        positions_ND=None if positions_ND is None else positions_ND[order_N],
        phase_N=None if phase_N is None else phase_N[order_N],
    )


def trial_borders(trial_T: NDArray[np.integer], /) -> NDArray[np.int64]:
    """Give the first frame of each trial, and the number of frames as the last value.

    Parameters
    ----------
    trial_T
        Trial of each frame, shape ``(time,)``. Equal numbers that are apart are two trials.

    Examples
    --------
    >>> trial_borders(np.array([4, 4, 5, 5, 5, 4])).tolist()
    [0, 2, 5, 6]
    """
    changes = np.flatnonzero(np.diff(trial_T)) + 1
    return np.concatenate([[0], changes, [len(trial_T)]]).astype(np.int64)


def _check_names(recording: Recording) -> None:
    if not recording.subject or not recording.name:
        raise ValueError(
            "a recording must have a subject and a name, "
            f"but got subject {recording.subject!r} and name {recording.name!r}."
        )
    twice = [unit for unit, count in Counter(recording.units).items() if count > 1]
    if twice:
        raise ValueError(
            f"{recording.name}: unit names must be unique, but {_some(twice)} stand more than once."
        )


def _check_rate(recording: Recording) -> None:
    if not (math.isfinite(recording.rate_hz) and recording.rate_hz > 0):
        raise ValueError(
            f"{recording.name}: `rate_hz > 0` must hold, but got rate_hz={recording.rate_hz}. "
            "Name the rate in an option of the source."
        )


def _check_shapes(recording: Recording) -> None:
    activity_TN = recording.activity_TN
    is_whole = activity_TN.ndim == 2 and (activity_TN.size or recording.images is not None)
    if not is_whole or activity_TN.dtype != np.float32:
        raise ValueError(
            f"{recording.name}: activity must be float32 of shape (time, unit) with at least one "
            f"frame and one unit, but got {activity_TN.dtype} of shape {activity_TN.shape}."
        )
    if len(recording.units) != activity_TN.shape[1]:
        raise ValueError(
            f"{recording.name}: each unit must have a name, but activity has "
            f"{activity_TN.shape[1]} units and {len(recording.units)} names."
        )
    for name, values in {**recording.behavior, "trial": recording.trial_T}.items():
        if values.shape != (len(activity_TN),):
            raise ValueError(
                f"{recording.name}: `{name}` must have one value per frame "
                f"({len(activity_TN)}), but has shape {values.shape}."
            )


def _check_images(recording: Recording) -> None:
    images = recording.images
    if images is None:
        return
    if len(images.shape) != 3 or images.shape[0] != recording.n_frames or 0 in images.shape:
        raise ValueError(
            f"{recording.name}: images must have the shape (time, height, width) with one image "
            f"per frame ({recording.n_frames}), but have the shape {images.shape}."
        )
    if images.dtype.name not in PIXEL_TYPES:
        raise ValueError(
            f"{recording.name}: pixels must be of one of the types {', '.join(PIXEL_TYPES)}, but "
            f"are {images.dtype}. Convert them before ingesting."
        )


def _check_space(recording: Recording) -> None:
    n_units = len(recording.units)
    positions_ND, phase_N = recording.positions_ND, recording.phase_N
    if positions_ND is not None:
        if positions_ND.shape not in {(n_units, 2), (n_units, 3)}:
            raise ValueError(
                f"{recording.name}: positions must have the shape (unit, 2) or (unit, 3) with "
                f"{n_units} units, but have {positions_ND.shape}."
            )
        if recording.position_unit not in {"um", "pixel"}:
            raise ValueError(
                f"{recording.name}: positions must be in `um` or `pixel`, "
                f"but `position_unit` is {recording.position_unit!r}."
            )
    if phase_N is None:
        return
    if phase_N.shape != (n_units,) or not ((phase_N >= 0) & (phase_N < 1)).all():
        raise ValueError(
            f"{recording.name}: each of the {n_units} units must have a phase from 0 to below 1, "
            f"but phases have the shape {phase_N.shape} and go from "
            f"{phase_N.min(initial=np.inf):g} to {phase_N.max(initial=-np.inf):g}."
        )


def _check_finite(recording: Recording) -> None:
    activity_TN = recording.activity_TN
    # The sum is not finite if any value is not; most recordings are done with that.
    if np.isfinite(activity_TN.sum(dtype=np.float64)):
        return
    bad_TN = np.isinf(activity_TN) if recording.may_miss else ~np.isfinite(activity_TN)
    if not bad_TN.any():
        return
    unit = int(np.argmax(bad_TN.any(axis=0)))
    frames = np.flatnonzero(bad_TN[:, unit])
    n_others = int(bad_TN.any(axis=0).sum()) - 1
    others = f", and {n_others} other units" if n_others else ""
    raise ValueError(
        f"{recording.name}: activity must be finite, but unit `{recording.units[unit]}` is not in "
        f"{len(frames)} of {len(activity_TN)} frames (first: frame {frames[0]}){others}. "
        "Cut these frames out or fill them before ingesting."
    )


def _check_labels(recording: Recording) -> None:
    for name, values in recording.behavior.items():
        if values.dtype.kind not in "iubf":
            raise ValueError(
                f"{recording.name}: `{name}` must hold whole numbers (labels) or floats "
                f"(measures), but is of type {values.dtype}."
            )
    if recording.trial_T.dtype.kind not in "iu":
        raise ValueError(
            f"{recording.name}: trials must be whole numbers, but are {recording.trial_T.dtype}."
        )


def _some(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names[:5]) + (", ..." if len(names) > 5 else "")
