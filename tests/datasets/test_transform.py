import numpy as np
import pytest

from calsweep.datasets.transform import Detrend, MinMax, Scope, Transforms, ZScore, detrended


def column(*values):
    return np.array(values, dtype=np.float32)[:, None]


@pytest.mark.parametrize(
    ("length_frames", "mean"),
    [
        (1, [2, 4, 9, 1, 4]),
        (2, [2, 3, 6.5, 5, 2.5]),  # as MATLAB: the frame and the one before it
        (3, [3, 5, 14 / 3, 14 / 3, 2.5]),
        (4, [3, 5, 4, 4.5, 14 / 3]),
        (100, [4, 4, 4, 4, 4]),
    ],
)
def test_detrending_subtracts_matlabs_movmean(length_frames, mean):
    activity_TN = column(2, 4, 9, 1, 4)
    result = detrended(activity_TN, length_frames=length_frames)
    assert np.allclose(result, activity_TN - column(*mean), atol=1e-6)


def test_detrending_keeps_small_activity_on_a_large_baseline():
    rng = np.random.default_rng(0)
    small = rng.normal(0, 1, (18000, 1))
    result = detrended((1e4 + small).astype(np.float32), length_frames=1000)
    kernel = np.convolve(small[:, 0], np.ones(1000) / 1000, mode="same")
    inner = slice(1000, -1000)
    assert np.abs(result[inner, 0] - (small[:, 0] - kernel)[inner]).max() < 5e-3


def test_min_max_reaches_from_0_to_1_over_all_training_frames():
    scaling = MinMax().fit([column(1, 3), column(5, 2)])
    assert scaling.offset_N.tolist() == [1.0]
    assert scaling.scale_N.tolist() == [0.25]


def test_z_score_has_mean_0_and_sd_1():
    scaling = ZScore().fit([column(1, 3), column(5, 7)])
    assert scaling.offset_N.tolist() == [4.0]
    assert np.isclose(scaling.scale_N[0], 1 / np.sqrt(5))


@pytest.mark.parametrize("step", [MinMax(), ZScore()])
def test_a_unit_that_never_changes_becomes_0(step):
    scaling = step.fit([column(2, 2, 2)])
    assert scaling.scale_N.tolist() == [0.0]


def test_recording_steps_are_applied_and_fitted_ones_are_not():
    activity_TN = column(2, 4, 9, 1, 4)
    fitted = Transforms(detrend=Detrend(length_frames=3), scaling=MinMax())
    assert np.array_equal(fitted.apply(activity_TN), detrended(activity_TN, length_frames=3))
    whole = Transforms(scaling=MinMax(over=Scope.RECORDING))
    assert whole.apply(activity_TN).ravel().tolist() == [0.125, 0.375, 1.0, 0.0, 0.375]
    assert whole.fit([activity_TN]).scale_N.tolist() == [1.0]
    assert whole.fit([activity_TN]).offset_N.tolist() == [0.0]


def test_steps_that_look_ahead_are_named():
    assert Transforms(scaling=MinMax()).notes() == ()
    notes = Transforms(detrend=Detrend(), scaling=ZScore(over=Scope.RECORDING)).notes()
    assert len(notes) == 2
    assert "1000 frames" in notes[0]
    assert "not causal" in notes[0]
    assert "transductive" in notes[1]


def test_refuses_an_average_of_nothing():
    with pytest.raises(ValueError, match=r"`length_frames >= 1` must hold"):
        Detrend(length_frames=0)
