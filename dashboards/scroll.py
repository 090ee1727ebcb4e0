"""Figures that go along a recording: all of it, a stretch as decoded, and what the units did."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from calsweep.dashboards.style import BLUE, GRAY, SHADE, VERMILLION, color_bar, label, reading
from calsweep.dashboards.time_axis import aligned, class_color, time_range, times
from calsweep.dashboards.track import Track, bin_edges, bin_means
from calsweep.platform.interval import intervals

# W windows, C classes, T frames, N units, R rows of a map, B bins along time

OVERVIEW_BINS = 600
DRAWN_WINDOWS = 1200
MAP_COLUMNS = 600
MAP_ROWS = 200
UNITS_NAMED = 40
_LEVELS_PER_SD = 20  # activity in steps of a twentieth of an SD, which fit one byte


def recording_overview(
    track: Track, /, *, rate_hz: float, target: str, shown: tuple[int, int]
) -> go.Figure:
    """Draw a whole recording: where the behavior was, and how much was decoded wrongly.

    Parameters
    ----------
    track
        Of the recording.
    rate_hz
        Frames per second.
    target
        Name of the behavior.
    shown
        First and last frame of the stretch that is looked at.

    Examples
    --------
    >>> track = Track(
    ...     recording="m1",
    ...     frame_W=np.arange(4),
    ...     label_W=np.array([0, 1, 1, 0]),
    ...     probability_WC=np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.9, 0.1]]),
    ... )
    >>> figure = recording_overview(track, rate_hz=2.0, target="run", shown=(0, 1))
    >>> list(figure.data[1].y), list(figure.data[1].x)
    ([0.0, 1.0, 0.0, 0.0], [0.0, 0.5, 1.0, 1.5])
    """
    at_B = track.frame_W[bin_edges(len(track.frame_W), most=OVERVIEW_BINS)]
    time_B = times(at_B, rate_hz)
    observed_B = bin_means((track.label_W > 0).astype(np.float32), most=OVERVIEW_BINS).round(3)
    wrong_B = bin_means(track.is_wrong.astype(np.float32), most=OVERVIEW_BINS).round(3)
    half = (shown[1] - shown[0]) // 2
    figure = go.Figure()
    figure.add_trace(
        go.Scatter(
            x=time_B,
            y=observed_B.tolist(),
            line={"width": 0, "shape": "hv"},
            fill="tozeroy",
            fillcolor=SHADE,
            hoverinfo="skip",
        )
    )
    figure.add_trace(
        go.Scatter(
            x=time_B,
            y=wrong_B.tolist(),
            mode="lines",
            line={"color": VERMILLION, "width": 1.5, "shape": "hv"},
            customdata=np.maximum(at_B - half, 0).tolist(),
            hovertemplate="%{x:.1f} s<br>%{y:.0%} wrong<extra></extra>",
        )
    )
    first_s, last_s = shown[0] / rate_hz, (shown[1] + 1) / rate_hz
    figure.add_vrect(x0=first_s, x1=last_s, fillcolor=BLUE, opacity=0.18, line_width=0)
    figure.update_xaxes(title_text=f"time in {label(track.recording)} (s)", showgrid=False)
    figure.update_yaxes(title_text="share (of 1)", range=[0, 1.02], nticks=3, automargin=False)
    # A click counts at any height, not on the line alone.
    figure.update_layout(hovermode="x", hoverdistance=-1)
    kind = label(target) if track.probability_WC.shape[1] == 2 else "a class other than 0"
    aligned(figure, height_px=190, reading=(
        f"Shaded: share of frames of {kind}; line: share of windows decoded wrongly; blue: the "
        "stretch below. A click goes there."
    ))  # fmt: skip
    return figure


def decoded_stretch(
    track: Track, /, *, rate_hz: float, target: str, shown: tuple[int, int], about: str = ""
) -> go.Figure:
    """Draw probability over behavior, the intervals of both, and where they differ.

    Parameters
    ----------
    track
        Of the recording.
    rate_hz, target, shown
        As in `recording_overview`.
    about
        Which fold this is, as part of a sentence.
    """
    part = track.between(*shown)
    figure = go.Figure()
    n_classes = part.probability_WC.shape[1]
    every = max(1, -(-len(part.frame_W) // DRAWN_WINDOWS))
    if len(part.frame_W):
        _add_probability(figure, part, rate_hz)
        _add_rows(figure, part, rate_hz)
    figure.add_hline(y=0.5, line={"color": GRAY, "dash": "dot", "width": 1})
    figure.update_layout(
        yaxis={
            "domain": [0.32, 1.0],
            "range": [-0.02, 1.02],
            "title": {"text": "probability"},
            "automargin": False,
        },
        yaxis2={
            "domain": [0.0, 0.24],
            "categoryorder": "array",
            "categoryarray": ["wrong", "decoded", "observed"],
            "range": [-0.6, 2.6],
            "automargin": False,
            "ticks": "",
        },
        barmode="overlay",
    )
    figure.update_xaxes(
        title_text=f"time in {label(part.recording)} (s)",
        range=time_range(shown, rate_hz),
        anchor="y2",
    )
    figure.update_xaxes(showgrid=False)
    of = label(target) if n_classes == 2 else "each class"
    mean = f" Each point is the mean of {every} windows." if every > 1 else ""
    shaded = f"shaded: {label(target)} as observed; " if n_classes == 2 else ""
    aligned(figure, height_px=380, reading=(
        f"Line: probability of {of}; {shaded}below: intervals of classes other than 0 as observed "
        f"and as decoded, and where the most probable class is wrong{about}.{mean}"
    ))  # fmt: skip
    return figure


def activity_map(
    activity_TN: NDArray[np.floating],
    /,
    *,
    units: Sequence[str],
    mean_N: NDArray[np.floating],
    sd_N: NDArray[np.floating],
    rate_hz: float,
    shown: tuple[int, int],
) -> go.Figure:
    """Draw what every unit did in a stretch, in SDs from its mean.

    Parameters
    ----------
    activity_TN
        Of the frames that are looked at.
    units
        Names of the units.
    mean_N, sd_N
        Of each unit over the whole recording; an SD of 0 is taken as 1.
    rate_hz, shown
        As in `recording_overview`.

    Examples
    --------
    >>> figure = activity_map(
    ...     np.array([[1.0, 0.0], [3.0, 0.0]]),
    ...     units=("a", "b"),
    ...     mean_N=np.array([1.0, 0.0]),
    ...     sd_N=np.array([1.0, 0.0]),
    ...     rate_hz=10.0,
    ...     shown=(20, 21),
    ... )
    >>> figure.data[0].z.tolist()  # twentieths of an SD
    [[0, 40], [0, 0]]
    """
    n_frames, n_units = activity_TN.shape
    scaled_BN = (bin_means(activity_TN, most=MAP_COLUMNS) - mean_N) / np.where(sd_N > 0, sd_N, 1)
    map_RB = bin_means(scaled_BN.T, most=MAP_ROWS)
    levels_RB = np.clip(np.round(map_RB * _LEVELS_PER_SD), -127, 127).astype(np.int8)
    edges_B = bin_edges(n_frames, most=MAP_COLUMNS)
    rows_R = bin_edges(n_units, most=MAP_ROWS)
    is_named = n_units <= UNITS_NAMED
    step = (edges_B[1] if len(edges_B) > 1 else 1) / rate_hz
    figure = go.Figure(
        go.Heatmap(
            z=levels_RB,
            x0=(shown[0] + (edges_B[1] / 2 if len(edges_B) > 1 else 0.5)) / rate_hz,
            dx=step,
            y=[label(units[n]) for n in rows_R] if is_named else rows_R.tolist(),
            zmin=-2 * _LEVELS_PER_SD,
            zmax=3 * _LEVELS_PER_SD,
            colorscale="Cividis",
            hovertemplate=("%{y}" if is_named else "unit %{y}") + ", %{x:.2f} s<extra></extra>",
            colorbar=color_bar(
                "SD from the unit's mean",
                tickvals=[_LEVELS_PER_SD * sd for sd in range(-2, 4)],
                ticktext=["-2", "-1", "0", "1", "2", "3"],
            ),
        )
    )
    figure.update_xaxes(title_text="time (s)", range=time_range(shown, rate_hz), showgrid=False)
    figure.update_yaxes(
        title_text="unit", autorange="reversed", showgrid=False, automargin=False,
        nticks=min(n_units, 20),
    )  # fmt: skip
    thinned = []
    if len(edges_B) < n_frames:
        thinned.append(f"{edges_B[1]} frames")
    if len(rows_R) < n_units:
        thinned.append(f"{rows_R[1]} units, in the order of the dataset")
    mean = f" Each cell is the mean of {' and '.join(thinned)}." if thinned else ""
    aligned(figure, height_px=min(220 + 6 * len(rows_R), 520), reading=(
        f"The activity of {n_units} units on the same axis of time, each in SDs from its mean over "
        f"the recording: bright is active.{mean}"
    ))  # fmt: skip
    return figure


def add_decoded(figure: go.Figure, part: Track, /, *, rate_hz: float) -> go.Figure:
    """Draw the intervals of classes other than 0, as decoded, over what units did meanwhile.

    Parameters
    ----------
    figure
        As `activity_map` gives it.
    part
        The windows of its stretch.
    rate_hz
        Frames per second.

    Examples
    --------
    >>> part = Track(
    ...     recording="m1",
    ...     frame_W=np.arange(4),
    ...     label_W=np.array([0, 1, 1, 0]),
    ...     probability_WC=np.eye(3)[[0, 2, 2, 1]],
    ... )
    >>> drawn = add_decoded(go.Figure().update_layout(meta={"reading": ""}), part, rate_hz=2.0)
    >>> [(shape.x0, shape.x1) for shape in drawn.layout.shapes]
    [(0.5, 1.5), (1.5, 2.0)]
    """
    n_classes = part.probability_WC.shape[1]
    for found in intervals(part.frame_W, part.decoded):
        color = class_color(found.label, n_classes)
        figure.add_vrect(
            x0=found.first_frame / rate_hz,
            x1=(found.last_frame + 1) / rate_hz,
            line={"color": color, "width": 1.5},
            fillcolor=color,
            opacity=0.3,
        )
    more = " Over it: intervals as decoded, in the colors of their classes."
    return figure.update_layout(meta={"reading": reading(figure) + more})


def _add_probability(figure: go.Figure, part: Track, rate_hz: float) -> None:
    """Draw the probability of each class; of two, that of the second over where it was observed."""
    n_classes = part.probability_WC.shape[1]
    if n_classes == 2:
        time_B, observed_B = _line(part, part.label_W.astype(np.float64), rate_hz)
        figure.add_trace(
            go.Scatter(
                x=time_B,
                y=observed_B,
                line={"width": 0, "shape": "hvh"},
                fill="tozeroy",
                fillcolor=SHADE,
                hoverinfo="skip",
            )
        )
    for c in [1] if n_classes == 2 else range(n_classes):
        time_B, probability_B = _line(part, part.probability_WC[:, c], rate_hz)
        figure.add_trace(
            go.Scatter(
                x=time_B,
                y=probability_B,
                mode="lines",
                name=f"class {c}",
                line={"color": class_color(c, n_classes), "width": 2},
                hovertemplate=f"%{{x:.2f}} s<br>probability of class {c}: %{{y:.3f}}"
                "<extra></extra>",
            )
        )


def _add_rows(figure: go.Figure, part: Track, rate_hz: float) -> None:
    n_classes = part.probability_WC.shape[1]
    rows = {
        "observed": intervals(part.frame_W, part.label_W),
        "decoded": intervals(part.frame_W, part.decoded),
        "wrong": intervals(part.frame_W, part.is_wrong.astype(np.int64)),
    }
    nothing: list[float | None] = [None]  # a row without intervals is drawn as an empty one
    for row, found in rows.items():
        if row == "wrong":
            colors = [VERMILLION] * len(found)
        elif row == "observed" and n_classes == 2:
            colors = [GRAY] * len(found)
        else:
            colors = [class_color(interval.label, n_classes) for interval in found]
        figure.add_trace(
            go.Bar(
                x=[round(i.n_frames / rate_hz, 4) for i in found] or nothing,
                base=[round(i.first_frame / rate_hz, 4) for i in found] or nothing,
                y=[row] * max(1, len(found)),
                orientation="h",
                width=0.62,
                marker={"color": colors, "line": {"width": 0}},
                customdata=[i.label for i in found],
                hovertemplate=row
                + ("" if row == "wrong" else ": class %{customdata}")
                + "<br>from %{base:.2f} s for %{x:.2f} s<extra></extra>",
                yaxis="y2",
            )
        )


def _line(
    part: Track, value_W: NDArray[np.float64], rate_hz: float
) -> tuple[list[float], list[float | None]]:
    """Thin a line, and break it where frames are missing."""
    edges_B = bin_edges(len(part.frame_W), most=DRAWN_WINDOWS)
    mean_B = bin_means(value_W, most=DRAWN_WINDOWS).round(4)
    first_B = part.frame_W[edges_B]
    last_B = part.frame_W[np.append(edges_B[1:], len(part.frame_W)) - 1]
    gap_B = np.flatnonzero(first_B[1:] - last_B[:-1] > 1) + 1
    middle_B = np.insert((first_B + last_B) / 2, gap_B, first_B[gap_B])
    values: list[float | None] = mean_B.tolist()
    for at in gap_B[::-1]:
        values.insert(int(at), None)
    return times(middle_B, rate_hz), values
