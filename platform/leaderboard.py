"""Which configuration decodes best: chosen on validation, reported on test."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from calsweep.datasets.fold import FoldPlan
from calsweep.platform.compute import Compute
from calsweep.platform.independence import Units, independent_units
from calsweep.platform.record import FoldRecord, SweepRecord, TrialRecord
from calsweep.platform.sign_flip import sign_flip
from calsweep.platform.spending import merit_per_hour, trial_compute


@dataclass(frozen=True, kw_only=True)
class Row:
    """One configuration's place.

    Attributes
    ----------
    rank
        From 1, by mean validation AUC.
    trial
        The configuration and its folds.
    validation_auc, validation_auc_sd
        Mean and standard deviation over the folds.
    test_auc, test_auc_sd
        The same of the test part, not used for the rank.
    test_accuracy
        Mean accuracy at probability 0.5 of the test part.
    interval
        Of the mean test AUC over animals; ``None`` where none test by themselves.
    compute
        What its folds took.
    """

    rank: int
    trial: TrialRecord
    validation_auc: float
    validation_auc_sd: float
    test_auc: float
    test_auc_sd: float
    test_accuracy: float
    interval: MeanInterval | None = None
    compute: Compute = field(default_factory=Compute)

    @property
    def merit_per_hour(self) -> float:
        """Test AUC above chance for each hour of devices."""
        return merit_per_hour(self.test_auc, self.compute)


@dataclass(frozen=True, kw_only=True)
class MeanInterval:
    """Between what a mean lies that is true for animals, not for folds.

    Attributes
    ----------
    low, high
        The ends, by turning the sign-flip test round.
    level
        How often such an interval holds the truth.
    n, unit
        How many animals, or groups of them.
    """

    low: float
    high: float
    level: float
    n: int
    unit: str

    @property
    def sentence(self) -> str:
        """What it is of, for a person.

        Examples
        --------
        >>> MeanInterval(low=0.8, high=0.9, level=0.9375, n=5, unit="animals").sentence
        '93.8 % interval over 5 animals'
        """
        return f"{100 * self.level:.1f} % interval over {self.n} {self.unit}"

    @property
    def ends(self) -> str:
        """Its two ends, for a person.

        Examples
        --------
        >>> MeanInterval(low=0.8, high=0.9, level=0.9375, n=5, unit="animals").ends
        '0.800 to 0.900'
        """
        return f"{self.low:.3f} to {self.high:.3f}"


@dataclass(frozen=True, kw_only=True)
class NestedChoice:
    """The configuration chosen for a test group without seeing its test figures.

    Attributes
    ----------
    test_group
        Its number in the plan.
    trial
        The configuration with the best mean validation AUC over that group's folds alone.
    test_auc
        Its mean test AUC over these folds.
    """

    test_group: int
    trial: TrialRecord
    test_auc: float


def leaderboard(sweep: SweepRecord, /) -> tuple[Row, ...]:
    """Rank the finished trials of a sweep by mean validation AUC.

    Returns
    -------
    rows
        Best first; the linear baseline has its place among them.
    """
    ranked = sorted(sweep.finished, key=lambda t: (-t.mean_validation_auc(), t.number))
    units = independent_units(sweep.plan)
    rows = (summarize(trial, rank=rank) for rank, trial in enumerate(ranked, start=1))
    n_planned = len(sweep.plan.folds)
    return tuple(
        replace(row, interval=_over(units, sweep.plan, row.trial))
        if units and len(row.trial.folds) == n_planned
        else row
        for row in rows
    )


def interval_of(rows: Sequence[Row], /) -> str:
    """Say what the intervals of a leaderboard are of; empty where there are none."""
    return next((row.interval.sentence for row in rows if row.interval), "")


def nested_choice(sweep: SweepRecord, /) -> tuple[NestedChoice, ...]:
    """Choose a configuration for each test group on that group's own folds.

    With pairs of groups, the animals that validate one fold test another, so a choice on the mean
    over all folds has seen every animal. Here, the choice for a group reads the validation figures
    of the folds that the group tests, in which it had no part.

    Returns
    -------
    choices
        One a test group, in order; controls are none. Empty if no other trial is finished, or the
        plan has no groups (see `has_nested_choice`).
    """
    trials = [trial for trial in sweep.finished if not trial.is_control]
    if not trials:
        return ()
    folds = {trial.number: _by_test_group(trial.folds) for trial in trials}
    groups = {fold.test_group for fold in sweep.plan.folds if fold.test_group is not None}
    return tuple(_choose(trials, folds, group) for group in sorted(groups))


def nested_interval(choices: Sequence[NestedChoice], /) -> MeanInterval | None:
    """Give the interval of the nested choice's mean test AUC; ``None`` for fewer than two."""
    if len(choices) < 2:
        return None
    return _interval([choice.test_auc for choice in choices], unit="test groups")


