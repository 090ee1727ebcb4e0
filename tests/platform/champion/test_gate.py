"""Who passes the gate, by which test and margin, and what those are told who do not."""

from dataclasses import replace

import pytest

from calsweep.datasets.audit import Verdict
from calsweep.platform.arm import best_arm
from calsweep.platform.champion.candidate import best_candidate
from calsweep.platform.champion.gate import Gate, NotPromoted, judge
from calsweep.platform.champion.version_tag import read_figures
from calsweep.platform.comparison import Method, compare
from calsweep.platform.score import Score
from tests.platform.scored_sweep import LEAK, pair_plan, scored_sweep, scored_trial


def configuration(rise=0.0, *, n=5, name="new", leaky=False, target="run"):
    """A configuration whose AUC is `rise` above one that differs a little from fold to fold."""
    plan = pair_plan(n=n)

    def score(fold):
        auc = 0.8 + fold.index / 1000 + rise * (1 + fold.index / 40)
        return Score(loss=0.5, auc=auc, accuracy=auc)

    verdict = Verdict(findings=(LEAK,) if leaky else ())
    trial = scored_trial(plan, 1, score, verdict=verdict)
    sweep = scored_sweep(plan, [trial], name=name, target=target)
    more = {"address": "s3://lab/m1", "n_units": 50, "rate_hz": 30.0}
    return best_candidate(replace(sweep, dataset={**sweep.dataset, **more}))


OLD = configuration(name="old")


def judged(candidate, champion=OLD, **settings):
    return judge(candidate, gate=Gate(**settings), champion="version 3", tags=champion.tags())


def test_figures_of_a_champion_are_read_from_its_tags():
    assert read_figures(OLD.tags(), "auc") == tuple(round(0.8 + i / 1000, 6) for i in range(20))
    assert read_figures(OLD.tags(), "f1") == ()


@pytest.mark.parametrize("test", [Method.RANK_SUM, Method.SIGNED_RANK, Method.CORRECTED_T])
def test_better_candidate_passes_with_the_p_that_compare_gives(test):
    new = configuration(0.05)
    evidence = judged(new, test=test)
    arms = [best_arm(new.sweep), best_arm(OLD.sweep)]
    pair = compare(arms, reference=arms[1]).pairs[0]
    assert evidence.p == pytest.approx(pair.p[test].raw, rel=1e-3)
    assert evidence.mean_difference == pytest.approx(0.061875)  # 0.05 x (1 + 9.5 / 40)
    assert evidence.comparison.startswith("AUC +0.0619 on 20 folds against the champion (version 3")


def test_sign_flip_of_five_animals_is_told_that_it_cannot_show_anything():
    with pytest.raises(NotPromoted, match=r"sign-flip p = 0.0625.*6 groups|6 animals"):
        judged(configuration(0.05), test=Method.SIGN_FLIP)
    six = configuration(0.05, n=6)
    evidence = judged(six, configuration(n=6, name="old"), test=Method.SIGN_FLIP)
    assert evidence.p == 0.03125


def test_margin_and_level_are_held_to():
    new = configuration(0.05)
    assert judged(new, margin=0.05).p < 0.05
    with pytest.raises(NotPromoted, match="margin 0.06: corrected t p ="):
        judged(new, margin=0.06)
    with pytest.raises(NotPromoted, match="level 1e-12"):
        judged(new, level=1e-12)
    with pytest.raises(ValueError, match=r"`0 <= margin < 1` must hold"):
        Gate(margin=-0.1)
    with pytest.raises(ValueError, match=r"`0 < level < 1` must hold"):
        Gate(level=0.0)
    with pytest.raises(ValueError, match=r"`figure` must be a figure of the test part"):
        Gate(figure="auk")


def test_worse_candidate_is_refused_unless_a_reason_is_given():
    worse = configuration(-0.05)
    with pytest.raises(NotPromoted) as refused:
        judged(worse)
    assert str(refused.value).startswith(
        "new: trial 1, fold 0 is not promoted: it does not beat the champion: AUC -0.0619 on 20 "
        "folds against the champion (version 3, old), margin 0: corrected t p ="
    )
    assert str(refused.value).endswith("give `--unbeaten-because REASON`, which is recorded.")
    evidence = judged(worse, unbeaten_because="half the size")
    assert evidence.overruled == {"unbeaten": "half the size"}


def test_other_fold_plan_is_told_with_what_to_do():
    with pytest.raises(NotPromoted, match="was trained on another fold plan") as refused:
        judged(configuration(0.1, n=6))
    assert "Sweep on the champion's dataset" in str(refused.value)
    assert judged(configuration(0.1, n=6), unbeaten_because="more mice").p is None


def test_figure_that_folds_do_not_have_is_told():
    with pytest.raises(NotPromoted, match="the figure F1 is not known"):
        judged(configuration(0.1), figure="f1")


def test_other_behavior_is_refused_whatever_reason_is_given():
    with pytest.raises(NotPromoted, match="it decodes 'lick', and the champion") as refused:
        judged(configuration(0.1, target="lick"), unbeaten_because="why not")
    assert "--name" in str(refused.value)


def test_leaky_verdict_is_refused_unless_a_reason_is_given():
    leaky = configuration(0.1, leaky=True)
    with pytest.raises(NotPromoted, match="its folds are leaky") as refused:
        judged(leaky)
    assert "90 frames of m0 are in windows of the training and the test part" in str(refused.value)
    evidence = judged(leaky, leaky_because="as the paper did")
    assert (evidence.verdict, evidence.overruled) == ("leaky", {"leaky": "as the paper did"})
    assert leaky.description().startswith("**LEAKY FOLDS**: 90 frames of m0")


def test_first_champion_has_nobody_to_beat():
    evidence = judge(configuration(), gate=Gate(), tags={})
    assert evidence.comparison == "There was no champion to beat."
