import numpy as np
import pytest

from calsweep.platform.dynamics.reaction_time import predict_onsets


def moving(onset_B, *, n_bins=60, n_neurons=12, noise=0.0):
    rng = np.random.default_rng(0)
    is_moving_BT = np.arange(n_bins) >= np.asarray(onset_B)[:, None]
    weight_N = rng.normal(size=n_neurons)
    rates_BTN = is_moving_BT[:, :, None] * weight_N
    return rates_BTN + noise * rng.normal(size=rates_BTN.shape)


def test_onsets_are_found_in_noise():
    onset_B = np.random.default_rng(1).integers(15, 45, size=40)
    predicted_B = predict_onsets(moving(onset_B, noise=0.2), onset_B, bin_s=0.01)
    assert np.corrcoef(predicted_B, onset_B)[0, 1] > 0.95


def test_permuted_onsets_are_not_found():
    onset_B = np.random.default_rng(1).integers(15, 45, size=40)
    permuted_B = np.random.default_rng(2).permutation(onset_B)
    predicted_B = predict_onsets(moving(onset_B, noise=0.2), permuted_B, bin_s=0.01)
    is_there = np.isfinite(predicted_B)
    assert abs(np.corrcoef(predicted_B[is_there], permuted_B[is_there])[0, 1]) < 0.5


def test_what_comes_before_the_cue_does_not_count():
    onset_B = np.full(8, 30)
    rates_BTN = moving(onset_B)
    rates_BTN[0, :5] = rates_BTN[0, 40]  # a movement of before
    assert predict_onsets(rates_BTN, onset_B, bin_s=0.01)[0] == 0
    assert predict_onsets(rates_BTN, onset_B, bin_s=0.01, first_bin=5).tolist() == [30] * 8


def test_trial_without_movement_has_no_onset():
    onset_B = np.full(8, 30)
    rates_BTN = moving(onset_B)
    rates_BTN[2] = 0
    predicted_B = predict_onsets(rates_BTN, onset_B, bin_s=0.01)
    assert np.isnan(predicted_B).tolist() == [trial == 2 for trial in range(8)]


def test_no_movement_is_found_where_a_shorter_trial_was_filled_up():
    onset_B = np.full(8, 30)
    rates_BTN = moving(onset_B)
    rates_BTN[2, :45] = 0  # it moves beyond its end alone
    n_bins_B = np.where(np.arange(8) == 2, 45, 60)
    predicted_B = predict_onsets(rates_BTN, onset_B, bin_s=0.01, n_bins_B=n_bins_B)
    assert np.isnan(predicted_B).tolist() == [trial == 2 for trial in range(8)]
    assert predict_onsets(rates_BTN, onset_B, bin_s=0.01)[2] == 45


def test_onsets_at_the_border_are_refused():
    with pytest.raises(ValueError, match="before and after each onset .* 1 of 4 .* bin 5 of 60"):
        predict_onsets(np.ones((4, 60, 2)), [5, 30, 30, 30], bin_s=0.01)
    with pytest.raises(ValueError, match="10 bins before and after .* 2 of 4 .* bin 30 of 35"):
        predict_onsets(np.ones((4, 60, 2)), [30] * 4, bin_s=0.01, n_bins_B=[60, 35, 36, 40])
    with pytest.raises(ValueError, match="at least 4 trials"):
        predict_onsets(np.ones((3, 60, 2)), [30, 30, 30], bin_s=0.01)
