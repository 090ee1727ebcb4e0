import dataclasses

import numpy as np
import pytest

from calsweep.datasets.recording import Recording
from calsweep.datasets.resample import resample


def recording(activity, **changes):
    values = {
        "subject": "m1",
        "name": "m1_d1",
        "activity_TN": np.array(activity, dtype=np.float32)[:, None],
        "behavior": {},
        "rate_hz": 10.0,
        "units": ("a",),
        "trial_T": np.zeros(len(activity), dtype=np.int32),
    }
    return Recording(**{**values, **changes})


def test_the_same_rate_changes_nothing():
    same = recording([1, 2, 3])
    assert resample(same, rate_hz=10.0) is same


def test_a_straight_line_stays_straight():
    result = resample(recording(np.arange(100)), rate_hz=8.0)
    assert result.rate_hz == 8.0
    assert np.allclose(result.activity_TN[:, 0], np.arange(80) * 1.25)


def test_falling_rates_average_so_that_a_fast_rhythm_does_not_fold_back():
    fast = recording(np.tile([1.0, -1.0], 50))
    slow = resample(fast, rate_hz=5.0).activity_TN[:, 0]
    assert len(slow) == 50
    assert np.abs(slow[1:-1]).max() < 1e-6


def test_an_average_is_over_the_new_frame():
    result = resample(recording([0, 3, 6, 0, 3, 6, 9]), rate_hz=10 / 3)
    # Frames 0, 3, 6: means over [-0.5, 1.5], [1.5, 4.5], [4.5, 6.5].
    assert np.allclose(result.activity_TN[:, 0], [1.5, 3.0, 7.5])


@pytest.mark.parametrize("missing", [np.nan, np.inf])
def test_a_measure_is_missing_in_the_new_frames_that_hold_the_missing_one_only(missing):
    speed = np.arange(12.0)
    speed[2] = missing
    old = recording(np.zeros(12), behavior={"speed": speed}, rate_hz=30.0)
    # Means over [-0.5, 1.5], [1.5, 4.5], [4.5, 7.5], [7.5, 10.5].
    new = resample(old, rate_hz=10.0).behavior["speed"]
    assert np.array_equal(new, [0.5, np.nan, 6.0, 9.0], equal_nan=True)
    # At 18 Hz the third is over [5/2, 25/6]: all of frame 3 and two thirds of frame 4.
    new = resample(old, rate_hz=18.0).behavior["speed"]
    assert np.isnan(new).tolist() == [False, True, False, False, False, False, False]
    assert np.allclose(new[2:], [3.4, 5.0, 6.6, 8.4, 10.0])


def test_trials_do_not_mix():
    trials = np.array([0, 0, 0, 1, 1, 1], dtype=np.int32)
    result = resample(recording([0, 0, 0, 8, 8, 8], trial_T=trials), rate_hz=20.0)
    assert result.activity_TN[:, 0].tolist() == [0] * 5 + [8] * 5
    assert result.trial_T.tolist() == [0] * 5 + [1] * 5


def test_labels_and_angles_keep_their_values_and_measures_are_interpolated():
    behavior = {
        "run": np.array([0, 1, 0]),
        "heading_deg": np.array([359.0, 1.0, 3.0]),
        "speed_cm_s": np.array([0.0, 2.0, 4.0]),
    }
    units = {"heading_deg": "deg", "speed_cm_s": "cm/s"}
    result = resample(recording([0, 0, 0], behavior=behavior, behavior_unit=units), rate_hz=20.0)
    assert result.behavior["run"].tolist() == [0, 1, 1, 0, 0]
    assert result.behavior["heading_deg"].tolist() == [359, 1, 1, 3, 3]
    assert result.behavior["speed_cm_s"].tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("rate_hz", [3.0, 9.7, 10.3, 33.0])
def test_length_fits_the_time(rate_hz):
    result = resample(recording(np.zeros(101)), rate_hz=rate_hz)  # 10 s from first to last frame
    assert result.n_frames == int(10 * rate_hz + 1e-6) + 1


@pytest.mark.parametrize("rate_hz", [0.0, -1.0, float("nan")])
def test_refuses_a_rate_that_is_none(rate_hz):
    with pytest.raises(ValueError, match=r"`rate_hz > 0` must hold"):
        resample(dataclasses.replace(recording([1, 2])), rate_hz=rate_hz)


def test_images_keep_their_rate():
    recording = Recording(
        subject="m1",
        name="m1_d1",
        activity_TN=np.zeros((3, 0), dtype=np.float32),
        behavior={},
        rate_hz=30.0,
        units=(),
        trial_T=np.zeros(3, dtype=np.int32),
        images=np.zeros((3, 2, 2), dtype=np.uint8),
    )
    assert resample(recording, rate_hz=30.0) is recording
    with pytest.raises(ValueError, match=r"images keep the rate .* \(30 Hz\), but 10 Hz"):
        resample(recording, rate_hz=10.0)
