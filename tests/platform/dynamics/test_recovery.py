"""Rates of frames and of bins are mapped to one and the same true state, as late as events are."""

import numpy as np
import pytest

from calsweep.datasets.lorenz import Form, Lorenz
from calsweep.platform.dynamics.recovery import TrueStates, best_lag

SYSTEM = Lorenz(speed_hz=4, n_conditions=2, trials_per_condition=10, n_neurons=3)


@pytest.fixture(scope="module")
def states():
    return TrueStates.of(SYSTEM)


def test_states_are_those_of_each_trial_in_bins_of_10_ms(states):
    truth = SYSTEM.truth().recordings["lorenz_4hz"]
    assert states.state_RBD.shape == (20, 120, 3)
    assert states.frame_start_R.tolist()[:6] == [0, 1, 2, 0, 1, 2]
    np.testing.assert_allclose(states.state_RBD[3], truth["latent_CBD"][1])


def test_frame_stands_where_its_neurons_were_sampled_on_average(states):
    """Frames that say in which bin their middle lies are told it back in every bin between."""
    middle_RT = states.frame_start_R[:, None] + 3 * np.arange(40) + 1
    bins_RB = states.in_bins(middle_RT[:, :, None].astype(float), Form.FRAMES)[:, :, 0]
    assert bins_RB.shape == (20, 120)
    for start in range(3):
        assert bins_RB[start, start + 1 : 118].tolist() == list(range(start + 1, 118))
        assert set(bins_RB[start, : start + 1]) == {start + 1.0}


def test_frames_of_ten_bins(states):
    slow = TrueStates(
        state_RBD=states.state_RBD, frame_start_R=states.frame_start_R * 4, bins_per_frame=10
    )
    bins_RB = slow.in_bins(np.arange(12.0).repeat(20).reshape(12, 20).T[:, :, None], Form.FRAMES)
    assert bins_RB[1, :9, 0].tolist() == [0.0] * 9
    assert bins_RB[1, 9, 0] == pytest.approx(0.05)  # half a bin after the middle at 8.5
    assert bins_RB[1, 18, 0] == pytest.approx(0.95)


def test_rates_in_bins_stay_as_they_are(states):
    rates_RBN = np.random.default_rng(0).normal(size=(20, 120, 2)).astype(np.float32)
    np.testing.assert_array_equal(states.in_bins(rates_RBN, Form.BINS), rates_RBN)


@pytest.mark.parametrize(("late_bins", "lag_ms"), [(0, 0), (2, 20), (4, 40)])
def test_lag_is_that_at_which_rates_tell_most(states, late_bins, lag_ms):
    late_RBD = np.roll(states.state_RBD, late_bins, axis=1)
    noise_RBD = np.random.default_rng(1).normal(size=late_RBD.shape)
    assert best_lag(states, late_RBD + noise_RBD) == lag_ms


@pytest.mark.parametrize(("speed_hz", "z"), [(4, 0.980), (7, 0.916), (10, 0.801), (15, 0.464)])
def test_frames_miss_what_is_faster_however_well_their_rates_are_known(speed_hz, z):
    """At 33.3 frames/s, interpolated linearly; in bins nothing is missed."""
    fast = TrueStates.of(
        Lorenz(speed_hz=speed_hz, n_conditions=8, trials_per_condition=3, n_neurons=3)
    )
    n_bins = fast.state_RBD.shape[1]
    middle_RT = fast.frame_start_R[:, None] + 3 * np.arange(n_bins // 3 - 1) + 1
    at_middle_RTD = fast.state_RBD[np.arange(24)[:, None], middle_RT]
    interpolated_RBD = fast.in_bins(at_middle_RTD, Form.FRAMES)
    assert fast.decoded(fast.state_RBD, lag_ms=0).mean(axis=0) == pytest.approx([1, 1, 1])
    assert fast.decoded(interpolated_RBD, lag_ms=0).mean(axis=0)[2] == pytest.approx(z, abs=0.002)
