"""How much units matter, over the folds of a configuration, beside models of permuted labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from calsweep.platform.statistics import describe, holm, rank_sum, signed_rank

# F folds, N units

ALPHA = 0.05
_STARS = ((0.001, "***"), (0.01, "**"), (ALPHA, "*"))


@dataclass(frozen=True, kw_only=True)
class UnitImportance:
    """One unit's mean absolute attribution.

    Attributes
    ----------
    unit
        Its name.
    mean, sd
        Over the folds, of the mean over steps.
    null_mean, null_sd
        The same of models of permuted labels; NaN without them.
    rank_sum_p
        Of Wilcoxon's rank sum against the null models, corrected by Holm over units: W's test.
    signed_rank_p
        Of the signed rank of differences, fold by fold, corrected likewise.
    """

    unit: str
    mean: float
    sd: float
    null_mean: float = float("nan")
    null_sd: float = float("nan")
    rank_sum_p: float = float("nan")
    signed_rank_p: float = float("nan")

    @property
    def stars(self) -> str:
        """How sure it is that the unit matters more than in a null model, by both tests.

        Examples
        --------
        >>> unit = {"unit": "a", "mean": 2.0, "sd": 0.1, "null_mean": 1.0, "null_sd": 0.1}
        >>> UnitImportance(**unit, rank_sum_p=0.0001, signed_rank_p=0.004).stars
        '**'
        """
        if not self.mean > self.null_mean:
            return ""
        worse = max(self.rank_sum_p, self.signed_rank_p)
        return next((stars for alpha, stars in _STARS if worse < alpha), "")


def unit_importance(
    importance_FN: NDArray[np.floating],
    /,
    *,
    units: Sequence[str],
    null_FN: NDArray[np.floating] | None = None,
) -> tuple[UnitImportance, ...]:
    """Summarize units over folds, in their order, and test each against the null models.

    Parameters
    ----------
    importance_FN
        Of each fold's model.
    units
        Their names.
    null_FN
        Of the models of the same folds trained on permuted labels.

    Examples
    --------
    >>> one, other = unit_importance(
    ...     np.array([[2.0, 1.0], [3.0, 1.1], [4.0, 0.9]]),
    ...     units=("a", "b"),
    ...     null_FN=np.array([[0.1, 1.2], [0.2, 1.0], [0.3, 0.8]]),
    ... )
    >>> one.mean, round(one.null_mean, 3), one.rank_sum_p, other.rank_sum_p
    (3.0, 0.2, 0.2, 1.0)
    """
    spreads = [describe(importance_F) for importance_F in importance_FN.T]
    plain = [
        UnitImportance(unit=unit, mean=spread.mean, sd=spread.sd)
        for unit, spread in zip(units, spreads, strict=True)
    ]
    if null_FN is None:
        return tuple(plain)
    nulls = [describe(null_F) for null_F in null_FN.T]
    pairs = list(zip(importance_FN.T, null_FN.T, strict=True))
    rank_sums = holm([rank_sum(real_F, null_F).p for real_F, null_F in pairs])
    signed_ranks = holm([signed_rank(real_F - null_F).p for real_F, null_F in pairs])
    return tuple(
        replace(
            unit,
            null_mean=nulls[n].mean,
            null_sd=nulls[n].sd,
            rank_sum_p=rank_sums[n],
            signed_rank_p=signed_ranks[n],
        )
        for n, unit in enumerate(plain)
    )
