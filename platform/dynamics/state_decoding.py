"""How well inferred rates tell a state that is known: ridge regression, tested on other trials."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from sklearn.model_selection import GridSearchCV

# B trial, T bin, N neuron, D dimension of the state, F fold, S sample (a bin of a trial)

N_FOLDS = 5
PENALTIES = (0.01, 0.1, 1.0, 10.0, 100.0, 1000.0, 10_000.0)


@dataclass(frozen=True, kw_only=True, eq=False)
class StateDecoding:
    """A state as it was read from rates, each trial by a map that never saw it.

    Attributes
    ----------
    r2_FD
        Coefficient of determination over the held-out trials of each fold and dimension; 1 is
        perfect, 0 no better than the mean.
    penalty_F
        Ridge penalty that each fold chose on its training trials.
    predicted_BTD
        The state as read, in the state's own bins; NaN where the lag leaves no rates, and where
        rates are missing.
    """

    r2_FD: NDArray[np.float64]
    penalty_F: NDArray[np.float64]
    predicted_BTD: NDArray[np.float64]

    @property
    def by_dimension(self) -> NDArray[np.float64]:
        """Mean over folds, of each dimension."""
        mean_D: NDArray[np.float64] = self.r2_FD.mean(axis=0)
        return mean_D

    @property
    def by_fold(self) -> NDArray[np.float64]:
        """Mean over dimensions, of each fold: what methods are compared by."""
        mean_F: NDArray[np.float64] = self.r2_FD.mean(axis=1)
        return mean_F


def decode_states(
    rates_BTN: NDArray[np.floating],
    states_BTD: NDArray[np.floating],
    /,
    *,
    lag_bins: int = 0,
    n_folds: int = N_FOLDS,
    penalties: Sequence[float] = PENALTIES,
) -> StateDecoding:
    """Map rates to a state by ridge regression, trained on 80 % of trials and tested on the others.

    Every fifth trial is held out in turn. The penalty is chosen on the training trials alone, by
    folds of trials again.

    Parameters
    ----------
    rates_BTN
        Shape ``(trial, bin, neuron)``.
    states_BTD
        Shape ``(trial, bin, dimension)``: latent states, or kinematics. Bins with NaN, in rates or
        state, are left out.
    lag_bins
        How many bins rates come later than the state: deconvolution delays events.
    n_folds
        Outer folds, and inner ones.
    penalties
        To choose from.

    Raises
    ------
    ValueError
        If shapes do not go together, the lag leaves no bins, or trials are too few for the folds.

    References
    ----------
    Zhu et al. (2022), *Nat. Neurosci.* 25: 1724-1734, "Mapping to ground truth Lorenz states".

    Examples
    --------
    >>> states_BTD = np.random.default_rng(0).normal(size=(25, 10, 2))
    >>> decoding = decode_states(states_BTD @ [[1.0, 0.0, 2.0], [0.0, 1.0, 1.0]], states_BTD)
    >>> decoding.by_dimension.round(3).tolist()
    [1.0, 1.0]
    """
    from sklearn.metrics import r2_score

    _check(rates_BTN, states_BTD, lag_bins=lag_bins, n_folds=n_folds)
    n_bins = states_BTD.shape[1] - lag_bins
    rates_BTN = rates_BTN[:, lag_bins:]
    known_BTD = states_BTD[:, :n_bins]
    is_there_BT = np.isfinite(rates_BTN).all(axis=2) & np.isfinite(known_BTD).all(axis=2)
    predicted_BTD = np.full(states_BTD.shape, np.nan)
    r2_FD, penalty_F = [], []
    for train_B, test_B in _interleaved(len(rates_BTN), n_folds=n_folds):
        train_BT, test_BT = is_there_BT & train_B[:, None], is_there_BT & test_B[:, None]
        if not (train_BT.any() and test_BT.any()):
            raise ValueError("every fold needs bins in which neither rates nor state are missing.")
        search = _fitted(
            rates_BTN[train_BT],
            known_BTD[train_BT],
            trials_S=np.nonzero(train_BT)[0],
            n_folds=n_folds,
            penalties=penalties,
        )
        read_SD = search.predict(rates_BTN[test_BT]).reshape(-1, states_BTD.shape[2])
        predicted_BTD[:, :n_bins][test_BT] = read_SD
        r2_FD.append(r2_score(known_BTD[test_BT], read_SD, multioutput="raw_values"))
        penalty_F.append(search.best_params_["alpha"])
    return StateDecoding(
        r2_FD=np.array(r2_FD), penalty_F=np.array(penalty_F), predicted_BTD=predicted_BTD
    )


def _fitted(
    rates_SN: NDArray[np.floating],
    states_SD: NDArray[np.floating],
    *,
    trials_S: NDArray[np.int64],
    n_folds: int,
    penalties: Sequence[float],
) -> GridSearchCV:
    from sklearn.linear_model import Ridge
    from sklearn.model_selection import GridSearchCV, GroupKFold

    search = GridSearchCV(
        Ridge(solver="cholesky"),
        {"alpha": list(penalties)},
        cv=GroupKFold(n_folds),
        scoring="r2",
    )
    return search.fit(rates_SN, states_SD, groups=trials_S)


def _interleaved(
    n_trials: int, *, n_folds: int
) -> Iterator[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    fold_B = np.arange(n_trials) % n_folds
    for fold in range(n_folds):
        yield fold_B != fold, fold_B == fold


def _check(
    rates_BTN: NDArray[np.floating],
    states_BTD: NDArray[np.floating],
    *,
    lag_bins: int,
    n_folds: int,
) -> None:
    if rates_BTN.shape[:2] != states_BTD.shape[:2]:
        raise ValueError(
            "rates and states must have the same trials and bins, but have "
            f"{rates_BTN.shape[:2]} and {states_BTD.shape[:2]}."
        )
    n_trials, n_bins = states_BTD.shape[:2]
    if not 0 <= lag_bins < n_bins:
        raise ValueError(f"`0 <= lag_bins < {n_bins}` must hold, but got {lag_bins=}.")
    # Every part of the training trials needs one of its own.
    fewest = n_folds + -(-n_folds // (n_folds - 1)) if n_folds > 1 else 0
    if n_folds < 2 or n_trials < fewest:
        raise ValueError(
            f"`2 <= n_folds` must hold with at least {fewest} trials, but got {n_folds=} and "
            f"{n_trials} trials."
        )
