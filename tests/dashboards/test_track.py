import numpy as np
import pytest

from calsweep.dashboards.prediction import Predictions
from calsweep.dashboards.scroll import activity_map, decoded_stretch
from calsweep.dashboards.track import track_of


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
