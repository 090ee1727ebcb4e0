import numpy as np
import pytest

from calsweep.platform.dynamics.state_decoding import decode_states

# B trial, T bin, N neuron, D dimension


def measured(*, n_trials=30, n_bins=12, noise=0.0, lag=0, seed=0):
    """Give rates that follow two states, so many bins late."""
    rng = np.random.default_rng(seed)
    states_BTD = rng.normal(size=(n_trials, n_bins, 2))
    late_BTD = np.roll(states_BTD, lag, axis=1)
    rates_BTN = late_BTD @ np.array([[1.0, 0.0, 2.0], [0.0, 1.0, 1.0]])
    return rates_BTN + noise * rng.normal(size=rates_BTN.shape), states_BTD


def test_states_that_rates_hold_are_read_exactly():
    decoding = decode_states(*measured())
    assert decoding.r2_FD.shape == (5, 2)
    assert decoding.by_dimension.round(5).tolist() == [1.0, 1.0]
    assert decoding.by_fold.round(5).tolist() == [1.0] * 5
    _, states_BTD = measured()
    assert np.allclose(decoding.predicted_BTD, states_BTD, atol=1e-3)


def test_noise_lowers_it_as_far_as_it_hides_the_state():
    # One unit that shows the state with noise of the same variance: r2 = 1 - 1/2.
    rng = np.random.default_rng(0)
    states_BTD = rng.normal(size=(200, 20, 1))
    rates_BTN = states_BTD + rng.normal(size=states_BTD.shape)
    assert decode_states(rates_BTN, states_BTD).by_dimension[0] == pytest.approx(0.5, abs=0.03)


def test_state_of_other_trials_is_not_read():
    rates_BTN, _ = measured(seed=1)
    _, states_BTD = measured(seed=2)
    assert decode_states(rates_BTN, states_BTD).by_dimension.max() < 0.05


def test_lag_is_that_of_rates_behind_the_state():
    rates_BTN, states_BTD = measured(lag=3)
    assert decode_states(rates_BTN, states_BTD, lag_bins=3).by_dimension.min() > 0.999
    assert decode_states(rates_BTN, states_BTD).by_dimension.max() < 0.2
    predicted_BTD = decode_states(rates_BTN, states_BTD, lag_bins=3).predicted_BTD
    assert np.isnan(predicted_BTD[:, -3:]).all()
    assert np.isfinite(predicted_BTD[:, :-3]).all()


def test_penalty_is_chosen_where_neurons_are_many_and_noisy():
    rng = np.random.default_rng(0)
    states_BTD = rng.normal(size=(20, 5, 1))
    rates_BTN = states_BTD @ np.ones((1, 60)) + 10 * rng.normal(size=(20, 5, 60))
    decoding = decode_states(rates_BTN, states_BTD)
    assert decoding.penalty_F.min() >= 100
    unpenalized = decode_states(rates_BTN, states_BTD, penalties=[1e-6])
    assert decoding.by_dimension[0] > unpenalized.by_dimension[0]


def test_missing_bins_are_left_out():
    rates_BTN, states_BTD = measured()
    states_BTD[3, 2:5] = np.nan
    rates_BTN[7, 0, 1] = np.nan
    decoding = decode_states(rates_BTN, states_BTD)
    assert decoding.by_dimension.min() > 0.999
    assert np.isnan(decoding.predicted_BTD[3, 2:5]).all()
    assert np.isnan(decoding.predicted_BTD[7, 0]).all()


def test_what_cannot_be_is_refused():
    rates_BTN, states_BTD = measured()
    with pytest.raises(ValueError, match=r"same trials and bins, but have \(30, 11\) and"):
        decode_states(rates_BTN[:, 1:], states_BTD)
    with pytest.raises(ValueError, match=r"`0 <= lag_bins < 12` must hold, but got lag_bins=12"):
        decode_states(rates_BTN, states_BTD, lag_bins=12)
    with pytest.raises(ValueError, match="at least 7 trials, but got n_folds=5 and 6 trials"):
        decode_states(rates_BTN[:6], states_BTD[:6])
    with pytest.raises(ValueError, match="neither rates nor state are missing"):
        decode_states(rates_BTN * np.nan, states_BTD)
