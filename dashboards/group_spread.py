"""Test AUC by the group of animals that was tested."""

from __future__ import annotations

import plotly.graph_objects as go

from calsweep.dashboards.figure import fold_name
from calsweep.dashboards.style import (
    BLUE,
    VERMILLION,
    figure_title,
    group_name,
    held_out,
    label,
    styled,
)
from calsweep.datasets.fold import FoldPlan
from calsweep.platform.record import TrialRecord


def group_spread(
    trial: TrialRecord, /, *, plan: FoldPlan, baseline: TrialRecord | None = None
) -> go.Figure:
    """Draw the test AUC of each fold, side by side by the group that it tests.

    Parameters
    ----------
    trial
        The configuration.
    plan
        Names the groups; its folds have a test group each.
    baseline
        The linear baseline, drawn beside it where it is another.
    """
    what = held_out(plan)
    drawn = go.Figure(_boxes(trial, plan, color=BLUE, name=label(trial.name)))
    if baseline is not None and baseline.number != trial.number and baseline.folds:
        drawn.add_trace(_boxes(baseline, plan, color=VERMILLION, name="linear baseline"))
    names = [label(group_name(subjects), width=16) for subjects in plan.groups]
    drawn.update_xaxes(title_text=f"{what} that test", tickvals=names, showgrid=False)
    drawn.update_yaxes(title_text=figure_title("auc"))
    styled(
        drawn,
        height_px=420,
        reading=(
            f"A dot is a fold's test AUC (0.5 is chance, 1 is perfect), a box the folds that test "
            f"the same {what}: a low box is "
            f"hard to decode whoever trains, a long one depends on who validates"
            f"{'; the linear baseline stands at its right' if len(drawn.data) > 1 else ''}."
        ),
    )
    return drawn.update_layout(
        boxmode="group", showlegend=True, legend={"orientation": "h", "yanchor": "bottom", "y": 1.0}
    )


def _boxes(trial: TrialRecord, plan: FoldPlan, *, color: str, name: str) -> go.Box:
    folds = [fold for fold in trial.folds if fold.test_group is not None]
    groups = [plan.groups[fold.test_group] for fold in folds if fold.test_group is not None]
    return go.Box(
        x=[label(group_name(group), width=16) for group in groups],
        y=[fold.test.auc for fold in folds],
        name=name,
        boxpoints="all",
        pointpos=0,
        jitter=0.4,
        line={"color": color, "width": 1.5},
        fillcolor="rgba(128, 134, 144, 0.12)",
        marker={"color": color, "size": 6, "opacity": 0.8},
        text=[label(fold_name(fold, plan=plan)) for fold in folds],
        hoveron="points",
        hovertemplate="%{text}<br>test AUC %{y:.3f}<extra></extra>",
    )
