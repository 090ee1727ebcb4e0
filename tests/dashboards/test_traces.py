import numpy as np

from calsweep.dashboards.style import reading
from calsweep.dashboards.traces import recorded_traces


def drawn(activity_TN, label_T, *, n_classes=2, first=0, units=None):
    n_units = activity_TN.shape[1]
    return recorded_traces(
        activity_TN,
        label_T,
        units=units or [f"u{n}" for n in range(n_units)],
        mean_N=np.zeros(n_units),
        sd_N=np.arange(1.0, n_units + 1),
        target="run",
        n_classes=n_classes,
        recording="m1",
        rate_hz=10.0,
        shown=(first, first + len(label_T) - 1),
    )


def test_units_that_vary_most_stand_in_rows_above_the_behavior():
    figure = drawn(np.full((4, 10), 10.0), np.array([0, 1, 1, 0]), first=20)
    *rows, observed = figure.data
    assert [row.name for row in rows] == [f"u{n}" for n in range(2, 10)]
    assert rows[0].x == (2.0, 2.1, 2.2, 2.3)
    assert rows[0].y == (3.333,) * 4  # 10 in SDs of 3
    assert rows[7].y == (1.0 - 6.0 * 7,) * 4
    assert rows[0].customdata == (3.33,) * 4
    assert (observed.base, observed.x, observed.customdata) == ((2.1,), (0.2,), (1,))
    assert figure.layout.yaxis.ticktext == tuple(f"u{n}" for n in range(2, 10))
    assert figure.layout.xaxis.title.text == "time in m1 (s)"
    assert list(figure.layout.xaxis.range) == [2.0, 2.4]
    assert reading(figure).startswith("The 8 units of 10 that vary most over this recording")


def test_classes_have_colors_of_their_own_and_what_is_not_known_has_none():
    figure = drawn(np.zeros((6, 1)), np.array([1, 1, 2, -1, 3, 0]), n_classes=4)
    observed = figure.data[-1]
    assert observed.customdata == (1, 2, 3)
    assert len(set(observed.marker.color)) == 3


def test_long_stretch_is_thinned():
    figure = drawn(np.ones((18_000, 2)), np.zeros(18_000, int))
    assert len(figure.data[0].x) == 1200
    assert "Each point is the mean of 15 frames." in reading(figure)
    assert figure.data[-1].x == (None,)
    assert figure.data[0].x[0] == 0.7  # the middle of 15 frames


def test_names_are_text():
    figure = drawn(np.zeros((2, 1)), np.array([0, 1]), units=["<img>"])
    assert figure.layout.yaxis.ticktext == ("&lt;img&gt;",)
