"""What a comparison found, in words, by the test that could find it."""

import dataclasses

import pytest

from calsweep.platform.arm import default_arms, default_reference
from calsweep.platform.comparison import Method, compare
from calsweep.platform.finding import findings, telling_method
from calsweep.platform.score import Score
from tests.platform.scored_sweep import pair_plan, scored_sweep, scored_trial

HIGH = 0.8


@pytest.fixture
def comparison():
    """A linear baseline, one trial far above it in every fold, and one as often above as below."""
    plan = pair_plan(n=5)

    def by(auc_of):
        return lambda fold: Score(loss=0.5, auc=auc_of(fold.index), accuracy=0.5)

    sweep = scored_sweep(
        plan,
        [
            scored_trial(plan, 0, by(lambda _: 0.6)),
            scored_trial(plan, 1, by(lambda fold: HIGH + 0.001 * (fold % 3 - 1))),
            scored_trial(plan, 2, by(lambda fold: 0.6 + (0.1 if fold % 2 else -0.1))),
        ],
    )
    arms = default_arms(sweep)
    return compare(arms, reference=default_reference(arms))


def test_each_arm_has_its_sentence(comparison):
    assert findings(comparison) == (
        "trial 1 differs from baseline: its test AUC is higher by 0.200 (corrected t, p < 0.001 "
        "after Holm).",
        "trial 2 is not shown to differ from baseline: test AUC +0.000 (corrected t, p 1.000 "
        "after Holm); folds that vary this much can bring that about by chance.",
    )


def test_pair_of_other_folds_does_not_lower_the_care_for_the_rest(comparison):
    bare, paired = comparison.pairs
    bare = dataclasses.replace(bare, sign_flip=None, p={Method.RANK_SUM: bare.p[Method.RANK_SUM]})
    mixed = dataclasses.replace(comparison, pairs=(bare, paired))
    assert telling_method(mixed) is Method.RANK_SUM
    first, second = findings(mixed)
    assert "(rank-sum, p < 0.001 after Holm)" in first
    assert "(corrected t, p 1.000 after Holm)" in second


def test_test_that_tells_is_one_that_could_find_a_difference(comparison):
    assert telling_method(comparison) is Method.CORRECTED_T
    flips = [dataclasses.replace(pair.sign_flip, smallest_p=0.001) for pair in comparison.pairs]
    pairs = tuple(
        dataclasses.replace(pair, sign_flip=flip)
        for pair, flip in zip(comparison.pairs, flips, strict=True)
    )
    assert telling_method(dataclasses.replace(comparison, pairs=pairs)) is Method.SIGN_FLIP
    bare = tuple(
        dataclasses.replace(pair, sign_flip=None, p={Method.RANK_SUM: pair.p[Method.RANK_SUM]})
        for pair in comparison.pairs
    )
    assert telling_method(dataclasses.replace(comparison, pairs=bare)) is Method.RANK_SUM
