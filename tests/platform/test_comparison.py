"""What may be paired is paired, what may not says why; each p is corrected over all pairs."""

import dataclasses

import pytest

from calsweep.datasets.fold import HeldOut
from calsweep.platform.arm import Arm, best_arm, default_arms, default_reference, find_arm
from calsweep.platform.comparison import Method, compare
from calsweep.platform.record import TrialState
from calsweep.platform.score import Score
from tests.platform.scored_sweep import (
    pair_plan,
    recordings_plan,
    scored_sweep,
    scored_trial,
)

# The mice are ever harder, and folds of one mouse differ little.
MICE = (0.90, 0.88, 0.86, 0.84, 0.82, 0.80)


def trial(plan, number, gains, **about):
    """A configuration that is better by a gain on each mouse, and a little by chance."""

    def score(fold):
        mouse = fold.test_group or 0
        auc = MICE[mouse] + gains[mouse] + 0.001 * ((fold.index * 7 + number * 3) % 5)
        return Score(loss=0.3, auc=auc, accuracy=auc - 0.1)

    return scored_trial(plan, number, score, **about)


def sweep(*gains, plan=None, **about):
    plan = plan or pair_plan()
    return scored_sweep(plan, [trial(plan, i, gain) for i, gain in enumerate(gains)], **about)


NONE, BETTER, MUCH = (0.0,) * 5, (0.01, 0.02, 0.03, 0.02, 0.01), (0.05,) * 5


def test_pairs_are_of_the_same_fold():
    arms = default_arms(sweep(NONE, MUCH))
    (pair,) = compare(arms, reference=default_reference(arms)).pairs
    assert (pair.arm.trial.name, pair.reference.trial.name) == ("trial 1", "baseline")
    mine, base = pair.arm.trial.folds, pair.reference.trial.folds
    assert list(pair.differences) == [
        a.test.auc - b.test.auc for a, b in zip(mine, base, strict=True)
    ]
    assert pair.mean_difference == pytest.approx(0.05, abs=0.003)


def test_reference_read_while_the_sweep_went_on_is_no_arm_beside_itself():
    first = sweep(NONE, MUCH)
    later = dataclasses.replace(first, n_planned=3)
    reference = find_arm(later, "baseline")
    (pair,) = compare(default_arms(first), reference=reference).pairs
    assert (pair.arm.trial.name, pair.reference) == ("trial 1", reference)


def test_rank_tests_see_twenty_folds_and_sign_flip_five_animals():
    arms = default_arms(sweep(NONE, BETTER))
    comparison = compare(arms, reference=default_reference(arms))
    (pair,) = comparison.pairs
    assert set(pair.p) == set(Method)
    assert pair.p[Method.SIGNED_RANK].raw < 0.001
    assert pair.p[Method.SIGN_FLIP].raw == 0.0625
    assert pair.sign_flip.n == 5
    assert pair.sign_flip.low > 0
    assert comparison.notes == (
        "With 5 animals the smallest p the sign-flip test can give is 0.062, so no difference can "
        "be significant at 0.05; 6 animals are the fewest that can.",
    )


def test_corrected_t_is_more_careful_than_the_rank_test():
    arms = default_arms(sweep(NONE, BETTER))
    (pair,) = compare(arms, reference=default_reference(arms)).pairs
    assert pair.p[Method.CORRECTED_T].raw > 10 * pair.p[Method.SIGNED_RANK].raw


def test_six_animals_need_no_sentence():
    gains = [(0.0,) * 6, (0.01, 0.02, 0.03, 0.02, 0.01, 0.04)]
    arms = default_arms(sweep(*gains, plan=pair_plan(n=6)))
    comparison = compare(arms, reference=default_reference(arms))
    assert comparison.notes == ()
    assert comparison.pairs[0].p[Method.SIGN_FLIP].raw == 0.03125


def test_groups_of_animals_are_told_the_way_out():
    arms = default_arms(sweep(NONE, BETTER, plan=pair_plan(members=2)))
    (note,) = compare(arms, reference=arms[0]).notes
    assert "With 5 groups of animals the smallest p" in note
    assert note.endswith("`datasets/folds=each_animal` tests each animal by itself.")


def test_all_pairs_are_corrected_together():
    arms = default_arms(sweep(NONE, BETTER, MUCH))
    comparison = compare(arms, reference=None)
    assert len(comparison.pairs) == 3
    for pair in comparison.pairs:
        assert pair.p[Method.SIGN_FLIP].raw == 0.0625
        assert pair.p[Method.SIGN_FLIP].holm == 3 * 0.0625
    assert "(0.19 after Holm's correction for 3 comparisons)" in comparison.notes[0]
    assert "7 animals are the fewest" in comparison.notes[0]


def test_other_figures_can_be_compared():
    arms = default_arms(sweep(NONE, MUCH))
    comparison = compare(arms, reference=default_reference(arms), figure="accuracy")
    auc = compare(arms, reference=default_reference(arms))
    assert comparison.summaries[0].mean == pytest.approx(auc.summaries[0].mean - 0.1)
    assert compare(arms, reference=arms[0], figure="loss").pairs[0].p[Method.SIGN_FLIP].raw == 1.0