def has_nested_choice(plan: FoldPlan, /) -> bool:
    """Say whether a plan's folds are pairs of groups, so that a nested choice can be made."""
    return any(fold.test_group is not None for fold in plan.folds)


def n_folds(plan: FoldPlan, /) -> str:
    """Say how many folds a plan has."""
    return f"{len(plan.folds)} fold{'s' if len(plan.folds) != 1 else ''}"


NESTED_DOES_NOT_APPLY = (
    "A nested choice does not apply: the folds are not pairs of groups, so the best configuration "
    "has been picked with every part in sight, and its figures are somewhat too good."
)


def best_trial(sweep: SweepRecord, /) -> TrialRecord:
    """Give the finished trial with the highest mean validation AUC; controls are none.

    Raises
    ------
    LookupError
        If no trial is finished.
    """
    rows = [row for row in leaderboard(sweep) if not row.trial.is_control]
    if not rows:
        raise LookupError(f"No trial of the sweep {sweep.name!r} is finished yet.")
    return rows[0].trial


def best_fold(trial: TrialRecord, /) -> FoldRecord:
    """Give the fold whose model has the highest validation AUC; of equal ones the first."""
    return max(trial.folds, key=lambda fold: (fold.validation.auc, -fold.fold))


def summarize(trial: TrialRecord, /, *, rank: int) -> Row:
    """Give the mean and spread of a trial's figures over its folds."""
    validation = [fold.validation.auc for fold in trial.folds]
    test = [fold.test.auc for fold in trial.folds]
    return Row(
        rank=rank,
        trial=trial,
        validation_auc=statistics.fmean(validation),
        validation_auc_sd=_sd(validation),
        test_auc=statistics.fmean(test),
        test_auc_sd=_sd(test),
        test_accuracy=statistics.fmean(fold.test.accuracy for fold in trial.folds),
        compute=trial_compute(trial),
    )


def _over(units: Units, plan: FoldPlan, trial: TrialRecord) -> MeanInterval:
    means = units.means(plan, [fold.test.auc for fold in trial.folds])
    return _interval(means, unit=units.name)


def _interval(values: Sequence[float], *, unit: str) -> MeanInterval:
    flip = sign_flip(values)
    return MeanInterval(low=flip.low, high=flip.high, level=flip.level, n=flip.n, unit=unit)


def _by_test_group(folds: Sequence[FoldRecord]) -> dict[int, list[FoldRecord]]:
    groups: dict[int, list[FoldRecord]] = defaultdict(list)
    for fold in folds:
        if fold.test_group is not None:
            groups[fold.test_group].append(fold)
    return groups


def _choose(
    trials: Sequence[TrialRecord],
    folds: Mapping[int, Mapping[int, Sequence[FoldRecord]]],
    group: int,
) -> NestedChoice:
    def validation_auc(trial: TrialRecord) -> float:
        return statistics.fmean(fold.validation.auc for fold in folds[trial.number][group])

    chosen = max(trials, key=lambda trial: (validation_auc(trial), -trial.number))
    test_auc = statistics.fmean(fold.test.auc for fold in folds[chosen.number][group])
    return NestedChoice(test_group=group, trial=chosen, test_auc=test_auc)


def _sd(values: Sequence[float]) -> float:
    return statistics.stdev(values) if len(values) > 1 else 0.0
