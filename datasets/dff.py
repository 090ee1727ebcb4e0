"""dF/F: fluorescence as a share of its own slow baseline."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from calsweep.datasets.recording import Recording
from calsweep.datasets.step import Step, check_activity
from calsweep.datasets.transform import moving_average

# T time, N unit


class Baseline(Enum):
    """What a unit's fluorescence is told from: a low percentile around a frame, or the mean."""

    PERCENTILE = "percentile"
    MEAN = "mean"


@dataclass(frozen=True, kw_only=True)
class Dff:
    """Turn fluorescence F of each unit into (F - F0) / F0, F0 being its baseline around a frame.

    The window is centred, so a frame's value depends on later ones; it runs over the frames of a
    recording as they follow one another, across trials and never across recordings. At the ends
    the mean is over the frames that are there, and the percentile sees the outermost frame go on.

    Attributes
    ----------
    baseline
        Percentile or mean.
    window_s
        Length of the window in seconds.
    percentile
        Which one, from 0 to 100; without meaning for the mean.

    Raises
    ------
    ValueError
        If ``window_s > 0`` and ``0 <= percentile <= 100`` do not hold.

    Examples
    --------
    >>> recording = Recording(
    ...     subject="m1",
    ...     name="m1_d1",
    ...     activity_TN=np.array([[100], [100], [150], [100]], dtype=np.float32),
    ...     behavior={},
    ...     rate_hz=1.0,
    ...     units=("a",),
    ...     trial_T=np.zeros(4, dtype=np.int32),
    ... )
    >>> dff = Dff(window_s=3.0, percentile=0.0).apply(recording)
    >>> dff.activity_TN.ravel().tolist()
    [0.0, 0.0, 0.5, 0.0]
    >>> dff.steps
    ('dF/F over a running 0th percentile of 3 s',)
    """

    baseline: Baseline = Baseline.PERCENTILE
    window_s: float = 60.0
    percentile: float = 8.0

    def __post_init__(self) -> None:
        if not (0 < self.window_s < np.inf and 0 <= self.percentile <= 100):
            raise ValueError(
                "`window_s > 0` and `0 <= percentile <= 100` must hold, "
                f"but got {self.window_s=} and {self.percentile=}."
            )

    def apply(self, recording: Recording, /) -> Recording:
        """Give the recording with dF/F as its activity.

        Raises
        ------
        ValueError
            If there are no units, activity is missing somewhere, or a baseline is not above 0.
        """
        check_activity(recording, what="dF/F")
        length_frames = max(1, round(self.window_s * recording.rate_hz))
        baseline_TN = self._baseline(recording.activity_TN, length_frames=length_frames)
        _check_above_zero(recording, baseline_TN)
        return dataclasses.replace(
            recording,
            activity_TN=(recording.activity_TN / baseline_TN - 1).astype(np.float32),
            steps=(*recording.steps, self._said()),
        )

    def _baseline(
        self, activity_TN: NDArray[np.float32], *, length_frames: int
    ) -> NDArray[np.float64]:
        if self.baseline is Baseline.MEAN:
            return moving_average(activity_TN, length_frames=length_frames)
        from scipy.ndimage import percentile_filter  # the options of every ingest lead here

        # Unit by unit: along one axis the filter's cost hardly grows with the window.
        columns = [
            percentile_filter(column_T, self.percentile, size=length_frames, mode="nearest")
            for column_T in np.ascontiguousarray(activity_TN.T)
        ]
        return np.stack(columns, axis=1).astype(np.float64)

    def _said(self) -> str:
        if self.baseline is Baseline.MEAN:
            return f"dF/F over a running mean of {self.window_s:g} s"
        return f"dF/F over a running {self.percentile:g}th percentile of {self.window_s:g} s"


def _check_above_zero(recording: Recording, baseline_TN: NDArray[np.float64]) -> None:
    low_N = baseline_TN.min(axis=0)
    unit = int(np.argmin(low_N))
    if low_N[unit] > 0:
        return
    raise ValueError(
        f"{recording.name}: the baseline of fluorescence must be above 0, but that of unit "
        f"`{recording.units[unit]}` falls to {low_N[unit]:g} "
        f"({int((low_N <= 0).sum())} such units). Leave dF/F out if activity is that already, or "
        "take a higher percentile."
    )


_: type[Step] = Dff
