from calsweep.dashboards.group_spread import group_spread


def test_each_fold_stands_at_the_animals_it_tests_beside_the_baseline(sweep):
    trial = sweep.trials[1]
    mine, linear = group_spread(trial, plan=sweep.plan, baseline=sweep.trials[0]).data
    assert mine.x[:5] == ("m1", "m1", "m1", "m1", "m2")
    assert mine.y == tuple(fold.test.auc for fold in trial.folds)
    assert linear.name == "linear baseline"


def test_baseline_does_not_stand_beside_itself(sweep):
    baseline = sweep.trials[0]
    assert len(group_spread(baseline, plan=sweep.plan, baseline=baseline).data) == 1
