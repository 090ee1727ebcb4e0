import numpy as np
import pytest

from calsweep.trainables.metrics import (
    accuracy,
    auc,
    calibration,
    class_figures,
    confusion,
    decide,
)


def two(*probabilities):
    """Give the probability of class 0 beside that of class 1."""
    return np.array([[1 - p, p] for p in probabilities])


# Rows: probabilities of three classes; the labels are 0, 0, 1, 2, 2.
THREE = np.array(
    [[0.8, 0.1, 0.1], [0.3, 0.6, 0.1], [0.2, 0.5, 0.3], [0.1, 0.1, 0.8], [0.4, 0.3, 0.3]]
)
LABELS = np.array([0, 0, 1, 2, 2])


def test_auc_counts_ties_half():
    assert auc(np.array([0, 1, 0, 1]), two(0.5, 0.5, 0.1, 0.9)) == 0.875


def test_auc_of_three_classes_is_the_mean_of_each_against_the_others():
    # Class 0: of 2 x 3 pairs, 0.3 loses to 0.4 alone: 5/6. Class 1: 0.5 loses to 0.6 alone: 3/4.
    # Class 2: 0.8 wins all 3, 0.3 wins 2 and ties 1: 5.5/6.
    assert auc(LABELS, THREE) == pytest.approx((5 / 6 + 3 / 4 + 5.5 / 6) / 3)


def test_auc_leaves_out_a_class_that_does_not_occur():
    kept = LABELS != 1
    # Class 0: 0.3 loses to 0.4: 3/4; class 2: all four pairs are won.
    assert auc(LABELS[kept], THREE[kept]) == pytest.approx((3 / 4 + 1) / 2)


def test_auc_of_one_class_is_refused():
    with pytest.raises(ValueError, match=r"two classes, but the 3 windows are all of \[1\]"):
        auc(np.array([1, 1, 1]), two(0.2, 0.5, 0.9))


def test_accuracy():
    assert accuracy(np.array([0, 1, 1, 0]), two(0.4, 0.6, 0.4, 0.6)) == 0.5
    assert accuracy(LABELS, THREE) == 0.6


def test_accuracy_of_nothing_is_refused():
    with pytest.raises(ValueError, match="at least one window, but got none"):
        accuracy(np.array([], dtype=int), np.zeros((0, 2)))


def test_confusion_has_a_row_for_each_class_that_is():
    assert confusion(LABELS, decide(THREE), n_classes=3).tolist() == [
        [1, 1, 0],
        [0, 1, 0],
        [1, 0, 1],
    ]
    assert confusion(np.array([0]), np.array([0]), n_classes=3).shape == (3, 3)


def test_figures_of_each_class():
    figures = class_figures(LABELS, decide(THREE), n_classes=3)
    assert figures.precision_C.tolist() == [0.5, 0.5, 1.0]
    assert figures.recall_C.tolist() == [0.5, 1.0, 0.5]
    assert figures.f1_C == pytest.approx([0.5, 2 / 3, 2 / 3])
    assert figures.n_windows_C.tolist() == [2, 1, 2]
    assert figures.average(figures.f1_C) == pytest.approx((0.5 + 4 / 3) / 3)
    assert figures.average(figures.f1_C, weighted=True) == pytest.approx((1 + 2 / 3 + 4 / 3) / 5)
    assert figures.of_interest(figures.recall_C) == pytest.approx(2 / 3)


def test_of_two_classes_class_1_is_of_interest():
    figures = class_figures(np.array([0, 1, 1, 0]), np.array([0, 1, 0, 0]), n_classes=2)
    assert figures.of_interest(figures.recall_C) == 0.5
    assert figures.of_interest(figures.precision_C) == 1.0


def test_class_that_is_never_given_has_precision_0():
    figures = class_figures(np.array([0, 1]), np.array([0, 0]), n_classes=2)
    assert figures.precision_C.tolist() == [0.5, 0.0]


def test_calibration_by_bins_of_equal_width():
    said = np.array([0.05, 0.15, 0.15, 0.95, 0.95])
    found = calibration(np.array([0, 0, 1, 1, 0], bool), said)
    assert found.said_B == pytest.approx([0.05, 0.15, 0.95])
    assert found.observed_B == pytest.approx([0.0, 0.5, 0.5])
