"""Lines of the report's tables."""

from calsweep.dashboards.summary import places
from calsweep.platform.leaderboard import leaderboard
from calsweep.platform.score import Score
from tests.platform.scored_sweep import LINEAR, pair_plan, scored_sweep, scored_trial

PERMUTED = {**LINEAR, "datasets": {"labels": "permuted"}}


def test_control_that_reads_highest_is_not_the_best():
    plan = pair_plan(n=3)

    def trial(number, auc, settings=LINEAR):
        score = Score(loss=0.5, auc=auc, accuracy=0.5)
        return scored_trial(plan, number, lambda _: score, settings=settings)

    sweep = scored_sweep(plan, [trial(0, 0.6), trial(1, 0.9, PERMUTED), trial(2, 0.8)])
    lines = places(sweep, leaderboard(sweep))
    assert [(line.rank, line.name, line.is_best) for line in lines] == [
        ("1", "trial 1", False),
        ("2", "trial 2", True),
        ("3", "baseline", False),
    ]
