"""The figures of a sweep, one function each, for the report, a page or a notebook.

Each gives a Plotly figure with units on its axes, its labels at the marks, and a sentence on how to
read it (`calsweep.dashboards.style.reading`).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from calsweep.dashboards.prediction import RocCurve, Stretch, mean_roc
from calsweep.dashboards.style import (
    BLUE,
    GRAY,
    PURPLE,
    SHADE,
    VERMILLION,
    group_name,
    held_out,
    label,
    styled,
)
from calsweep.datasets.fold import FoldPlan
from calsweep.platform.leaderboard import Row
from calsweep.platform.record import FoldRecord, TrialRecord
from calsweep.platform.score import Epoch

ROWS_SHOWN = 30
NAME_WIDTH = 38
THIN = {"width": 1}
THICK = {"width": 3}


def fold_spread(rows: Sequence[Row], /, *, plan: FoldPlan) -> go.Figure:
    """Draw the test AUC of every fold of every configuration, and where the linear baseline stands.

    Parameters
    ----------
    rows
        The leaderboard, best first; of more than 30 rows the best 30 and the baseline are drawn.
    plan
        Names the groups of a fold.

    Returns
    -------
    figure
        One row a configuration: a box over its folds, each fold, and the means of test and
        validation part.
    """
    shown = [row for row in rows if row.rank <= ROWS_SHOWN or row.trial.is_baseline]
    figure = go.Figure()
    for row in shown:
        figure.add_trace(_fold_box(row, plan))
    figure.add_trace(_means(shown, "mean test AUC", "diamond", lambda row: row.test_auc))
    figure.add_trace(
        _means(shown, "mean validation AUC", "diamond-open", lambda row: row.validation_auc)
    )
    baseline = [row.test_auc for row in shown if row.trial.is_baseline]
    for auc in baseline:
        _mark_baseline(figure, auc)
    figure.update_xaxes(title_text="AUC (0.5 is chance, 1 is perfect)")
    figure.update_yaxes(autorange="reversed", showgrid=False)
    left_out = len(rows) - len(shown)
    return styled(
        figure,
        height_px=110 + _pitch_px(shown) * len(shown),
        reading=(
            "Each dot is one fold's test AUC, the box its median and quartiles (whiskers: 1.5 "
            "quartile ranges), the filled diamond the mean over folds, the hollow one the mean "
            "validation AUC that ranks the rows"
            f"{'; right of the dashed line is better than the linear baseline' if baseline else ''}"
            f"{f'; {left_out} lower ranks are not drawn' if left_out else ''}."
        ),
    )


def group_matrix(trial: TrialRecord, /, *, plan: FoldPlan) -> go.Figure:
    """Draw the test AUC of each pair of test and validation group.

    Parameters
    ----------
    trial
        The configuration.
    plan
        Names the groups.

    Returns
    -------
    figure
        A matrix of k x k cells; a cell without a fold, as the diagonal, stays empty.
    """
    what = held_out(plan)
    cells = {(fold.test_group, fold.validation_group): fold.test.auc for fold in trial.folds}
    groups = range(len(plan.groups))
    auc = [[cells.get((test, validation)) for validation in groups] for test in groups]
    figure = go.Figure(
        go.Heatmap(
            z=auc,
            zmin=_step_below(min(cells.values(), default=0.5)),
            zmax=1.0,
            colorscale="Cividis",
            xgap=2,
            ygap=2,
            texttemplate="%{z:.3f}",
            textfont={"size": 14},
            hoverongaps=False,
            hovertemplate="tested on %{y}<br>validated on %{x}<br>AUC %{z:.3f}<extra></extra>",
            colorbar={
                "title": {"text": "test AUC", "side": "top"},
                "orientation": "h",
                "yanchor": "bottom",
                "y": 1.0,
                "thickness": 10,
                "outlinewidth": 0,
            },
        )
    )
    names = [label(group_name(subjects), width=16) for subjects in plan.groups]
    n_lines = 1 + max(name.count("<br>") for name in names)
    ticks = {"tickvals": list(groups), "ticktext": names, "showgrid": False}
    figure.update_xaxes(title_text=f"{what} that validate", title_standoff=16 * n_lines, **ticks)
    figure.update_yaxes(title_text=f"{what} that test", autorange="reversed", **ticks)
    return styled(
        figure,
        height_px=200 + 50 * len(names),
        reading=(
            f"A row is one group of test {what} and a column the group that chose the epoch, all "
            "others trained; a dark row is a group that is hard to decode, a dark column one that "
            "chooses badly, and an empty cell, as the diagonal, has no fold."
        ),
    )


def roc_curves(
    curves: Mapping[str, RocCurve], /, *, baseline: Sequence[RocCurve] = ()
) -> go.Figure:
    """Draw the ROC curve of each fold and their mean, beside the mean of the linear baseline.

    Parameters
    ----------
    curves
        Name of a fold to its curve, at least one.
    baseline
        The curves of the linear baseline.

    Examples
    --------
    >>> curve = RocCurve(false_positive_P=np.array([0, 1.0]), true_positive_P=np.array([0, 1.0]))
    >>> [trace.name for trace in roc_curves({"fold 0": curve}).data]
    ['fold 0', 'mean of 1 fold']
    """
    figure = go.Figure()
    for name, curve in curves.items():
        figure.add_trace(_roc(curve, label(name), color=BLUE, line=THIN, opacity=0.4))
    if baseline:
        add_mean_roc(figure, baseline, "linear baseline", VERMILLION, dash="dash", y=0.12)
    n_folds = len(curves)
    name = f"mean of {n_folds} fold{'s' if n_folds != 1 else ''}"
    add_mean_roc(figure, list(curves.values()), name, BLUE, dash="solid", y=0.24)
    roc_axes(figure)
    return styled(
        figure,
        height_px=520,
        reading=(
            "A thin line is one fold over all its test windows at falling thresholds, the thick "
            "line their mean; the nearer to the upper left corner, the better."
        ),
    )


def roc_axes(figure: go.Figure, /) -> None:
    """Give a figure the axes of ROC curves, and the line of chance."""
    figure.add_shape(type="line", x0=0, y0=0, x1=1, y1=1, line={"color": GRAY, "dash": "dot"})
    figure.add_annotation(x=0.62, y=0.56, text="chance")
    ends = {"range": [-0.01, 1.01], "dtick": 0.2, "constrain": "domain"}
    figure.update_xaxes(title_text="false alarms (share of class 0)", **ends)
    figure.update_yaxes(title_text="hits (share of class 1)", scaleanchor="x", **ends)


def add_mean_roc(
    figure: go.Figure, curves: Sequence[RocCurve], name: str, color: str, *, dash: str, y: float
) -> None:
    """Add the mean of several ROC curves, and its name with their areas at the right."""
    line = {**THICK, "dash": dash}
    figure.add_trace(_roc(mean_roc(curves), name, color=color, line=line))
    areas = [curve.area for curve in curves]
    sd = f" ± {statistics.stdev(areas):.3f}" if len(areas) > 1 else ""
    figure.add_annotation(
        x=0.98,
        y=y,
        xanchor="right",
        text=f"<b>{name}</b>: AUC {statistics.fmean(areas):.3f}{sd}",
        bordercolor=color,
        borderwidth=2,
        borderpad=4,
    )


def learning_curves(trial: TrialRecord, /) -> go.Figure:
    """Draw loss and validation AUC of each fold by epoch, with the epoch that was kept.

    Parameters
    ----------
    trial
        The configuration, at least one fold.
    """
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.08)
    _add_curves(figure, trial, 1, "training", PURPLE, lambda epoch: epoch.train_loss)
    _add_curves(figure, trial, 1, "validation", BLUE, lambda epoch: epoch.validation.loss)
    _add_curves(figure, trial, 2, "validation", BLUE, lambda epoch: epoch.validation.auc)
    _add_best(figure, trial, 1, lambda epoch: epoch.validation.loss)
    _add_best(figure, trial, 2, lambda epoch: epoch.validation.auc)
    figure.update_yaxes(title_text="loss (nats a window)", row=1)
    figure.update_yaxes(title_text="validation AUC", row=2)
    figure.update_xaxes(title_text="epoch", row=2)
    return styled(
        figure,
        height_px=560,
        reading=(
            "A thin line is one fold, a thick line the mean; a diamond marks the epoch of lowest "
            "validation loss, whose weights are the fold's model: training loss that falls on "
            "after it is overfitting."
        ),
    )


def prediction_stretch(
    stretch: Stretch, /, *, target: str, rate_hz: float, about: str = ""
) -> go.Figure:
    """Draw the decoded probability over the behavior that was observed.

    Parameters
    ----------
    stretch
        Part of a test recording.
    target
        Name of the behavior.
    rate_hz
        Frames per second.
    about
        Which fold this is, as part of a sentence.

    Examples
    --------
    >>> stretch = Stretch(
    ...     recording="m1_1",
    ...     frame_W=np.array([30, 31, 34]),
    ...     label_W=np.array([0, 1, 1]),
    ...     probability_W=np.array([0.1, 0.8, 0.9]),
    ... )
    >>> figure = prediction_stretch(stretch, target="run", rate_hz=10.0)
    >>> figure.data[1].x
    (3.0, 3.1, 3.2, 3.4)
    >>> figure.data[1].y
    (0.1, 0.8, None, 0.9)
    """
    frame, observed, probability = _with_gaps(stretch)
    time_s = [round(at / rate_hz, 4) for at in frame]
    figure = go.Figure()
    figure.add_trace(
        go.Scatter(
            x=time_s,
            y=observed,
            name=label(target),
            line={"shape": "hvh", "width": 0},
            fill="tozeroy",
            fillcolor=SHADE,
            hoverinfo="skip",
        )
    )
    figure.add_trace(
        go.Scatter(
            x=time_s,
            y=probability,
            name="probability",
            line={"color": BLUE, "width": 2},
            hovertemplate="%{x:.2f} s<br>probability %{y:.3f}<extra></extra>",
        )
    )
    figure.add_annotation(
        x=0,
        y=1,
        xref="paper",
        yref="paper",
        xanchor="left",
        yanchor="bottom",
        text=f"<span style='color:{BLUE}'><b>━</b></span> probability decoded    "
        f"<span style='color:{GRAY}'>■</span> {label(target)} observed",
    )
    figure.add_hline(y=0.5, line={"color": GRAY, "dash": "dot", "width": 1})
    figure.update_xaxes(title_text=f"time in {label(stretch.recording)} (s)", showgrid=False)
    figure.update_yaxes(title_text=f"probability of {label(target)}", range=[-0.02, 1.02])
    return styled(
        figure,
        height_px=340,
        reading=(
            f"Shaded: {target} as observed; line: its probability as decoded, which counts as "
            f"{target} above the dotted line. The stretch of this test recording is chosen for "
            f"even shares of both classes, not for its result{about}."
        ),
    )


def fold_name(fold: FoldRecord, /, *, plan: FoldPlan) -> str:
    """Name a fold by its number and groups, where it has any."""
    if fold.test_group is None or fold.validation_group is None:
        return f"fold {fold.fold}"
    test, validation = plan.groups[fold.test_group], plan.groups[fold.validation_group]
    return f"fold {fold.fold}: tests {group_name(test)}, validates {group_name(validation)}"


def _fold_box(row: Row, plan: FoldPlan) -> go.Box:
    color = VERMILLION if row.trial.is_baseline else BLUE if row.rank == 1 else GRAY
    folds = row.trial.folds
    return go.Box(
        x=[fold.test.auc for fold in folds],
        y=[_row_name(row)] * len(folds),
        name=row.trial.name,
        orientation="h",
        boxpoints="all",
        pointpos=0,
        jitter=0.5,
        width=0.62,
        line={"color": color, "width": 1.5},
        fillcolor="rgba(128, 134, 144, 0.12)",
        marker={"color": color, "size": 5, "opacity": 0.7},
        text=[label(fold_name(fold, plan=plan)) for fold in folds],
        hoveron="points",
        hovertemplate="%{text}<br>test AUC %{x:.3f}<extra></extra>",
    )


def _means(
    rows: Sequence[Row], name: str, symbol: str, figure_of: Callable[[Row], float]
) -> go.Scatter:
    return go.Scatter(
        x=[figure_of(row) for row in rows],
        y=[_row_name(row) for row in rows],
        name=name,
        mode="markers",
        marker={
            "symbol": symbol,
            "size": 11,
            "color": PURPLE,
            "line": {"color": PURPLE, "width": 2},
        },
        hovertemplate=f"{name} %{{x:.3f}}<extra></extra>",
    )


def _row_name(row: Row) -> str:
    what = label(row.trial.decoder, width=NAME_WIDTH)
    return f"<b>{label(row.trial.name)}</b><br><span style='font-size:11px'>{what}</span>"


def _pitch_px(rows: Sequence[Row]) -> int:
    """Give rows the height of the longest name."""
    n_lines = max((_row_name(row).count("<br>") for row in rows), default=1)
    return max(46, 26 + 15 * n_lines)


def _mark_baseline(figure: go.Figure, auc: float) -> None:
    figure.add_vline(x=auc, line={"color": VERMILLION, "dash": "dash", "width": 1.5})
    figure.add_annotation(
        x=auc, y=1.0, yref="paper", yanchor="bottom", text=f"linear baseline {auc:.3f}"
    )


def _step_below(auc: float) -> float:
    """Begin a color scale at a round value that leaves the lowest cell in sight."""
    return math.floor(20 * min(auc, 0.99)) / 20


def _roc(
    curve: RocCurve, name: str, *, color: str, line: Mapping[str, object], opacity: float = 1.0
) -> go.Scatter:
    return go.Scatter(
        x=np.round(curve.false_positive_P, 4).tolist(),
        y=np.round(curve.true_positive_P, 4).tolist(),
        name=name,
        mode="lines",
        line={"color": color, **line},
        opacity=opacity,
        hovertemplate=f"{name}<br>AUC {curve.area:.3f}<extra></extra>",
    )


def _add_curves(
    figure: go.Figure,
    trial: TrialRecord,
    row: int,
    name: str,
    color: str,
    figure_of: Callable[[Epoch], float],
) -> None:
    for fold in trial.folds:
        figure.add_trace(
            go.Scatter(
                x=[epoch.epoch for epoch in fold.curve],
                y=[figure_of(epoch) for epoch in fold.curve],
                name=f"{name}, fold {fold.fold}",
                mode="lines",
                line={"color": color, **THIN},
                opacity=0.35,
                hovertemplate=f"fold {fold.fold}, {name} %{{y:.3f}}<extra></extra>",
            ),
            row=row,
            col=1,
        )
    epochs, means = _mean_by_epoch(trial, figure_of)
    figure.add_trace(
        go.Scatter(
            x=epochs,
            y=means,
            name=f"{name}, mean",
            mode="lines",
            line={"color": color, "dash": "dash" if name == "training" else "solid", **THICK},
            hovertemplate=f"mean {name} %{{y:.3f}}<extra></extra>",
        ),
        row=row,
        col=1,
    )
    figure.add_annotation(
        x=epochs[-1], y=means[-1], text=name, xanchor="right", yshift=12, row=row, col=1
    )


def _mean_by_epoch(
    trial: TrialRecord, figure_of: Callable[[Epoch], float]
) -> tuple[list[int], list[float]]:
    """Average over the folds, as far as every fold went."""
    together = list(zip(*(fold.curve for fold in trial.folds), strict=False))
    epochs = [column[0].epoch for column in together]
    return epochs, [statistics.fmean(map(figure_of, column)) for column in together]


def _add_best(
    figure: go.Figure, trial: TrialRecord, row: int, figure_of: Callable[[Epoch], float]
) -> None:
    kept = [epoch for fold in trial.folds for epoch in fold.curve if epoch.epoch == fold.best_epoch]
    figure.add_trace(
        go.Scatter(
            x=[epoch.epoch for epoch in kept],
            y=[figure_of(epoch) for epoch in kept],
            name="epoch kept",
            mode="markers",
            marker={"symbol": "diamond", "size": 8, "color": VERMILLION},
            hovertemplate="kept: epoch %{x}, %{y:.3f}<extra></extra>",
        ),
        row=row,
        col=1,
    )


def _with_gaps(
    stretch: Stretch,
) -> tuple[list[int], list[int | None], list[float | None]]:
    """Break the lines where frames are missing."""
    frame: list[int] = []
    observed: list[int | None] = []
    probability: list[float | None] = []
    for at, seen, decoded in zip(
        stretch.frame_W.tolist(),
        stretch.label_W.tolist(),
        stretch.probability_W.tolist(),
        strict=True,
    ):
        if frame and at > frame[-1] + 1:
            frame.append(frame[-1] + 1)
            observed.append(None)
            probability.append(None)
        frame.append(at)
        observed.append(seen)
        probability.append(round(decoded, 4))
    return frame, observed, probability
