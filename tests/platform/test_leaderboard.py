"""The choice is made on validation; a plan without groups has no nested choice and says so."""

import pytest

from calsweep.datasets.audit import Verdict
from calsweep.datasets.fold import Fold, FoldPlan, HeldOut
from calsweep.platform.commands.leaderboard import print_leaderboard
from calsweep.platform.leaderboard import (
    best_trial,
    has_nested_choice,
    leaderboard,
    nested_choice,
)
from calsweep.platform.score import Score
from tests.platform.scored_sweep import (
    LEAK,
    LINEAR,
    pair_plan,
    scored_sweep,
    scored_trial,
    stretch,
    write_sweep,
)


def written(home, *, groups, verdict, mask=None):
    """Write a sweep of two configurations on one fold, and read it."""
    test, validation = (0, 1) if groups else (None, None)
    whole = stretch("m0")
    fold = Fold(
        index=0,
        test_group=test,
        validation_group=validation,
        train=whole,
        validation=whole,
        test=whole,
    )
    plan = FoldPlan(name="p", holds_out=HeldOut.NOTHING, groups=groups, folds=(fold,))
    settings = LINEAR | ({"datasets": {"mask": mask}} if mask else {})
    trials = [
        scored_trial(
            plan,
            number,
            lambda _, auc=auc: Score(loss=0.5, auc=auc, accuracy=0.6),
            settings=settings,
            verdict=verdict,
        )
        for number, auc in enumerate((0.7, 0.8))
    ]
    return write_sweep(home, scored_sweep(plan, trials, verdict=verdict))


def test_plan_without_groups_has_no_nested_choice_and_says_so(tmp_path, capsys):
    sweep = written(tmp_path, groups=(), verdict=Verdict(findings=(LEAK,)))
    assert nested_choice(sweep) == ()
    assert not has_nested_choice(sweep.plan)
    assert [row.trial.name for row in leaderboard(sweep)] == ["trial 1", "baseline"]
    print_leaderboard(sweep)
    out = " ".join(capsys.readouterr().out.split())
    assert "A nested choice does not apply" in out
    assert "Leak: 90 frames of m0 are in windows of the training and the test part (fold 0)." in out
    assert "LEAKY FOLDS" in out


def test_every_row_says_what_the_audit_came_to(tmp_path, capsys):
    mask = {"_target_": "calsweep.datasets.mask.UnitMask", "keep": "M2&M1"}
    sweep = written(tmp_path, groups=(("x",), ("y",)), verdict=Verdict(), mask=mask)
    print_leaderboard(sweep)
    rows = [
        line for line in capsys.readouterr().out.splitlines() if "linear [mask: only M2&M1]" in line
    ]
    assert len(rows) == 2
    assert all(row.split("│")[-2].strip() == "clean" for row in rows)
    assert "±" not in rows[0]  # one fold has no spread


@pytest.mark.parametrize(("groups", "n"), [((("x",), ("y",)), 1), ((), 0)])
def test_nested_choice_is_of_the_groups_that_test(tmp_path, groups, n):
    sweep = written(tmp_path, groups=groups, verdict=Verdict())
    assert [choice.trial.name for choice in nested_choice(sweep)] == ["trial 1"] * n


def test_control_that_validates_best_by_chance_is_no_choice():
    plan, permuted = pair_plan(n=3), LINEAR | {"datasets": {"labels": "permuted"}}
    trials = [
        scored_trial(plan, 0, lambda _: Score(loss=0.7, auc=0.52, accuracy=0.5)),
        scored_trial(plan, 1, lambda _: Score(loss=0.7, auc=0.55, accuracy=0.5), settings=permuted),
    ]
    sweep = scored_sweep(plan, trials)
    assert best_trial(sweep).name == "baseline"
    assert [choice.trial.name for choice in nested_choice(sweep)] == ["baseline"] * 3
    assert nested_choice(scored_sweep(plan, trials[1:])) == ()
