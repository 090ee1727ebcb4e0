"""Figures of inferred rates show the numbers they were given, and say how to read them."""

import numpy as np
import pytest

from calsweep.dashboards.rates import (
    coherence_curves,
    condition_mean_scatter,
    distance_ratios,
    onset_scatter,
    score_curve,
    state_scores,
    trajectory_paths,
)
from calsweep.dashboards.style import reading
from calsweep.platform.dynamics.coherence import Coherence
from calsweep.platform.dynamics.state_decoding import StateDecoding
from calsweep.platform.dynamics.trajectory import trajectories


def decoding(r2_FD):
    return StateDecoding(
        r2_FD=np.array(r2_FD), penalty_F=np.ones(len(r2_FD)), predicted_BTD=np.zeros((1, 1, 2))
    )


def test_scores_of_a_state_stand_by_fold_dimension_and_method():
    drawn = state_scores(
        {"RADICaL": decoding([[0.7, 0.9], [0.6, 0.8]]), "<b>mine</b>": decoding([[0.1, 0.2]])},
        dimensions=["X", "Z"],
    )
    assert [trace.name for trace in drawn.data] == ["RADICaL", "&lt;b&gt;mine&lt;/b&gt;"]
    assert list(drawn.data[0].x) == ["X", "Z", "X", "Z"]
    assert list(drawn.data[0].y) == [0.7, 0.9, 0.6, 0.8]
    assert "R²" in drawn.layout.yaxis.title.text
    assert "never saw" in reading(drawn)


def test_neurons_above_the_line_are_counted():
    drawn = condition_mean_scatter(
        np.array([0.5, 0.1, np.nan, 0.6]),
        np.array([0.3, 0.4, 0.9, 0.2]),
        names=("RADICaL", "smoothing"),
    )
    assert list(drawn.data[0].y) == [0.5, 0.1, 0.6]
    assert "2 of 3 lie above the line, where RADICaL shows more" in reading(drawn)


def test_ratio_is_drawn_from_the_event_that_trials_are_aligned_to():
    ratio_BT = np.array([[1.0, 2.0, np.inf], [3.0, 2.0, 1.0]])
    drawn = distance_ratios({"a": ratio_BT}, bin_s=0.01, zero_s=0.01)
    assert list(drawn.data[0].x) == [-10.0, 0.0, 10.0]
    assert list(drawn.data[0].y) == [2.0, 2.0, 1.0]


def test_paths_part_trials_and_name_conditions():
    rates_BTN = np.random.default_rng(0).gamma(2, size=(6, 20, 5))
    conditions = ["left"] * 3 + ["right"] * 3
    paths = trajectories(rates_BTN, conditions, n_dimensions=2)
    drawn = trajectory_paths(paths, conditions)
    thin, thick = drawn.data[0], drawn.data[1]
    assert thick.name == "left"
    assert np.allclose(thick.x, paths.mean_CTD[0, :, 0])
    assert np.flatnonzero(np.isnan(thin.x)).tolist() == [20, 41, 62]
    assert np.allclose(np.array(thin.y)[21:41], paths.trial_BTD[1, :, 1])
    with pytest.raises(ValueError, match="in two components"):
        trajectory_paths(trajectories(rates_BTN, conditions, n_dimensions=1), conditions)


def test_trials_without_an_onset_are_left_out_and_said():
    drawn = onset_scatter(
        [0.2, 0.3, 0.4], {"a": [0.25, np.nan, 0.35], "b": [np.nan, np.nan, np.nan]}
    )
    assert drawn.data[0].name == "a: r = 1.00, 2 of 3 trials"
    assert list(drawn.data[0].y) == [250.0, 350.0]
    assert drawn.data[1].name == "b: r = nan, 0 of 3 trials"


def test_coherence_is_the_mean_over_dimensions():
    found = Coherence(
        frequency_Q=np.array([0.0, 2.5]), coherence_QD=np.array([[1.0, 0.5], [0.2, 0.4]])
    )
    drawn = coherence_curves({"a": found, "b": found})
    assert list(drawn.data[0].y) == [0.75, pytest.approx(0.3)]
    assert drawn.data[0].line.dash != drawn.data[1].line.dash
    assert drawn.layout.xaxis.title.text == "frequency (Hz)"


def test_curve_has_means_and_spread_in_order():
    drawn = score_curve(
        {"a": {100.0: [0.9, 0.7], 25.0: [0.5]}}, along="neurons kept (%)", score="R² of Z"
    )
    assert list(drawn.data[0].x) == [25.0, 100.0]
    assert list(drawn.data[0].y) == [0.5, 0.8]
    assert drawn.data[0].error_y.array[1] == pytest.approx(0.1414, abs=1e-4)
