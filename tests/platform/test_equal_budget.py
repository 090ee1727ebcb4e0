"""What a sweep took is counted whole, and searches are compared on what all of them had."""

import json
from dataclasses import replace

import pytest

from calsweep.platform.compute import Compute
from calsweep.platform.equal_budget import Measure, equal_budget
from calsweep.platform.leaderboard import leaderboard, nested_choice, nested_interval
from calsweep.platform.record import TrialState
from calsweep.platform.score import Score
from calsweep.platform.spending import spending
from tests.platform.scored_sweep import pair_plan, scored_sweep, scored_trial, write_sweep

PLAN = pair_plan(n=3)  # six folds


def score(auc):
    return Score(loss=0.5, auc=auc, accuracy=0.6)


def trial(number, auc, *, device_s, cpu_s=1.0, arm=None, **more):
    """A configuration whose folds took the same."""
    made = scored_trial(PLAN, number, lambda _: score(auc), **more)
    compute = Compute(device_seconds=device_s, cpu_seconds=cpu_s, bytes_read=1000, n_attempts=1)
    folds = tuple(replace(fold, compute=compute) for fold in made.folds)
    return replace(made, folds=folds, values={"arm": arm} if arm else {})


def test_longer_search_is_cut_to_what_the_shorter_used():
    short = scored_sweep(PLAN, [trial(1, 0.7, device_s=10), trial(2, 0.8, device_s=10)], name="a")
    trials = [trial(n, 0.6 + n / 20, device_s=6) for n in (1, 2, 3, 4, 5)]
    long = scored_sweep(PLAN, trials, name="b")
    cut = equal_budget([short, long], Measure.DEVICE)
    # 120 s are six folds of 10 s for each of two, or six of 6 s for each of three.
    assert [(arm.sweep.name, arm.trial.number) for arm in cut.arms] == [("a", 2), ("b", 3)]
    assert "0.0333 device-hours each" in cut.sentence
    assert "a 2 of 2 configurations, of b 3 of 5 configurations" in cut.sentence


def test_seconds_of_cores_are_another_budget():
    one = scored_sweep(PLAN, [trial(1, 0.7, device_s=1, cpu_s=4)], name="a")
    other = scored_sweep(
        PLAN, [trial(n, 0.6 + n / 20, device_s=1, cpu_s=2) for n in (1, 2, 3)], name="b"
    )
    assert [arm.trial.number for arm in equal_budget([one, other], Measure.CPU).arms] == [1, 2]
    assert [arm.trial.number for arm in equal_budget([one, other], Measure.DEVICE).arms] == [1, 1]


def test_what_was_pruned_or_failed_is_paid_for_and_not_chosen():
    failed = trial(1, 0.99, device_s=5, state=TrialState.FAILED)
    one = scored_sweep(PLAN, [failed, trial(2, 0.7, device_s=5)], name="a")
    other = scored_sweep(PLAN, [trial(1, 0.6, device_s=10), trial(2, 0.9, device_s=10)], name="b")
    assert [arm.trial.number for arm in equal_budget([one, other], Measure.DEVICE).arms] == [2, 1]


def test_arms_of_one_sweep_are_searches():
    trials = [
        trial(0, 0.5, device_s=99),  # the baseline is of neither
        trial(1, 0.7, device_s=10, arm="GRU"),
        trial(2, 0.6, device_s=5, arm="LSTM"),
        trial(3, 0.9, device_s=10, arm="GRU"),
        trial(4, 0.8, device_s=5, arm="LSTM"),
    ]
    cut = equal_budget([scored_sweep(PLAN, trials)], Measure.DEVICE)
    assert [arm.trial.number for arm in cut.arms] == [1, 4]


def test_search_with_nothing_within_the_budget_is_told():
    one = scored_sweep(PLAN, [trial(1, 0.7, device_s=1)], name="quick")
    other = scored_sweep(PLAN, [trial(1, 0.8, device_s=2)], name="slow")
    with pytest.raises(ValueError, match=r"slow has finished no .* all that quick used"):
        equal_budget([one, other], Measure.DEVICE)
    with pytest.raises(ValueError, match="name two sweeps, or one with arms"):
        equal_budget([one], Measure.DEVICE)


def test_interval_of_the_leaderboard_is_over_animals():
    made = scored_trial(PLAN, 1, lambda fold: score(0.6 + 0.1 * fold.test_group))
    (row,) = leaderboard(scored_sweep(PLAN, [made]))
    assert (row.interval.low, row.interval.high) == (pytest.approx(0.6), pytest.approx(0.8))
    assert row.interval.sentence == "75.0 % interval over 3 animals"  # all that three can tell
    nested = nested_interval(nested_choice(scored_sweep(PLAN, [made])))
    assert (nested.low, nested.high) == (pytest.approx(0.6), pytest.approx(0.8))


def test_merit_per_hour_is_what_is_above_chance():
    (row,) = leaderboard(scored_sweep(PLAN, [trial(1, 0.9, device_s=300)]))
    assert row.compute.device_seconds == 1800
    assert row.merit_per_hour == pytest.approx(0.8)


def test_all_that_was_spent_is_counted_once(tmp_path):
    sweep = write_sweep(tmp_path, scored_sweep(PLAN, [trial(1, 0.9, device_s=600)]))
    folds = sweep.folder / "folds"
    took = {"device_seconds": 60.0, "cpu_seconds": 1.0, "bytes_read": 5, "n_attempts": 1}
    (folds / "of-no-trial").mkdir()
    (folds / "of-no-trial" / "fold.json").write_text(json.dumps({"compute": took}))
    for name, key in (("x", "1-0"), ("y", "never-done")):
        (folds / f".{key}.{name}.attempt").write_text(json.dumps({"key": key, **took}))
    spent = spending(sweep)
    assert spent.listed.device_seconds == 3600
    assert spent.unlisted.device_seconds == 60
    assert (spent.wasted.device_seconds, spent.wasted.n_attempts, spent.n_retries) == (120, 2, 1)
    assert spent.total.n_attempts == 9
    assert spent.sentence == (
        "Spent: 1.05 device-hours, 0.0025 CPU-hours, 6.01 kB read, in 9 attempts at folds; 0.0167 "
        "device-hours went into 1 folds that stand in no row; 0.0333 device-hours into 2 attempts "
        "that did not come to their end, 1 of them at folds trained since."
    )


def test_curve_is_read_when_it_is_looked_at(tmp_path):
    sweep = write_sweep(tmp_path, scored_sweep(PLAN, [trial(1, 0.9, device_s=1)]))
    fold = sweep.trials[0].folds[0]
    (sweep.fold_folder(fold) / "fold.json").rename(tmp_path / "elsewhere.json")
    assert fold.validation.auc == 0.9
    with pytest.raises(FileNotFoundError):
        len(fold.curve)
    (tmp_path / "elsewhere.json").rename(sweep.fold_folder(fold) / "fold.json")
    assert [row.epoch for row in fold.curve] == [1]
