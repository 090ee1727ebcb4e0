import dataclasses

from calsweep.dashboards.shown_trial import shown_trial
from calsweep.platform.leaderboard import leaderboard


def test_control_is_not_shown_where_another_is_finished(sweep):
    best, second, *_ = leaderboard(sweep)
    settings = best.trial.settings | {"datasets": {"labels": "permuted"}}
    control = dataclasses.replace(best, trial=dataclasses.replace(best.trial, settings=settings))
    assert shown_trial(sweep, [best, second]) == best.trial
    assert shown_trial(sweep, [control, second]) == second.trial
    assert shown_trial(sweep, [control]) == control.trial
