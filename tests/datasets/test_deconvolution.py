import numpy as np
import pytest

from calsweep.datasets.calcium import Kernel
from calsweep.datasets.deconvolution import Deconvolution, _decay_s
from calsweep.datasets.recording import Recording

RATE_HZ = 30.0


def recording(activity_TN, *, trial_T=None, name="m1_d1"):
    n_frames, n_units = activity_TN.shape
    return Recording(
        subject="m1",
        name=name,
        activity_TN=activity_TN.astype(np.float32),
        behavior={},
        rate_hz=RATE_HZ,
        units=tuple(f"u{i}" for i in range(n_units)),
        trial_T=np.zeros(n_frames, dtype=np.int32) if trial_T is None else trial_T,
    )


def planted(*, kernel, noise, baseline=0.0, n_frames=3000, n_units=8, rate=1.0):
    """Spikes at a rate per second, never two in four frames, and calcium with noise."""
    rng = np.random.default_rng(0)
    spikes_TN = (rng.random((n_frames, n_units)) < rate / RATE_HZ).astype(float)
    for lag in (1, 2, 3):
        spikes_TN[lag:] *= spikes_TN[:-lag] == 0
    calcium_TN = kernel.calcium(spikes_TN, rate_hz=RATE_HZ)
    return spikes_TN, baseline + calcium_TN + noise * rng.normal(size=calcium_TN.shape)


def test_clean_spikes_come_back_with_their_sizes():
    spikes_TN, activity_TN = planted(kernel=Kernel(decay_s=0.5), noise=0.0)
    spikes_TN[0] = 0  # what is there in the first frame was there before
    step = Deconvolution(decay_s=0.5, s_min=0.3, baseline=0.0)
    events_TN = step.apply(recording(activity_TN)).activity_TN
    assert np.allclose(events_TN[1:], spikes_TN[1:], atol=1e-5)


@pytest.mark.parametrize(
    ("step", "least_correlation"),
    [
        (Deconvolution(decay_s=0.5, s_min=0.5), 0.9),
        (Deconvolution(s_min=0.5), 0.85),
        (Deconvolution(decay_s=0.5), 0.9),
    ],
)
def test_noisy_spikes_come_back(step, least_correlation):
    spikes_TN, activity_TN = planted(kernel=Kernel(decay_s=0.5), noise=0.15, baseline=2.0)
    events_TN = step.apply(recording(activity_TN)).activity_TN
    correlations = [np.corrcoef(a, b)[0, 1] for a, b in zip(events_TN.T, spikes_TN.T, strict=True)]
    assert np.mean(correlations) > least_correlation
    assert events_TN.min() == 0


@pytest.mark.parametrize(
    "step",
    [Deconvolution(rise_s=0.1, decay_s=0.7, s_min=0.5), Deconvolution(rise_s=0.1, decay_s=0.7)],
)
def test_a_rise_is_taken_out_too_and_an_event_is_as_high_as_its_peak(step):
    kernel = Kernel(decay_s=0.7, rise_s=0.1)
    spikes_TN, activity_TN = planted(kernel=kernel, noise=0.05, rate=0.5, n_units=3)
    events_TN = step.apply(recording(activity_TN)).activity_TN
    # To the frame it is a matter of noise: summed over three frames.
    near_TN = sum(np.roll(events_TN, lag, axis=0) for lag in (-1, 0, 1))
    assert near_TN[spikes_TN > 0].mean() == pytest.approx(1.0, abs=0.15)
    assert near_TN.sum() / 3 == pytest.approx(spikes_TN.sum(), rel=0.2)


def test_the_decay_is_told_from_the_recording():
    for decay_s in (0.3, 0.5, 1.0):
        _, activity_TN = planted(kernel=Kernel(decay_s=decay_s), noise=0.1, n_frames=20000)
        told = [
            _decay_s(a_T, borders=np.array([0, 20000]), rate=RATE_HZ, rise_s=0.0)
            for a_T in activity_TN.T
        ]
        assert np.mean(told) == pytest.approx(decay_s, rel=0.15)


def test_no_event_comes_from_the_trial_before():
    """A transient is cut by the border of a trial: its tail is no event of the next."""
    spikes_TN = np.zeros((120, 1))
    spikes_TN[58] = 1.0
    activity_TN = Kernel(decay_s=0.5).calcium(spikes_TN, rate_hz=RATE_HZ)
    step = Deconvolution(decay_s=0.5, s_min=0.2, baseline=0.0)
    trial_T = np.repeat([0, 1], 60).astype(np.int32)
    together = step.apply(recording(activity_TN, trial_T=trial_T)).activity_TN
    assert np.flatnonzero(together).tolist() == [58]
    alone = step.apply(recording(activity_TN[60:])).activity_TN
    assert np.array_equal(together[60:], alone)


def test_says_what_it_did():
    _, activity_TN = planted(kernel=Kernel(decay_s=0.5), noise=0.1, n_frames=200, n_units=1)
    done = Deconvolution(s_min=0.1).apply(recording(activity_TN))
    assert done.steps == (
        "deconvolved by OASIS, AR(1), decay told from each unit, events of 0.1 or more, trial by "
        "trial: it uses later frames (not causal)",
    )


def test_the_same_recording_gives_the_same_events():
    _, activity_TN = planted(kernel=Kernel(decay_s=0.5), noise=1.0, n_frames=200)
    first, second = (Deconvolution().apply(recording(activity_TN)).activity_TN for _ in range(2))
    assert np.array_equal(first, second)


def test_a_silent_unit_has_no_events():
    activity_TN = np.full((100, 1), 3.0)
    assert not Deconvolution().apply(recording(activity_TN)).activity_TN.any()


def test_refuses_what_it_cannot_do():
    with pytest.raises(ValueError, match="at least 50 frames, but has 20"):
        Deconvolution().apply(recording(np.ones((20, 1))))
    with pytest.raises(ValueError, match="s_min >= 0"):
        Deconvolution(s_min=-1.0)
    with pytest.raises(ValueError, match="rise_s < decay_s"):
        Deconvolution(decay_s=0.1, rise_s=0.2)
