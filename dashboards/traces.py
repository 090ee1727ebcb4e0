"""A stretch of a recording as recorded: some units, row by row, and the behavior below them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from calsweep.dashboards.style import BLUE, label, shortened
from calsweep.dashboards.time_axis import aligned, class_color, time_range, times
from calsweep.dashboards.track import bin_edges, bin_means
from calsweep.datasets.recording import MISSING_LABEL
from calsweep.platform.interval import intervals

# T frames, N units, R rows, B bins along time

UNITS_DRAWN = 8
POINTS = 1200
_ROW_SD = 6.0  # from one row to the next


def recorded_traces(
    activity_TN: NDArray[np.floating],
    label_T: NDArray[np.integer],
    /,
    *,
    units: Sequence[str],
    mean_N: NDArray[np.floating],
    sd_N: NDArray[np.floating],
    target: str,
    n_classes: int,
    recording: str,
    rate_hz: float,
    shown: tuple[int, int],
) -> go.Figure:
    """Draw the units that vary most, one above the other, and the classes of the target below.

    Parameters
    ----------
    activity_TN, label_T
        Of the frames that are looked at.
    units
        Names of the units.
    mean_N, sd_N
        Of each unit over the whole recording; those of the highest SD are drawn, in the order of
        the dataset.
    target, n_classes
        Name of the behavior, and of how many classes it is.
    recording
        Its name.
    rate_hz
        Frames per second.
    shown
        First and last frame.

    Examples
    --------
    >>> figure = recorded_traces(
    ...     np.array([[1.0, 0.0], [3.0, 0.0]]),
    ...     np.array([0, 1]),
    ...     units=("a", "b"),
    ...     mean_N=np.array([1.0, 0.0]),
    ...     sd_N=np.array([1.0, 0.0]),
    ...     target="run",
    ...     n_classes=2,
    ...     recording="m1",
    ...     rate_hz=10.0,
    ...     shown=(20, 21),
    ... )
    >>> [(trace.name, trace.y) for trace in figure.data[:2]]
    [('a', (0.0, 2.0)), ('b', (-6.0, -6.0))]
    """
    drawn_R = most_varying(sd_N)
    edges_B = bin_edges(len(activity_TN), most=POINTS)
    frames = edges_B[1] if len(edges_B) > 1 else 1
    time_B = times(shown[0] + edges_B + (frames - 1) / 2, rate_hz)
    scale_R = np.where(sd_N[drawn_R] > 0, sd_N[drawn_R], 1)
    scaled_BR = (bin_means(activity_TN[:, drawn_R], most=POINTS) - mean_N[drawn_R]) / scale_R
    figure = go.Figure()
    for row, unit in enumerate(drawn_R):
        figure.add_trace(
            go.Scatter(
                x=time_B,
                y=np.round(scaled_BR[:, row] - _ROW_SD * row, 3).tolist(),
                customdata=np.round(scaled_BR[:, row], 2).tolist(),
                mode="lines",
                name=label(units[unit]),
                line={"color": BLUE, "width": 1.2},
                hovertemplate=f"{label(units[unit])}<br>%{{x:.2f}} s: %{{customdata:.1f}} SD"
                "<extra></extra>",
            )
        )
    figure.add_trace(_observed(label_T, first=shown[0], n_classes=n_classes, rate_hz=rate_hz))
    n_rows = len(drawn_R)
    figure.update_layout(
        yaxis={
            "domain": [0.2, 1.0],
            "tickvals": [-_ROW_SD * row for row in range(n_rows)],
            "ticktext": [label(shortened(units[unit], most=9)) for unit in drawn_R],
            "range": [-_ROW_SD * (n_rows - 0.4), _ROW_SD],
            "showgrid": False,
            "automargin": False,
        },
        yaxis2={
            "domain": [0.0, 0.12],
            "tickvals": [0],
            "ticktext": ["observed"],
            "range": [-0.5, 0.5],
            "automargin": False,
            "ticks": "",
        },
    )
    figure.update_xaxes(
        title_text=f"time in {label(recording)} (s)",
        range=time_range(shown, rate_hz),
        anchor="y2",
        showgrid=False,
    )
    # Beside the names of units a title of their axis has no room.
    figure.add_annotation(
        text=f"activity: from row to row {_ROW_SD:g} SD of the unit",
        xref="paper",
        yref="paper",
        x=0,
        y=1,
        xanchor="left",
        yanchor="bottom",
    )
    which = (
        f"The {n_rows} units of {len(units)} that vary most over this recording"
        if n_rows < len(units)
        else "Every unit"
    )
    mean = f" Each point is the mean of {frames} frames." if frames > 1 else ""
    of = f"{target} is 1" if n_classes == 2 else f"{target} is of a class other than 0"
    return aligned(figure, height_px=150 + 40 * n_rows, reading=(
        f"{which}, as stored and in SDs from each one's mean, one row a unit; below: where {of} as "
        f"observed. Activity that follows the behavior by eye is what a decoder can use.{mean}"
    ))  # fmt: skip


def most_varying(sd_N: NDArray[np.floating], /) -> NDArray[np.int64]:
    """Give the units that are drawn: those of the highest SD, in the order of the dataset.

    Examples
    --------
    >>> most_varying(np.array([1.0, 9, 2, 3, 4, 5, 6, 7, 8])).tolist()
    [1, 2, 3, 4, 5, 6, 7, 8]
    """
    order_N = np.argsort(-np.nan_to_num(sd_N), kind="stable")
    return np.sort(order_N[:UNITS_DRAWN])


def _observed(
    label_T: NDArray[np.integer], *, first: int, n_classes: int, rate_hz: float
) -> go.Bar:
    frame_T = first + np.arange(len(label_T), dtype=np.int64)
    found = [i for i in intervals(frame_T, label_T.astype(np.int64)) if i.label != MISSING_LABEL]
    nothing: list[float | None] = [None]  # a row without intervals is drawn as an empty one
    return go.Bar(
        x=[round(i.n_frames / rate_hz, 4) for i in found] or nothing,
        base=[round(i.first_frame / rate_hz, 4) for i in found] or nothing,
        y=[0] * max(1, len(found)),
        orientation="h",
        width=0.8,
        marker={"color": [class_color(i.label, n_classes) for i in found], "line": {"width": 0}},
        customdata=[i.label for i in found],
        hovertemplate="class %{customdata}<br>from %{base:.2f} s for %{x:.2f} s<extra></extra>",
        yaxis="y2",
    )
