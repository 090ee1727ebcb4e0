import numpy as np
import pytest

from calsweep.dashboards.prediction import Predictions
from calsweep.dashboards.scroll import activity_map, add_decoded, decoded_stretch
from calsweep.dashboards.track import choose_stretch, track_of


def predictions(frames, probability, label, recording="m1"):
    return Predictions(
        recording_W=np.array([recording] * len(frames), dtype=object),
        frame_W=np.array(frames),
        label_W=np.array(label),
        probability_WC=np.stack([1 - np.array(probability), np.array(probability)], axis=1),
    )


def test_intervals_errors_and_gaps_are_drawn():
    track = track_of(
        predictions([3, 4, 5, 9, 10], [0.9, 0.8, 0.1, 0.2, 0.7], [1, 1, 1, 0, 1]), "m1"
    )
    figure = decoded_stretch(track, rate_hz=1.0, target="run", shown=(3, 10))
    observed, probability = figure.data[0], figure.data[1]
    assert probability.y == (0.9, 0.8, 0.1, None, 0.2, 0.7)
    assert observed.y == (1.0, 1.0, 1.0, None, 0.0, 1.0)
    rows = {bar.y[0]: (bar.base, bar.x) for bar in figure.data[2:]}
    assert rows == {
        "observed": ((3.0, 10.0), (3.0, 1.0)),
        "decoded": ((3.0, 10.0), (2.0, 1.0)),
        "wrong": ((5.0,), (1.0,)),
    }


def test_recording_that_the_fold_does_not_test_is_told():
    with pytest.raises(LookupError, match="does not test a recording 'm2'"):
        track_of(predictions([0], [0.5], [1]), "m2")


def test_long_recording_is_thinned_to_what_a_screen_shows():
    activity_TN = np.random.default_rng(1).normal(size=(18_000, 600)).astype(np.float32)
    figure = activity_map(
        activity_TN,
        units=[str(n) for n in range(600)],
        mean_N=np.zeros(600),
        sd_N=np.ones(600),
        rate_hz=30.0,
        shown=(0, 17_999),
    )
    (drawn,) = figure.data
    assert drawn.z.shape == (200, 600)
    assert drawn.z.dtype == np.int8
    expected = activity_TN[:30, :3].mean() * 20  # 18,000 frames in 600 columns, 600 units in 200
    assert drawn.z[0, 0] == round(float(expected))
    assert "Each cell is the mean of 30 frames and 3 units" in figure.layout.meta["reading"]
    assert len(figure.to_json()) < 400_000


def labels(n_classes=2, **of_recordings):
    """Give predictions of some recordings by their labels, whose frames begin at 15."""
    label_W = np.concatenate([np.array(values) for values in of_recordings.values()])
    return Predictions(
        recording_W=np.array([name for name, v in of_recordings.items() for _ in v], dtype=object),
        frame_W=np.concatenate([np.arange(len(v)) + 15 for v in of_recordings.values()]),
        label_W=label_W,
        probability_WC=np.full((len(label_W), n_classes), 1 / n_classes),
    )


def test_stretch_has_both_classes_where_a_recording_has():
    stretch = choose_stretch(labels(rest=[0] * 9, both=[0] * 6 + [1] * 3), n_windows=4)
    assert stretch.recording == "both"
    assert stretch.frame_W.tolist() == [19, 20, 21, 22]
    assert stretch.label_W.tolist() == [0, 0, 1, 1]


def test_stretch_has_all_classes_where_a_recording_has():
    of_three = labels(3, two=[0, 1, 0, 1, 0, 1], three=[0, 0, 0, 1, 0, 2])
    assert choose_stretch(of_three, n_windows=3).label_W.tolist() == [1, 0, 2]


def test_short_recording_is_taken_whole():
    assert choose_stretch(labels(a=[0, 1, 1]), n_windows=800).label_W.tolist() == [0, 1, 1]


def test_frames_out_of_order_are_put_in_order():
    mixed = predictions([3, 1, 2], [0.3, 0.1, 0.2], [1, 0, 1], recording="a")
    stretch = choose_stretch(mixed)
    assert stretch.frame_W.tolist() == [1, 2, 3]
    assert stretch.probability_WC[:, 1].tolist() == [0.1, 0.2, 0.3]


def test_decoded_intervals_lie_over_what_units_did():
    track = track_of(predictions([3, 4, 5, 9], [0.9, 0.8, 0.1, 0.7], [1, 1, 1, 0]), "m1")
    units = {"units": ("a",), "mean_N": np.zeros(1), "sd_N": np.ones(1)}
    drawn = activity_map(np.zeros((7, 1)), **units, rate_hz=2.0, shown=(3, 9))
    add_decoded(drawn, track, rate_hz=2.0)
    assert [(shape.x0, shape.x1) for shape in drawn.layout.shapes] == [(1.5, 2.5), (4.5, 5.0)]
    assert drawn.layout.meta["reading"].endswith("in the colors of their classes.")
