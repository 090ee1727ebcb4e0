"""Decoded frames as intervals, and how many of those that are were found."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calsweep.platform.interval import (
    Interval,
    IntervalFigures,
    interval_figures,
    intervals,
    total,
)


def interval(first, last, label=1):
    return Interval(first_frame=first, last_frame=last, label=label)


def of(labels, *, frames=None, **settings):
    frames = np.arange(len(labels)) if frames is None else np.array(frames)
    return intervals(frames, np.array(labels), **settings)


def test_first_and_last_frame_of_each_stretch():
    assert of([0, 0, 1, 1, 1, 2, 2, 0, 1]) == (
        interval(2, 4, 1),
        interval(5, 6, 2),
        interval(8, 8, 1),
    )


def test_interval_ends_where_frames_are_missing():
    assert of([1, 1, 1, 1], frames=[3, 4, 9, 10]) == (interval(3, 4), interval(9, 10))


def test_short_ones_are_left_out():
    assert of([1, 0, 1, 1, 0, 2, 2, 2], min_frames=2) == (interval(2, 3), interval(5, 7, 2))


def test_nothing_but_rest_has_no_interval():
    assert of([0, 0, 0]) == ()
    assert of([]) == ()


@given(st.lists(st.integers(0, 2), max_size=60))
def test_intervals_hold_every_frame_that_is_not_0_once(labels):
    found = of(labels)
    again = np.zeros(len(labels), dtype=int)
    for one in found:
        assert (again[one.first_frame : one.last_frame + 1] == 0).all()
        again[one.first_frame : one.last_frame + 1] = one.label
    assert again.tolist() == labels


def test_figures_of_each_class():
    true = [interval(0, 9), interval(20, 29), interval(40, 49, 2)]
    decoded = [interval(2, 11), interval(60, 65), interval(20, 29, 2), interval(40, 49, 2)]
    # 0-9 and 2-11 share 8 of 12 frames; 20-29 was given another class.
    figures = interval_figures(true, decoded)
    assert figures[1] == IntervalFigures(n_true=2, n_decoded=2, n_matched=1)
    assert figures[2] == IntervalFigures(n_true=1, n_decoded=2, n_matched=1)
    assert (figures[1].precision, figures[1].recall, figures[2].precision) == (0.5, 0.5, 0.5)
    stricter = interval_figures(true, decoded, min_overlap=0.7)
    assert stricter[1].n_matched == 0


def test_interval_is_matched_once():
    """Two halves of one are not two of it; of three pairs the best two count."""
    halves = [interval(0, 4), interval(5, 9)]
    assert interval_figures([interval(0, 9)], halves, min_overlap=0.4)[1].n_matched == 1
    true = [interval(0, 9), interval(8, 20)]
    assert interval_figures(true, [interval(0, 20)], min_overlap=0.1)[1].n_matched == 1


def test_figures_of_recordings_add_up():
    one = interval_figures([interval(0, 9)], [interval(0, 9)])
    other = interval_figures([interval(0, 9)], [interval(30, 31, 2)])
    both = total([one, other])
    assert both[1] == IntervalFigures(n_true=2, n_decoded=1, n_matched=1)
    assert both[2] == IntervalFigures(n_true=0, n_decoded=1, n_matched=0)
    assert (both[2].precision, both[2].recall) == (0.0, 0.0)


def test_bad_settings_are_refused():
    with pytest.raises(ValueError, match="`min_frames >= 1` must hold"):
        of([0, 1], min_frames=0)
    with pytest.raises(ValueError, match="`0 < min_overlap <= 1` must hold"):
        interval_figures([], [], min_overlap=0.0)
