import dataclasses

import numpy as np
import pytest

from calsweep.datasets.dff import Baseline, Dff
from calsweep.datasets.recording import Recording


def recording(activity_TN, **changes):
    activity_TN = np.array(activity_TN, dtype=np.float32)
    values = {
        "subject": "m1",
        "name": "m1_d1",
        "activity_TN": activity_TN,
        "behavior": {"run": np.zeros(len(activity_TN), dtype=np.int64)},
        "rate_hz": 2.0,
        "units": tuple(f"u{i}" for i in range(activity_TN.shape[1])),
        "trial_T": np.zeros(len(activity_TN), dtype=np.int32),
    }
    return Recording(**{**values, **changes})


def test_over_a_running_mean():
    # Windows of 3 frames: means of (10, 20), (10, 20, 30), (20, 30, 40), (30, 40).
    dff = Dff(baseline=Baseline.MEAN, window_s=1.5).apply(recording([[10], [20], [30], [40]]))
    assert np.allclose(dff.activity_TN[:, 0], [10 / 15 - 1, 0, 0, 40 / 35 - 1])
    assert dff.steps == ("dF/F over a running mean of 1.5 s",)


def test_over_a_running_median():
    # Windows of 3 frames, the outermost going on: (8, 8, 10), (8, 10, 40), (10, 40, 20), ...
    dff = Dff(window_s=1.5, percentile=50).apply(recording([[8], [10], [40], [20], [20]]))
    assert np.allclose(dff.activity_TN[:, 0], [0, 0, 1.0, 0, 0])
    assert dff.steps == ("dF/F over a running 50th percentile of 1.5 s",)


def test_a_low_percentile_does_not_see_transients_and_follows_drift():
    rng = np.random.default_rng(0)
    frames = np.arange(6000)
    drift_T = 100 + 20 * np.sin(2 * np.pi * frames / 6000)
    transients_T = 50.0 * (rng.random(6000) < 0.05)
    dff = Dff(window_s=60.0, percentile=20).apply(recording((drift_T + transients_T)[:, None]))
    assert np.abs(dff.activity_TN[transients_T == 0, 0]).max() < 0.04
    assert np.allclose(
        dff.activity_TN[transients_T > 0, 0], (50 / drift_T)[transients_T > 0], atol=0.05
    )


def test_units_do_not_mix():
    both = Dff(window_s=2.0).apply(recording(np.arange(1, 41).reshape(20, 2)))
    alone = Dff(window_s=2.0).apply(recording(np.arange(1, 41).reshape(20, 2)[:, 1:]))
    assert np.array_equal(both.activity_TN[:, 1:], alone.activity_TN)


def test_all_else_stays():
    before = recording([[10], [20]], steps=("cut",))
    after = Dff().apply(before)
    assert after.steps == ("cut", "dF/F over a running 8th percentile of 60 s")
    assert dataclasses.replace(after, steps=before.steps, activity_TN=before.activity_TN) == before


def test_refuses_a_baseline_that_is_not_above_zero():
    with pytest.raises(ValueError, match="that of unit `u1` falls to -3 .1 such units."):
        Dff(window_s=1.0, percentile=0).apply(recording([[1, 5], [2, -3]]))


def test_refuses_missing_values_and_recordings_without_units():
    missing = recording([[1.0], [np.nan]], may_miss=True)
    with pytest.raises(ValueError, match="1 values are missing"):
        Dff().apply(missing)
    images = recording(np.empty((2, 0)), images=np.zeros((2, 4, 4), dtype=np.uint8))
    with pytest.raises(ValueError, match="images only"):
        Dff().apply(images)


@pytest.mark.parametrize("wrong", [{"window_s": 0.0}, {"percentile": 101.0}])
def test_refuses_settings_out_of_range(wrong):
    with pytest.raises(ValueError, match="must hold"):
        Dff(**wrong)
