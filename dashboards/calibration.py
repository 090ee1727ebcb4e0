"""How far a decoder's probabilities can be taken at their word."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from calsweep.dashboards.prediction import Predictions
from calsweep.dashboards.style import BLUE, GRAY, GREEN, PURPLE, VERMILLION, styled
from calsweep.trainables.metrics import calibration

# W window, C class

_COLORS = (BLUE, VERMILLION, PURPLE, GREEN)
_MARKS = ("circle", "square", "diamond", "x")


def calibration_curves(folds: Sequence[Predictions], /) -> go.Figure:
    """Draw how often a class was observed where its probability was said to be so much.

    Parameters
    ----------
    folds
        At least one, all of the same classes; their windows are taken together.

    Returns
    -------
    figure
        A line for class 1 of two, else one a class.
    """
    label_W = np.concatenate([fold.label_W for fold in folds])
    probability_WC: NDArray[np.float64] = np.concatenate([fold.probability_WC for fold in folds])
    n_classes = probability_WC.shape[1]
    shown = [1] if n_classes == 2 else list(range(n_classes))
    figure = go.Figure(
        go.Scatter(
            x=[0, 1],
            y=[0, 1],
            mode="lines",
            line={"color": GRAY, "dash": "dot", "width": 1},
            name="as said",
            hoverinfo="skip",
        )
    )
    for i, c in enumerate(shown):
        found = calibration(label_W == c, probability_WC[:, c].astype(np.float32))
        figure.add_trace(
            go.Scatter(
                x=found.said_B,
                y=found.observed_B,
                mode="lines+markers",
                name=f"class {c}",
                line={"color": _COLORS[i % len(_COLORS)]},
                marker={"symbol": _MARKS[i % len(_MARKS)], "size": 8},
                hovertemplate=f"said %{{x:.2f}}<br>observed %{{y:.2f}}<extra>class {c}</extra>",
            )
        )
    figure.update_xaxes(title_text="probability that was said (mean of a bin)", range=[0, 1])
    figure.update_yaxes(title_text="share that was observed", range=[0, 1])
    return styled(
        figure,
        height_px=420,
        reading=(
            "Test windows of all folds in ten bins of the probability given to a class: on the "
            "dotted line it occurs as often as said, below it less often (too sure), above it more."
        ),
    )
