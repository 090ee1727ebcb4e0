"""Whether one configuration decodes better than another: figures of folds, and tests over them.

Rank tests over folds are how papers compare decoders, but folds share training animals, so they are
not independent, and rank tests find differences too easily. Two tests allow for that: the corrected
t of Nadeau & Bengio widens the variance by the overlap, and the sign-flip test
(`calsweep.platform.sign_flip`) takes one difference an animal.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

# F fold or other value


def _stats() -> Any:
    """Give scipy's tests; loading them takes longer than a leaderboard, which needs none."""
    return importlib.import_module("scipy.stats")


@dataclass(frozen=True, kw_only=True)
class Summary:
    """Where values lie and how far they spread.

    Attributes
    ----------
    n
        How many values.
    mean, sd
        Mean, and standard deviation with ``n - 1``; 0 for a single value.
    median, lower_quartile, upper_quartile
        By linear interpolation.
    """

    n: int
    mean: float
    sd: float
    median: float
    lower_quartile: float
    upper_quartile: float

    @property
    def iqr(self) -> float:
        """Interquartile range."""
        return self.upper_quartile - self.lower_quartile


@dataclass(frozen=True, kw_only=True)
class RankTest:
    """A Wilcoxon test: its statistic and two-sided p."""

    statistic: float
    p: float


@dataclass(frozen=True, kw_only=True)
class PairedT:
    """Student's paired t, and its p that one is above the other."""

    t: float
    p: float


@dataclass(frozen=True, kw_only=True)
class CorrectedT:
    """The corrected resampled t test.

    Attributes
    ----------
    mean
        Mean difference.
    t, degrees
        Statistic and degrees of freedom.
    p
        Two-sided.
    low, high
        Confidence interval of the mean difference.
    """

    mean: float
    t: float
    degrees: int
    p: float
    low: float
    high: float


def describe(values: ArrayLike, /) -> Summary:
    """Summarize values.

    Parameters
    ----------
    values
        At least one.

    Examples
    --------
    >>> summary = describe([1.0, 2.0, 3.0, 4.0])
    >>> summary.mean, round(summary.sd, 3), summary.median
    (2.5, 1.291, 2.5)
    >>> summary.lower_quartile, summary.upper_quartile, summary.iqr
    (1.75, 3.25, 1.5)
    """
    values_F = finite_values(values, name="values", least=1)
    lower, median, upper = np.quantile(values_F, [0.25, 0.5, 0.75])
    return Summary(
        n=len(values_F),
        mean=float(values_F.mean()),
        sd=float(values_F.std(ddof=1)) if len(values_F) > 1 else 0.0,
        median=float(median),
        lower_quartile=float(lower),
        upper_quartile=float(upper),
    )


def rank_sum(one: ArrayLike, other: ArrayLike, /) -> RankTest:
    """Test by Wilcoxon's rank sum (Mann-Whitney U) whether two sets of values lie apart.

    Exact for fewer than 10 values on a side and 20 in all without ties; otherwise by the normal
    approximation with corrections for ties and continuity, the choice that MATLAB's ``ranksum``
    makes. Values are taken as independent, which those of folds are not.

    Parameters
    ----------
    one, other
        At least one value each.

    Returns
    -------
    test
        ``statistic`` is Mann-Whitney's U of the first.

    References
    ----------
    Wilcoxon (1945), *Biometrics Bulletin* 1(6): 80-83. Mann & Whitney (1947), *Ann. Math. Stat.*
    18(1): 50-60.

    Examples
    --------
    >>> rank_sum([0.8, 0.9, 1.0], [0.5, 0.6, 0.7])
    RankTest(statistic=9.0, p=0.1)
    """
    one_F, other_F = (
        finite_values(one, name="one", least=1),
        finite_values(other, name="other", least=1),
    )
    together = np.concatenate([one_F, other_F])
    if np.ptp(together) == 0:
        return RankTest(statistic=len(one_F) * len(other_F) / 2, p=1.0)
    is_small = min(len(one_F), len(other_F)) < 10 and len(together) < 20
    has_ties = len(np.unique(together)) < len(together)
    method: Literal["exact", "asymptotic"]
    method = "exact" if is_small and not has_ties else "asymptotic"
    test = _stats().mannwhitneyu(one_F, other_F, method=method)
    return RankTest(statistic=float(test.statistic), p=float(test.pvalue))


def signed_rank(differences: ArrayLike, /) -> RankTest:
    """Test by Wilcoxon's signed rank whether paired differences lie around zero.

    Exact for up to 50 differences without ties and zeros; zeros are left out. Differences are taken
    as independent, which those of folds are not.

    Parameters
    ----------
    differences
        At least one, one value less the other.

    Returns
    -------
    test
        ``statistic`` is the lesser of the two sums of ranks.

    References
    ----------
    Wilcoxon (1945), *Biometrics Bulletin* 1(6): 80-83.

    Examples
    --------
    >>> signed_rank([0.1, 0.2, 0.3, 0.4, 0.5])
    RankTest(statistic=0.0, p=0.0625)
    """
    differences_F = finite_values(differences, name="differences", least=1)
    if not differences_F.any():
        return RankTest(statistic=0.0, p=1.0)
    test = _stats().wilcoxon(differences_F)
    return RankTest(statistic=float(test.statistic), p=float(test.pvalue))


