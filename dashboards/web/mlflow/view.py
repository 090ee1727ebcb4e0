"""What the pages say of sweeps that MLflow holds and this home does not."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from calsweep.dashboards.style import BLUE, VERMILLION, styled
from calsweep.dashboards.summary import with_spread
from calsweep.platform.progress import minutes
from calsweep.platform.spending import hours

Runs = Mapping[str, Sequence[Any]]
"""Name of a sweep to its `calsweep.platform.tracking.parent_runs.ParentRun`."""

_HIDDEN = ("datasets.", "training.", "first_training")


def lines(runs: Runs, here: Sequence[str], /) -> list[dict[str, Any]]:
    """Give a line for each sweep that is not in this home."""
    return [_line(name, trials) for name, trials in runs.items() if name not in here and trials]


def _line(name: str, trials: Sequence[Any]) -> dict[str, Any]:
    best = max((_figure(trial, "validation_auc_mean", -1.0) for trial in trials), default=-1.0)
    latest_s = max(trial.ended_s or trial.began_s for trial in trials)
    running = sum(trial.status == "RUNNING" for trial in trials)
    return {
        "name": name,
        "dataset": trials[0].tags.get("calsweep.dataset", ""),
        "n_trials": len(trials),
        "state": f"{running} running" if running else "nothing running",
        "n_folds": f"{sum(_figure(trial, 'n_folds', 0.0) for trial in trials):,.0f}",
        "cost": hours(sum(_figure(trial, "train_seconds", 0.0) for trial in trials)),
        "best": f"{best:.3f}" if best >= 0 else "–",
        "latest": time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(latest_s)),
    }


def board(trials: Sequence[Any], /) -> list[dict[str, Any]]:
    """Give the configurations of a sweep, best validation AUC first."""
    ordered = sorted(trials, key=lambda trial: -_figure(trial, "validation_auc_mean", -1.0))
    return [
        {
            "name": trial.name,
            "decoder": _decoder(trial),
            "status": trial.status.lower(),
            "validation": _mean(trial, "validation_auc"),
            "test": _mean(trial, "test_auc"),
            "n_folds": f"{_figure(trial, 'n_folds', 0.0):.0f}",
            "took": minutes(_figure(trial, "train_seconds", 0.0)),
            "verdict": trial.tags.get("calsweep.verdict", ""),
            "error": trial.tags.get("calsweep.error", ""),
        }
        for trial in ordered
    ]


def folds_drawn(rows: Sequence[Mapping[str, Any]], /) -> go.Figure:
    """Draw validation and test AUC of each fold.

    Parameters
    ----------
    rows
        Of the table of folds that lies with a run.
    """
    figure = go.Figure()
    for name, key, color, symbol in (
        ("validation", "validation_auc", VERMILLION, "diamond-open"),
        ("test", "test_auc", BLUE, "circle"),
    ):
        figure.add_trace(
            go.Scatter(
                x=[row["fold"] for row in rows],
                y=[row.get(key) for row in rows],
                mode="markers",
                name=name,
                marker={"color": color, "symbol": symbol, "size": 9},
                hovertemplate=f"fold %{{x}}<br>{name} AUC %{{y:.4f}}<extra></extra>",
            )
        )
    figure.update_xaxes(title_text="fold", dtick=1 if len(rows) <= 20 else None, showgrid=False)
    figure.update_yaxes(title_text="AUC (0.5 is chance, 1 is perfect)")
    return styled(
        figure,
        height_px=320,
        reading="Filled: test AUC; open: validation AUC, of each fold of this configuration.",
    )


def _decoder(trial: Any) -> str:
    kind = str(trial.params.get("trainables.type", "")).rpartition(".")[2].lower()
    tried = [
        f"{name.removeprefix('trainables.')}={value}"
        for name, value in sorted(trial.params.items())
        if name != "trainables.type" and not name.startswith(_HIDDEN)
    ]
    return f"{kind} ({', '.join(tried)})" if tried else kind


def _figure(trial: Any, name: str, otherwise: float) -> float:
    value = float(trial.figures.get(name, otherwise))
    return otherwise if math.isnan(value) else value


def _mean(trial: Any, name: str) -> str:
    mean = _figure(trial, f"{name}_mean", -1.0)
    n = round(_figure(trial, "n_folds", 0.0))
    return with_spread(mean, _figure(trial, f"{name}_sd", 0.0), n=n) if mean >= 0 else "–"
