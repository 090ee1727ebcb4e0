import dataclasses

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d
from scipy.signal import welch
from sklearn.linear_model import Ridge

from calsweep.datasets.deconvolution import Deconvolution
from calsweep.datasets.lorenz import SPEED_UP, Form, Lorenz, lorenz_states

WHOLE = Lorenz()
TINY = Lorenz(n_conditions=3, trials_per_condition=2, n_neurons=30)


@pytest.fixture(scope="module")
def whole():
    return next(WHOLE.recordings()), WHOLE.truth().recordings["lorenz_7hz"]


def by_trial(recording, n_rows):
    return recording.activity_TN.reshape(-1, n_rows, len(recording.units))


def test_eight_conditions_of_sixty_trials_of_ninety_bins(whole):
    recording, truth = whole
    assert recording.activity_TN.shape == (480 * 90, 278)
    assert (recording.rate_hz, recording.subject, recording.name) == (100.0, "lorenz", "lorenz_7hz")
    assert np.bincount(recording.trial_T).tolist() == [90] * 480
    assert np.bincount(recording.behavior["condition"]).tolist() == [5400] * 8
    shapes = {name: values.shape for name, values in truth.items()}
    assert shapes == {
        "latent_CBD": (8, 90, 3),
        "rate_CBN": (8, 90, 278),
        "spikes_RBN": (480, 90, 278),
        "condition_R": (480,),
        "frame_start_R": (480,),
        "weight_DN": (3, 278),
        "noise_N": (278,),
        "row_N": (278,),
    }


def test_the_slowest_system_has_longer_trials():
    recording = next(dataclasses.replace(TINY, speed_hz=4).recordings())
    assert recording.activity_TN.shape == (6 * 120, 30)


@pytest.mark.parametrize(("speed_hz", "speed_up"), SPEED_UP.items())
def test_the_third_dimension_peaks_at_its_speed(speed_hz, speed_up):
    rng = np.random.default_rng(0)
    states = lorenz_states(20, n_steps=3000, stride=speed_up, rng=rng)
    frequency, power = welch(states[:, :, 2], fs=100.0, nperseg=256, axis=1)
    peak_hz = frequency[1 + power.mean(axis=0)[1:].argmax()]
    assert peak_hz == pytest.approx(speed_hz, rel=0.12)


def test_neurons_fire_three_spikes_a_second(whole):
    _, truth = whole
    assert truth["rate_CBN"].mean(axis=(0, 1)) == pytest.approx(3.0, abs=0.15)
    assert truth["spikes_RBN"].mean() * 100 == pytest.approx(3.0, abs=0.05)


def test_spikes_are_poisson_around_the_rate_of_their_condition(whole):
    _, truth = whole
    spikes_RBN = truth["spikes_RBN"][truth["condition_R"] == 5].astype(float)
    expected_BN = truth["rate_CBN"][5] / 100
    miss_BN = spikes_RBN.mean(axis=0) - expected_BN
    assert (miss_BN**2 / (expected_BN / 60)).mean() == pytest.approx(1.0, abs=0.05)
    assert spikes_RBN.var(axis=0).mean() == pytest.approx(expected_BN.mean(), rel=0.05)


def test_log_rates_are_a_weighted_sum_of_the_state(whole):
    _, truth = whole
    states = truth["latent_CBD"].reshape(-1, 3)
    states = (states - [0, 0, 23.55]) / [7.92, 9.01, 8.62]
    log_rates = np.log(truth["rate_CBN"].reshape(-1, 278))
    rest = log_rates - states @ truth["weight_DN"]
    assert rest.std(axis=0).max() < 1e-5


