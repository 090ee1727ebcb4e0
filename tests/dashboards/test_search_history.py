import dataclasses

from calsweep.dashboards.search_history import search_history


def test_dots_are_what_the_search_saw_and_the_line_the_best_so_far(sweep):
    baseline, best, second = sweep.trials
    drawn = search_history(dataclasses.replace(sweep, trials=(baseline, best, second)))
    dots, line = drawn.data
    assert dots.x == (1, 2)
    assert dots.y == (best.mean_validation_auc(), second.mean_validation_auc())
    assert line.y == (best.mean_validation_auc(), best.mean_validation_auc())
    assert drawn.layout.shapes[0].y0 == baseline.mean_validation_auc()
    assert drawn.layout.xaxis.title.text == "configuration, in the order they began"
    assert drawn.layout.yaxis.title.text == ("mean validation AUC<br>(0.5 is chance, 1 is perfect)")


def test_sweep_of_the_baseline_alone_has_a_history(sweep):
    drawn = search_history(dataclasses.replace(sweep, trials=sweep.trials[:1]))
    assert drawn.data[0].x == ()
    assert len(drawn.layout.shapes) == 1
