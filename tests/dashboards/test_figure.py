import dataclasses

import pytest

from calsweep.dashboards import figure
from calsweep.dashboards.style import BLUE, DARK_MARKS, PURPLE, VERMILLION, reading
from calsweep.platform.leaderboard import leaderboard


def titles(drawn):
    return [axis.title.text for axis in (drawn.layout.xaxis, drawn.layout.yaxis)]


def texts(drawn):
    return [annotation.text for annotation in drawn.layout.annotations]


def test_matrix_holds_each_test_group_by_validation_group(sweep):
    trial = sweep.trials[1]
    drawn = figure.group_matrix(trial, plan=sweep.plan)
    cells = drawn.data[0].z
    assert [len(row) for row in cells] == [5, 5, 5, 5, 5]
    for i, row in enumerate(cells):
        assert row[i] is None
    for fold in trial.folds:
        assert cells[fold.test_group][fold.validation_group] == fold.test.auc
    assert drawn.layout.yaxis.ticktext == ("m1", "m2", "m3", "m4", "m5")
    assert titles(drawn) == ["animals that validate", "animals that test"]


def test_matrix_of_some_folds_leaves_the_others_empty(sweep):
    trial = dataclasses.replace(sweep.trials[1], folds=sweep.trials[1].folds[:3])
    cells = figure.group_matrix(trial, plan=sweep.plan).data[0].z
    assert sum(cell is not None for row in cells for cell in row) == 3


def test_spread_draws_every_fold_and_the_baseline(sweep):
    rows = leaderboard(sweep)
    drawn = figure.fold_spread(rows, plan=sweep.plan)
    boxes = [trace for trace in drawn.data if trace.type == "box"]
    assert [box.name for box in boxes] == ["trial 1", "trial 2", "baseline"]
    assert list(boxes[0].x) == [fold.test.auc for fold in sweep.trials[1].folds]
    assert texts(drawn) == [f"linear baseline {rows[2].test_auc:.3f}"]
    assert drawn.layout.shapes[0].x0 == rows[2].test_auc


def test_spread_of_many_keeps_the_baseline_and_says_how_many_are_left_out(sweep):
    best, _, baseline = leaderboard(sweep)
    many = [dataclasses.replace(best, rank=rank) for rank in range(1, 41)]
    drawn = figure.fold_spread([*many, dataclasses.replace(baseline, rank=41)], plan=sweep.plan)
    boxes = [trace.name for trace in drawn.data if trace.type == "box"]
    assert len(boxes) == 31
    assert boxes[-1] == "baseline"
    assert "10 lower ranks are not drawn" in reading(drawn)


def luminance(color: str) -> float:
    channels = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("color", [BLUE, VERMILLION, PURPLE])
def test_marks_stand_out_in_both_themes(color):
    assert contrast(color, "#FFFFFF") >= 3
    assert contrast(DARK_MARKS[color], "#1B2028") >= 3
