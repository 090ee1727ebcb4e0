"""Figures of merit of decoders, over all windows of a part."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.calibration import calibration_curve
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support, roc_auc_score

# W windows, C classes, B bins


def auc(labels_W: NDArray[np.int64], probability_WC: NDArray[np.floating], /) -> float:
    """Give the area under the ROC curve.

    Parameters
    ----------
    labels_W
        Class of each window.
    probability_WC
        Probability of each class.

    Returns
    -------
    auc
        Of class 1 against class 0; of more than two classes, the mean over those that occur, each
        against all others.

    Raises
    ------
    ValueError
        If there is only one class.

    Examples
    --------
    >>> p_W = np.array([0.1, 0.9, 0.4, 0.5])
    >>> auc(np.array([0, 1, 1, 0]), np.stack([1 - p_W, p_W], axis=1))
    0.75
    """
    classes = np.unique(labels_W)
    if len(classes) < 2:
        raise ValueError(
            f"AUC needs windows of two classes, but the {len(labels_W)} windows are all of "
            f"{classes.tolist()}: choose another target or other folds."
        )
    if probability_WC.shape[1] == 2:
        return float(roc_auc_score(labels_W, probability_WC[:, 1]))
    return float(np.mean([roc_auc_score(labels_W == c, probability_WC[:, c]) for c in classes]))


def decide(probability_WC: NDArray[np.floating], /) -> NDArray[np.int64]:
    """Give the most probable class of each window; of equal ones the first.

    Examples
    --------
    >>> decide(np.array([[0.2, 0.8], [0.5, 0.5]])).tolist()
    [1, 0]
    """
    decided_W: NDArray[np.int64] = np.argmax(probability_WC, axis=1)
    return decided_W


def accuracy(labels_W: NDArray[np.int64], probability_WC: NDArray[np.floating], /) -> float:
    """Give the share of windows whose most probable class is right.

    Raises
    ------
    ValueError
        If there is no window.

    Examples
    --------
    >>> p_W = np.array([0.1, 0.9, 0.4, 0.2])
    >>> accuracy(np.array([0, 1, 1, 0]), np.stack([1 - p_W, p_W], axis=1))
    0.75
    """
    if len(labels_W) == 0:
        raise ValueError("accuracy needs at least one window, but got none.")
    return float(np.mean(decide(probability_WC) == labels_W))


@dataclass(frozen=True, kw_only=True)
class ClassFigures:
    """Figures of each class, the others taken together.

    Attributes
    ----------
    precision_C
        Of the windows given the class, the share that has it; 0 where none is given it.
    recall_C
        Of the windows that have the class, the share given it; 0 where none has it.
    f1_C
        Harmonic mean of the two.
    n_windows_C
        Windows that have the class.
    """

    precision_C: NDArray[np.float64]
    recall_C: NDArray[np.float64]
    f1_C: NDArray[np.float64]
    n_windows_C: NDArray[np.int64]

    def average(self, values_C: NDArray[np.float64], /, *, weighted: bool = False) -> float:
        """Give the mean over classes (macro), or over windows by their class (weighted)."""
        return float(np.average(values_C, weights=self.n_windows_C if weighted else None))

    def of_interest(self, values_C: NDArray[np.float64], /) -> float:
        """Give the value of class 1 where there are two classes, else the mean over classes."""
        return float(values_C[1]) if len(values_C) == 2 else self.average(values_C)


def class_figures(
    labels_W: NDArray[np.int64], decided_W: NDArray[np.int64], /, *, n_classes: int
) -> ClassFigures:
    """Give precision, recall and F1 of each class.

    Parameters
    ----------
    labels_W, decided_W
        Class that each window has, and class given to it.
    n_classes
        Of the target.

    Examples
    --------
    >>> figures = class_figures(np.array([0, 1, 1, 0]), np.array([0, 1, 0, 0]), n_classes=2)
    >>> figures.precision_C.round(3).tolist(), figures.recall_C.tolist()
    ([0.667, 1.0], [1.0, 0.5])
    """
    precision_C, recall_C, f1_C, n_windows_C = precision_recall_fscore_support(
        labels_W, decided_W, labels=range(n_classes), zero_division=0.0
    )
    return ClassFigures(
        precision_C=precision_C, recall_C=recall_C, f1_C=f1_C, n_windows_C=n_windows_C
    )


def confusion(
    labels_W: NDArray[np.int64], decided_W: NDArray[np.int64], /, *, n_classes: int
) -> NDArray[np.int64]:
    """Count windows by the class they have (row) and the class given to them (column).

    Examples
    --------
    >>> confusion(np.array([0, 1, 1, 0]), np.array([0, 1, 0, 0]), n_classes=2).tolist()
    [[2, 0], [1, 1]]
    """
    counts: NDArray[np.int64] = confusion_matrix(labels_W, decided_W, labels=range(n_classes))
    return counts


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """How often a class occurs where its probability is said to be so much.

    Attributes
    ----------
    said_B
        Mean probability in each bin that has windows.
    observed_B
        Share of the class there.
    """

    said_B: NDArray[np.float64]
    observed_B: NDArray[np.float64]


def calibration(
    is_class_W: NDArray[np.bool_], probability_W: NDArray[np.float32], /, *, n_bins: int = 10
) -> Calibration:
    """Compare what a decoder says of a class with how often it occurs.

    Parameters
    ----------
    is_class_W
        Whether each window has the class.
    probability_W
        Probability of the class.
    n_bins
        Bins of equal width.

    Examples
    --------
    >>> found = calibration(np.array([False, True]), np.array([0.05, 0.95]))
    >>> found.said_B.tolist(), found.observed_B.tolist()
    ([0.05, 0.95], [0.0, 1.0])
    """
    observed_B, said_B = calibration_curve(is_class_W, probability_W, n_bins=n_bins)
    return Calibration(said_B=said_B, observed_B=observed_B)
