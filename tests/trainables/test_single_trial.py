"""Scores of single trials, with values written out."""

import math

import numpy as np
import pytest
from scipy import signal

from calsweep.trainables.single_trial import coherence, correlation_with_others, distance_ratio


class TestCorrelation:
    def test_is_with_the_mean_of_all_other_trials(self):
        rates = np.array([[1.0, 2.0], [2.0, 6.0], [0.0, 1.0], [5.0, 3.0]])[..., None]
        events = np.array([[0.0, 3.0], [2.0, 1.0], [4.0, 5.0], [1.0, 1.0]])[..., None]
        group = np.array([0, 0, 0, 1])
        # Of each trial the mean of the two others of its group.
        group[3] = 0
        others = (events.sum(axis=0) - events) / 3
        expected = np.corrcoef(rates.ravel(), others.ravel())[0, 1]
        assert correlation_with_others(rates, events, group).tolist() == pytest.approx([expected])

    def test_of_groups_is_over_all_trials_end_to_end(self):
        rng = np.random.default_rng(0)
        mean = rng.normal(size=(2, 10, 3))
        group = np.repeat([0, 1], 6)
        rates = mean[group] + 0.01 * rng.normal(size=(12, 10, 3))
        assert correlation_with_others(rates, rates, group).min() > 0.99
        shuffled = correlation_with_others(rates, rates, np.tile([0, 1], 6))
        assert shuffled.max() < 0.9

    def test_of_neurons_with_few_events_is_left_out(self):
        rates = np.random.default_rng(0).normal(size=(4, 5, 3))
        found = correlation_with_others(
            rates, rates, np.zeros(4, dtype=int), n_events_N=np.array([39, 40, 100])
        )
        assert np.isnan(found).tolist() == [True, False, False]

    def test_of_a_silent_neuron_is_none(self):
        rates = np.zeros((4, 5, 1))
        assert np.isnan(correlation_with_others(rates, rates, np.zeros(4, dtype=int))).all()

    def test_group_of_one_trial_is_refused(self):
        rates = np.zeros((3, 2, 1))
        with pytest.raises(ValueError, match="group 7 has one trial only"):
            correlation_with_others(rates, rates, np.array([0, 0, 7]))


class TestDistanceRatio:
    def test_is_that_written_out(self):
        """Two neurons in one bin: a square's corners, two of each subgroup."""
        rates = np.array([[0.0, 0.0], [0.0, 1.0], [3.0, 0.0], [3.0, 1.0]])[:, None, :]
        across = (3 + math.sqrt(10)) / 2
        found = distance_ratio(rates, np.zeros(4, dtype=int), np.array([0, 0, 1, 1]))
        assert found.tolist() == pytest.approx([across / 1.0])

    def test_without_a_difference_is_about_one(self):
        rates = np.random.default_rng(0).normal(size=(80, 4, 10))
        condition, subgroup = np.repeat([0, 1], 40), np.tile([0, 1], 40)
        np.testing.assert_allclose(distance_ratio(rates, condition, subgroup), 1.0, atol=0.03)

    def test_is_within_conditions(self):
        rng = np.random.default_rng(0)
        condition, subgroup = np.repeat([0, 1], 20), np.tile([0, 1], 20)
        rates = rng.normal(size=(40, 4, 10)) + 100.0 * condition[:, None, None]
        np.testing.assert_allclose(distance_ratio(rates, condition, subgroup), 1.0, atol=0.1)

    def test_other_numbers_of_subgroups_are_refused(self):
        with pytest.raises(ValueError, match="condition 0 must have two subgroups, but has 1"):
            distance_ratio(np.zeros((4, 1, 2)), np.zeros(4, dtype=int), np.zeros(4, dtype=int))
        with pytest.raises(ValueError, match="one trial only"):
            distance_ratio(
                np.arange(6.0).reshape(3, 1, 2), np.zeros(3, dtype=int), np.array([0, 0, 1])
            )


class TestCoherence:
    def test_is_that_of_scipy(self):
        """Of one long trial, with MATLAB's window."""
        rng = np.random.default_rng(0)
        true = rng.normal(size=(1, 700, 1))
        predicted = 0.5 * np.roll(true, 2, axis=1) + rng.normal(size=true.shape)
        found = coherence(true, predicted, rate_hz=100.0)
        frequency, expected = signal.coherence(
            true[0, :, 0],
            predicted[0, :, 0],
            fs=100.0,
            window=np.hanning(37)[1:-1],
            nperseg=35,
            noverlap=25,
            detrend=False,
        )
        np.testing.assert_allclose(found.frequency_hz_Q, frequency)
        np.testing.assert_allclose(found.coherence_Q, expected, rtol=1e-10)

    def test_of_the_same_is_one(self):
        true = np.random.default_rng(0).normal(size=(20, 70, 3))
        np.testing.assert_allclose(coherence(true, -2 * true, rate_hz=100.0).coherence_Q, 1.0)

    def test_is_high_where_both_agree_only(self):
        rng = np.random.default_rng(0)
        slow = signal.sosfiltfilt(
            signal.butter(4, 10.0, fs=100.0, output="sos"), rng.normal(size=(60, 70, 1)), axis=1
        )
        true, predicted = (slow + 0.05 * rng.normal(size=slow.shape) for _ in range(2))
        found = coherence(true, predicted, rate_hz=100.0)
        assert (
            found.coherence_Q[(found.frequency_hz_Q > 0) & (found.frequency_hz_Q < 8)].min() > 0.9
        )
        assert found.coherence_Q[found.frequency_hz_Q > 25].max() < 0.3

    def test_of_trials_shorter_than_a_window_is_refused(self):
        with pytest.raises(ValueError, match="trials be as long as a window"):
            coherence(np.zeros((2, 30, 1)), np.zeros((2, 30, 1)), rate_hz=100.0)
