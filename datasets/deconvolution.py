"""Deconvolution: from calcium to the events that led to it, by OASIS."""

from __future__ import annotations

import dataclasses
import itertools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calsweep.datasets.calcium import Kernel
from calsweep.datasets.recording import Recording, trial_borders
from calsweep.datasets.step import Step, check_activity

# T time, N unit, L lag, F frequency

LEAST_FRAMES = 50
"""A recording must have as many, or there is no telling noise from calcium."""

_LAGS_S = 0.5  # over which the autocovariance tells the decay; later it is mostly behavior
_DECAY_S = (0.05, 5.0)  # from the fastest dyes to the slowest indicators


@dataclass(frozen=True, kw_only=True)
class Deconvolution:
    """Replace each unit's activity by the events that explain it as calcium (OASIS).

    Decay, baseline and noise of a unit are told from its whole recording; the events are then
    found trial by trial, so none comes from the trial before. An event's size is the height of the
    transient it makes. Deconvolution looks ahead: an event is told from the frames after it.

    Attributes
    ----------
    decay_s
        Time constant of the decay in seconds; by default told from each unit's autocovariance.
    rise_s
        Time constant of the rise in seconds. 0 is an autoregressive process of order 1 (AR(1)),
        and more one of order 2 (AR(2)).
    s_min
        The least event there can be, in the unit of activity. By default there is no such bound,
        and the sum of events is kept as small as the noise allows (L1).
    baseline
        Activity without calcium; by default told from each unit.

    Raises
    ------
    ValueError
        If a time constant or `s_min` is out of its range.

    References
    ----------
    Friedrich, Zhou & Paninski (2017), *PLoS Comput. Biol.* 13(3): e1005423.

    Examples
    --------
    >>> spikes_TN = np.zeros((200, 1))
    >>> spikes_TN[[20, 90, 100]] = 1.0
    >>> recording = Recording(
    ...     subject="m1",
    ...     name="m1_d1",
    ...     activity_TN=Kernel(decay_s=1.0).calcium(spikes_TN, rate_hz=10.0).astype(np.float32),
    ...     behavior={},
    ...     rate_hz=10.0,
    ...     units=("a",),
    ...     trial_T=np.zeros(200, dtype=np.int32),
    ... )
    >>> events = Deconvolution(decay_s=1.0, s_min=0.5, baseline=0.0).apply(recording)
    >>> np.flatnonzero(events.activity_TN).tolist()
    [20, 90, 100]
    """

    decay_s: float | None = None
    rise_s: float = 0.0
    s_min: float | None = None
    baseline: float | None = None

    def __post_init__(self) -> None:
        least_decay_s = _DECAY_S[1] if self.decay_s is None else self.decay_s
        Kernel(decay_s=least_decay_s, rise_s=self.rise_s)
        if self.s_min is not None and not 0 <= self.s_min < math.inf:
            raise ValueError(f"`s_min >= 0` must hold, but got {self.s_min=}.")

    def apply(self, recording: Recording, /) -> Recording:
        """Give the recording with events as its activity.

        Raises
        ------
        ValueError
            If there are no units, activity is missing somewhere, or the recording is too short.
        """
        check_activity(recording, what="deconvolution")
        if recording.n_frames < LEAST_FRAMES:
            raise ValueError(
                f"{recording.name}: to be deconvolved a recording must have at least "
                f"{LEAST_FRAMES} frames, but has {recording.n_frames}. Leave deconvolution out."
            )
        activity_TN = recording.activity_TN.astype(np.float64)
        events_TN = np.empty_like(recording.activity_TN)
        borders = trial_borders(recording.trial_T)
        for unit, activity_T in enumerate(np.ascontiguousarray(activity_TN.T)):
            events_TN[:, unit] = self._events(activity_T, borders=borders, rate=recording.rate_hz)
        return dataclasses.replace(
            recording, activity_TN=events_TN, steps=(*recording.steps, self._said())
        )

    def _events(
        self, activity_T: NDArray[np.float64], *, borders: NDArray[np.int64], rate: float
    ) -> NDArray[np.float64]:
        """Give the events of one unit."""
        if activity_T.min() == activity_T.max():
            return np.zeros_like(activity_T)
        kernel = self._kernel(activity_T, borders=borders, rate=rate)
        baseline, penalty = self._baseline_and_penalty(activity_T, kernel.coefficients(rate))
        # OASIS counts an event by its first frame, we by its peak.
        peak = kernel.peak(rate)
        s_min = None if self.s_min is None else self.s_min / peak
        solved = [
            _solved(
                activity_T[a:b] - baseline,
                kernel.coefficients(rate),
                penalty=penalty,
                s_min=s_min,
            )
            for a, b in itertools.pairwise(borders)
        ]
        return np.concatenate(solved) * peak

    def _kernel(
        self, activity_T: NDArray[np.float64], *, borders: NDArray[np.int64], rate: float
    ) -> Kernel:
        decay_s = self.decay_s
        if decay_s is None:
            decay_s = _decay_s(activity_T, borders=borders, rate=rate, rise_s=self.rise_s)
        return Kernel(decay_s=max(decay_s, 1.01 * self.rise_s), rise_s=self.rise_s)

    def _baseline_and_penalty(
        self, activity_T: NDArray[np.float64], coefficients: tuple[float, ...]
    ) -> tuple[float, float]:
        if self.baseline is not None and self.s_min is not None:
            return self.baseline, 0.0
        # Loaded here: the library imports a plotting library first of all.
        from oasis.functions import constrained_onnlsAR2
        from oasis.oasis_methods import constrained_oasisAR1

        known = self.baseline is not None
        options = {"optimize_b": not known, "b_nonneg": False}
        activity_T = activity_T - (self.baseline or 0.0)
        noise = _noise(activity_T)
        if len(coefficients) == 1:
            solution = constrained_oasisAR1(activity_T, coefficients[0], noise, **options)
        else:
            solution = constrained_onnlsAR2(activity_T, coefficients, noise, **options)
        _, _, baseline, _, penalty = solution
        return self.baseline if self.baseline is not None else float(baseline), float(penalty)

    def _said(self) -> str:
        order = "AR(2)" if self.rise_s else "AR(1)"
        rise = f", rise {self.rise_s:g} s" if self.rise_s else ""
        decay = "told from each unit" if self.decay_s is None else f"{self.decay_s:g} s"
        events = (
            "least sum of events" if self.s_min is None else f"events of {self.s_min:g} or more"
        )
        return (
            f"deconvolved by OASIS, {order}, decay {decay}{rise}, {events}, trial by trial: it "
            "uses later frames (not causal)"
        )


