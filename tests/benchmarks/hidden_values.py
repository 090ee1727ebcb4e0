"""Scores of rates on values and behavior that they were not made from (`real_dynamics`)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegressionCV, Ridge
from sklearn.metrics import r2_score, roc_auc_score
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

# R trial, T bin, N neuron, X feature, S sample (a bin of a trial)

Values = NDArray[np.float64]
Mask = NDArray[np.bool_]

SHARES = (0.0, *np.geomspace(0.01, 1.0, 30).tolist())


def gaussian_nll(rates: Values, true: Values, mean_N: Values, *, fit: Mask, test: Mask) -> float:
    """Give nats a value of a normal distribution around rates that are drawn to neurons' means.

    How far they are drawn and the variance of each neuron are fitted to the values `fit`.
    """

    def nll(drawn: Values, part: Mask) -> float:
        squares = np.square(true - drawn)
        variance_N = np.nanmean(np.where(fit, squares, np.nan), axis=(0, 1))
        each = 0.5 * (squares / variance_N + np.log(2 * np.pi * variance_N))
        return float(each[part].mean())

    return _drawn(nll, rates, mean_N, fit=fit, test=test)


def poisson_nll(rates: Values, true: Values, mean_N: Values, *, fit: Mask, test: Mask) -> float:
    """Give nats a value of a Poisson distribution whose rates are drawn to neurons' means."""

    def nll(drawn: Values, part: Mask) -> float:
        rate = np.maximum(drawn[part], 1e-6)
        return float((rate - true[part] * np.log(rate)).mean())

    return _drawn(nll, rates, mean_N, fit=fit, test=test)


def _drawn(
    nll: Callable[[Values, Mask], float],
    rates: Values,
    mean_N: Values,
    *,
    fit: Mask,
    test: Mask,
) -> float:
    """Score values by rates that are drawn to means by the share that suits the others best."""

    def drawn(share: float) -> Values:
        return (1 - share) * rates + share * mean_N

    return nll(drawn(min(SHARES, key=lambda share: nll(drawn(share), fit))), test)


def auc_of_trials(rates: Values, behavior_R: Values, *, train_R: Mask, test_R: Mask) -> float:
    """Decode a class of trials from mean rates in the thirds of a trial; give the AUC."""
    thirds = [third.mean(axis=1) for third in np.array_split(rates, 3, axis=1)]
    features_RX = np.concatenate(thirds, axis=1)
    decoder = make_pipeline(
        StandardScaler(),
        LogisticRegressionCV(
            Cs=np.logspace(-4, 1, 11),
            l1_ratios=(0,),
            scoring="neg_log_loss",
            max_iter=1000,
            use_legacy_attributes=False,
        ),
    )
    decoder.fit(features_RX[train_R], behavior_R[train_R])
    score_R = decoder.decision_function(features_RX[test_R])
    return float(roc_auc_score(behavior_R[test_R], score_R))


def r2_of_bins(rates: Values, behavior_RT: Values, *, train_R: Mask, test_R: Mask) -> float:
    """Decode a measure of bins from their rates by ridge regression; give R^2."""
    known_RT = np.isfinite(behavior_RT)
    train_RT, test_RT = known_RT & train_R[:, None], known_RT & test_R[:, None]
    # One scale for all: z-scored, a neuron that is hardly ever active reaches far.
    rates = rates / rates[train_RT].std(axis=0).mean()
    search = GridSearchCV(
        Ridge(solver="cholesky"),
        {"alpha": np.logspace(0, 5, 11)},
        cv=GroupKFold(5),
        scoring="neg_mean_squared_error",
    )
    search.fit(rates[train_RT], behavior_RT[train_RT], groups=np.nonzero(train_RT)[0])
    return float(r2_score(behavior_RT[test_RT], search.predict(rates[test_RT])))
