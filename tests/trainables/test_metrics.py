import numpy as np
import pytest

from calsweep.trainables.metrics import accuracy, auc


def test_auc_counts_ties_half():
    assert auc(np.array([0, 1, 0, 1]), np.array([0.5, 0.5, 0.1, 0.9])) == 0.875


def test_auc_of_one_class_is_refused():
    with pytest.raises(ValueError, match=r"both classes, but the 3 windows are all of \[1\]"):
        auc(np.array([1, 1, 1]), np.array([0.2, 0.5, 0.9]))


def test_accuracy():
    assert accuracy(np.array([0, 1, 1, 0]), np.array([0.4, 0.6, 0.4, 0.6])) == 0.5


def test_accuracy_of_nothing_is_refused():
    with pytest.raises(ValueError, match="at least one window, but got none"):
        accuracy(np.array([], dtype=int), np.array([]))