def _solved(
    calcium_T: NDArray[np.float64],
    coefficients: tuple[float, ...],
    *,
    penalty: float,
    s_min: float | None,
) -> NDArray[np.float64]:
    """Give the events of one trial."""
    from oasis.functions import onnls
    from oasis.oasis_methods import oasisAR1, oasisAR2

    least, penalty = (0.0, penalty) if s_min is None else (s_min, 0.0)
    events_T: NDArray[np.float64]
    if len(calcium_T) <= len(coefficients):
        return np.zeros_like(calcium_T)
    if len(coefficients) == 1:
        _, events_T = oasisAR1(calcium_T, coefficients[0], penalty, least)
    elif s_min is None:
        _, events_T = onnls(calcium_T, coefficients, lam=penalty)
    else:
        _, events_T = oasisAR2(calcium_T, *coefficients, penalty, least)
    # Rounding leaves events of 1e-17 where there is none.
    return np.where(events_T > 1e-9, events_T, 0.0)


def _noise(activity_T: NDArray[np.float64]) -> float:
    """Tell the SD of the noise from the upper half of the spectrum, where calcium has little."""
    from scipy.signal import welch  # here, since the options of every ingest lead to this file

    frequency_F, power_F = welch(activity_T, nperseg=min(256, len(activity_T)))
    upper_F = (frequency_F > 0.25) & (frequency_F < 0.5)
    return math.sqrt(float(power_F[upper_F].mean()) / 2)


def _decay_s(
    activity_T: NDArray[np.float64], *, borders: NDArray[np.int64], rate: float, rise_s: float
) -> float:
    """Tell the decay of a unit from how its autocovariance falls; noise is in lag 0 alone."""
    first_lag = 1 + math.ceil(3 * rise_s * rate)
    n_lags = max(3, round(_LAGS_S * rate))
    centred_T = activity_T - activity_T.mean()
    trials = [centred_T[a:b] for a, b in itertools.pairwise(borders)]
    covariance_L = np.array(
        [
            sum(float(trial[lag:] @ trial[: max(0, len(trial) - lag)]) for trial in trials)
            / max(1, sum(max(0, len(trial) - lag) for trial in trials))
            for lag in range(first_lag, first_lag + n_lags)
        ]
    )
    before_L, after_L = covariance_L[:-1], covariance_L[1:]
    ratio = float(before_L @ after_L) / max(float(before_L @ before_L), 1e-300)
    least, most = _DECAY_S
    lowest, highest = math.exp(-1 / (least * rate)), math.exp(-1 / (most * rate))
    return -1.0 / (math.log(min(max(ratio, lowest), highest)) * rate)


_: type[Step] = Deconvolution
