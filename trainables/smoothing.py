"""Activity smoothed in time: the baselines of R."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# R trial, T bin, N neuron


def smooth(
    activity_RTN: NDArray[np.floating], /, *, rate_hz: float, sd_ms: float
) -> NDArray[np.float64]:
    """Convolve each trial with a Gaussian over what was sampled of it.

    Weights are of the bins there are: neither the ends of a trial nor bins that were not sampled
    pull towards 0.

    Parameters
    ----------
    activity_RTN
        Events or fluorescence, NaN where not sampled.
    rate_hz
        Bins per second.
    sd_ms
        Standard deviation in ms; R takes 6 in simulations and 40 for recordings.

    Returns
    -------
    smoothed_RTN
        NaN only where a neuron was not sampled within four standard deviations.

    Raises
    ------
    ValueError
        If the standard deviation or the rate is not positive.

    Examples
    --------
    >>> events = np.array([0.0, 0.0, 1.0, 0.0, 0.0]).reshape(1, 5, 1)
    >>> smooth(events, rate_hz=100.0, sd_ms=5.0).round(3).ravel().tolist()
    [0.0, 0.106, 0.787, 0.106, 0.0]
    """
    if not (sd_ms > 0 and rate_hz > 0):
        raise ValueError(f"`sd_ms` and `rate_hz` must be positive, but got {sd_ms=}, {rate_hz=}.")
    n_bins = activity_RTN.shape[1]
    distance_ms = 1000 / rate_hz * np.subtract.outer(np.arange(n_bins), np.arange(n_bins))
    kernel_TT = np.exp(-0.5 * np.square(distance_ms / sd_ms))
    kernel_TT[np.abs(distance_ms) > 4 * sd_ms] = 0
    is_sampled = ~np.isnan(activity_RTN)
    total = kernel_TT @ np.where(is_sampled, activity_RTN, 0.0)
    weight = kernel_TT @ is_sampled.astype(np.float64)
    smoothed_RTN = np.full(total.shape, np.nan)
    np.divide(total, weight, out=smoothed_RTN, where=weight > 0)
    return smoothed_RTN
