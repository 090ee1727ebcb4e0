"""What rates tell of fewer neurons: dropped at random, or from the edge of the field of view."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from calsweep.datasets.mask import UnitMask
from calsweep.platform.dynamics.experiment import Finding
from calsweep.platform.dynamics.rate_scores import Asked, score_rates
from calsweep.platform.dynamics.settings import DynamicsSettings, datasets_of


def score_fewer_neurons(
    populations: Sequence[DynamicsSettings], asked: Asked, /
) -> tuple[Finding, ...]:
    """Score populations that differ in the neurons that they saw, each beside smoothed events.

    R keeps 3/4, 1/2, 1/4, 1/8 and 1/16 of the neurons, at random (``datasets/masks=random_units``)
    or with a field of view that shrinks (``datasets/masks=central_units``).

    Parameters
    ----------
    populations
        Settings of at least two, of the same trials and measures.
    asked
        What rates are compared with.

    Returns
    -------
    findings
        With the number of neurons as their value, by it and by method; folds of all recordings.

    Raises
    ------
    ValueError
        If there are no measures, populations saw as many neurons, or differ in their trials.
    """
    _check(populations)
    seen = {settings.run_name: _n_seen(settings) for settings in populations}
    for n in seen.values():
        same = [other for other in seen if seen[other] == n]
        if len(same) > 1:
            raise ValueError(
                f"populations must have seen different numbers of neurons, but {' and '.join(same)}"
                f" saw {n} each: leave one out, or train it with another `datasets.mask`."
            )
    findings = []
    for settings in sorted(populations, key=lambda one: -seen[one.run_name]):
        scores = score_rates(settings, asked)
        for method in scores[0].states:
            r2 = {
                measure: tuple(
                    float(r2) for score in scores for r2 in score.states[method].r2_FD[:, d]
                )
                for d, measure in enumerate(settings.datasets.measures)
            }
            value = str(seen[settings.run_name])
            findings.append(Finding(value=value, method=method, lag_ms=asked.lag_ms, r2=r2))
    return tuple(findings)


def _n_seen(settings: DynamicsSettings) -> int:
    return sum(
        int(settings.datasets.mask.seen(dataset.manifest).sum())
        for dataset in datasets_of(settings)
    )


def _check(populations: Sequence[DynamicsSettings]) -> None:
    first = populations[0]
    if not first.datasets.measures:
        raise ValueError(
            f"{first.run_name} was trained without measures to tell from rates: give "
            "`datasets.measures=[...]` with `calsweep lfads`."
        )
    trials = dataclasses.replace(first.datasets, mask=UnitMask())
    for other in populations[1:]:
        if dataclasses.replace(other.datasets, mask=UnitMask()) != trials:
            raise ValueError(
                f"populations must have seen the same trials to be compared by their neurons, but "
                f"{other.run_name} and {first.run_name} differ in `datasets` beyond its mask."
            )
