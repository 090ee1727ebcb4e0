"""Inferred rates against what is known of the trials: states, condition means, paths, onsets."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike, NDArray

from calsweep.dashboards.style import (
    BLUE,
    GRAY,
    GREEN,
    PURPLE,
    THICK,
    THIN,
    VERMILLION,
    label,
    styled,
)
from calsweep.platform.dynamics.coherence import Coherence
from calsweep.platform.dynamics.condition_mean import finite_mean
from calsweep.platform.dynamics.state_decoding import StateDecoding
from calsweep.platform.dynamics.trajectory import Trajectories

# B trial, T bin, N neuron, D dimension, F fold

_MARKS = (
    (BLUE, "circle", "solid"),
    (VERMILLION, "square", "dash"),
    (GREEN, "diamond", "longdash"),
    (PURPLE, "triangle-up", "dashdot"),
    (GRAY, "cross", "dot"),
)
_HEIGHT_PX = 420


def state_scores(
    decodings: Mapping[str, StateDecoding], /, *, dimensions: Sequence[str]
) -> go.Figure:
    """Draw how well each method's rates tell each dimension of a state: folds, and their mean.

    Parameters
    ----------
    decodings
        Method to its decoding.
    dimensions
        Name of each dimension of the state.

    Examples
    --------
    >>> one = StateDecoding(
    ...     r2_FD=np.array([[0.8], [0.9]]), penalty_F=np.ones(2), predicted_BTD=np.zeros((1, 1, 1))
    ... )
    >>> [trace.name for trace in state_scores({"RADICaL": one}, dimensions=["Z"]).data]
    ['RADICaL']
    """
    figure = go.Figure()
    for (name, decoding), (color, symbol, _) in zip(
        decodings.items(), itertools.cycle(_MARKS), strict=False
    ):
        figure.add_trace(
            go.Box(
                name=label(name),
                x=[label(dimension) for _ in decoding.r2_FD for dimension in dimensions],
                y=decoding.r2_FD.ravel(),
                boxpoints="all",
                jitter=0.4,
                pointpos=0,
                boxmean=True,
                marker={"color": color, "symbol": symbol, "size": 6},
                line=THIN,
                fillcolor="rgba(0,0,0,0)",
            )
        )
    figure.update_layout(boxmode="group")
    figure.update_xaxes(title_text="dimension of the state")
    figure.update_yaxes(title_text="R² on held-out trials (0 is the mean, 1 is perfect)")
    return _with_key(
        styled(
            figure,
            height_px=_HEIGHT_PX,
            reading=(
                "A point is a fold of trials that the map from rates to the state never saw, a "
                "dashed line the mean; the higher, the more of the state the rates hold."
            ),
        )
    )


def condition_mean_scatter(
    one_N: NDArray[np.floating], other_N: NDArray[np.floating], /, *, names: tuple[str, str]
) -> go.Figure:
    """Draw for each neuron how its rates go with the mean of the condition's other trials.

    Parameters
    ----------
    one_N, other_N
        Correlation of each neuron by two methods; neurons without one are left out.
    names
        Of the methods.

    Examples
    --------
    >>> drawn = condition_mean_scatter(
    ...     np.array([0.5, np.nan]), np.array([0.3, 0.2]), names=("RADICaL", "smoothing")
    ... )
    >>> drawn.data[0].x.tolist(), drawn.layout.yaxis.title.text
    ([0.3], 'r, RADICaL')
    """
    both_N = np.isfinite(one_N) & np.isfinite(other_N)
    figure = go.Figure(_points(other_N[both_N], one_N[both_N], name="neuron"))
    _add_diagonal(figure, np.concatenate([one_N[both_N], other_N[both_N]]))
    figure.update_xaxes(title_text=f"r, {label(names[1])}")
    figure.update_yaxes(title_text=f"r, {label(names[0])}", scaleanchor="x")
    n_above = int((one_N[both_N] > other_N[both_N]).sum())
    return styled(
        figure,
        height_px=_HEIGHT_PX + 60,
        reading=(
            "A point is a neuron: how its rates in single trials go with the mean of the other "
            f"trials of the condition; {n_above} of {int(both_N.sum())} lie above the line, where "
            f"{names[0]} shows more of it."
        ),
    )


def distance_ratios(
    ratios: Mapping[str, NDArray[np.floating]], /, *, bin_s: float, zero_s: float = 0.0
) -> go.Figure:
    """Draw over time how much nearer trials lie to their own subgroup than to others.

    Parameters
    ----------
    ratios
        Method to ratios of shape ``(trial, bin)``.
    bin_s
        Duration of a bin, seconds.
    zero_s
        Time of the event that trials are aligned to, after their begin.

    Examples
    --------
    >>> drawn = distance_ratios({"RADICaL": np.array([[1.0, 2.0], [1.0, 4.0]])}, bin_s=0.01)
    >>> drawn.data[0].x.tolist(), drawn.data[0].y.tolist()
    ([0.0, 10.0], [1.0, 3.0])
    """
    figure = go.Figure()
    for (name, ratio_BT), mark in zip(ratios.items(), itertools.cycle(_MARKS), strict=False):
        time_T = (np.arange(ratio_BT.shape[1]) * bin_s - zero_s) * 1000
        figure.add_trace(_line(time_T, finite_mean(ratio_BT, axis=0), name=name, mark=mark))
    figure.add_hline(y=1, line={"color": GRAY, "dash": "dot"})
    figure.update_xaxes(title_text="time (ms)")
    figure.update_yaxes(title_text="distance to other subgroups / to its own")
    return _with_key(
        styled(
            figure,
            height_px=_HEIGHT_PX,
            reading=(
                "The mean over trials; above 1 (dotted) a trial lies nearer to trials of its own "
                "subgroup than to those of others, so single trials tell their subgroup."
            ),
        )
    )


def trajectory_paths(paths: Trajectories, conditions_B: ArrayLike, /) -> go.Figure:
    """Draw single trials, thin, and the mean of each condition, thick, in two components.

    Parameters
    ----------
    paths
        Of at least two dimensions.
    conditions_B
        Condition of each trial.

    Raises
    ------
    ValueError
        If there is one dimension.
    """
    if paths.trial_BTD.shape[2] < 2:
        raise ValueError("a path is drawn in two components, but there is one.")
    conditions = np.asarray(conditions_B)
    figure = go.Figure()
    for number, condition in enumerate(paths.conditions_C):
        color, _, dash = _MARKS[number % len(_MARKS)]
        single_TD = paths.trial_BTD[conditions == condition]
        # One trace for all trials of a condition: a gap parts them.
        gaps_BTD = np.pad(single_TD, ((0, 0), (0, 1), (0, 0)), constant_values=np.nan)
        x, y = gaps_BTD[:, :, :2].reshape(-1, 2).T
        figure.add_trace(
            go.Scatter(
                x=x,
                y=y,
                mode="lines",
                line={**THIN, "color": color},
                opacity=0.25,
                name=f"trials of {label(str(condition))}",
                showlegend=False,
                hoverinfo="skip",
            )
        )
        mean_TD = paths.mean_CTD[number]
        figure.add_trace(
            go.Scatter(
                x=mean_TD[:, 0],
                y=mean_TD[:, 1],
                mode="lines",
                line={**THICK, "color": color, "dash": dash},
                name=label(str(condition)),
            )
        )
    first, second = paths.variance_D[:2]
    figure.update_xaxes(title_text=f"component 1 ({first:.0%} of the variance of means)")
    figure.update_yaxes(title_text=f"component 2 ({second:.0%})", scaleanchor="x")
    return _with_key(
        styled(
            figure,
            height_px=_HEIGHT_PX + 100,
            reading=(
                "A thin line is a trial, a thick one the mean of its condition: where thin lines "
                "keep to their thick one, single trials tell their condition."
            ),
        )
    )


def onset_scatter(
    true_s: ArrayLike, predicted_s: Mapping[str, ArrayLike], /, *, what: str = "reaction time"
) -> go.Figure:
    """Draw predicted against true times of single trials, and their correlation.

    Parameters
    ----------
    true_s
        Seconds, one a trial.
    predicted_s
        Method to predicted times; trials without one are left out.
    what
        What the times are.

    Examples
    --------
    >>> drawn = onset_scatter([0.2, 0.3, 0.4], {"RADICaL": [0.2, 0.3, np.nan]})
    >>> drawn.data[0].name, drawn.data[0].x.tolist()
    ('RADICaL: r = 1.00, 2 of 3 trials', [200.0, 300.0])
    """
    true_B = np.asarray(true_s, dtype=np.float64) * 1000
    figure = go.Figure()
    shown = [true_B]
    for (name, values), (color, symbol, _) in zip(
        predicted_s.items(), itertools.cycle(_MARKS), strict=False
    ):
        predicted_B = np.asarray(values, dtype=np.float64) * 1000
        there_B = np.isfinite(predicted_B)
        r = (
            np.corrcoef(true_B[there_B], predicted_B[there_B])[0, 1]
            if there_B.sum() > 1
            else np.nan
        )
        said = f"{label(name)}: r = {r:.2f}, {int(there_B.sum())} of {len(true_B)} trials"
        figure.add_trace(
            _points(true_B[there_B], predicted_B[there_B], name=said, color=color, symbol=symbol)
        )
        shown.append(predicted_B[there_B])
    _add_diagonal(figure, np.concatenate(shown))
    figure.update_xaxes(title_text=f"true {what} (ms)")
    figure.update_yaxes(title_text=f"predicted {what} (ms)", scaleanchor="x")
    return _with_key(
        styled(
            figure,
            height_px=_HEIGHT_PX + 60,
            reading="A point is a trial; on the dotted line it is predicted to the bin.",
        )
    )


def coherence_curves(found: Mapping[str, Coherence], /) -> go.Figure:
    """Draw how well predicted movements follow the true ones at each frequency.

    Parameters
    ----------
    found
        Method to its coherence; the mean over dimensions is drawn.
    """
    figure = go.Figure()
    for (name, one), mark in zip(found.items(), itertools.cycle(_MARKS), strict=False):
        figure.add_trace(
            _line(one.frequency_Q, one.coherence_QD.mean(axis=1), name=name, mark=mark)
        )
    figure.update_xaxes(title_text="frequency (Hz)")
    figure.update_yaxes(title_text="coherence (magnitude squared)", range=[0, 1.02])
    return _with_key(
        styled(
            figure,
            height_px=_HEIGHT_PX,
            reading=(
                "At 1 the predicted movement follows the true one at this frequency up to a "
                "factor, at 0 not at all; the mean over dimensions and trials."
            ),
        )
    )


def score_curve(
    scores: Mapping[str, Mapping[float, Sequence[float]]], /, *, along: str, score: str
) -> go.Figure:
    """Draw a score over a setting of the experiment: neurons kept, speed, noise, trials.

    Parameters
    ----------
    scores
        Method to value of the setting to the score of each fold.
    along, score
        Names of setting and score, with units.

    Examples
    --------
    >>> drawn = score_curve(
    ...     {"RADICaL": {10.0: [0.8, 0.9], 7.0: [0.9, 0.9]}}, along="peak (Hz)", score="R² of Z"
    ... )
    >>> drawn.data[0].x.tolist(), drawn.data[0].y.round(2).tolist()
    ([7.0, 10.0], [0.9, 0.85])
    """
    figure = go.Figure()
    for (name, of_value), mark in zip(scores.items(), itertools.cycle(_MARKS), strict=False):
        values = sorted(of_value)
        line = _line(
            np.array(values),
            np.array([np.mean(of_value[value]) for value in values]),
            name=name,
            mark=mark,
        )
        line.mode = "lines+markers"
        sd = [np.std(of_value[v], ddof=1) if len(of_value[v]) > 1 else 0.0 for v in values]
        line.error_y = {"array": sd, "color": mark[0], "thickness": 1}
        figure.add_trace(line)
    figure.update_xaxes(title_text=label(along))
    figure.update_yaxes(title_text=label(score))
    return _with_key(
        styled(
            figure,
            height_px=_HEIGHT_PX,
            reading="A mark is the mean over folds of trials, a bar their standard deviation.",
        )
    )


def _points(
    x: NDArray[np.floating],
    y: NDArray[np.floating],
    *,
    name: str,
    color: str = BLUE,
    symbol: str = "circle",
) -> go.Scatter:
    return go.Scatter(
        x=x,
        y=y,
        mode="markers",
        name=name,
        marker={"color": color, "symbol": symbol, "size": 6, "opacity": 0.7},
    )


def _line(
    x: NDArray[np.floating], y: NDArray[np.floating], *, name: str, mark: tuple[str, str, str]
) -> go.Scatter:
    color, symbol, dash = mark
    return go.Scatter(
        x=x,
        y=y,
        mode="lines",
        name=label(name),
        line={**THICK, "color": color, "dash": dash},
        marker={"symbol": symbol, "size": 8},
    )


def _add_diagonal(figure: go.Figure, values: NDArray[np.floating]) -> None:
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
    figure.add_shape(
        type="line", x0=low, y0=low, x1=high, y1=high, line={"color": GRAY, "dash": "dot"}
    )


def _with_key(figure: go.Figure) -> go.Figure:
    """Name what is drawn above the figure."""
    return figure.update_layout(
        showlegend=True, legend={"orientation": "h", "yanchor": "bottom", "y": 1.02, "x": 0}
    )
