"""Behavior that was sampled at times of its own, brought to the times of frames."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from calsweep.datasets.recording import MISSING_LABEL, is_label

"""Stands for a label in a frame that behavior does not reach."""

WRAPPING_UNITS = ("deg", "rad")
"""Units of angles: between 359 and 1 degree lies 0, not 180."""
_SAME_S = 1e-6  # clocks are written to a microsecond at best

# T frame, S sample of behavior


class Outside(Enum):
    """What becomes of frames before the first or after the last sample of behavior."""

    REFUSE = "refuse"
    MISSING = "missing"


@dataclass(frozen=True, kw_only=True)
class Aligned:
    """Behavior at the times of frames.

    Attributes
    ----------
    values_T
        One value a frame.
    step
        What was done, for `Recording.steps`; empty if the samples were at the frames' times.
    """

    values_T: NDArray[np.generic]
    step: str


def align(
    values_S: NDArray[np.generic],
    /,
    *,
    name: str,
    times_s: NDArray[np.floating],
    frame_times_s: NDArray[np.floating],
    unit: str = "",
    outside: Outside = Outside.REFUSE,
) -> Aligned:
    """Bring a behavior to the times of frames.

    Measures are interpolated linearly; labels and angles take the value of the nearest sample, the
    earlier of two equally near. A frame is reached by behavior up to half a sample (the median
    interval) before the first and after the last; there it takes the value of that sample. A
    measure that is not finite in a sample is NaN in the frames between its neighbors.

    Parameters
    ----------
    values_S
        One value a sample.
    name
        Of the behavior, for messages.
    times_s
        Time of each sample, increasing.
    frame_times_s
        Time of each frame, by the same clock.
    unit
        Physical unit; ``deg`` and ``rad`` are angles.
    outside
        Whether frames out of reach are refused or hold NaN (measures) or -1 (labels).

    Raises
    ------
    ValueError
        If times are not finite and increasing, do not fit the values, or frames are out of reach.

    Examples
    --------
    >>> frames_s = np.array([0.0, 0.5, 1.0])
    >>> align(
    ...     np.array([0.0, 10.0, 20.0, 30.0]),
    ...     name="speed",
    ...     times_s=np.array([0.0, 0.4, 0.8, 1.2]),
    ...     frame_times_s=frames_s,
    ... ).values_T.tolist()
    [0.0, 12.5, 25.0]
    >>> align(
    ...     np.array([0, 0, 1]), name="run", times_s=frames_s + 0.1, frame_times_s=frames_s
    ... ).values_T.tolist()
    [0, 0, 1]
    """
    if len(times_s) == len(values_S) and _are_same(times_s, frame_times_s):
        return Aligned(values_T=values_S, step="")
    _check_times(times_s, n_values=len(values_S), name=name)
    _check_times(frame_times_s, n_values=len(frame_times_s), name="frames")
    reached_T = reached(times_s, frame_times_s=frame_times_s)
    if outside is Outside.REFUSE and not reached_T.all():
        raise ValueError(_out_of_reach(name, times_s, frame_times_s, reached_T))
    is_stepwise = is_label(values_S) or unit in WRAPPING_UNITS
    take = _nearest if is_stepwise else _interpolated
    values_T = take(values_S, times_s, frame_times_s)
    how = "nearest sample" if is_stepwise else "linear interpolation"
    rate_hz = 1 / float(np.median(np.diff(times_s))) if len(times_s) > 1 else 0.0
    step = f"`{name}` brought from {rate_hz:.6g} Hz to the frames' times by {how}"
    if reached_T.all():
        return Aligned(values_T=values_T, step=step)
    return Aligned(
        values_T=_without(values_T, reached_T, values_S=values_S, name=name),
        step=f"{step}, missing in {np.count_nonzero(~reached_T)} frames that it does not reach",
    )


def reached(
    times_s: NDArray[np.floating], /, *, frame_times_s: NDArray[np.floating]
) -> NDArray[np.bool_]:
    """Say which frames lie within the samples' times, or no more than half a sample outside.

    Examples
    --------
    >>> reached(np.array([1.0, 2.0]), frame_times_s=np.array([0.4, 0.5, 2.5, 2.6])).tolist()
    [False, True, True, False]
    """
    if not len(times_s):
        return np.zeros(len(frame_times_s), dtype=bool)
    half_s = float(np.median(np.diff(times_s))) / 2 if len(times_s) > 1 else 0.0
    reach_s = half_s + _SAME_S
    first_s, last_s = times_s[0] - reach_s, times_s[-1] + reach_s
    is_reached_T: NDArray[np.bool_] = (first_s <= frame_times_s) & (frame_times_s <= last_s)
    return is_reached_T


def even_times(n: int, /, *, rate_hz: float, start_s: float = 0.0) -> NDArray[np.float64]:
    """Give the times of samples at one rate, in seconds.

    Examples
    --------
    >>> even_times(3, rate_hz=10.0, start_s=1.0).tolist()
    [1.0, 1.1, 1.2]
    """
    times_s: NDArray[np.float64] = start_s + np.arange(n) / rate_hz
    return times_s


def _are_same(times_s: NDArray[np.floating], frame_times_s: NDArray[np.floating]) -> bool:
    return len(times_s) == len(frame_times_s) and bool(
        (np.abs(times_s - frame_times_s) <= _SAME_S).all()
    )


def _check_times(times_s: NDArray[np.floating], *, n_values: int, name: str) -> None:
    if times_s.shape != (n_values,):
        raise ValueError(
            f"`{name}` must have one time per sample, but has {n_values} samples and times of "
            f"shape {times_s.shape}."
        )
    wrong = ~np.isfinite(times_s)
    wrong[1:] |= ~(np.diff(times_s) > 0)
    if n_values and not wrong.any():
        return
    at = f"is {times_s[wrong.argmax()]} s at sample {wrong.argmax()}" if n_values else "has none"
    raise ValueError(
        f"times of `{name}` must be finite and increasing, but the time {at}. "
        "Mend the clock before ingesting."
    )


def _out_of_reach(
    name: str,
    times_s: NDArray[np.floating],
    frame_times_s: NDArray[np.floating],
    reached_T: NDArray[np.bool_],
) -> str:
    first = int(np.argmin(reached_T))
    return (
        f"`{name}` must reach every frame, but goes from {times_s[0]:g} s to {times_s[-1]:g} s and "
        f"leaves out {np.count_nonzero(~reached_T)} of {len(reached_T)} frames (first: frame "
        f"{first} at {frame_times_s[first]:g} s). Cut these frames out, or check that both have "
        "the same clock."
    )


def _nearest(
    values_S: NDArray[np.generic],
    times_s: NDArray[np.floating],
    frame_times_s: NDArray[np.floating],
) -> NDArray[np.generic]:
    after = np.clip(np.searchsorted(times_s, frame_times_s), 1, max(1, len(times_s) - 1))
    before = after - 1
    after = np.minimum(after, len(times_s) - 1)
    is_after = times_s[after] - frame_times_s < frame_times_s - times_s[before]
    taken_T: NDArray[np.generic] = values_S[np.where(is_after, after, before)]
    return taken_T


def _interpolated(
    values_S: NDArray[np.generic],
    times_s: NDArray[np.floating],
    frame_times_s: NDArray[np.floating],
) -> NDArray[np.generic]:
    values = values_S.astype(np.float64)
    values[~np.isfinite(values)] = np.nan
    # A frame that is hit exactly does not see its neighbors, one of which may be NaN.
    taken_T: NDArray[np.float64] = np.interp(frame_times_s, times_s, values)
    return taken_T


def _without(
    values_T: NDArray[np.generic],
    reached_T: NDArray[np.bool_],
    *,
    values_S: NDArray[np.generic],
    name: str,
) -> NDArray[np.generic]:
    """Mark frames out of reach as missing."""
    if not is_label(values_S):
        return np.where(reached_T, values_T.astype(np.float64), np.nan)
    if (values_S.astype(np.int64) == MISSING_LABEL).any():
        raise ValueError(
            f"{MISSING_LABEL} marks the frames that `{name}` does not reach, but is a class of it. "
            "Number its classes from 0."
        )
    return np.where(reached_T, values_T.astype(np.int64), MISSING_LABEL)
