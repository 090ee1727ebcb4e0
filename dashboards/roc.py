"""ROC curves of folds, and their mean."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go

from calsweep.dashboards.prediction import RocCurve, mean_roc
from calsweep.dashboards.style import (
    BLUE,
    GRAY,
    THICK,
    THIN,
    VERMILLION,
    label,
    styled,
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
