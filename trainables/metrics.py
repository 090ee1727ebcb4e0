"""Figures of merit of decoders, over all windows of a part."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

# W windows


def auc(labels_W: NDArray[np.int64], probability_W: NDArray[np.float32], /) -> float:
    """Give the area under the ROC curve.

    Parameters
    ----------
    labels_W
        Class of each window, 0 or 1.
    probability_W
        Probability of class 1.

    Raises
    ------
    ValueError
        If there is only one class.

    Examples
    --------
    >>> auc(np.array([0, 1, 1, 0]), np.array([0.1, 0.9, 0.4, 0.5]))
    0.75
    """
    classes = np.unique(labels_W)
    if len(classes) != 2:
        raise ValueError(
            f"AUC needs windows of both classes, but the {len(labels_W)} windows are all of "
            f"{classes.tolist()}: choose another target or other folds."
        )
    return float(roc_auc_score(labels_W, probability_W))


def accuracy(labels_W: NDArray[np.int64], probability_W: NDArray[np.float32], /) -> float:
    """Give the share of windows whose class is right at probability 0.5.

    Parameters
    ----------
    labels_W
        Class of each window, 0 or 1.
    probability_W
        Probability of class 1.

    Raises
    ------
    ValueError
        If there is no window.

    Examples
    --------
    >>> accuracy(np.array([0, 1, 1, 0]), np.array([0.1, 0.9, 0.4, 0.2]))
    0.75
    """
    if len(labels_W) == 0:
        raise ValueError("accuracy needs at least one window, but got none.")
    return float(np.mean((probability_W > 0.5) == (labels_W == 1)))
