"""What clearly loses is ended early and said so; what may win, and what is compared, never is."""

from dataclasses import replace

import numpy as np
import pytest

from calsweep.datasets.cache import Cache
from calsweep.datasets.dataset import open_dataset
from calsweep.datasets.store import FolderStore
from calsweep.datasets.view import Labels, plan_folds
from calsweep.platform.auditor import Auditor
from calsweep.platform.chooser import METRIC, Chooser
from calsweep.platform.config import compose_settings
from calsweep.platform.pruning import Pruning, PruningMethod, Rival, fold_order, lost
from calsweep.platform.search import in_order
from calsweep.search_spaces.suggestion import suggestions

WILCOXON = Pruning(method=PruningMethod.WILCOXON)


def rival(auc=0.9):
    return Rival(name="trial 1", auc=dict.fromkeys(range(20), auc))


def first_folds(*aucs):
    return dict(zip(fold_order(20, seed=0, plan_hash="f01d" * 16), aucs, strict=False))


def test_loser_is_ended_with_its_fifth_fold():
    for n in range(1, 5):
        assert lost(first_folds(*[0.8] * n), rival(), WILCOXON) is None
    pruned = lost(first_folds(*[0.8] * 5), rival(), WILCOXON)
    assert (pruned.n_folds, pruned.against, pruned.p) == (5, "trial 1", 0.03125)
    assert pruned.mean_difference == pytest.approx(-0.1)
    assert pruned.sentence(n_planned=20) == (
        "pruned after 5 of 20 folds: validation AUC 0.1000 below trial 1 on them (p = 0.031)"
    )


@pytest.mark.parametrize(
    "aucs",
    [
        [0.9] * 20,  # equal
        [0.95] * 19,  # better
        [0.8, 0.8, 0.8, 0.8, 0.95],  # one of five is above
        [0.899] * 12 + [1.0] * 3,  # most a little below, and better on average
    ],
)
def test_what_is_no_clear_loser_goes_on(aucs):
    assert lost(first_folds(*aucs), rival(), WILCOXON) is None


def test_noise_alone_seldom_prunes_what_is_better():
    rng = np.random.default_rng(0)
    n_pruned = 0
    for _ in range(200):
        theirs = rng.normal(0.9, 0.02, 20)
        mine = theirs + rng.normal(0.01, 0.02, 20)
        best = Rival(name="trial 1", auc=dict(enumerate(theirs)))
        n_pruned += any(
            lost(dict(enumerate(mine[:n])), best, WILCOXON) is not None for n in range(5, 20)
        )
    assert n_pruned <= 10  # 5 %, though it is looked at fifteen times


def test_order_is_that_of_all_trials_and_of_this_sweep_alone():
    one = fold_order(20, seed=0, plan_hash="f01d" * 16)
    assert sorted(one) == list(range(20))
    assert one == fold_order(20, seed=0, plan_hash="f01d" * 16)
    assert one != fold_order(20, seed=1, plan_hash="f01d" * 16)
    assert one != fold_order(20, seed=0, plan_hash="beef" * 16)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"p_threshold": 0.0}, "0 < p_threshold < 1"),
        ({"least_folds": 4}, "5 folds are the fewest"),
        ({"p_threshold": 0.01, "least_folds": 5}, "7 folds are the fewest"),
    ],
)
def test_settings_that_can_prune_nothing_are_told(settings, said):
    with pytest.raises(ValueError, match=said):
        Pruning(**settings)


@pytest.fixture
def chooser(mice, tmp_path):
    settings = compose_settings(
        [
            f"datasets.address={mice.folder}",
            "pruning.method=wilcoxon",
            "search_spaces=window",
            "search_spaces.datasets.window.length.choices=[3,5,7,9,11,13]",
            "tuner=grid",
        ]
    )

    def build(**changes):
        changed = replace(settings, **changes)
        timeline = open_dataset(FolderStore(mice.folder), cache=Cache(tmp_path)).timeline("run")
        auditor = Auditor(plan_folds(timeline, [changed.datasets]), timeline)
        source = suggestions(changed.search_spaces, tuner=changed.tuner, seed=0)
        return Chooser(changed, source, auditor, lag=2)

    return build


def result(auc, **more):
    return {METRIC: auc, "auc": [(fold, auc) for fold in range(20)], **more}


def test_rival_is_the_best_that_was_told_before(chooser):
    chooser = chooser()
    rivals = []
    for number, auc in enumerate((0.99, 0.7, 0.8, 0.6, 0.75)):
        rivals.append(chooser.next()["rival"])
        chooser.keep(number, result(auc))
    names = [each and each["name"] for each in rivals]
    assert names == [None, None, None, "trial 1", "trial 2"]


def test_pruned_and_failed_trials_are_no_rivals(chooser):
    chooser = chooser()
    for number, kept in enumerate([result(0.9), result(0.7), result(0.9, pruned={}), {}]):
        chooser.next()
        chooser.keep(number, kept)
    chooser.next()
    chooser.keep(4, result(0.5))
    assert chooser.next()["rival"]["name"] == "trial 1"


def test_controls_and_arms_and_the_baseline_are_never_pruned():
    real, permuted = ({"datasets": {"labels": each.value}} for each in Labels)
    assert not WILCOXON.spares({"training.epochs": 3}, real)
    assert WILCOXON.spares({"training.epochs": 3}, permuted)
    assert WILCOXON.spares({"arm": "GRU", "training.epochs": 3}, real)
    assert WILCOXON.spares({}, real)
    assert Pruning().spares({"training.epochs": 3}, real)


class Back:
    """A fold that came back, or the task of one."""

    def __init__(self, key):
        self.key = key


def test_folds_come_in_the_order_of_their_tasks():
    tasks = [Back(key) for key in "abcd"]
    back = [Back(key) for key in "bacd"]
    assert [fold.key for fold in in_order(iter(back), tasks)] == list("abcd")
    assert [fold.key for fold in in_order(iter(back[:1]), tasks)] == []
