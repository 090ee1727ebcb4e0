"""Arms that are given the same: each search cut where it has used as much as the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from calsweep.platform.arm import Arm
from calsweep.platform.record import SweepRecord, TrialRecord, TrialState
from calsweep.platform.spending import hours, trial_compute
from calsweep.search_spaces.space import ARM


class Measure(Enum):
    """What a budget is counted in."""

    DEVICE = "device"
    CPU = "cpu"


@dataclass(frozen=True, kw_only=True)
class EqualBudget:
    """The best of each search within a budget that all of them had.

    Attributes
    ----------
    arms
        The configuration of each that is best by validation, of those that fit into it.
    sentence
        What was cut, for a person.
    """

    arms: tuple[Arm, ...]
    sentence: str


def equal_budget(sweeps: Sequence[SweepRecord], measure: Measure, /) -> EqualBudget:
    """Cut searches to the same seconds, each in the order of its record, and give their best.

    Parameters
    ----------
    sweeps
        Each a search; of one alone, each value of its axis ``arm`` is one.
    measure
        What the budget, that of the search which used least, is counted in.

    Raises
    ------
    ValueError
        If there are not two searches, or one has finished nothing within the budget.
    """
    searches = _searches(sweeps)
    if len(searches) < 2:
        raise ValueError(
            "`--equal-budget` compares searches: name two sweeps, or one with arms, but got "
            f"{', '.join(searches) or 'none'}."
        )
    used = {name: _used(trials, measure) for name, (_, trials) in searches.items()}
    budget_s = min(seconds[-1] for seconds in used.values())
    arms, cut = [], []
    for name, (sweep, trials) in searches.items():
        within = [t for t, s in zip(trials, used[name], strict=True) if s <= budget_s]
        done = [t for t in within if t.state is TrialState.DONE and not t.is_control]
        if not done:
            raise ValueError(
                f"{name} has finished no configuration within {hours(budget_s)} "
                f"{measure.value}-hours, all that {min(used, key=lambda n: used[n][-1])} used: "
                "give the others more."
            )
        best = max(done, key=lambda trial: (trial.mean_validation_auc(), -trial.number))
        arms.append(Arm(sweep=sweep, trial=best))
        cut.append(f"{name} {len(within)} of {len(trials)} configurations")
    sentence = (
        f"Equal budget: {hours(budget_s)} {measure.value}-hours each, in the order of the record; "
        f"of {', of '.join(cut)} are within it, and the best of these by validation is compared."
    )
    return EqualBudget(arms=tuple(arms), sentence=sentence)


def _searches(
    sweeps: Sequence[SweepRecord],
) -> Mapping[str, tuple[SweepRecord, list[TrialRecord]]]:
    """Name each search and give its trials in the order they began, without baselines."""
    if len(sweeps) > 1:
        found = {s.name: (s, [t for t in s.trials if not t.is_baseline]) for s in sweeps}
    else:
        found = {}
        for trial in sweeps[0].trials if sweeps else ():
            if ARM in trial.values:
                _, trials = found.setdefault(str(trial.values[ARM]), (sweeps[0], []))
                trials.append(trial)
    return {name: (sweep, trials) for name, (sweep, trials) in found.items() if trials}


def _used(trials: Sequence[TrialRecord], measure: Measure) -> list[float]:
    """Give the seconds used up to the end of each trial."""
    seconds, so_far = [], 0.0
    for trial in trials:
        took = trial_compute(trial)
        so_far += took.device_seconds if measure is Measure.DEVICE else took.cpu_seconds
        seconds.append(so_far)
    return seconds
