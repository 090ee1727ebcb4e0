"""How faithful rates of single trials are, as R measures it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# R trial, T bin, N neuron, D dimension, Q frequency


def correlation_with_others(
    rates_RTN: NDArray[np.floating],
    reference_RTN: NDArray[np.floating],
    group_R: NDArray[np.integer],
    /,
    *,
    n_events_N: NDArray[np.integer] | None = None,
    least_events: int = 40,
) -> NDArray[np.float64]:
    """Correlate rates of single trials with the mean of all other trials of their group.

    Parameters
    ----------
    rates_RTN
        Rates of single trials.
    reference_RTN
        What is averaged, as smoothed events; it may be the same.
    group_R
        Group of each trial.
    n_events_N
        Events of each neuron in these trials.
    least_events
        A neuron with fewer has no correlation.

    Returns
    -------
    r_N
        One a neuron over all trials end to end; NaN where there is none.

    Raises
    ------
    ValueError
        If shapes do not agree, or a group has one trial.
    """
    if rates_RTN.shape != reference_RTN.shape:
        raise ValueError(
            "rates and reference must have one shape, but have "
            f"{rates_RTN.shape} and {reference_RTN.shape}."
        )
    others_RTN = np.empty(reference_RTN.shape)
    for group in np.unique(group_R):
        of_group = reference_RTN[_members(group_R, group)]
        total = of_group.sum(axis=0)
        others_RTN[group_R == group] = (total - of_group) / (len(of_group) - 1)
    x_SN, y_SN = (x.reshape(-1, x.shape[2]) - x.mean(axis=(0, 1)) for x in (rates_RTN, others_RTN))
    spread_N = np.sqrt(np.square(x_SN).sum(axis=0) * np.square(y_SN).sum(axis=0))
    r_N = np.full(len(spread_N), np.nan)
    np.divide((x_SN * y_SN).sum(axis=0), spread_N, out=r_N, where=spread_N > 0)
    if n_events_N is not None:
        r_N[n_events_N < least_events] = np.nan
    return r_N


def distance_ratio(
    rates_RTN: NDArray[np.floating],
    condition_R: NDArray[np.integer],
    subgroup_R: NDArray[np.integer],
    /,
) -> NDArray[np.float64]:
    """Give how much farther trials lie from the other subgroup of their condition than from theirs.

    Parameters
    ----------
    rates_RTN
        Rates of single trials.
    condition_R, subgroup_R
        Condition of each trial, and in which of its two subgroups it is.

    Returns
    -------
    ratio_T
        Mean over trials of the mean distance to trials of the other subgroup at the same bin, by
        the mean distance to the others of the own.

    Raises
    ------
    ValueError
        If a condition does not have two subgroups, or one of them has one trial.
    """
    ratios = []
    for condition in np.unique(condition_R):
        of_condition = condition_R == condition
        names = np.unique(subgroup_R[of_condition])
        if len(names) != 2:
            raise ValueError(
                f"condition {condition} must have two subgroups, but has {len(names)}."
            )
        parts = [rates_RTN[of_condition & (subgroup_R == name)] for name in names]
        for own, other in (parts, parts[::-1]):
            if len(own) < 2:
                raise ValueError(f"a subgroup of condition {condition} has one trial only.")
            within_RT = _distances(own, own).sum(axis=1) / (len(own) - 1)
            ratios.append(_distances(own, other).mean(axis=1) / within_RT)
    ratio_T: NDArray[np.float64] = np.concatenate(ratios).mean(axis=0)
    return ratio_T


@dataclass(frozen=True, kw_only=True, eq=False)
class Coherence:
    """Magnitude-squared coherence at each frequency.

    Attributes
    ----------
    frequency_hz_Q
        Frequencies.
    coherence_Q
        From 0 to 1, the mean over dimensions.
    """

    frequency_hz_Q: NDArray[np.float64]
    coherence_Q: NDArray[np.float64]


def coherence(
    true_RTD: NDArray[np.floating],
    predicted_RTD: NDArray[np.floating],
    /,
    *,
    rate_hz: float,
    window_bins: int = 35,
    overlap_bins: int = 25,
) -> Coherence:
    """Give the coherence of what was measured and what was predicted, over windows of all trials.

    Parameters
    ----------
    true_RTD, predicted_RTD
        Measured and predicted, finite.
    rate_hz
        Bins per second.
    window_bins, overlap_bins
        Hann windows and what two neighbors share; none crosses the border of a trial.

    Raises
    ------
    ValueError
        If shapes do not agree, or a trial is shorter than a window.
    """
    n_bins = true_RTD.shape[1]
    if true_RTD.shape != predicted_RTD.shape or not 0 <= overlap_bins < window_bins <= n_bins:
        raise ValueError(
            "both must have one shape and trials be as long as a window, but have "
            f"{true_RTD.shape} and {predicted_RTD.shape}, with {window_bins=} and {overlap_bins=}."
        )
    window = np.hanning(window_bins + 2)[1:-1]  # MATLAB's, without the zeros at its ends
    starts = range(0, n_bins - window_bins + 1, window_bins - overlap_bins)
    spectra = [
        np.stack(
            [
                np.fft.rfft(x[:, start : start + window_bins] * window[:, None], axis=1)
                for start in starts
            ]
        )
        for x in (true_RTD, predicted_RTD)
    ]
    cross, power_a, power_b = (
        (a * b.conj()).sum(axis=(0, 1))
        for a, b in ((spectra[0], spectra[1]), *((one, one) for one in spectra))
    )
    coherence_QD = np.square(np.abs(cross)) / (power_a.real * power_b.real)
    return Coherence(
        frequency_hz_Q=np.arange(coherence_QD.shape[0]) * rate_hz / window_bins,
        coherence_Q=coherence_QD.mean(axis=1),
    )


def _members(group_R: NDArray[np.integer], group: np.integer) -> NDArray[np.bool_]:
    is_member: NDArray[np.bool_] = group_R == group
    if np.count_nonzero(is_member) < 2:
        raise ValueError(f"group {group} has one trial only: there are no others to average.")
    return is_member


def _distances(a_RTN: NDArray[np.floating], b_RTN: NDArray[np.floating]) -> NDArray[np.float64]:
    """Give the distance of each trial to each other one at each bin, shape (a, b, bin)."""
    distances = [np.linalg.norm(b_RTN - trial, axis=2) for trial in a_RTN]
    return np.stack(distances)
