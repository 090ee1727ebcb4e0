"""Whether rates of single trials show what trials of their condition have in common."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import cdist

# B trial, T bin, N neuron

LEAST_EVENTS = 40


def condition_mean_correlation(
    rates_BTN: NDArray[np.floating],
    smoothed_BTN: NDArray[np.floating],
    conditions_B: ArrayLike,
    /,
    *,
    events_N: ArrayLike | None = None,
    least_events: int = LEAST_EVENTS,
) -> NDArray[np.float64]:
    """Correlate each neuron's rates with the mean of the other trials of the same condition.

    Trials are laid end to end; a trial that is the only one of its condition is left out.

    Parameters
    ----------
    rates_BTN
        Inferred rates, shape ``(trial, bin, neuron)``.
    smoothed_BTN
        Smoothed events in the same bins, of which the means are taken.
    conditions_B
        Condition of each trial.
    events_N
        Events of each neuron in these trials, if too few of them are to be left out.
    least_events
        Neurons with fewer give NaN.

    Returns
    -------
    correlation_N
        Pearson's r; NaN too where either does not vary.

    Raises
    ------
    ValueError
        If shapes do not go together, or no condition has two trials.

    References
    ----------
    Zhu et al. (2022), *Nat. Neurosci.* 25: 1724-1734, "PSTH analysis".

    Examples
    --------
    >>> rates_BTN = np.array([[1.0, 2.0], [1.0, 4.0], [5.0, 1.0], [6.0, 1.0]])[:, :, None]
    >>> condition_mean_correlation(rates_BTN, rates_BTN, [0, 0, 1, 1]).round(2).tolist()
    [0.83]
    """
    conditions = _conditions(conditions_B, rates_BTN)
    if rates_BTN.shape != smoothed_BTN.shape:
        raise ValueError(
            "rates and smoothed events must have one shape, but have "
            f"{rates_BTN.shape} and {smoothed_BTN.shape}."
        )
    means_BTN = np.full(smoothed_BTN.shape, np.nan)
    for condition in np.unique(conditions):
        here = np.flatnonzero(conditions == condition)
        if len(here) > 1:
            others = smoothed_BTN[here].sum(axis=0) - smoothed_BTN[here]
            means_BTN[here] = others / (len(here) - 1)
    counts_B = np.isfinite(means_BTN).all(axis=(1, 2))
    if not counts_B.any():
        raise ValueError("a mean of others needs a condition with at least two trials.")
    correlation_N = _pearson(
        rates_BTN[counts_B].reshape(-1, rates_BTN.shape[2]),
        means_BTN[counts_B].reshape(-1, rates_BTN.shape[2]),
    )
    if events_N is not None:
        correlation_N[np.asarray(events_N) < least_events] = np.nan
    return correlation_N


def subgroup_distance_ratio(
    rates_BTN: NDArray[np.floating], conditions_B: ArrayLike, subgroups_B: ArrayLike, /
) -> NDArray[np.float64]:
    """Compare how far trials lie from those of other subgroups and from those of their own.

    Parameters
    ----------
    rates_BTN
        Shape ``(trial, bin, neuron)``.
    conditions_B
        Only trials of one condition are compared.
    subgroups_B
        Subgroup of each trial in its condition.

    Returns
    -------
    ratio_BT
        Mean Euclidean distance, bin by bin, to trials of other subgroups over that to the other
        trials of its own; above 1 a trial lies with its own. NaN where either has none.

    Raises
    ------
    ValueError
        If shapes do not go together.

    References
    ----------
    Zhu et al. (2022), *Nat. Neurosci.* 25: 1724-1734, "Subgroup distance ratio analysis".

    Examples
    --------
    >>> rates_BTN = np.array([0.0, 1.0, 10.0, 11.0])[:, None, None]
    >>> subgroup_distance_ratio(rates_BTN, [0, 0, 0, 0], [0, 0, 1, 1]).ravel().tolist()
    [10.5, 9.5, 9.5, 10.5]
    """
    conditions = _conditions(conditions_B, rates_BTN)
    subgroups = _conditions(subgroups_B, rates_BTN)
    same_BB = conditions[:, None] == conditions
    own_BB = same_BB & (subgroups[:, None] == subgroups)
    np.fill_diagonal(own_BB, val=False)
    other_BB = same_BB & (subgroups[:, None] != subgroups)
    ratio_BT = np.full(rates_BTN.shape[:2], np.nan)
    for t in range(rates_BTN.shape[1]):
        distance_BB = cdist(rates_BTN[:, t], rates_BTN[:, t])
        with np.errstate(invalid="ignore", divide="ignore"):
            across_B, within_B = (
                (distance_BB * of_BB).sum(axis=1) / of_BB.sum(axis=1)
                for of_BB in (other_BB, own_BB)
            )
            ratio_BT[:, t] = across_B / within_B
    return ratio_BT


def finite_mean(ratio_BT: NDArray[np.floating], /, *, axis: int) -> NDArray[np.float64]:
    """Give the mean of ratios that are finite, over trials (axis 0) or bins (1); NaN of none.

    Examples
    --------
    >>> finite_mean(np.array([[1.0, np.inf, np.nan], [3.0, 2.0, np.nan]]), axis=0).tolist()
    [2.0, 2.0, nan]
    """
    is_finite = np.isfinite(ratio_BT)
    total = np.where(is_finite, ratio_BT, 0).sum(axis=axis, dtype=np.float64)
    with np.errstate(invalid="ignore"):
        mean: NDArray[np.float64] = total / is_finite.sum(axis=axis)
    return mean


def _conditions(values: ArrayLike, rates_BTN: NDArray[np.floating]) -> NDArray[np.generic]:
    values_B = np.asarray(values)
    if values_B.shape != rates_BTN.shape[:1]:
        raise ValueError(
            f"each of {len(rates_BTN)} trials must have a condition, but got {values_B.shape}."
        )
    return values_B


def _pearson(one_SN: NDArray[np.floating], other_SN: NDArray[np.floating]) -> NDArray[np.float64]:
    one_SN = one_SN - one_SN.mean(axis=0)
    other_SN = other_SN - other_SN.mean(axis=0)
    scale_N = np.sqrt((one_SN**2).sum(axis=0) * (other_SN**2).sum(axis=0))
    with np.errstate(invalid="ignore", divide="ignore"):
        r_N: NDArray[np.float64] = (one_SN * other_SN).sum(axis=0) / scale_N
    return r_N
