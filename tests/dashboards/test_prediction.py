import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from calsweep.dashboards.prediction import (
    POINTS,
    RocCurve,
    mean_roc,
    read_predictions,
    roc,
)


def test_thinned_area_is_that_of_sklearn():
    rng = np.random.default_rng(0)
    label = rng.integers(0, 2, 20_000)
    probability = 1 / (1 + np.exp(-(label + rng.normal(size=20_000))))
    curve = roc(label, probability)
    assert len(curve.false_positive_P) <= POINTS
    assert curve.area == pytest.approx(roc_auc_score(label, probability), abs=1e-3)
    assert (curve.false_positive_P[0], curve.true_positive_P[0]) == (0, 0)
    assert (curve.false_positive_P[-1], curve.true_positive_P[-1]) == (1, 1)


def test_area_of_a_constant_prediction_is_chance():
    assert roc(np.array([0, 1, 0, 1]), np.full(4, 0.3)).area == 0.5


def test_mean_lies_between_the_curves():
    perfect = RocCurve(
        false_positive_P=np.array([0, 0, 1.0]), true_positive_P=np.array([0, 1, 1.0])
    )
    chance = RocCurve(false_positive_P=np.array([0, 1.0]), true_positive_P=np.array([0, 1.0]))
    mean = mean_roc([perfect, chance])
    assert mean.area == pytest.approx(0.75)
    assert (mean.false_positive_P[0], mean.true_positive_P[0]) == (0, 0)


def test_stored_predictions_give_the_stored_figure(sweep):
    fold = sweep.trials[1].folds[4]
    stored = read_predictions(sweep.fold_folder(fold))
    assert roc(stored.label_W, stored.probability).area == pytest.approx(fold.test.auc, abs=1e-3)


def test_damaged_predictions_are_refused(writer):
    written = writer()
    written.begin()
    written.trial(1, n_folds=1)
    read = written.read()
    folder = read.fold_folder(read.trials[0].folds[0])
    path = folder / "predictions.parquet"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(OSError, match=r"(?i)crc|corrupt|checksum"):
        read_predictions(folder)
