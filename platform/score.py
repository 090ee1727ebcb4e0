"""Figures of merit of a part of a fold, and the learning curve they form."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Score:
    """Figures over all windows of a part.

    Attributes
    ----------
    loss
        Mean cross-entropy or what else the decoder learns by, without label smoothing or weights.
    auc
        Area under the ROC curve; of more than two classes the mean over those that occur, each
        against the others.
    accuracy
        Share of windows whose most probable class is right.
    precision, recall, f1
        Of class 1; of more than two classes the mean over them. NaN in records of a version that
        did not give them.
    """

    loss: float
    auc: float
    accuracy: float
    precision: float = math.nan
    recall: float = math.nan
    f1: float = math.nan


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """One row of a fold's learning curve; ``epoch`` counts from 1."""

    epoch: int
    train_loss: float
    validation: Score
