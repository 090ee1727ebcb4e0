"""Single trials as paths through the few dimensions in which their conditions differ most."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

# B trial, T bin, N neuron, C condition, D dimension

_OFFSET = 1e-4  # of rates before the logarithm, as published


@dataclass(frozen=True, kw_only=True, eq=False)
class Trajectories:
    """Principal components of trial-averaged log rates, and single trials seen along them.

    Attributes
    ----------
    trial_BTD
        Each trial's path, shape ``(trial, bin, dimension)``.
    mean_CTD
        The mean path of each condition.
    conditions_C
        These conditions, in order.
    variance_D
        Share of the variance of the means that each dimension explains.
    """

    trial_BTD: NDArray[np.float64]
    mean_CTD: NDArray[np.float64]
    conditions_C: NDArray[np.generic]
    variance_D: NDArray[np.float64]


def trajectories(
    rates_BTN: NDArray[np.floating], conditions_B: ArrayLike, /, *, n_dimensions: int = 3
) -> Trajectories:
    """Project log rates, each neuron to mean 0 and SD 1, on the components of condition means.

    Parameters
    ----------
    rates_BTN
        Not negative, shape ``(trial, bin, neuron)``.
    conditions_B
        Condition of each trial.
    n_dimensions
        Components to keep.

    Raises
    ------
    ValueError
        If a rate is negative or missing, or there are fewer neurons or bins than components.

    References
    ----------
    Zhu et al. (2022), *Nat. Neurosci.* 25: 1724-1734, "Low-D analysis".

    Examples
    --------
    >>> rates_BTN = np.random.default_rng(0).gamma(2, size=(6, 20, 5))
    >>> paths = trajectories(rates_BTN, [0, 0, 0, 1, 1, 1], n_dimensions=2)
    >>> paths.trial_BTD.shape, paths.mean_CTD.shape
    ((6, 20, 2), (2, 20, 2))
    """
    from sklearn.decomposition import PCA

    if not (rates_BTN >= 0).all():
        raise ValueError("rates must not be negative or missing where their logarithm is taken.")
    conditions = np.asarray(conditions_B)
    log_BTN = np.log(rates_BTN + _OFFSET)
    spread_N = log_BTN.std(axis=(0, 1))
    spread_N[spread_N == 0] = 1
    scaled_BTN = (log_BTN - log_BTN.mean(axis=(0, 1))) / spread_N
    kinds = np.unique(conditions)
    mean_CTN = np.stack([scaled_BTN[conditions == kind].mean(axis=0) for kind in kinds])
    n_neurons = rates_BTN.shape[2]
    if n_dimensions > min(n_neurons, mean_CTN.shape[0] * mean_CTN.shape[1]):
        raise ValueError(
            f"{n_dimensions} components need as many neurons and bins of condition means, but "
            f"there are {n_neurons} and {mean_CTN.shape[0] * mean_CTN.shape[1]}."
        )
    pca = PCA(n_dimensions).fit(mean_CTN.reshape(-1, n_neurons))

    def along(values: NDArray[np.float64]) -> NDArray[np.float64]:
        flat: NDArray[np.float64] = pca.transform(values.reshape(-1, n_neurons))
        return flat.reshape(*values.shape[:2], n_dimensions)

    return Trajectories(
        trial_BTD=along(scaled_BTN),
        mean_CTD=along(mean_CTN),
        conditions_C=kinds,
        variance_D=pca.explained_variance_ratio_,
    )
