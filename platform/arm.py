"""What is compared: finished configurations, and how a person names them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

from calsweep.datasets.audit import Verdict
from calsweep.platform.leaderboard import best_trial, leaderboard, nested_choice
from calsweep.platform.plain import nearest
from calsweep.platform.record import SweepRecord, TrialRecord, TrialState
from calsweep.platform.score import Score

FIGURES = tuple(field.name for field in dataclasses.fields(Score))
ARMS_SHOWN = 10
BEST = "best"
NESTED = "nested"


@dataclass(frozen=True, kw_only=True)
class Arm:
    """A finished configuration that is compared.

    Attributes
    ----------
    sweep
        The sweep it is of.
    trial
        The configuration and its folds.

    Raises
    ------
    ValueError
        If it is not finished.
    """

    sweep: SweepRecord
    trial: TrialRecord

    def __post_init__(self) -> None:
        if self.trial.state is not TrialState.DONE:
            raise ValueError(
                f"configurations must be finished to be compared, but {self.name} is "
                f"{self.trial.state.value} with {len(self.trial.folds)} of "
                f"{len(self.sweep.plan.folds)} folds: finish the sweep with the command that "
                "began it, or leave this one out."
            )

    @property
    def name(self) -> str:
        """Sweep and configuration."""
        return f"{self.sweep.name}: {self.trial.name}"

    def figures_of_test(self, figure: str, /) -> tuple[float, ...]:
        """Give a figure of the test part of each fold, in the order of the plan.

        Raises
        ------
        ValueError
            If a fold has none.
        """
        found = [getattr(fold.test, figure) for fold in self.trial.folds]
        missing = [
            fold.fold
            for fold, value in zip(self.trial.folds, found, strict=True)
            if value is None or not math.isfinite(value)
        ]
        if missing:
            raise ValueError(
                f"every fold must have the figure {figure!r} to be compared, but fold {missing[0]} "
                f"of {self.name} has none. There are: {', '.join(FIGURES)}."
            )
        return tuple(map(float, found))


def figure_name(figure: str, /) -> str:
    """Write a figure of merit as a person does.

    Examples
    --------
    >>> figure_name("auc"), figure_name("accuracy")
    ('AUC', 'accuracy')
    """
    return figure.upper() if figure in ("auc", "f1") else figure


def default_arms(sweep: SweepRecord, /) -> tuple[Arm, ...]:
    """Give a sweep's finished configurations, best first by validation.

    Returns
    -------
    arms
        All of up to 10; of more, the best 10 and the linear baseline.
    """
    rows = leaderboard(sweep)
    shown = [row for row in rows if row.rank <= ARMS_SHOWN or row.trial.is_baseline]
    return tuple(Arm(sweep=sweep, trial=row.trial) for row in shown)


def best_arm(sweep: SweepRecord, /) -> Arm:
    """Give the configuration of a sweep that is best by validation.

    Raises
    ------
    LookupError
        If none is finished.
    """
    return Arm(sweep=sweep, trial=best_trial(sweep))


def nested_arm(sweep: SweepRecord, /) -> Arm:
    """Give the nested choice as an arm: each test group's folds of what was chosen without it.

    The configuration that is best over all folds was chosen with every animal in sight; this is
    the arm that says what the search itself is worth on a new one.

    Raises
    ------
    LookupError
        If no configuration is finished, or the folds are not pairs of groups.
    """
    choices = nested_choice(sweep)
    if not choices:
        raise LookupError(
            f"The sweep {sweep.name!r} has no nested choice: its folds must be pairs of groups, "
            "and a configuration finished. Name a configuration in its place."
        )
    folds = [
        fold
        for choice in choices
        for fold in choice.trial.folds
        if fold.test_group == choice.test_group
    ]
    trial = TrialRecord(
        number=-1,
        name=NESTED,
        values={},
        settings={"trainables": {"_target_": "chosen for each test group without it"}},
        state=TrialState.DONE,
        folds=tuple(sorted(folds, key=lambda fold: fold.fold)),
        verdict=sum((choice.trial.verdict for choice in choices), start=Verdict()),
    )
    return Arm(sweep=sweep, trial=trial)


def find_arm(sweep: SweepRecord, trial: str, /) -> Arm:
    """Find a configuration of a sweep.

    Parameters
    ----------
    sweep
        The sweep.
    trial
        ``best``, ``nested``, ``baseline``, ``trial 3`` or ``3``.

    Raises
    ------
    LookupError
        If there is none of this name.
    ValueError
        If it is not finished.
    """
    if trial == NESTED:
        return nested_arm(sweep)
    return Arm(sweep=sweep, trial=find_trial(sweep, trial, others=(NESTED,)))


def find_trial(sweep: SweepRecord, trial: str, /, *, others: Sequence[str] = ()) -> TrialRecord:
    """Find a configuration of a sweep, finished or not.

    Parameters
    ----------
    sweep
        The sweep.
    trial
        ``best``, ``baseline``, ``trial 3`` or ``3``.
    others
        Names that are known besides, for the message.

    Raises
    ------
    LookupError
        If there is none of this name, or none is finished to be the best.
    """
    if trial == BEST:
        return best_trial(sweep)
    for there in sweep.trials:
        if trial in (there.name, str(there.number)):
            return there
    known = [BEST, *others, *(there.name for there in sweep.trials)]
    raise LookupError(f"No configuration {trial!r} in {sweep.name!r}. {nearest(trial, known)}")


def default_reference(arms: Sequence[Arm], /) -> Arm:
    """Give the linear baseline if it is among the arms of one sweep; otherwise the first arm."""
    baselines = [arm for arm in arms if arm.trial.is_baseline]
    is_one_sweep = len({arm.sweep.name for arm in arms}) == 1
    return baselines[0] if baselines and is_one_sweep else arms[0]
