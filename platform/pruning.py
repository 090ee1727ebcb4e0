"""Ending a configuration before its last fold, where its first ones say that it loses.

After each fold, Wilcoxon's signed rank is taken of the differences to the best configuration so
far, on the folds that both have. It is the test of Optuna's ``WilcoxonPruner``, which is scipy's,
and not the pruner itself: that compares with whichever trial happened to be done first, so the same
seed would prune other trials on a faster machine; it says neither p nor against whom; and a grid
has no study that it could ask. Here the order of folds and the configuration to compare
with follow from the seed and the results alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np

from calsweep.platform.statistics import below_by_signed_rank
from calsweep.search_spaces.space import ARM


class PruningMethod(Enum):
    """How it is decided that a configuration has lost."""

    NONE = "none"
    WILCOXON = "wilcoxon"


@dataclass(frozen=True, kw_only=True)
class Pruning:
    """Whether configurations may be ended before their last fold.

    Without it, every configuration is trained on all folds, as papers report them: then each stands
    on the leaderboard. The baseline, controls and arms are never pruned.

    Attributes
    ----------
    method
        ``none``, or ``wilcoxon``.
    p_threshold
        One-sided p below which a configuration is ended. It is looked at after every fold, and
        folds share animals, so it is no level of significance: a configuration as good as the best
        is ended more often than that.
    least_folds
        Folds that each configuration is trained on. One-sided p is 0.031 at best with five.
    """

    method: PruningMethod = PruningMethod.NONE
    p_threshold: float = 0.05
    least_folds: int = 5

    def __post_init__(self) -> None:
        if not 0 < self.p_threshold < 1:
            raise ValueError(f"`0 < p_threshold < 1` must hold, but got {self.p_threshold=}.")
        if self.least_folds < 2 or 0.5**self.least_folds >= self.p_threshold:
            fewest = next(n for n in range(2, 64) if 0.5**n < self.p_threshold)
            raise ValueError(
                f"`least_folds` must allow a p below {self.p_threshold:g}, which {fewest} folds "
                f"are the fewest to do, but got {self.least_folds=}."
            )

    def spares(self, values: Mapping[str, Any], settings: Mapping[str, Any], /) -> bool:
        """Say whether a configuration is trained on all folds, whatever its first ones say."""
        is_control = str(settings["datasets"].get("labels", "")).lower() == "permuted"
        is_compared = not values or ARM in values  # the baseline has no values
        return self.method is PruningMethod.NONE or is_control or is_compared


@dataclass(frozen=True, kw_only=True)
class Pruned:
    """Why a configuration was ended before its last fold.

    Attributes
    ----------
    n_folds
        Folds that it was trained on and compared in.
    against
        Name of the trial that it lost to.
    p
        Of the test that its figures are not below.
    mean_difference
        Of validation AUC, on these folds.
    """

    n_folds: int
    against: str
    p: float
    mean_difference: float

    def sentence(self, *, n_planned: int) -> str:
        """Say it.

        Examples
        --------
        >>> why = Pruned(n_folds=5, against="trial 2", p=0.03125, mean_difference=-0.0612)
        >>> why.sentence(n_planned=20)
        'pruned after 5 of 20 folds: validation AUC 0.0612 below trial 2 on them (p = 0.031)'
        """
        return (
            f"pruned after {self.n_folds} of {n_planned} folds: validation AUC "
            f"{-self.mean_difference:.4f} below {self.against} on them (p = {self.p:.2g})"
        )


@dataclass(frozen=True, kw_only=True)
class Rival:
    """The configuration that others are compared with.

    Attributes
    ----------
    name
        Of the trial.
    auc
        Number of each fold to its validation AUC.
    """

    name: str
    auc: Mapping[int, float]

    @property
    def mean(self) -> float:
        """Mean over its folds."""
        return float(np.mean([self.auc[fold] for fold in sorted(self.auc)]))


def lost(auc: Mapping[int, float], rival: Rival, pruning: Pruning, /) -> Pruned | None:
    """Say whether a configuration has lost to another on the folds that it has.

    Parameters
    ----------
    auc
        Number of each fold that is done to its validation AUC.
    rival
        What it is compared with.
    pruning
        How.

    Returns
    -------
    pruned
        ``None`` if it goes on.

    Examples
    --------
    >>> rival = Rival(name="trial 1", auc=dict.fromkeys(range(20), 0.9))
    >>> wilcoxon = Pruning(method=PruningMethod.WILCOXON)
    >>> lost({3: 0.6, 7: 0.7, 11: 0.65, 0: 0.72}, rival, wilcoxon) is None
    True
    >>> lost({3: 0.6, 7: 0.7, 11: 0.65, 0: 0.72, 9: 0.8}, rival, wilcoxon).p
    0.03125
    """
    shared = [fold for fold in auc if fold in rival.auc]
    if len(shared) < pruning.least_folds:
        return None
    differences = [auc[fold] - rival.auc[fold] for fold in shared]
    p = below_by_signed_rank(differences)
    mean = float(np.mean(differences))
    if p >= pruning.p_threshold or mean >= 0:  # few that are far above can outweigh many below
        return None
    return Pruned(n_folds=len(shared), against=rival.name, p=p, mean_difference=mean)


def fold_order(n_folds: int, /, *, seed: int, plan_hash: str) -> tuple[int, ...]:
    """Give the order in which all trials of a sweep train their folds.

    Neighbors in a plan test the same animals; the first folds of a shuffled order speak for all.

    Examples
    --------
    >>> fold_order(6, seed=0, plan_hash="f01d" * 16)
    (3, 2, 5, 1, 0, 4)
    """
    rng = np.random.default_rng([seed, int(plan_hash[:12], 16)])
    return tuple(int(i) for i in rng.permutation(n_folds))