def test_neurons_are_sampled_every_third_bin_by_the_row_they_lie_in(whole):
    recording, truth = whole
    rows = (recording.positions_ND[:, 0] // (500 / 3)).astype(int)
    assert np.array_equal(rows, truth["row_N"])
    sampled_RBN = ~np.isnan(by_trial(recording, 90))
    for trial, neuron in ((0, 0), (1, 0), (2, 0), (3, 1), (100, 17)):
        first = (truth["frame_start_R"][trial] + rows[neuron]) % 3
        bins = np.flatnonzero(sampled_RBN[trial, :, neuron])
        assert bins.tolist() == list(range(first, 90, 3))
    # In the next trial it is the next bin, and no bin has fewer than twenty neurons.
    assert truth["frame_start_R"][:4].tolist() == [0, 1, 2, 0]
    assert sampled_RBN[0].sum(axis=1).min() > 20


def test_the_state_stands_beside_the_bins(whole):
    recording, truth = whole
    for axis, name in enumerate("xyz"):
        states_RB = recording.behavior[name].reshape(480, 90)
        assert np.array_equal(states_RB[11], truth["latent_CBD"][3, :, axis])


def test_events_tell_spikes_as_well_as_they_do_in_practice(whole):
    """R: 0.32 on average. Spikes are those of the 30 ms that end with the sample."""
    recording, truth = whole
    events_RBN = by_trial(recording, 90)
    upto_RBN = np.cumsum(
        np.pad(truth["spikes_RBN"].astype(float), ((0, 0), (3, 0), (0, 0))), axis=1
    )
    spikes_RBN = upto_RBN[:, 3:] - upto_RBN[:, :-3]
    correlations = []
    for neuron in range(278):
        sampled = ~np.isnan(events_RBN[:, :, neuron])
        pair = events_RBN[:, :, neuron][sampled], spikes_RBN[:, :, neuron][sampled]
        correlations.append(np.corrcoef(*pair)[0, 1])
    assert np.mean(correlations) == pytest.approx(0.32, abs=0.05)


def test_means_of_events_tell_the_state_and_single_trials_hardly_do(whole):
    """What there is to gain: means of 30 trials tell those of 30 others, at a lag of 30 ms."""
    recording, truth = whole
    events_RBN = np.nan_to_num(by_trial(recording, 90))
    of_condition_RC = truth["condition_R"][:, None] == np.arange(8)

    def explained(train_CBN, test_CBN, z_CB):
        spread_N = train_CBN.std(axis=(0, 1))
        rows = [
            gaussian_filter1d(x_CBN / spread_N, 1.0, axis=1)[:, 3:].reshape(-1, 278)
            for x_CBN in (train_CBN, test_CBN)
        ]
        z = z_CB[:, :-3].ravel()
        return Ridge(100.0).fit(rows[0], z).score(rows[1], z)

    halves = [
        np.stack([events_RBN[trials][part].mean(axis=0) for trials in of_condition_RC.T])
        for part in (slice(0, None, 2), slice(1, None, 2))
    ]
    z_CB = truth["latent_CBD"][:, :, 2]
    assert explained(*halves, z_CB) > 0.75
    assert explained(events_RBN[:240], events_RBN[240:], z_CB[truth["condition_R"][:240]]) < 0.5


def test_events_are_none_or_at_least_the_smallest(whole):
    recording, _ = whole
    events = recording.activity_TN[~np.isnan(recording.activity_TN)]
    assert events[events > 0].min() >= 0.0999
    assert 0.02 < (events > 0).mean() < 0.15


def test_noise_of_neurons_is_normal_and_cut(whole):
    noise_N = whole[1]["noise_N"]
    assert noise_N.mean() == pytest.approx(0.12, abs=0.005)
    assert noise_N.std() == pytest.approx(0.02, abs=0.004)
    assert noise_N.min() >= 0.06


def test_fluorescence_without_noise_reaches_from_zero_to_one():
    clean = dataclasses.replace(TINY, trials_per_condition=60, noise=0.0, deconvolution=None)
    fluorescence_TN = next(clean.recordings()).activity_TN
    assert np.nanmin(fluorescence_TN) == pytest.approx(0.0, abs=1e-6)
    assert np.nanmax(fluorescence_TN) <= 1.0
    assert np.nanmax(fluorescence_TN, axis=0).mean() > 0.9  # the peak itself may not be sampled


def test_noise_grows_with_fluorescence():
    """Variance s^2 + s^2 f: between trials of one condition, told from the noiseless ones."""
    noisy = Lorenz(n_neurons=10, noise=0.12, deconvolution=None)
    silent_TN = next(noisy.recordings()).activity_TN
    truth = noisy.truth().recordings[noisy.name]
    no_spike_yet_RN = truth["spikes_RBN"][:, :30].sum(axis=1) == 0
    values_RBN = silent_TN.reshape(480, 90, 10)[:, :30]
    measured = [np.nanstd(values_RBN[no_spike_yet_RN[:, n], :, n]) for n in range(10)]
    assert measured == pytest.approx(truth["noise_N"], rel=0.1)


def test_frames_hold_the_same_samples_at_their_phases():
    bins, frames = (
        next(dataclasses.replace(TINY, form=form).recordings()) for form in (Form.BINS, Form.FRAMES)
    )
    truth = TINY.truth().recordings[TINY.name]
    assert frames.activity_TN.shape == (6 * 30, 30)
    assert frames.rate_hz == pytest.approx(33.333, abs=1e-3)
    assert not np.isnan(frames.activity_TN).any()
    assert np.allclose(frames.phase_N, truth["row_N"] / 3)
    assert bins.phase_N is None
    # Frame 4 of trial 2 begins in bin 2 + 3 x 4.
    for neuron in range(30):
        row = truth["row_N"][neuron]
        value = by_trial(frames, 30)[2, 4, neuron]
        assert by_trial(bins, 90)[2, 14 + row, neuron] == value
    assert frames.behavior["z"].reshape(6, 30)[2, 4] == bins.behavior["z"].reshape(6, 90)[2, 14]


def test_every_trial_may_be_unique():
    unique = dataclasses.replace(TINY, n_conditions=12, trials_per_condition=1)
    recording = next(unique.recordings())
    starts = recording.behavior["z"].reshape(12, 90)[:, 0]
    assert len(np.unique(starts)) == 12
    assert len(np.unique(recording.behavior["condition"])) == 12


def test_another_seed_another_population():
    first, second = (dataclasses.replace(TINY, seed=seed).truth().recordings for seed in (0, 1))
    assert not np.array_equal(first["lorenz_7hz"]["weight_DN"], second["lorenz_7hz"]["weight_DN"])


def test_the_decay_can_be_told_from_the_recording():
    told = dataclasses.replace(TINY, deconvolution=Deconvolution(s_min=0.1, baseline=0.0))
    assert "decay told from each unit" in next(told.recordings()).steps[0]


def test_refuses_a_speed_that_no_stride_gives():
    with pytest.raises(ValueError, match="one of 4, 7, 10, 13, 15, 20, but got 5"):
        Lorenz(speed_hz=5)
    with pytest.raises(ValueError, match="at least 1"):
        Lorenz(n_neurons=0)


def test_slower_imaging_samples_more_rows_less_often():
    slow = next(Lorenz(trials_per_condition=1, n_neurons=200, bins_per_frame=10).recordings())
    assert np.isnan(slow.activity_TN).mean().round(3) == 0.9
    sampled_BN = np.isfinite(slow.activity_TN[:90])
    assert (sampled_BN.sum(axis=0) == 9).all()  # 90 bins of 10 ms at 10 frames/s
    frames = next(
        Lorenz(
            trials_per_condition=1, n_neurons=200, bins_per_frame=10, form=Form.FRAMES
        ).recordings()
    )
    assert frames.rate_hz == 10
    assert len(frames.activity_TN) == 8 * 9
    assert set((frames.phase_N * 10).round().astype(int)) == set(range(10))
    with pytest.raises(ValueError, match="`1 <= bins_per_frame <= 90` must hold"):
        Lorenz(bins_per_frame=91)
