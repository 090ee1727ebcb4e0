import numpy as np
import pytest

from calsweep.datasets.align import Outside, align, even_times, reached

FRAMES_S = np.array([0.0, 1.0, 2.0])


def test_a_measure_is_interpolated_between_samples():
    speed = align(
        np.array([0.0, 10.0, 20.0]),
        name="speed",
        times_s=np.array([0.0, 0.5, 2.5]),
        frame_times_s=FRAMES_S,
        unit="cm/s",
    )
    assert speed.values_T.tolist() == [0.0, 12.5, 17.5]
    assert speed.step == (
        "`speed` brought from 0.8 Hz to the frames' times by linear interpolation"
    )


@pytest.mark.parametrize(
    ("values", "unit", "expected"),
    [
        (np.array([3, 5, 7, 9]), "", [3, 5, 9]),
        (np.array([True, False, True, False]), "", [True, False, False]),
        (np.array([350.0, 10.0, 20.0, 30.0]), "deg", [350.0, 10.0, 30.0]),
    ],
)
def test_a_label_or_angle_is_that_of_the_nearest_sample(values, unit, expected):
    times_s = np.array([0.1, 0.8, 1.2, 2.1])  # frame 1 is as near to 0.8 s as to 1.2 s, almost
    times_s[2] = 1.2 + 1e-9
    taken = align(values, name="x", times_s=times_s, frame_times_s=FRAMES_S, unit=unit)
    assert taken.values_T.tolist() == expected
    assert taken.step.endswith("by nearest sample")


def test_the_earlier_of_two_equally_near_samples_counts():
    run = align(
        np.array([0, 1]),
        name="run",
        times_s=np.array([0.5, 1.5]),
        frame_times_s=np.array([1.0]),
    )
    assert run.values_T.tolist() == [0]


def test_samples_at_the_frames_stay_as_they_are():
    values = np.array([0.5, np.nan, 1.5], dtype=np.float32)
    same = align(values, name="x", times_s=FRAMES_S + 5e-7, frame_times_s=FRAMES_S)
    assert same.values_T is values
    assert same.step == ""


def test_a_missing_sample_is_missing_between_its_neighbors_only():
    x = align(
        np.array([0.0, 1.0, np.inf, 3.0, 4.0]),
        name="x",
        times_s=np.array([0.0, 1.0, 2.0, 3.0, 4.0]),
        frame_times_s=np.array([0.5, 1.0, 1.5, 2.5, 3.0, 3.5]),
    )
    assert np.isnan(x.values_T).tolist() == [False, False, True, True, False, False]
    assert x.values_T[[0, 1, 4, 5]].tolist() == [0.5, 1.0, 3.0, 3.5]


def test_reach_ends_half_a_sample_outside():
    frames_s = np.array([-0.06, -0.05, 0.0, 0.2, 0.25, 0.26])
    times_s = even_times(3, rate_hz=10.0)
    assert reached(times_s, frame_times_s=frames_s).tolist() == [
        False, True, True, True, True, False,
    ]  # fmt: skip
    ends = align(np.array([1.0, 2.0, 3.0]), name="x", times_s=times_s, frame_times_s=frames_s[1:-1])
    assert ends.values_T.tolist() == [1.0, 1.0, 3.0, 3.0]


def test_frames_out_of_reach_are_refused():
    with pytest.raises(ValueError, match="`run` must reach every frame") as told:
        align(
            np.array([0, 1]),
            name="run",
            times_s=np.array([1.0, 1.5]),
            frame_times_s=FRAMES_S,
        )
    assert "goes from 1 s to 1.5 s and leaves out 2 of 3 frames (first: frame 0 at 0 s)" in str(
        told.value
    )


def test_frames_out_of_reach_are_missing_if_asked_for():
    given = {"times_s": np.array([1.0, 1.5]), "frame_times_s": FRAMES_S, "name": "x"}
    label = align(np.array([0, 1]), outside=Outside.MISSING, **given)
    assert label.values_T.tolist() == [-1, 0, -1]
    assert label.step.endswith("missing in 2 frames that it does not reach")
    measure = align(np.array([0.5, 1.0]), outside=Outside.MISSING, **given)
    assert np.isnan(measure.values_T).tolist() == [True, False, True]
    assert measure.values_T[1] == 0.5
    angle = align(np.array([5.0, 9.0]), unit="deg", outside=Outside.MISSING, **given)
    assert np.isnan(angle.values_T).tolist() == [True, False, True]
    with pytest.raises(ValueError, match="-1 marks the frames"):
        align(np.array([-1, 1]), outside=Outside.MISSING, **given)


@pytest.mark.parametrize(
    ("times_s", "message"),
    [
        ([0.0, 1.0, 1.0], "finite and increasing, but the time is 1.0 s at sample 2"),
        ([0.0, np.nan, 1.0], "finite and increasing, but the time is nan s at sample 1"),
        ([0.0, 1.0], r"one time per sample, but has 3 samples and times of shape \(2,\)"),
    ],
)
def test_a_clock_that_is_wrong_is_told(times_s, message):
    with pytest.raises(ValueError, match=message):
        align(
            np.array([0.0, 1.0, 2.0]),
            name="x",
            times_s=np.array(times_s),
            frame_times_s=FRAMES_S + 0.1,
        )


def test_no_samples_reach_no_frame():
    assert reached(np.array([]), frame_times_s=FRAMES_S).tolist() == [False] * 3
    with pytest.raises(ValueError, match="the time has none"):
        align(np.array([]), name="x", times_s=np.array([]), frame_times_s=FRAMES_S)


def test_one_sample_reaches_its_own_time():
    one = align(
        np.array([4.0]),
        name="x",
        times_s=np.array([1.0]),
        frame_times_s=FRAMES_S,
        outside=Outside.MISSING,
    )
    assert one.values_T[1] == 4.0
    assert np.isnan(one.values_T).tolist() == [True, False, True]