def below_by_signed_rank(differences: ArrayLike, /) -> float:
    """Test by Wilcoxon's signed rank, one-sided, whether paired differences lie below zero.

    Zeros are split between both sides, so that folds that are equal speak for neither.

    Parameters
    ----------
    differences
        At least one, one value less the other.

    Returns
    -------
    p
        That they do not.

    References
    ----------
    Pratt (1959), *J. Am. Stat. Assoc.* 54(287): 655-667, on zeros.

    Examples
    --------
    >>> below_by_signed_rank([-0.1, -0.2, -0.3, -0.4, -0.5])
    0.03125
    """
    differences_F = finite_values(differences, name="differences", least=1)
    if not differences_F.any():
        return 1.0
    test = _stats().wilcoxon(differences_F, alternative="less", zero_method="zsplit")
    return float(test.pvalue)


def paired_t(one: ArrayLike, other: ArrayLike, /) -> PairedT:
    """Test by Student's paired t whether one method is above another, one-sided.

    Pairs are taken as independent, which those of folds are not.

    Parameters
    ----------
    one, other
        Figures of the same folds, at least two.

    References
    ----------
    Student (1908), *Biometrika* 6(1): 1-25.

    Examples
    --------
    >>> test = paired_t([0.9, 0.8, 0.85, 0.8, 0.9], [0.7, 0.75, 0.8, 0.7, 0.75])
    >>> round(test.t, 2), round(test.p, 4)
    (3.77, 0.0098)
    """
    one_F, other_F = (
        finite_values(values, name=name, least=2)
        for values, name in ((one, "one"), (other, "other"))
    )
    if len(one_F) != len(other_F):
        raise ValueError(
            f"`one` and `other` must be figures of the same folds, but got {len(one_F)} and "
            f"{len(other_F)}."
        )
    if np.ptp(one_F - other_F) == 0:  # nothing to divide by: as certain as can be, or equal
        difference = float((one_F - other_F)[0])
        return PairedT(
            t=math.copysign(math.inf, difference) if difference else 0.0,
            p=0.0 if difference > 0 else 1.0 if difference < 0 else 0.5,
        )
    test = _stats().ttest_rel(one_F, other_F, alternative="greater")
    return PairedT(t=float(test.statistic), p=float(test.pvalue))


def holm(p_values: Sequence[float], /) -> tuple[float, ...]:
    """Correct p values of several comparisons so that one of all is wrong as rarely as of one.

    Parameters
    ----------
    p_values
        Of one family of comparisons, in any order.

    Returns
    -------
    corrected
        In the same order, at most 1: the least p times the number of comparisons, the next times
        one less, and so on, none below the one before.

    References
    ----------
    Holm (1979), *Scand. J. Stat.* 6(2): 65-70.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03])
    (0.03, 0.06, 0.06)
    """
    corrected = [0.0] * len(p_values)
    so_far = 0.0
    for place, i in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        so_far = max(so_far, min(1.0, (len(p_values) - place) * p_values[i]))
        corrected[i] = so_far
    return tuple(corrected)


def corrected_t(
    differences: ArrayLike, /, *, test_to_train: float, confidence: float = 0.95
) -> CorrectedT:
    """Test paired differences of folds whose training parts overlap.

    The variance of the mean is taken as ``(1/k + n_test/n_train)`` times that of the differences,
    in place of ``1/k``. The correction is derived for random divisions; for folds that also share
    test animals it is an approximation.

    Parameters
    ----------
    differences
        One a fold, at least two.
    test_to_train
        Size of the test part over that of the training part.
    confidence
        Of the interval.

    Raises
    ------
    ValueError
        If there is only one difference, or ``test_to_train`` is not positive.

    References
    ----------
    Nadeau & Bengio (2003), *Machine Learning* 52: 239-281.

    Examples
    --------
    >>> test = corrected_t([1.0, 2.0, 3.0, 4.0, 5.0], test_to_train=0.25)
    >>> round(test.t, 4), test.degrees, round(test.p, 4)
    (2.8284, 4, 0.0474)
    """
    differences_F = finite_values(differences, name="differences", least=2)
    if not test_to_train > 0:
        raise ValueError(f"`test_to_train > 0` must hold, but got {test_to_train=}.")
    mean, degrees = float(differences_F.mean()), len(differences_F) - 1
    spread = float(differences_F.std(ddof=1))
    error = math.sqrt(1 / len(differences_F) + test_to_train) * spread
    t = mean / error if error else math.copysign(math.inf, mean) if mean else 0.0
    reach = float(_stats().t.ppf((1 + confidence) / 2, degrees)) * error
    return CorrectedT(
        mean=mean,
        t=t,
        degrees=degrees,
        p=float(2 * _stats().t.sf(abs(t), degrees)),
        low=mean - reach,
        high=mean + reach,
    )


def finite_values(values: ArrayLike, /, *, name: str, least: int) -> NDArray[np.float64]:
    """Give values as a float64 array of one axis.

    Raises
    ------
    ValueError
        If there are fewer than `least`, or one is not finite.
    """
    values_F = np.asarray(values, dtype=np.float64)
    if values_F.ndim != 1 or len(values_F) < least or not np.isfinite(values_F).all():
        raise ValueError(
            f"`{name}` must be a list of {least} or more finite numbers, but got "
            f"{values_F.tolist()!r}: leave out what has no figure."
        )
    return values_F
