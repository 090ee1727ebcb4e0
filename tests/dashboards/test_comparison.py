import dataclasses
import statistics

import pytest

from calsweep.dashboards.comparison import (
    INK_ON_PALE,
    ArmRocs,
    arm_boxes,
    arm_rocs,
    difference_matrix,
    rocs_shown,
)
from calsweep.dashboards.prediction import read_predictions, roc
from calsweep.dashboards.style import DARK_MARKS, GREEN, reading
from calsweep.platform.arm import Arm, default_arms
from calsweep.platform.comparison import Method, compare


@pytest.fixture(scope="module")
def comparison(sweep):
    return compare(default_arms(sweep), reference=None)


def test_boxes_are_of_folds_and_lines_join_the_same_fold(comparison, sweep):
    drawn = arm_boxes(comparison)
    boxes = [trace for trace in drawn.data if trace.type == "box"]
    assert [box.name for box in boxes] == ["trial 1", "trial 2", "baseline"]
    assert list(boxes[0].y) == [fold.test.auc for fold in sweep.trials[1].folds]
    lines = [trace for trace in drawn.data if trace.name.startswith("fold ")]
    assert len(lines) == 20
    assert lines[7].name == "fold 7: tests m2, validates m5"
    assert list(lines[7].y) == [sweep.trials[i].folds[7].test.auc for i in (1, 2, 0)]
    assert drawn.layout.yaxis.title.text == "test AUC (0.5 is chance, 1 is perfect)"
    assert "a gray line one fold" in reading(drawn)


def test_arms_with_other_folds_are_not_joined(sweep):
    other = dataclasses.replace(sweep, name="other", plan_hash="0" * 64)
    arms = (Arm(sweep=sweep, trial=sweep.trials[1]), Arm(sweep=other, trial=sweep.trials[2]))
    drawn = arm_boxes(compare(arms, reference=arms[0]))
    assert not [trace for trace in drawn.data if trace.name.startswith("fold ")]
    assert "line" not in reading(drawn)
    assert drawn.layout.xaxis.ticktext[1].startswith("<b>other: trial 2</b>")


def test_leaky_arms_are_named_so(writer):
    written = writer(leaky=True)
    written.begin()
    written.trial(0)
    written.trial(1)
    drawn = arm_boxes(compare(default_arms(written.read()), reference=None))
    assert all("<b>leaky folds</b>" in name for name in drawn.layout.xaxis.ticktext)


def test_differences_are_of_row_less_column(comparison):
    drawn = difference_matrix(comparison, method=Method.SIGN_FLIP)
    cells = drawn.data[0]
    means = [summary.mean for summary in comparison.summaries]
    assert cells.z[0][2] == pytest.approx(means[0] - means[2])
    assert cells.z[2][0] == -cells.z[0][2]
    assert cells.z[1][1] is None
    assert cells.text[0][2] == f"{means[0] - means[2]:+.3f}<br>p 0.188"  # 3 x 0.0625
    assert (cells.zmin, cells.zmax) == (-cells.z[0][2], cells.z[0][2])
    assert "p of the sign-flip test after Holm's correction for 3 pairs" in reading(drawn)


def test_rocs_are_means_with_the_areas_of_folds(comparison, sweep):
    rocs = []
    for arm in rocs_shown(comparison):
        files = [read_predictions(sweep.fold_folder(fold)) for fold in arm.trial.folds]
        rocs.append(ArmRocs(arm=arm, curves=[roc(f.label_W, f.probability) for f in files]))
    drawn = arm_rocs(comparison, rocs=rocs)
    assert [trace.name for trace in drawn.data] == ["baseline", "trial 2", "trial 1"]
    said = [annotation.text for annotation in drawn.layout.annotations]
    mean = statistics.fmean(fold.test.auc for fold in sweep.trials[1].folds)
    assert any(text.startswith(f"<b>trial 1</b>: AUC {mean:.3f}"[:-1]) for text in said)


def test_at_most_four_rocs_and_the_baseline(sweep):
    more = [dataclasses.replace(sweep.trials[1], number=n, name=f"trial {n}") for n in range(1, 8)]
    many = dataclasses.replace(sweep, trials=(sweep.trials[0], *more))
    shown = rocs_shown(compare(default_arms(many), reference=None))
    assert [arm.trial.number for arm in shown] == [1, 2, 3, 4, 0]


def luminance(color: str) -> float:
    channels = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_text_can_be_read_on_every_cell_and_marks_in_both_themes(comparison):
    scale = difference_matrix(comparison, method=Method.CORRECTED_T).data[0].colorscale
    assert all(contrast(color.upper(), INK_ON_PALE) >= 4.5 for _, color in scale)
    assert contrast(GREEN, "#FFFFFF") >= 3
    assert contrast(DARK_MARKS[GREEN], "#1B2028") >= 3
