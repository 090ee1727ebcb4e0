"""When a movement begins, as the rates of a single trial tell it."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

# B trial, T bin, N neuron

N_COMPONENTS = 10
_AROUND_S = 0.1
_N_FOLDS = 4  # 75 % of trials train, 25 % test


def predict_onsets(
    rates_BTN: NDArray[np.floating],
    onset_B: ArrayLike,
    /,
    *,
    bin_s: float,
    first_bin: int = 0,
    n_bins_B: ArrayLike | None = None,
    n_components: int = N_COMPONENTS,
) -> NDArray[np.float64]:
    """Predict the bin in which movement begins, each trial by a classifier that never saw it.

    The mean activity of 100 ms before and of 100 ms after the onset is told apart by a logistic
    regression in the first components; along it each held-out trial is followed, and the onset is
    where the probability of movement first comes to 50 %.

    Parameters
    ----------
    rates_BTN
        Shape ``(trial, bin, neuron)``, aligned to the cue.
    onset_B
        Bin in which movement began.
    bin_s
        Duration of a bin, seconds.
    first_bin
        Where to begin to look: the bin of the cue.
    n_bins_B
        Bins that each trial has, where shorter ones are filled up; by default all.
    n_components
        Principal components, fewer where there are fewer neurons.

    Returns
    -------
    predicted_B
        Bin of the onset; NaN where the probability stays below 50 %. Times ``bin_s``, less the
        cue's, it is the reaction time in seconds.

    Raises
    ------
    ValueError
        If 100 ms around an onset reach beyond the trial, or trials are fewer than four.

    References
    ----------
    Zhu et al. (2022), *Nat. Neurosci.* 25: 1724-1734, "Reaction time prediction analysis";
    Kaufman et al. (2016), *eNeuro* 3(4).

    Examples
    --------
    >>> onset_B = np.array([12, 15, 18, 14, 17, 13, 16, 19])
    >>> rates_BTN = (np.arange(40) >= onset_B[:, None])[:, :, None] * np.ones(3)
    >>> predict_onsets(rates_BTN, onset_B, bin_s=0.01).tolist() == onset_B.tolist()
    True
    """
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    onsets_B = np.asarray(onset_B, dtype=np.int64)
    n_around = max(1, round(_AROUND_S / bin_s))
    n_trials, n_bins, n_neurons = rates_BTN.shape
    ends_B = np.broadcast_to(n_bins if n_bins_B is None else np.asarray(n_bins_B), (n_trials,))
    if n_trials < _N_FOLDS or len(onsets_B) != n_trials:
        raise ValueError(
            f"at least {_N_FOLDS} trials, each with an onset, are needed, but got {n_trials} and "
            f"{len(onsets_B)} onsets."
        )
    is_outside_B = (onsets_B < n_around) | (onsets_B + n_around > ends_B)
    if is_outside_B.any():
        onset, n_own = onsets_B[is_outside_B][0], ends_B[is_outside_B][0]
        raise ValueError(
            f"{n_around} bins before and after each onset must lie in its trial, but "
            f"{np.count_nonzero(is_outside_B)} of {n_trials} trials are too short for that: the "
            f"first of these has its onset in bin {onset} of {n_own}. Leave them out, or take "
            "longer trials."
        )
    before_BN = _means(rates_BTN, onsets_B - n_around, n=n_around)
    after_BN = _means(rates_BTN, onsets_B, n=n_around)
    predicted_B = np.full(n_trials, np.nan)
    for fold in range(_N_FOLDS):
        train_B = np.arange(n_trials) % _N_FOLDS != fold
        seen_SN = np.concatenate([before_BN[train_B], after_BN[train_B]])
        moves_S = np.repeat([0, 1], train_B.sum())
        model = make_pipeline(
            PCA(min(n_components, n_neurons, len(seen_SN))), LogisticRegression()
        ).fit(seen_SN, moves_S)
        for trial in np.flatnonzero(~train_B):
            moving_T = model.predict_proba(rates_BTN[trial])[:, 1] >= 0.5
            moving_T[:first_bin] = False
            moving_T[ends_B[trial] :] = False
            if moving_T.any():
                predicted_B[trial] = moving_T.argmax()
    return predicted_B


def _means(
    rates_BTN: NDArray[np.floating], first_B: NDArray[np.int64], *, n: int
) -> NDArray[np.float64]:
    """Give the mean activity of some bins of each trial, shape ``(trial, neuron)``."""
    return np.stack(
        [
            rates_TN[first : first + n].mean(axis=0)
            for rates_TN, first in zip(rates_BTN, first_B, strict=True)
        ]
    )
