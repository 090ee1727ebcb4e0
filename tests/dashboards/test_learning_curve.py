import dataclasses

import pytest

from calsweep.dashboards.learning_curve import learning_curves


def test_learning_curves_mark_the_epoch_kept(sweep):
    trial = sweep.trials[1]
    drawn = learning_curves(trial)
    kept = [trace for trace in drawn.data if trace.name == "epoch kept"]
    assert list(kept[0].x) == [fold.best_epoch for fold in trial.folds]
    assert list(kept[0].y) == [min(e.validation.loss for e in f.curve) for f in trial.folds]
    means = {t.name: t.y[0] for t in drawn.data if t.name.endswith("mean")}
    first = [fold.curve[0].train_loss for fold in trial.folds]
    assert means["training, mean"] == pytest.approx(sum(first) / 20)


def test_mean_goes_as_far_as_every_fold_went(sweep):
    short = dataclasses.replace(sweep.trials[1].folds[0], curve=sweep.trials[1].folds[0].curve[:9])
    folds = (short, *sweep.trials[1].folds[1:])
    drawn = learning_curves(dataclasses.replace(sweep.trials[1], folds=folds))
    assert {len(t.x) for t in drawn.data if t.name.endswith("mean")} == {9}
