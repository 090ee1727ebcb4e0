"""Test AUC over the folds of a sweep: its spread by configuration, and each pair of groups.

As the other figures here, for the report, a page or a notebook: Plotly figures with units on their
axes, labels at the marks, and a sentence on how to read them (`calsweep.dashboards.style.reading`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import plotly.graph_objects as go

from calsweep.dashboards.style import (
    BLUE,
    GRAY,
    PURPLE,
    VERMILLION,
    color_bar,
    group_name,
    held_out,
    label,
    styled,
)
from calsweep.datasets.fold import FoldPlan
from calsweep.platform.leaderboard import Row
from calsweep.platform.record import FoldRecord, TrialRecord

ROWS_SHOWN = 30
NAME_WIDTH = 38


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
    names = [_row_name(row) for row in shown]
    ticks = {"tickvals": names, "ticktext": names}  # a page may shorten the texts
    figure.update_yaxes(autorange="reversed", showgrid=False, **ticks)
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
            colorbar=color_bar("test AUC"),
        )
    )
    names = [label(group_name(subjects), width=16) for subjects in plan.groups]
    ticks = {"tickvals": list(groups), "ticktext": names, "showgrid": False}
    figure.update_xaxes(title_text=f"{what} that validate", **ticks)
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
