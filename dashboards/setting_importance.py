"""Which searched settings the validation figure depends on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import optuna
import plotly.graph_objects as go
from optuna import distributions

from calsweep.dashboards.curve import LOG_FROM, setting_name
from calsweep.dashboards.style import BLUE, label, styled
from calsweep.platform.record import SweepRecord, TrialRecord

LEAST_TRIALS = 10
"""Fewer say nothing: the measure compares the best tenth with all."""


class NothingToWeigh(LookupError):
    """A sweep in which settings cannot be compared."""


def setting_importances(sweep: SweepRecord, /) -> dict[str, float]:
    """Weigh the searched settings by PED-ANOVA, as Optuna computes it.

    Returns
    -------
    importances
        Dotted name of a setting to its share; they sum to 1, largest first.

    Raises
    ------
    NothingToWeigh
        If fewer than 10 configurations that share two settings or more are finished.

    References
    ----------
    Watanabe, Bansal & Hutter (2023), "PED-ANOVA", *IJCAI*.
    """
    trials = [t for t in sweep.finished if t.values and not t.is_control]
    names = _varied(trials)
    if len(trials) < LEAST_TRIALS or len(names) < 2:
        raise NothingToWeigh(
            f"Importance needs {LEAST_TRIALS} finished configurations and two settings that all of "
            f"them vary; there are {len(trials)} and {len(names)}."
        )
    ranges = {name: _distribution([t.values[name] for t in trials]) for name in names}
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        storage=optuna.storages.InMemoryStorage(), direction="maximize", study_name=sweep.name
    )
    study.add_trials(
        optuna.trial.create_trial(
            params={name: _value(trial.values[name]) for name in names},
            distributions=ranges,
            value=trial.mean_validation_auc(),
        )
        for trial in trials
    )
    evaluator = optuna.importance.PedAnovaImportanceEvaluator()
    found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return {name: float(share) for name, share in found.items()}


def importance_bars(importances: Mapping[str, float], /) -> go.Figure:
    """Draw the importance of each setting.

    Parameters
    ----------
    importances
        As `setting_importances` gives them.
    """
    names = [label(setting_name(name), width=30) for name in importances]
    drawn = go.Figure(
        go.Bar(
            x=list(importances.values()),
            y=names,
            orientation="h",
            marker={"color": BLUE},
            texttemplate="%{x:.0%}",
            textposition="outside",
            cliponaxis=False,
            hovertemplate="%{y}: %{x:.1%}<extra></extra>",
        )
    )
    drawn.update_xaxes(title_text="importance (share of all)", tickformat=".0%")
    drawn.update_yaxes(autorange="reversed", showgrid=False)
    return styled(
        drawn,
        height_px=120 + 38 * len(names),
        reading=(
            "A bar is how much a setting alone decides whether a configuration is among the best "
            "tenth by validation (Optuna's PED-ANOVA); a short bar is a setting that hardly "
            "matters in the range that was searched."
        ),
    )


def _varied(trials: Sequence[TrialRecord]) -> list[str]:
    """Give the settings that every trial has and that are not all the same."""
    shared = [
        name
        for name in dict.fromkeys(name for trial in trials for name in trial.values)
        if all(name in trial.values for trial in trials)
    ]
    return [name for name in shared if len({str(t.values[name]) for t in trials}) > 1]


def _distribution(values: Sequence[Any]) -> distributions.BaseDistribution:
    """Give the range that values lie in, as Optuna has it."""
    if not all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
        return distributions.CategoricalDistribution(sorted({_value(v) for v in values}, key=str))
    low, high = min(values), max(values)
    is_log = low > 0 and high / low > LOG_FROM
    if all(isinstance(v, int) for v in values):
        return distributions.IntDistribution(low, high, log=is_log)
    return distributions.FloatDistribution(float(low), float(high), log=is_log)


def _value(value: Any) -> Any:
    """Give a value as a distribution may hold it."""
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
