"""How well each class was decoded, frame by frame and interval by interval, as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calsweep.dashboards.prediction import Predictions
from calsweep.platform.interval import IntervalFigures, interval_figures, intervals, total
from calsweep.trainables.metrics import class_figures


@dataclass(frozen=True, kw_only=True)
class ClassLine:
    """A line of the table, as text.

    Attributes
    ----------
    name
        Of the class, or how classes are averaged.
    n_windows
        Windows of the class.
    precision, recall, f1
        Over windows.
    accuracy
        Share of windows told rightly to be of the class or of another; empty for a mean.
    n_intervals
        Intervals of the class; empty where there are none.
    interval_precision, interval_recall
        Over intervals; empty where there are none.
    """

    name: str
    n_windows: str
    precision: str
    recall: str
    f1: str
    accuracy: str = ""
    n_intervals: str = ""
    interval_precision: str = ""
    interval_recall: str = ""


def class_lines(folds: Sequence[Predictions], /, *, min_frames: int = 1) -> tuple[ClassLine, ...]:
    """Give the lines of all classes, then their mean, plain (macro) and by windows (weighted).

    Then those of classes that have a head of their own, by what it said: H's tasks of two classes.

    Parameters
    ----------
    folds
        At least one, all of the same classes; their test windows are taken together.
    min_frames
        Shorter intervals are left out.

    Examples
    --------
    >>> fold = Predictions(
    ...     recording_W=np.array(["a"] * 4, dtype=object),
    ...     frame_W=np.arange(4),
    ...     label_W=np.array([0, 1, 1, 0]),
    ...     probability_WC=np.array([[0.9, 0.1], [0.1, 0.9], [0.6, 0.4], [0.9, 0.1]]),
    ... )
    >>> line = class_lines([fold])[1]
    >>> line.precision, line.recall, line.interval_recall
    ('1.000', '0.500', '1.000')
    """
    n_classes = folds[0].n_classes
    label_W = np.concatenate([fold.label_W for fold in folds])
    decoded_W = np.concatenate([fold.decoded for fold in folds])
    figures = class_figures(label_W, decoded_W, n_classes=n_classes)
    of_intervals = total([_of_fold(fold, min_frames=min_frames) for fold in folds])
    lines = [
        ClassLine(
            name=f"class {c}",
            n_windows=f"{figures.n_windows_C[c]:,}",
            precision=f"{figures.precision_C[c]:.3f}",
            recall=f"{figures.recall_C[c]:.3f}",
            f1=f"{figures.f1_C[c]:.3f}",
            accuracy=f"{np.mean((label_W == c) == (decoded_W == c)):.3f}",
            **_shown(of_intervals.get(c)),
        )
        for c in range(n_classes)
    ]
    for name, weighted in (("mean over classes (macro)", False), ("by windows (weighted)", True)):
        values = (figures.precision_C, figures.recall_C, figures.f1_C)
        precision, recall, f1 = (f"{figures.average(v, weighted=weighted):.3f}" for v in values)
        n_windows = f"{figures.n_windows_C.sum():,}"
        lines.append(
            ClassLine(name=name, n_windows=n_windows, precision=precision, recall=recall, f1=f1)
        )
    lines += [
        _side_line(c, label_W == c, np.concatenate([fold.sides[c] for fold in folds]))
        for c in folds[0].sides
    ]
    return tuple(lines)


def _side_line(
    c: int, is_class_W: NDArray[np.bool_], probability_W: NDArray[np.float64]
) -> ClassLine:
    told_W = probability_W > 0.5
    figures = class_figures(is_class_W.astype(np.int64), told_W.astype(np.int64), n_classes=2)
    return ClassLine(
        name=f"class {c}, by its own head",
        n_windows=f"{figures.n_windows_C[1]:,}",
        precision=f"{figures.precision_C[1]:.3f}",
        recall=f"{figures.recall_C[1]:.3f}",
        f1=f"{figures.f1_C[1]:.3f}",
        accuracy=f"{np.mean(told_W == is_class_W):.3f}",
    )


def _of_fold(fold: Predictions, *, min_frames: int) -> dict[int, IntervalFigures]:
    found = []
    for name in np.unique(fold.recording_W.astype(str)):
        rows = np.flatnonzero(fold.recording_W == name)
        rows = rows[np.argsort(fold.frame_W[rows], kind="stable")]
        true, decoded = (
            intervals(fold.frame_W[rows], labels_W[rows], min_frames=min_frames)
            for labels_W in (fold.label_W, fold.decoded)
        )
        found.append(interval_figures(true, decoded))
    return total(found)


def _shown(figures: IntervalFigures | None) -> dict[str, str]:
    if figures is None:
        return {}
    return {
        "n_intervals": f"{figures.n_true:,}",
        "interval_precision": f"{figures.precision:.3f}",
        "interval_recall": f"{figures.recall:.3f}",
    }
