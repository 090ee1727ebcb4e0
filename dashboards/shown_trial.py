"""Which configuration's folds are drawn where nobody chose one."""

from __future__ import annotations

from collections.abc import Sequence

from calsweep.platform.leaderboard import Row
from calsweep.platform.record import SweepRecord, TrialRecord


def shown_trial(sweep: SweepRecord, rows: Sequence[Row], /) -> TrialRecord | None:
    """Give the configuration whose folds are drawn.

    Returns
    -------
    trial
        The best finished one, a control only where no other is finished; before any is finished,
        that with most folds; ``None`` before the first fold.
    """
    if rows:
        return min(rows, key=lambda row: (row.trial.is_control, row.rank)).trial
    begun = [trial for trial in sweep.trials if trial.folds]
    return max(begun, key=lambda trial: (len(trial.folds), trial.number), default=None)
