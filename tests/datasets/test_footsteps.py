import itertools

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from calsweep.datasets.footsteps import Code, Footsteps


@pytest.fixture(scope="module")
def walk():
    simulator = Footsteps(recordings_per_mouse=1)
    recording = next(simulator.recordings())
    return recording, simulator.truth().recordings[recording.name]


def test_two_mice_with_two_recordings_of_two_hundred_seconds():
    recordings = list(Footsteps(n_neurons=4).recordings())
    names = ["mouse1_r1", "mouse1_r2", "mouse2_r1", "mouse2_r2"]
    assert [r.name for r in recordings] == names
    assert [r.subject for r in recordings] == ["mouse1", "mouse1", "mouse2", "mouse2"]
    assert recordings[0].activity_TN.shape == (3000, 4)
    assert recordings[0].rate_hz == 15.0


def test_half_of_the_frames_have_no_step_and_most_others_a_contralateral_one():
    recordings = Footsteps(n_neurons=1, n_mice=4).recordings()
    labels = np.concatenate([r.behavior["footstep"] for r in recordings])
    assert np.bincount(labels) / len(labels) == pytest.approx([0.5, 0.3, 0.2], abs=0.04)


def test_a_step_takes_half_a_second_to_a_second_and_forelimbs_take_turns(walk):
    label_T = walk[0].behavior["footstep"]
    borders = np.flatnonzero(np.diff(label_T)) + 1
    runs = [run for run in np.split(label_T, borders)[1:-1] if run[0] > 0]
    assert np.mean([len(run) for run in runs]) / 15 == pytest.approx(0.68, abs=0.1)
    same = np.mean([a[0] == b[0] for a, b in itertools.pairwise(runs)])
    assert same < 0.15  # across a rest only


def test_neurons_have_codes_in_the_shares_asked_for(walk):
    assert np.bincount(walk[1]["code_N"]).tolist() == [253, 84, 42, 42]


def test_neurons_keep_their_codes_from_one_recording_to_the_next_and_mice_differ():
    truth = Footsteps(n_frames=60, n_neurons=50).truth().recordings
    assert np.array_equal(truth["mouse1_r1"]["code_N"], truth["mouse1_r2"]["code_N"])
    assert not np.array_equal(truth["mouse1_r1"]["code_N"], truth["mouse2_r1"]["code_N"])
    assert not np.array_equal(truth["mouse1_r1"]["spikes_TN"], truth["mouse1_r2"]["spikes_TN"])


@pytest.mark.parametrize(("code", "labels"), [(1, (1,)), (2, (2,)), (3, (1, 2)), (0, ())])
def test_neurons_fire_for_their_steps(walk, code, labels):
    recording, truth = walk
    for neuron in np.flatnonzero(truth["code_N"] == code)[:5]:
        lag = truth["lag_frames_N"][neuron]
        steps_T = np.roll(np.isin(recording.behavior["footstep"], labels), lag)
        spikes_T = truth["spikes_TN"][:, neuron] * 15.0
        resting = spikes_T[~steps_T].mean()
        assert resting == pytest.approx(truth["resting_N"][neuron], abs=0.15)
        if labels:
            more = spikes_T[steps_T].mean() - resting
            assert more == pytest.approx(truth["strength_N"][neuron], abs=0.35)


def test_steps_of_either_forelimb_have_their_strength(walk):
    truth = walk[1]
    assert truth["strength_N"][truth["code_N"] > 0].mean() == pytest.approx(0.6, abs=0.1)
    assert (truth["strength_N"][truth["code_N"] == Code.NONE] == 0).all()


def test_some_neurons_fire_at_the_start_of_their_steps_alone_and_long_before_or_after():
    """0.2 s at 15 frames/s are three frames; 0.4 s are six."""
    simulator = Footsteps(
        n_mice=1,
        recordings_per_mouse=1,
        n_neurons=200,
        contralateral=1.0,
        ipsilateral=0.0,
        both=0.0,
        strength_hz=200.0,
        lags_s=(-0.4, 0.4),
        transient=0.5,
        deconvolution=None,
    )
    recording = next(simulator.recordings())
    truth = simulator.truth().recordings[recording.name]
    assert 0.4 < truth["is_transient_N"].mean() < 0.6
    assert (truth["lag_frames_N"].min(), truth["lag_frames_N"].max()) == (-6, 6)
    label_T = recording.behavior["footstep"]
    start = next(
        t for t in range(20, 3000) if label_T[t - 1] != 1 and (label_T[t : t + 8] == 1).all()
    )
    for neuron in np.flatnonzero(truth["strength_N"] > 150)[:40]:
        fires_T = np.roll(truth["spikes_TN"][:, neuron] > 2, -truth["lag_frames_N"][neuron])
        expected = 3 if truth["is_transient_N"][neuron] else 8
        assert fires_T[start - 1 : start + 8].tolist() == [False] + [True] * expected + [False] * (
            8 - expected
        )


def test_events_are_standardised_and_say_so(walk):
    recording, truth = walk
    assert np.abs(recording.activity_TN.mean(axis=0)).max() < 1e-4
    spread_N = recording.activity_TN.std(axis=0)
    assert np.allclose(spread_N[spread_N > 0], 1.0, atol=1e-4)
    assert [step.partition(" ")[0] for step in recording.steps] == ["deconvolved", "standardised"]
    correlations = [
        np.corrcoef(events_T, spikes_T)[0, 1]
        for events_T, spikes_T in zip(recording.activity_TN.T, truth["spikes_TN"].T, strict=True)
        if events_T.any() and spikes_T.any()
    ]
    assert len(correlations) > 400
    assert np.mean(correlations) > 0.3


def test_neurons_with_a_code_tell_the_step_and_others_do_not(walk):
    """A linear decoder over 10 frames, trained on the first 70 % of the recording."""
    recording, truth = walk
    windows = np.lib.stride_tricks.sliding_window_view(recording.activity_TN, 10, axis=0)
    labels = recording.behavior["footstep"][5 : 5 + len(windows)]

    def accuracy(neurons):
        x = windows[:, neurons].mean(axis=-1)
        decoder = LogisticRegression(C=0.01, max_iter=500).fit(x[:2100], labels[:2100])
        return decoder.score(x[2110:], labels[2110:])

    assert 0.65 < accuracy(truth["code_N"] > 0) < 0.9
    assert accuracy(truth["code_N"] == 0) < 0.55


def test_refuses_shares_above_one():
    with pytest.raises(ValueError, match="1 or less together"):
        Footsteps(contralateral=0.6, ipsilateral=0.6)
    with pytest.raises(ValueError, match="at least 1"):
        Footsteps(n_mice=0)
    with pytest.raises(ValueError, match="transient <= 1"):
        Footsteps(transient=1.5)
    with pytest.raises(ValueError, match=r"lags_s\[0\] <= lags_s\[1\]"):
        Footsteps(lags_s=(0.4, -0.4))
