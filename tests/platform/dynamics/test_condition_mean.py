import numpy as np
import pytest

from calsweep.platform.dynamics.condition_mean import (
    condition_mean_correlation,
    subgroup_distance_ratio,
)


def test_correlation_leaves_a_trials_own_events_out():
    # Two trials of one condition that do each what the other does not.
    rates_BTN = np.array([[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]])[:, :, None]
    # With its own events the mean of both, (1/2, 1/2, 0, 0), would go with each: r = 0.58.
    assert condition_mean_correlation(rates_BTN, rates_BTN, [0, 0])[0] == pytest.approx(-1 / 3)


def test_rates_that_are_the_mean_of_the_others_correlate_perfectly():
    smoothed_BTN = np.random.default_rng(0).random((6, 10, 2))
    others_BTN = (smoothed_BTN.sum(axis=0) - smoothed_BTN) / 5
    correlation_N = condition_mean_correlation(others_BTN, smoothed_BTN, ["a"] * 6)
    assert correlation_N.round(9).tolist() == [1.0, 1.0]


def test_trial_that_is_alone_does_not_count():
    smoothed_BTN = np.random.default_rng(0).random((5, 10, 3))
    alone = condition_mean_correlation(smoothed_BTN, smoothed_BTN, [0, 0, 1, 1, 2])
    without = condition_mean_correlation(smoothed_BTN[:4], smoothed_BTN[:4], [0, 0, 1, 1])
    assert alone.tolist() == without.tolist()


def test_neurons_with_few_events_or_still_ones_give_nothing():
    smoothed_BTN = np.random.default_rng(0).random((4, 10, 3))
    smoothed_BTN[:, :, 2] = 0
    correlation_N = condition_mean_correlation(
        smoothed_BTN, smoothed_BTN, [0, 0, 0, 0], events_N=[40, 39, 100]
    )
    assert np.isnan(correlation_N).tolist() == [False, True, True]


def test_ratio_is_of_mean_distances_bin_by_bin():
    # In the first bin two groups ten apart, in the second all alike but one.
    rates_BTN = np.array([[0, 0], [2, 0], [10, 0], [12, 1]], dtype=float)[:, :, None]
    ratio_BT = subgroup_distance_ratio(rates_BTN, [0] * 4, ["near", "near", "far", "far"])
    assert ratio_BT[:, 0].tolist() == [5.5, 4.5, 4.5, 5.5]  # (10 + 12) / 2 / 2, (8 + 10) / 2 / 2
    assert ratio_BT[2:, 1].tolist() == [0.0, 1.0]


def test_trials_of_other_conditions_are_not_compared():
    rates_BTN = np.array([0.0, 2.0, 10.0, 12.0, 500.0, 900.0])[:, None, None]
    ratio_BT = subgroup_distance_ratio(rates_BTN, [0, 0, 0, 0, 1, 1], [0, 0, 1, 1, 0, 0])
    assert ratio_BT[:4, 0].tolist() == [5.5, 4.5, 4.5, 5.5]
    assert np.isnan(ratio_BT[4:]).all()  # their condition has one subgroup


def test_what_does_not_go_together_is_refused():
    rates_BTN = np.ones((3, 4, 2))
    with pytest.raises(ValueError, match=r"each of 3 trials must have a condition, but got \(2,\)"):
        condition_mean_correlation(rates_BTN, rates_BTN, [0, 1])
    with pytest.raises(ValueError, match=r"\(3, 4, 2\) and \(3, 3, 2\)"):
        condition_mean_correlation(rates_BTN, rates_BTN[:, 1:], [0, 0, 0])
    with pytest.raises(ValueError, match="a condition with at least two trials"):
        condition_mean_correlation(rates_BTN, rates_BTN, [0, 1, 2])
