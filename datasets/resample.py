"""Recordings at another rate."""

from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np
from numpy.typing import NDArray

from calsweep.datasets.align import WRAPPING_UNITS
from calsweep.datasets.recording import Recording, is_label, trial_borders

AVERAGED_ABOVE = 1.5
"""Ratio of rates from which on frames are averaged, so that fast fluctuations do not fold back."""

_LEAST_SHARE = 1e-9  # of a new frame; what sums of rounded shares leave over is less

# T time, N unit; P positions of new frames, in old frames


def resample(recording: Recording, /, *, rate_hz: float) -> Recording:
    """Bring a recording to another rate, trial by trial.

    Activity and measures are interpolated linearly, or, where the rate falls by more than 1.5, are
    averaged over a new frame. Labels and angles take the value of the nearest frame. A measure that
    is not finite in some frames is NaN in the new frames made from them, and in no others.

    Parameters
    ----------
    recording
        As recorded.
    rate_hz
        Frames per second of the result; the first frame of each trial keeps its time.

    Raises
    ------
    ValueError
        If `rate_hz` is not positive, or the recording has images.

    Examples
    --------
    >>> recording = Recording(
    ...     subject="m1",
    ...     name="m1_d1",
    ...     activity_TN=np.array([[0.0], [1.0], [2.0]], dtype=np.float32),
    ...     behavior={"run": np.array([0, 0, 1])},
    ...     rate_hz=10.0,
    ...     units=("a",),
    ...     trial_T=np.zeros(3, dtype=np.int32),
    ... )
    >>> twice = resample(recording, rate_hz=20.0)
    >>> twice.activity_TN.ravel().tolist(), twice.behavior["run"].tolist()
    ([0.0, 0.5, 1.0, 1.5, 2.0], [0, 0, 0, 1, 1])
    """
    if not (math.isfinite(rate_hz) and rate_hz > 0):
        raise ValueError(f"`rate_hz > 0` must hold, but got {rate_hz=}.")
    if rate_hz == recording.rate_hz:
        return recording
    if recording.images is not None:
        raise ValueError(
            f"{recording.name}: images keep the rate they were recorded at "
            f"({recording.rate_hz:g} Hz), but {rate_hz:g} Hz is asked for. Leave the rate out, or "
            "resample the images before ingesting."
        )
    ratio = recording.rate_hz / rate_hz
    borders = trial_borders(recording.trial_T)
    spans = [slice(a, b) for a, b in itertools.pairwise(borders)]
    positions = [_positions(span.stop - span.start, ratio=ratio) for span in spans]

    def measured(values: NDArray[np.generic]) -> NDArray[np.float64]:
        parts = zip(spans, positions, strict=True)
        return np.concatenate([_measured(values[s], p, ratio=ratio) for s, p in parts])

    def nearest(values: NDArray[np.generic]) -> NDArray[np.generic]:
        parts = zip(spans, positions, strict=True)
        return np.concatenate([values[s][np.floor(p + 0.5).astype(np.int64)] for s, p in parts])

    def keeps_values(name: str) -> bool:
        wraps = recording.behavior_unit.get(name) in WRAPPING_UNITS
        return wraps or is_label(recording.behavior[name])

    return dataclasses.replace(
        recording,
        rate_hz=rate_hz,
        activity_TN=measured(recording.activity_TN).astype(np.float32),
        behavior={
            name: (nearest if keeps_values(name) else measured)(values)
            for name, values in recording.behavior.items()
        },
        trial_T=nearest(recording.trial_T).astype(np.int32),
        phase_N=None,  # a new frame is made of several
        steps=(
            *recording.steps,
            f"resampled from {recording.rate_hz:g} Hz to {rate_hz:g} Hz",
        ),
    )


def _positions(n_frames: int, *, ratio: float) -> NDArray[np.float64]:
    """Give where new frames lie among those of a trial."""
    n_new = math.floor((n_frames - 1) / ratio + 1e-9) + 1
    positions_P: NDArray[np.float64] = np.minimum(np.arange(n_new) * ratio, n_frames - 1)
    return positions_P


def _measured(
    values: NDArray[np.generic], positions_P: NDArray[np.float64], *, ratio: float
) -> NDArray[np.float64]:
    columns = values.astype(np.float64).reshape(len(values), -1)
    take = _averaged if ratio > AVERAGED_ABOVE else _interpolated
    taken: NDArray[np.float64] = take(columns, positions_P, ratio)
    return taken.reshape(len(positions_P), *values.shape[1:])


def _interpolated(
    values_TN: NDArray[np.float64], positions_P: NDArray[np.float64], _ratio: float
) -> NDArray[np.float64]:
    before = np.floor(positions_P).astype(np.int64)
    after = np.minimum(before + 1, len(values_TN) - 1)
    share = (positions_P - before)[:, None]
    between_PN = (1 - share) * values_TN[before] + share * values_TN[after]
    # A frame that is hit exactly does not see its neighbor, which may be NaN.
    taken_PN: NDArray[np.float64] = np.where(share == 0, values_TN[before], between_PN)
    return taken_PN


def _averaged(
    values_TN: NDArray[np.float64], positions_P: NDArray[np.float64], ratio: float
) -> NDArray[np.float64]:
    """Average over a new frame; NaN where it holds a part of a frame that is not finite."""
    missing_TN = ~np.isfinite(values_TN)
    if not missing_TN.any():
        return _mean(values_TN, positions_P, ratio)
    # Summed as they are, they would reach every later frame of the trial.
    mean_PN = _mean(np.where(missing_TN, 0.0, values_TN), positions_P, ratio)
    missing_PN = _mean(missing_TN.astype(np.float64), positions_P, ratio) > _LEAST_SHARE
    return np.where(missing_PN, np.nan, mean_PN)


def _mean(
    values_TN: NDArray[np.float64], positions_P: NDArray[np.float64], ratio: float
) -> NDArray[np.float64]:
    """Average over a new frame; an old frame reaches half a frame to either side."""
    n_frames = len(values_TN)
    first = np.maximum(positions_P - ratio / 2, -0.5)
    last = np.minimum(positions_P + ratio / 2, n_frames - 0.5)
    sums_TN = np.concatenate([np.zeros((1, values_TN.shape[1])), np.cumsum(values_TN, axis=0)])
    upto_last, upto_first = (_interpolated(sums_TN, edge + 0.5, ratio) for edge in (last, first))
    mean: NDArray[np.float64] = (upto_last - upto_first) / (last - first)[:, None]
    return mean
