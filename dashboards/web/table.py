"""The leaderboard as a file of comma-separated values."""

from __future__ import annotations

import csv
import io
import math
import statistics

from calsweep.dashboards.web.choice import Choice, kind_of
from calsweep.dashboards.web.shelf import Reading

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def leaderboard_csv(reading: Reading, choice: Choice, /) -> str:
    """Write the configurations that are looked for, ranked ones first.

    Parameters
    ----------
    reading
        The sweep's record.
    choice
        Which configurations.

    Returns
    -------
    text
        A line a configuration; figures are those of the record, unrounded. A name that a
        spreadsheet would take for a formula begins with an apostrophe.
    """
    ranks = {row.trial.number: row for row in reading.rows}
    trials = [row.trial for row in reading.rows]
    trials += [trial for trial in reading.sweep.trials if trial.number not in ranks]
    chosen = [trial for trial in trials if choice.admits(trial)]
    names = list(dict.fromkeys(name for trial in chosen for name in trial.values))
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        [
            "rank",
            "configuration",
            "state",
            "decoder",
            *map(_cell, names),
            "folds",
            "validation_auc",
            "validation_auc_sd",
            "test_auc",
            "test_auc_sd",
            "interval_low",
            "interval_high",
            "interval_level",
            "test_accuracy",
            "audit",
            "train_hours",
            "error",
        ]
    )
    for trial in chosen:
        row = ranks.get(trial.number)
        figures = (
            (row.validation_auc, row.validation_auc_sd, row.test_auc, row.test_auc_sd)
            if row
            else ("", "", "", "")
        )
        interval = row.interval if row else None
        ends = (interval.low, interval.high, interval.level) if interval else ("", "", "")
        writer.writerow(
            [
                row.rank if row else "",
                _cell(trial.name),
                trial.state.value,
                _cell(kind_of(trial)),
                *(_cell(trial.values.get(name, "")) for name in names),
                len(trial.folds),
                *figures,
                *ends,
                statistics.fmean(fold.test.accuracy for fold in trial.folds) if row else "",
                trial.verdict.standing.value,
                math.fsum(fold.train_seconds for fold in trial.folds) / 3600,
                _cell(trial.error),
            ]
        )
    return out.getvalue()


def _cell(value: object) -> object:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    text = str(value)
    return value if is_number else f"'{text}" if text.startswith(_FORMULA) else text
