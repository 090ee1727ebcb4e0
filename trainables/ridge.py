"""How well latents or movements can be read from rates, by the ridge regression of R."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# R trial, T bin, N neuron, D output, F fold, S samples: bins of several trials, P penalty

PENALTIES = tuple(10.0**exponent for exponent in range(-7, 4))
"""Tried penalties, as multiples of the mean variance of neurons times the number of samples."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Decoded:
    """What was read from rates.

    Attributes
    ----------
    r2_FD
        Share of the variance of each output that is explained in the trials held out, by fold.
    predicted_RTD
        Prediction of each trial by the fold that held it out; NaN where a lag leaves none.
    penalty_F
        Chosen in each fold, as a multiple (`PENALTIES`).
    """

    r2_FD: NDArray[np.float64]
    predicted_RTD: NDArray[np.float64]
    penalty_F: NDArray[np.float64]


def decode(
    rates_RTN: NDArray[np.floating],
    target_RTD: NDArray[np.floating],
    /,
    *,
    lag_bins: int = 0,
    n_folds: int = 5,
    seed: int = 0,
) -> Decoded:
    """Fit ridge regressions from rates to a target, each trial being held out once.

    Trials are divided at random. The penalty is chosen by the same division of the training trials,
    and the regression fitted to all of them.

    Parameters
    ----------
    rates_RTN
        Rates of neurons.
    target_RTD
        Latents, positions or velocities; NaN where they are not known.
    lag_bins
        By how many bins rates come later than the target; R takes 30 ms in simulations.
    n_folds
        Parts; R has 5.
    seed
        Of the division.

    Raises
    ------
    ValueError
        If shapes do not agree, rates are not finite, there are fewer than two trials a fold, or
        the lag leaves no bin.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> rates_RTN = rng.normal(size=(20, 10, 5))
    >>> decode(rates_RTN, rates_RTN[:, :, :1] * 2).r2_FD.round(3).ravel().tolist()
    [1.0, 1.0, 1.0, 1.0, 1.0]
    """
    _check(rates_RTN, target_RTD, lag_bins=lag_bins, n_folds=n_folds)
    n_bins = rates_RTN.shape[1]
    x_RTN = np.asarray(rates_RTN[:, lag_bins:], dtype=np.float64)
    y_RTD = np.asarray(target_RTD[:, : n_bins - lag_bins], dtype=np.float64)
    order = np.random.default_rng(seed).permutation(len(x_RTN))
    predicted_RTD = np.full(target_RTD.shape, np.nan)
    r2, penalties = [], []
    for test in np.array_split(order, n_folds):
        train = np.setdiff1d(order, test, assume_unique=True)
        scores_P = np.mean(
            [
                _scores(x_RTN, y_RTD, np.setdiff1d(train, inner), inner)
                for inner in np.array_split(np.random.default_rng(seed).permutation(train), n_folds)
            ],
            axis=0,
        )
        penalty = PENALTIES[int(np.argmax(scores_P))]
        fit = _Ridge(x_RTN[train], y_RTD[train])
        predicted = fit.predict(x_RTN[test], penalty)
        predicted_RTD[test, : n_bins - lag_bins] = predicted
        r2.append(explained(y_RTD[test], predicted))
        penalties.append(penalty)
    return Decoded(r2_FD=np.stack(r2), predicted_RTD=predicted_RTD, penalty_F=np.array(penalties))


def explained(
    target_RTD: NDArray[np.floating], predicted_RTD: NDArray[np.floating], /
) -> NDArray[np.float64]:
    """Give the share of the variance of each output that is explained, over known bins.

    Examples
    --------
    >>> target = np.array([1.0, 2.0, 3.0, np.nan]).reshape(1, 4, 1)
    >>> explained(target, np.array([1.0, 2.0, 2.0, 9.0]).reshape(1, 4, 1)).tolist()
    [0.5]
    """
    mean_D = np.nanmean(target_RTD, axis=(0, 1))
    left_D = np.nansum(np.square(target_RTD - predicted_RTD), axis=(0, 1))
    total_D = np.nansum(np.square(target_RTD - mean_D), axis=(0, 1))
    share_D: NDArray[np.float64] = 1 - left_D / total_D
    return share_D


