"""Gaussian smoothing, with weights written out."""

import math

import numpy as np
import pytest

from calsweep.trainables.smoothing import smooth


def trial(*values):
    return np.array(values, dtype=np.float32).reshape(1, -1, 1)


def test_weights_are_those_of_a_gaussian():
    one, two = math.exp(-0.5), math.exp(-2.0)
    found = smooth(trial(0, 0, 1, 0, 0), rate_hz=100.0, sd_ms=10.0).ravel()
    whole = 1 + 2 * one + 2 * two
    expected = [
        two / (1 + one + two + math.exp(-4.5) + math.exp(-8)),
        one / (1 + 2 * one + two + math.exp(-4.5)),
        1 / whole,
    ]
    np.testing.assert_allclose(found, [*expected, *expected[1::-1]], rtol=1e-12)


def test_constant_stays_constant_at_the_ends_and_over_gaps():
    values = trial(3, np.nan, 3, 3, np.nan, np.nan, 3)
    np.testing.assert_allclose(smooth(values, rate_hz=100.0, sd_ms=6.0), 3.0, rtol=1e-12)


def test_nothing_comes_from_far_away():
    found = smooth(trial(1, *[np.nan] * 20, 2), rate_hz=100.0, sd_ms=20.0).ravel()
    assert found[:9].tolist() == [1.0] * 9  # four standard deviations are eight bins
    assert np.isnan(found[9:13]).all()
    assert found[13:].tolist() == [2.0] * 9


def test_trials_and_neurons_do_not_mix():
    values = np.zeros((2, 5, 2))
    values[0, 2, 0] = 1.0
    smoothed = smooth(values, rate_hz=100.0, sd_ms=10.0)
    assert smoothed[0, :, 0].min() > 0
    assert smoothed[1].max() == smoothed[0, :, 1].max() == 0


@pytest.mark.parametrize("change", [{"sd_ms": 0.0}, {"rate_hz": -1.0}])
def test_settings_that_are_not_positive_are_refused(change):
    with pytest.raises(ValueError, match="must be positive, but got"):
        smooth(trial(1, 2), **{"rate_hz": 100.0, "sd_ms": 6.0, **change})
