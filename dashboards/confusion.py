"""Which class was decoded for which, over the test windows of folds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import pyarrow.parquet as pq
from numpy.typing import NDArray

from calsweep.dashboards.figure import add_mean_roc, roc_axes
from calsweep.dashboards.prediction import RocCurve, roc
from calsweep.dashboards.style import BLUE, GREEN, PURPLE, VERMILLION, label, styled

# W window, C class; O observed, D decoded

_FILE = "predictions.parquet"
_LINES = ((BLUE, "solid"), (VERMILLION, "dash"), (PURPLE, "dashdot"), (GREEN, "longdash"))


@dataclass(frozen=True, kw_only=True)
class ClassPredictions:
    """What a fold's model said of each class.

    Attributes
    ----------
    label_W
        Class that was observed, from 0.
    probability_WC
        Probability of each class.
    """

    label_W: NDArray[np.int64]
    probability_WC: NDArray[np.float64]

    @property
    def decoded(self) -> NDArray[np.int64]:
        """Class of each window that was decoded: the most probable, of equal ones the lowest.

        Examples
        --------
        >>> halves = np.array([[0.5, 0.5], [0.2, 0.8]])
        >>> ClassPredictions(label_W=np.array([0, 1]), probability_WC=halves).decoded.tolist()
        [0, 1]
        """
        decoded_W: NDArray[np.int64] = np.argmax(self.probability_WC, axis=1)
        return decoded_W


def is_binary(folder: Path, /) -> bool:
    """Say whether a trained fold decodes two classes."""
    return "probability" in pq.read_schema(folder / _FILE).names


def read_classes(folder: Path, /) -> ClassPredictions:
    """Read the predictions in a trained fold's folder, of two classes or more.

    Raises
    ------
    FileNotFoundError
        If there are none.
    """
    table = pq.read_table(folder / _FILE, page_checksum_verification=True)
    label_W = table["label"].to_numpy().astype(np.int64)
    if "probability" in table.column_names:
        one_W = table["probability"].to_numpy().astype(np.float64)
        return ClassPredictions(label_W=label_W, probability_WC=np.stack([1 - one_W, one_W], 1))
    n_classes = sum(name.startswith("probability_") for name in table.column_names)
    columns = [table[f"probability_{c}"].to_numpy().astype(np.float64) for c in range(n_classes)]
    return ClassPredictions(label_W=label_W, probability_WC=np.stack(columns, 1))


def count_decoded(folds: Sequence[ClassPredictions], /) -> NDArray[np.int64]:
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
    >>> fold = ClassPredictions(
    ...     label_W=np.array([0, 0, 1, 1]),
    ...     probability_WC=np.array([[0.9, 0.1], [0.4, 0.6], [0.1, 0.9], [0.2, 0.8]]),
    ... )
    >>> count_decoded([fold]).tolist()
    [[1, 1], [0, 2]]
    """
    n_classes = folds[0].probability_WC.shape[1]
    counts_OD = np.zeros((n_classes, n_classes), dtype=np.int64)
    for fold in folds:
        np.add.at(counts_OD, (fold.label_W, fold.decoded), 1)
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
            colorbar={
                "title": {"text": "% of the observed class", "side": "top"},
                "orientation": "h",
                "yanchor": "bottom",
                "y": 1.0,
                "thickness": 10,
                "outlinewidth": 0,
            },
        )
    )
    classes = [str(c) for c in range(n_classes)]
    ticks = {"tickvals": list(range(n_classes)), "ticktext": classes, "showgrid": False}
    figure.update_xaxes(title_text=f"class of {label(target)} decoded", title_standoff=20, **ticks)
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


def class_rocs(folds: Sequence[ClassPredictions], /) -> dict[str, list[RocCurve]]:
    """Give the ROC curves of each class against all others, one a fold.

    A fold in which a class was never, or always, observed has no curve of it.

    Examples
    --------
    >>> fold = ClassPredictions(label_W=np.array([0, 1, 2, 2]), probability_WC=np.eye(4)[:, :3])
    >>> {name: [curve.area for curve in curves] for name, curves in class_rocs([fold]).items()}
    {'class 0': [1.0], 'class 1': [1.0], 'class 2': [0.75]}
    """
    found: dict[str, list[RocCurve]] = {}
    for c in range(folds[0].probability_WC.shape[1]):
        for fold in folds:
            is_c_W = (fold.label_W == c).astype(np.int64)
            if 0 < is_c_W.sum() < len(is_c_W):
                found.setdefault(f"class {c}", []).append(roc(is_c_W, fold.probability_WC[:, c]))
    return found
