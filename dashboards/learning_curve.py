"""Learning curves of folds, and the epoch that was kept."""

from __future__ import annotations

import statistics
from collections.abc import Callable

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from calsweep.dashboards.style import (
    BLUE,
    PURPLE,
    THICK,
    THIN,
    VERMILLION,
    styled,
)
from calsweep.platform.record import TrialRecord
from calsweep.platform.score import Epoch

EPOCHS_NAMED = 20


def learning_curves(trial: TrialRecord, /) -> go.Figure:
    """Draw loss and validation AUC of each fold by epoch, with the epoch that was kept.

    Parameters
    ----------
    trial
        The configuration, at least one fold.
    """
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.08)
    _add_curves(figure, trial, 1, "training", PURPLE, lambda epoch: epoch.train_loss)
    _add_curves(figure, trial, 1, "validation", BLUE, lambda epoch: epoch.validation.loss)
    _add_curves(figure, trial, 2, "validation", BLUE, lambda epoch: epoch.validation.auc)
    _add_best(figure, trial, 1, lambda epoch: epoch.validation.loss)
    _add_best(figure, trial, 2, lambda epoch: epoch.validation.auc)
    figure.update_yaxes(title_text="loss (nats a window)", row=1)
    figure.update_yaxes(title_text="validation AUC", row=2)
    n_epochs = max(len(fold.curve) for fold in trial.folds)
    figure.update_xaxes(dtick=1 if n_epochs <= EPOCHS_NAMED else None)
    figure.update_xaxes(title_text="epoch", row=2)
    return styled(
        figure,
        height_px=560,
        reading=(
            "A thin line is one fold, a thick line the mean; a diamond marks the epoch of lowest "
            "validation loss, whose weights are the fold's model: training loss that falls on "
            "after it is overfitting."
        ),
    )


def _add_curves(
    figure: go.Figure,
    trial: TrialRecord,
    row: int,
    name: str,
    color: str,
    figure_of: Callable[[Epoch], float],
) -> None:
    for fold in trial.folds:
        figure.add_trace(
            go.Scatter(
                x=[epoch.epoch for epoch in fold.curve],
                y=[figure_of(epoch) for epoch in fold.curve],
                name=f"{name}, fold {fold.fold}",
                mode="lines",
                line={"color": color, **THIN},
                opacity=0.35,
                hovertemplate=f"fold {fold.fold}, {name} %{{y:.3f}}<extra></extra>",
            ),
            row=row,
            col=1,
        )
    epochs, means = _mean_by_epoch(trial, figure_of)
    figure.add_trace(
        go.Scatter(
            x=epochs,
            y=means,
            name=f"{name}, mean",
            mode="lines",
            line={"color": color, "dash": "dash" if name == "training" else "solid", **THICK},
            hovertemplate=f"mean {name} %{{y:.3f}}<extra></extra>",
        ),
        row=row,
        col=1,
    )
    figure.add_annotation(
        x=epochs[-1], y=means[-1], text=name, xanchor="right", row=row, col=1,
        yshift=-14 if name == "training" else 14,
    )  # fmt: skip


def _mean_by_epoch(
    trial: TrialRecord, figure_of: Callable[[Epoch], float]
) -> tuple[list[int], list[float]]:
    """Average over the folds, as far as every fold went."""
    together = list(zip(*(fold.curve for fold in trial.folds), strict=False))
    epochs = [column[0].epoch for column in together]
    return epochs, [statistics.fmean(map(figure_of, column)) for column in together]


def _add_best(
    figure: go.Figure, trial: TrialRecord, row: int, figure_of: Callable[[Epoch], float]
) -> None:
    kept = [epoch for fold in trial.folds for epoch in fold.curve if epoch.epoch == fold.best_epoch]
    figure.add_trace(
        go.Scatter(
            x=[epoch.epoch for epoch in kept],
            y=[figure_of(epoch) for epoch in kept],
            name="epoch kept",
            mode="markers",
            marker={"symbol": "diamond", "size": 8, "color": VERMILLION},
            hovertemplate="kept: epoch %{x}, %{y:.3f}<extra></extra>",
        ),
        row=row,
        col=1,
    )