def at_rate(
    values_RTX: NDArray[np.floating], /, *, rate_hz: float, to_hz: float, n_bins: int
) -> NDArray[np.float64]:
    """Interpolate linearly to other bins, those after the last one at its value.

    Examples
    --------
    >>> values = np.array([0.0, 3.0]).reshape(1, 2, 1)
    >>> at_rate(values, rate_hz=10.0, to_hz=30.0, n_bins=5).ravel().round(6).tolist()
    [0.0, 1.0, 2.0, 3.0, 3.0]
    """
    last = values_RTX.shape[1] - 1
    at_T = np.clip(np.arange(n_bins) * rate_hz / to_hz, 0, last)
    before_T = np.minimum(np.floor(at_T).astype(np.int64), max(last - 1, 0))
    share_T = (at_T - before_T)[:, None]
    after_T = np.minimum(before_T + 1, last)
    between: NDArray[np.float64] = (1 - share_T) * values_RTX[:, before_T] + share_T * values_RTX[
        :, after_T
    ]
    return between


class _Ridge:
    """Regressions of one set of trials, for all penalties from one decomposition."""

    def __init__(self, x_RTN: NDArray[np.float64], y_RTD: NDArray[np.float64]) -> None:
        x_SN, y_SD = x_RTN.reshape(-1, x_RTN.shape[2]), y_RTD.reshape(-1, y_RTD.shape[2])
        is_known = ~np.isnan(y_SD).any(axis=1)
        x_SN, y_SD = x_SN[is_known], y_SD[is_known]
        self._mean_N, self._mean_D = x_SN.mean(axis=0), y_SD.mean(axis=0)
        x_SN = x_SN - self._mean_N
        square_N, self._axes_NN = np.linalg.eigh(x_SN.T @ x_SN)
        self._square_N = np.maximum(square_N, 0)
        self._unit = self._square_N.mean() or 1.0
        self._projected_ND = self._axes_NN.T @ (x_SN.T @ (y_SD - self._mean_D))

    def predict(self, x_RTN: NDArray[np.float64], penalty: float) -> NDArray[np.float64]:
        shrunk_ND = self._projected_ND / (self._square_N + penalty * self._unit)[:, None]
        centered_RTD = (x_RTN - self._mean_N) @ (self._axes_NN @ shrunk_ND)
        predicted_RTD: NDArray[np.float64] = centered_RTD + self._mean_D
        return predicted_RTD


def _scores(
    x_RTN: NDArray[np.float64],
    y_RTD: NDArray[np.float64],
    train: NDArray[np.int64],
    test: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Give the mean R^2 over outputs of each penalty."""
    fit = _Ridge(x_RTN[train], y_RTD[train])
    return np.array([explained(y_RTD[test], fit.predict(x_RTN[test], p)).mean() for p in PENALTIES])


def _check(
    rates_RTN: NDArray[np.floating],
    target_RTD: NDArray[np.floating],
    *,
    lag_bins: int,
    n_folds: int,
) -> None:
    n_trials, n_bins, _ = rates_RTN.shape
    if target_RTD.shape[:2] != (n_trials, n_bins):
        raise ValueError(
            "rates and target must have the same trials and bins, but have "
            f"{rates_RTN.shape[:2]} and {target_RTD.shape[:2]}."
        )
    if not np.isfinite(rates_RTN).all():
        raise ValueError(
            f"rates must be finite, but {np.count_nonzero(~np.isfinite(rates_RTN))} are not: take "
            "smoothed or inferred rates."
        )
    if not 0 <= lag_bins < n_bins or n_folds < 2 or n_trials < 2 * n_folds:
        raise ValueError(
            f"`0 <= lag_bins < {n_bins}`, `n_folds >= 2` and two trials a fold must hold, but got "
            f"{lag_bins=}, {n_folds=} and {n_trials} trials."
        )
