"""A finished sweep with many configurations, made of one that is written."""

import dataclasses

from calsweep.platform.record import SweepRecord


def searched(sweep: SweepRecord, *, n_trials: int) -> SweepRecord:
    """Give a sweep in which validation AUC follows the learning rate and nothing else.

    The number of units goes up and down between 8 and 64 without any effect.
    """
    trials = [sweep.trials[0]]
    for number in range(1, n_trials + 1):
        folds = tuple(
            dataclasses.replace(
                fold,
                validation=dataclasses.replace(fold.validation, auc=0.5 + 0.4 * number / n_trials),
            )
            for fold in sweep.trials[1].folds
        )
        values = {
            "training.learning_rate": 1e-4 * number,
            "trainables.hidden": (8, 64, 16, 32)[number % 4],
        }
        tried = {"number": number, "name": f"trial {number}", "values": values, "folds": folds}
        trials.append(dataclasses.replace(sweep.trials[1], **tried))
    return dataclasses.replace(sweep, trials=tuple(trials), n_planned=len(trials))
