"""What is stored of a configuration's explanations, read back without what makes them (torch)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calsweep.platform.explanations.explanation import (
    Explanation,
    Kind,
    folder_of,
    read_explanation,
    read_facts,
)
from calsweep.platform.explanations.importance import UnitImportance, unit_importance
from calsweep.platform.record import FoldRecord, SweepRecord, TrialRecord

# F folds, L steps in a window, N units

NULL = "null_key"
"""Fact of an explanation: key of the fold whose model is its null model."""


@dataclass(frozen=True, kw_only=True)
class ExplainedFold:
    """A fold with its explanation, and that of its null model where there is one."""

    record: FoldRecord
    explanation: Explanation
    null: Explanation | None = None


@dataclass(frozen=True, kw_only=True)
class Explained:
    """The explanations of a configuration's folds.

    Attributes
    ----------
    trial
        The configuration.
    folds
        Those that are explained, in the order of the plan.
    """

    trial: TrialRecord
    folds: tuple[ExplainedFold, ...]

    @property
    def facts(self) -> Mapping[str, Any]:
        """What a reader must know, as the first fold has it."""
        return self.folds[0].explanation.facts

    def mean(self, name: str) -> NDArray[np.float64]:
        """Average an array over the folds."""
        arrays = [fold.explanation.arrays[name] for fold in self.folds]
        mean: NDArray[np.float64] = np.mean(arrays, axis=0, dtype=np.float64)
        return mean

    def attention(self) -> dict[int, NDArray[np.float64]]:
        """Give how much each step counts by the class observed, mean over heads.

        Returns
        -------
        attention
            Class to shape ``(fold, step)``, of the folds with a window of it; a class that no fold
            has a window of is left out.
        """
        weight_FCL = np.array(
            [fold.explanation.arrays["weight_CHL"].mean(axis=1) for fold in self.folds], np.float64
        )
        of_class = {}
        for c, weight_FL in enumerate(weight_FCL.swapaxes(0, 1)):
            is_there_F: NDArray[np.bool_] = np.isfinite(weight_FL).all(axis=1)
            if is_there_F.any():
                of_class[c] = weight_FL[is_there_F]
        return of_class

    def units(self) -> tuple[UnitImportance, ...]:
        """Summarize and test the units of traces (`calsweep.platform.explanations.importance`)."""
        nulls = [fold.null for fold in self.folds if fold.null is not None]
        return unit_importance(
            _by_unit([fold.explanation for fold in self.folds]),
            units=self.facts["units"],
            null_FN=_by_unit(nulls) if len(nulls) == len(self.folds) else None,
        )


def read_explained(sweep: SweepRecord, trial: TrialRecord, kind: Kind, /) -> Explained | None:
    """Read what is stored of a trial's folds; ``None`` if nothing is.

    Raises
    ------
    ExplanationDamaged
        If one is not whole.
    """
    folds = []
    for fold in trial.folds:
        explanation = read_explanation(kind, sweep.fold_folder(fold))
        if explanation is None:
            continue
        key = explanation.facts.get(NULL)
        null = read_explanation(kind, sweep.folder / "folds" / key) if key else None
        # A null model that was explained otherwise since is none to compare with.
        if null is not None and null.options != explanation.options:
            null = None
        folds.append(ExplainedFold(record=fold, explanation=explanation, null=null))
    return Explained(trial=trial, folds=tuple(folds)) if folds else None


def explained_kinds(sweep: SweepRecord, trial: TrialRecord, /) -> dict[Kind, Mapping[str, Any]]:
    """Give what a trial is explained by, each with the facts of the first fold that is.

    Raises
    ------
    ExplanationDamaged
        If these cannot be read.
    """
    found = {}
    for kind in Kind:
        for fold in trial.folds:
            facts = read_facts(kind, sweep.fold_folder(fold))
            if facts is not None:
                found[kind] = facts
                break
    return found


def explained_folders(explained: Explained, sweep: SweepRecord, kind: Kind, /) -> dict[str, Path]:
    """Give where the explanations of folds lie, by key of the fold."""
    return {
        fold.record.key: folder_of(kind, sweep.fold_folder(fold.record)) for fold in explained.folds
    }


def _by_unit(explanations: Sequence[Explanation]) -> NDArray[np.float64]:
    """Give the mean over steps of each fold's importance, shape ``(fold, unit)``."""
    return np.array([e.arrays["importance"].mean(axis=0, dtype=np.float64) for e in explanations])
