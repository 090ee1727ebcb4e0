"""Which class was decoded for which, over the test windows of folds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from calsweep.dashboards.prediction import Predictions, RocCurve, roc
from calsweep.dashboards.roc import add_mean_roc, roc_axes
from calsweep.dashboards.style import BLUE, GREEN, PURPLE, VERMILLION, color_bar, label, styled
from calsweep.trainables.metrics import confusion

# W window, C class; O observed, D decoded

_LINES = (
    (BLUE, "solid"),
    (VERMILLION, "dash"),
    (PURPLE, "dashdot"),
    (GREEN, "longdash"),
    (VERMILLION, "dot"),
    (BLUE, "dot"),
)


def count_decoded(folds: Sequence[Predictions], /) -> NDArray[np.int64]:
    """Count how often each class was decoded for each that was observed.

    Parameters
    ----------
    folds
        At least one, all of the same classes.

    Returns
    -------
    counts_OD
        A row an observed class, a column a decoded one.

    Examples
    --------
    >>> fold = Predictions(
    ...     recording_W=np.array(["a"] * 4, dtype=object),
    ...     frame_W=np.arange(4),
    ...     label_W=np.array([0, 0, 1, 1]),
    ...     probability_WC=np.array([[0.9, 0.1], [0.4, 0.6], [0.1, 0.9], [0.2, 0.8]]),
    ... )
    >>> count_decoded([fold]).tolist()
    [[1, 1], [0, 2]]
    """
    counts = (confusion(f.label_W, f.decoded, n_classes=f.n_classes) for f in folds)
    counts_OD: NDArray[np.int64] = np.sum(list(counts), axis=0)
    return counts_OD


def confusion_matrix(counts_OD: NDArray[np.int64], /, *, target: str) -> go.Figure:
    """Draw how often each class was decoded for each that was observed.

    Parameters
    ----------
    counts_OD
        As `count_decoded` gives them.
    target
        Name of the behavior.
    """
    n_O = counts_OD.sum(axis=1)
    percent_OD = 100 * counts_OD / np.maximum(n_O, 1)[:, None]
    texts = [
        [f"{percent:.1f} %<br>{count:,}" for percent, count in zip(row, counts, strict=True)]
        for row, counts in zip(percent_OD.tolist(), counts_OD.tolist(), strict=True)
    ]
    n_classes = len(counts_OD)
    figure = go.Figure(
        go.Heatmap(
            z=percent_OD.tolist(),
            zmin=0,
            zmax=100,
            colorscale="Cividis",
            xgap=2,
            ygap=2,
            text=texts,
            texttemplate="%{text}",
            textfont={"size": 15},
            hovertemplate="observed %{y}, decoded %{x}<br>%{text} windows<extra></extra>",
            colorbar=color_bar("% of the observed class"),
        )
    )
    classes = [str(c) for c in range(n_classes)]
    ticks = {"tickvals": list(range(n_classes)), "ticktext": classes, "showgrid": False}
    figure.update_xaxes(title_text=f"class of {label(target)} decoded", **ticks)
    figure.update_yaxes(
        title_text=f"class of {label(target)} observed", autorange="reversed", **ticks
    )
    how = "at probability 0.5" if n_classes == 2 else "the most probable one"
    return styled(
        figure,
        height_px=200 + 90 * n_classes,
        reading=(
            "A row is an observed class, and a cell the share and number of its test windows, over "
            f"all folds together, that were decoded as the column's class ({how}); the diagonal is "
            "right, and a window that several folds test counts in each."
        ),
    )


def class_roc_curves(rocs: Mapping[str, Sequence[RocCurve]], /) -> go.Figure:
    """Draw the mean ROC curve of each class against all others.

    Parameters
    ----------
    rocs
        As `class_rocs` gives them.
    """
    figure = go.Figure()
    for i, (name, curves) in enumerate(rocs.items()):
        color, dash = _LINES[i % len(_LINES)]
        add_mean_roc(figure, curves, label(name), color, dash=dash, y=0.05 + 0.09 * i)
    roc_axes(figure)
    figure.update_xaxes(title_text="false alarms (share of all other classes)")
    figure.update_yaxes(title_text="hits (share of the class)")
    return styled(
        figure,
        height_px=520,
        reading=(
            "A line is the mean ROC curve over the folds of one class against all others, with the "
            "mean and SD of their areas beside its name; the nearer to the upper left corner, the "
            "better."
        ),
    )


def class_rocs(folds: Sequence[Predictions], /) -> dict[str, list[RocCurve]]:
    """Give the ROC curves of each class against all others, one a fold.

    A fold in which a class was never, or always, observed has no curve of it. Classes that have a
    head of their own have one more by what it said, as in H.

    Examples
    --------
    >>> fold = Predictions(
    ...     recording_W=np.array(["a"] * 4, dtype=object),
    ...     frame_W=np.arange(4),
    ...     label_W=np.array([0, 1, 2, 2]),
    ...     probability_WC=np.eye(4)[:, :3],
    ... )
    >>> {name: [curve.area for curve in curves] for name, curves in class_rocs([fold]).items()}
    {'class 0': [1.0], 'class 1': [1.0], 'class 2': [0.75]}
    """
    found: dict[str, list[RocCurve]] = {}
    said = [
        *((f"class {c}", c, False) for c in range(folds[0].n_classes)),
        *((f"class {c}, own head", c, True) for c in folds[0].sides),
    ]
    for name, c, by_side in said:
        for fold in folds:
            is_c_W = (fold.label_W == c).astype(np.int64)
            if 0 < is_c_W.sum() < len(is_c_W):
                probability_W = fold.sides[c] if by_side else fold.probability_WC[:, c]
                found.setdefault(name, []).append(roc(is_c_W, probability_W))
    return found
