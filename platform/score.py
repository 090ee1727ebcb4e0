"""Figures of merit of a part of a fold, and the learning curve they form."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Score:
    """Figures over all windows of a part: mean loss without label smoothing, AUC, accuracy."""

    loss: float
    auc: float
    accuracy: float


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """One row of a fold's learning curve; ``epoch`` counts from 1."""

    epoch: int
    train_loss: float
    validation: Score
