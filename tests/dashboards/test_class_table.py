"""Each class in the report's table: over windows and over intervals."""

from dataclasses import replace

import numpy as np

from calsweep.dashboards.calibration import calibration_curves
from calsweep.dashboards.class_table import class_lines
from calsweep.dashboards.confusion import class_rocs
from calsweep.dashboards.prediction import Predictions
from calsweep.dashboards.style import reading

LABELS = [0, 1, 1, 1, 0, 2, 2, 0, 0, 1]
DECODED = [0, 1, 1, 0, 0, 2, 2, 2, 0, 0]


def fold_of(labels, decoded, *, n_classes, recordings=None):
    probability_WC = np.full((len(labels), n_classes), 0.1 / (n_classes - 1))
    probability_WC[np.arange(len(labels)), decoded] = 0.9
    names = recordings or ["a"] * len(labels)
    return Predictions(
        recording_W=np.array(names, dtype=object),
        frame_W=np.arange(len(labels)),
        label_W=np.array(labels),
        probability_WC=probability_WC,
    )


def test_lines_of_three_classes():
    lines = {line.name: line for line in class_lines([fold_of(LABELS, DECODED, n_classes=3)])}
    assert list(lines) == [
        "class 0",
        "class 1",
        "class 2",
        "mean over classes (macro)",
        "by windows (weighted)",
    ]
    one, two = lines["class 1"], lines["class 2"]
    # 2 of 4 windows of class 1 are found; of its two intervals, the first shares 2 of 3 frames.
    assert (one.n_windows, one.precision, one.recall, one.f1) == ("4", "1.000", "0.500", "0.667")
    assert (one.n_intervals, one.interval_precision, one.interval_recall) == (
        "2",
        "1.000",
        "0.500",
    )
    assert (two.precision, two.recall, two.interval_recall) == ("0.667", "1.000", "1.000")
    assert lines["class 0"].n_intervals == ""
    # Of ten windows, two of class 1 are told to be of another, and one of another to be of class 2.
    assert (one.accuracy, two.accuracy) == ("0.800", "0.900")
    # Recall of the classes is 3/4, 1/2, 1 for 4, 4 and 2 windows.
    assert lines["mean over classes (macro)"].recall == "0.750"
    assert lines["by windows (weighted)"].recall == "0.700"


def test_classes_with_a_head_of_their_own_have_a_line_and_a_curve_by_it():
    fold = fold_of([0, 1, 1, 2], [0, 1, 0, 2], n_classes=3)
    fold = replace(fold, sides={1: np.array([0.6, 0.9, 0.8, 0.1]), 2: np.array([0.1] * 3 + [0.7])})
    lines = {line.name: line for line in class_lines([fold, fold])}
    one = lines["class 1, by its own head"]
    # It tells three windows to be of class 1, and two are.
    assert (one.n_windows, one.precision, one.recall, one.f1) == ("4", "0.667", "1.000", "0.800")
    assert (one.accuracy, one.n_intervals) == ("0.750", "")
    assert lines["class 2, by its own head"].accuracy == "1.000"
    areas = {name: [curve.area for curve in curves] for name, curves in class_rocs([fold]).items()}
    assert list(areas) == [
        "class 0",
        "class 1",
        "class 2",
        "class 1, own head",
        "class 2, own head",
    ]
    assert areas["class 1, own head"] == [1.0]


def test_intervals_end_with_their_recording():
    fold = fold_of([1] * 6, [1] * 6, n_classes=2, recordings=["a"] * 3 + ["b"] * 3)
    assert class_lines([fold])[1].n_intervals == "2"


def test_folds_are_taken_together():
    fold = fold_of(LABELS, DECODED, n_classes=3)
    assert class_lines([fold, fold])[1].n_windows == "8"
    assert class_lines([fold, fold])[1].n_intervals == "4"


def test_calibration_has_a_line_a_class_or_one_of_two():
    three = calibration_curves([fold_of(LABELS, DECODED, n_classes=3)])
    assert [trace.name for trace in three.data] == ["as said", "class 0", "class 1", "class 2"]
    two = calibration_curves([fold_of([0, 1, 1, 0], [0, 1, 0, 0], n_classes=2)])
    assert [trace.name for trace in two.data] == ["as said", "class 1"]
    # Said 0.1 for three windows, one of which is of the class; 0.9 for one, which is.
    np.testing.assert_allclose(two.data[1].x, [0.1, 0.9])
    np.testing.assert_allclose(two.data[1].y, [1 / 3, 1.0])
    assert "too sure" in reading(two)
