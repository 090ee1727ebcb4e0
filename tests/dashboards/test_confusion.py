import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import confusion_matrix as by_sklearn

from calsweep.dashboards.confusion import (
    class_roc_curves,
    class_rocs,
    confusion_matrix,
    count_decoded,
)
from calsweep.dashboards.prediction import read_predictions
from calsweep.dashboards.style import reading

LABELS = [0, 0, 0, 1, 1, 2]
PROBABILITIES = [
    [0.8, 0.1, 0.1],
    [0.2, 0.7, 0.1],
    [0.5, 0.3, 0.2],
    [0.1, 0.8, 0.1],
    [0.4, 0.2, 0.4],  # of two equal ones the lower class
    [0.1, 0.2, 0.7],
]


@pytest.fixture
def three_classes(tmp_path):
    columns = {"recording": ["a"] * 6, "frame": list(range(6)), "label": LABELS}
    for c in range(3):
        columns[f"probability_{c}"] = [row[c] for row in PROBABILITIES]
    pq.write_table(pa.table(columns), tmp_path / "predictions.parquet", write_page_checksum=True)
    return tmp_path


def test_three_classes_are_counted_by_the_most_probable(three_classes):
    assert read_predictions(three_classes).n_classes == 3
    counts = count_decoded([read_predictions(three_classes)])
    assert counts.tolist() == [[2, 1, 0], [1, 1, 0], [0, 0, 1]]


def test_two_classes_are_counted_at_one_half_as_accuracy_is(sweep):
    fold = sweep.trials[1].folds[3]
    folder = sweep.fold_folder(fold)
    assert read_predictions(folder).n_classes == 2
    counts = count_decoded([read_predictions(folder)])
    table = pq.read_table(folder / "predictions.parquet")
    label, decoded = table["label"].to_numpy(), table["probability"].to_numpy() > 0.5
    assert counts.tolist() == by_sklearn(label, decoded).tolist()
    assert np.trace(counts) / counts.sum() == pytest.approx(fold.test.accuracy)


def test_folds_are_counted_together(three_classes):
    fold = read_predictions(three_classes)
    assert count_decoded([fold, fold]).sum() == 12


def test_cells_hold_percent_of_the_observed_class():
    drawn = confusion_matrix(np.array([[900, 100, 0], [50, 1500, 450], [0, 0, 0]]), target="step")
    cells = drawn.data[0]
    assert [list(row) for row in cells.z] == [[90.0, 10.0, 0.0], [2.5, 75.0, 22.5], [0.0, 0.0, 0.0]]
    assert cells.text[1][1] == "75.0 %<br>1,500"
    assert drawn.layout.yaxis.title.text == "class of step observed"
    assert "the most probable one" in reading(drawn)


def test_two_classes_say_where_they_are_divided():
    assert "at probability 0.5" in reading(confusion_matrix(np.eye(2, dtype=int), target="run"))


def test_each_class_has_a_curve_against_the_others(three_classes):
    rocs = class_rocs([read_predictions(three_classes)] * 2)
    assert {name: len(curves) for name, curves in rocs.items()} == {
        "class 0": 2, "class 1": 2, "class 2": 2
    }  # fmt: skip
    assert rocs["class 2"][0].area == 1.0
    drawn = class_roc_curves(rocs)
    assert [trace.name for trace in drawn.data] == ["class 0", "class 1", "class 2"]
    assert drawn.layout.yaxis.title.text == "hits (share of the class)"
