import dataclasses

import numpy as np
import pytest

from calsweep.datasets.recording import Recording, trial_borders


@pytest.fixture
def recording():
    return Recording(
        subject="m1",
        name="m1_d1",
        activity_TN=np.zeros((4, 2), dtype=np.float32),
        behavior={"run": np.array([0, 1, 1, 0])},
        rate_hz=30.0,
        units=("a", "b"),
        trial_T=np.zeros(4, dtype=np.int32),
    )


def test_names_unit_and_frames_that_are_not_finite(recording):
    activity_TN = np.zeros((4, 2), dtype=np.float32)
    activity_TN[1:3, 1] = np.nan, np.inf
    with pytest.raises(
        ValueError, match=r"m1_d1: .*unit `b` is not in 2 of 4 frames \(first: fr.* 1"
    ):
        dataclasses.replace(recording, activity_TN=activity_TN)


def test_large_values_are_finite(recording):
    activity_TN = np.full((4, 2), 3e38, dtype=np.float32)
    assert dataclasses.replace(recording, activity_TN=activity_TN).n_frames == 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rate_hz": 0.0}, "`rate_hz > 0` must hold"),
        ({"rate_hz": float("nan")}, "`rate_hz > 0` must hold"),
        ({"units": ("a", "a")}, "`a` stand more than once"),
        ({"units": ("a",)}, "2 units and 1 names"),
        ({"subject": ""}, "must have a subject"),
        ({"behavior": {"run": np.zeros(3)}}, r"`run` must have one value per frame \(4\)"),
        ({"behavior": {"run": np.array(["a"] * 4)}}, "`run` must hold whole numbers"),
        ({"trial_T": np.zeros(3, dtype=np.int32)}, "`trial` must have one value per frame"),
        ({"trial_T": np.zeros(4)}, "trials must be whole numbers"),
        ({"activity_TN": np.zeros((0, 2), dtype=np.float32)}, "at least one frame"),
        ({"activity_TN": np.zeros((4, 2))}, "must be float32"),
    ],
)
def test_refuses_what_breaks_a_rule(recording, change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(recording, **change)


def test_trials_apart_with_one_number_are_two():
    assert trial_borders(np.array([1, 1, 2, 1])).tolist() == [0, 2, 3, 4]
    assert trial_borders(np.array([5])).tolist() == [0, 1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": np.zeros((4, 2), dtype=np.uint8)}, r"\(time, height, width\)"),
        ({"images": np.zeros((9, 2, 2), dtype=np.uint8)}, r"one image per frame \(4\)"),
        ({"images": np.zeros((4, 2, 2))}, "uint8, int8, uint16, int16, float32, but are float64"),
        ({"positions_ND": np.zeros((1, 2))}, r"\(unit, 2\) or \(unit, 3\)"),
        ({"positions_ND": np.zeros((2, 2))}, "in `um` or `pixel`, but `position_unit` is ''"),
        ({"phase_N": np.array([0.5, 1.0])}, "from 0 to below 1, but .* from 0.5 to 1"),
    ],
)
def test_images_places_and_phases_must_fit(recording, changes, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(recording, **changes)


def test_activity_may_miss_but_not_be_infinite(recording):
    activity_TN = np.zeros((4, 2), dtype=np.float32)
    activity_TN[0, 0] = np.nan
    sparse = dataclasses.replace(recording, activity_TN=activity_TN, may_miss=True)
    assert np.isnan(sparse.activity_TN[0, 0])
    activity_TN[0, 0] = np.inf
    with pytest.raises(ValueError, match="activity must be finite"):
        dataclasses.replace(recording, activity_TN=activity_TN, may_miss=True)