def test_sweeps_with_the_same_plan_are_paired():
    one, other = sweep(NONE, name="a"), sweep(NONE, BETTER, name="b", dataset="0ddd")
    arms = (best_arm(one), best_arm(other))
    assert [arm.name for arm in arms] == ["a: baseline", "b: trial 1"]
    assert default_reference(arms) == arms[0]
    comparison = compare(arms, reference=arms[0])
    assert set(comparison.pairs[0].p) == set(Method)
    assert comparison.name(arms[1]) == "b: trial 1"
    assert "different datasets (content hashes: a da7ada7ada7a, b 0ddd0ddd0ddd)" in " ".join(
        comparison.notes
    )


def test_sweeps_with_other_plans_are_not_paired_and_say_why():
    one, other = sweep(NONE, name="a"), sweep(BETTER, plan=pair_plan(members=2), name="b")
    comparison = compare((best_arm(one), best_arm(other)), reference=best_arm(one))
    (pair,) = comparison.pairs
    assert set(pair.p) == {Method.RANK_SUM}
    assert pair.differences == ()
    assert pair.mean_difference == pytest.approx(0.018)
    (note,) = comparison.notes
    assert note.startswith("b and a have different fold plans (")
    assert "only the rank-sum test applies" in note


def test_plan_that_knows_every_animal_says_so():
    plan = dataclasses.replace(pair_plan(), holds_out=HeldOut.FRAMES)
    arms = default_arms(sweep(NONE, BETTER, plan=plan))
    comparison = compare(arms, reference=arms[0])
    assert Method.SIGN_FLIP not in comparison.pairs[0].p
    assert Method.CORRECTED_T in comparison.pairs[0].p
    assert "holds out frames, so every animal is in training" in comparison.notes[0]


def test_one_fold_is_no_evidence():
    plan = pair_plan()
    plan = dataclasses.replace(plan, folds=plan.folds[:1])
    arms = default_arms(sweep(NONE, MUCH, plan=plan))
    comparison = compare(arms, reference=arms[0])
    assert comparison.pairs[0].p == {}
    assert "has one fold, which no test can be made of" in comparison.notes[0]


def test_more_than_ten_are_the_best_ten_and_the_baseline():
    gains = [(0.001 * i,) * 5 for i in range(14)]
    arms = default_arms(sweep(*gains))
    assert len(arms) == 11
    assert arms[0].trial.name == "trial 13"
    assert arms[-1].trial.is_baseline


@pytest.mark.parametrize("name", ["1", "trial 1", "best"])
def test_configurations_are_found(name):
    assert find_arm(sweep(NONE, BETTER), name).trial.number == 1


def test_nested_choice_is_an_arm_that_no_test_animal_chose():
    # On mouse 0 the first is better, on all others the second.
    made = sweep(NONE, (0.05, 0.0, 0.0, 0.0, 0.0), (0.0, 0.05, 0.05, 0.05, 0.05))
    arm = find_arm(made, "nested")
    assert [fold.key.partition("-")[0] for fold in arm.trial.folds] == ["1"] * 4 + ["2"] * 16
    assert [fold.fold for fold in arm.trial.folds] == list(range(20))
    assert (arm.trial.name, arm.trial.decoder) == (
        "nested", "chosen for each test group without it"
    )  # fmt: skip
    comparison = compare((arm, find_arm(made, "baseline")), reference=find_arm(made, "baseline"))
    assert comparison.pairs[0].mean_difference == pytest.approx(0.05, abs=0.003)


def test_plan_without_groups_has_no_nested_arm():
    plan = recordings_plan()
    with pytest.raises(LookupError, match=r"'s' has no nested choice: its folds must be pairs"):
        find_arm(sweep(NONE, plan=plan), "nested")


def test_unknown_configuration_names_the_nearest():
    with pytest.raises(
        LookupError, match=r"No configuration 'trail 1' in 's'. Did you mean `trial 1`"
    ):
        find_arm(sweep(NONE, BETTER), "trail 1")


def test_unfinished_configuration_is_refused():
    plan = pair_plan()
    half = trial(plan, 1, NONE, state=TrialState.RUNNING, n_folds=7)
    with pytest.raises(ValueError, match=r"s: trial 1 is running with 7 of 20 folds: finish"):
        Arm(sweep=sweep(NONE), trial=half)


def test_one_configuration_is_no_comparison():
    arms = default_arms(sweep(NONE))
    with pytest.raises(ValueError, match=r"needs two finished configurations, but there is s: "):
        compare(arms, reference=arms[0])


def test_other_behaviors_are_refused():
    arms = (best_arm(sweep(NONE, name="a")), best_arm(sweep(NONE, name="b", target="groom")))
    with pytest.raises(ValueError, match=r"same behavior .*a: baseline decodes 'run', b: "):
        compare(arms, reference=arms[0])


def test_figure_that_a_fold_lacks_is_refused():
    made = sweep(NONE, BETTER)
    folds = list(made.trials[1].folds)
    folds[3] = dataclasses.replace(
        folds[3], test=dataclasses.replace(folds[3].test, accuracy=float("nan"))
    )
    lacking = dataclasses.replace(made.trials[1], folds=tuple(folds))
    arms = default_arms(dataclasses.replace(made, trials=(made.trials[0], lacking)))
    with pytest.raises(ValueError, match=r"figure 'accuracy' .* fold 3 of s: trial 1 has none"):
        compare(arms, reference=arms[0], figure="accuracy")
    with pytest.raises(ValueError, match=r"got 'acuracy'. Did you mean `accuracy`"):
        compare(arms, reference=arms[0], figure="acuracy")
