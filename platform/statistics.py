"""Whether one configuration decodes better than another: tests over folds and over animals.

Rank tests over folds are how papers compare decoders, but folds share training animals, so they are
not independent, and rank tests find differences too easily. Two tests allow for that: the corrected
t of Nadeau & Bengio widens the variance by the overlap, and the sign-flip test takes one difference
an animal.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

# F fold or other value, U unit (animal), S set of units whose signs are flipped

MOST_UNITS_ENUMERATED = 16
N_DRAWN = 99_999
RELATIVE_TOLERANCE = 1e-12  # of means that are equal but for rounding


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


@dataclass(frozen=True, kw_only=True)
class SignFlip:
    """The sign-flip test.

    Attributes
    ----------
    n
        Differences, one a unit.
    mean
        Their mean.
    p
        Two-sided.
    low, high
        Confidence interval: all shifts that the test does not reject.
    level
        How often such an interval holds the truth: as asked for or a little more, and less only
        where so few units allow no more.
    smallest_p
        The least p that this many units can give.
    is_exact
        Whether all sign patterns were counted, not a sample of them.
    """

    n: int
    mean: float
    p: float
    low: float
    high: float
    level: float
    smallest_p: float
    is_exact: bool


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
    values_F = _finite(values, name="values", least=1)
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
    one_F, other_F = _finite(one, name="one", least=1), _finite(other, name="other", least=1)
    together = np.concatenate([one_F, other_F])
    if np.ptp(together) == 0:
        return RankTest(statistic=len(one_F) * len(other_F) / 2, p=1.0)
    is_small = min(len(one_F), len(other_F)) < 10 and len(together) < 20
    has_ties = len(np.unique(together)) < len(together)
    method: Literal["exact", "asymptotic"]
    method = "exact" if is_small and not has_ties else "asymptotic"
    test = stats.mannwhitneyu(one_F, other_F, method=method)
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
    differences_F = _finite(differences, name="differences", least=1)
    if not differences_F.any():
        return RankTest(statistic=0.0, p=1.0)
    test = stats.wilcoxon(differences_F)
    return RankTest(statistic=float(test.statistic), p=float(test.pvalue))


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
    differences_F = _finite(differences, name="differences", least=2)
    if not test_to_train > 0:
        raise ValueError(f"`test_to_train > 0` must hold, but got {test_to_train=}.")
    mean, degrees = float(differences_F.mean()), len(differences_F) - 1
    spread = float(differences_F.std(ddof=1))
    error = math.sqrt(1 / len(differences_F) + test_to_train) * spread
    t = mean / error if error else math.copysign(math.inf, mean) if mean else 0.0
    reach = float(stats.t.ppf((1 + confidence) / 2, degrees)) * error
    return CorrectedT(
        mean=mean,
        t=t,
        degrees=degrees,
        p=float(2 * stats.t.sf(abs(t), degrees)),
        low=mean - reach,
        high=mean + reach,
    )


def sign_flip(differences: ArrayLike, /, *, confidence: float = 0.95, seed: int = 0) -> SignFlip:
    """Test whether the mean of one difference a unit is zero, by flipping their signs.

    If there is no difference, each sign could as well be the other. All patterns of signs are
    counted for up to 16 units, 99,999 drawn ones for more. The interval is the test turned round: a
    shift is in it if the test of the shifted differences does not reject. Its ends are means of
    subsets of the differences (Hartigan 1969), so it needs no search and is exact.

    Parameters
    ----------
    differences
        One a unit: the mean of an animal's folds.
    confidence
        Of the interval.
    seed
        Of the patterns that are drawn.

    References
    ----------
    Fisher (1935), *The Design of Experiments*, section 21. Hartigan (1969), *J. Am. Stat. Assoc.*
    64(328): 1303-1317.

    Examples
    --------
    Five animals, all better: 2 of 32 patterns are as far from zero, and so is the least p.

    >>> test = sign_flip([0.01, 0.02, 0.03, 0.04, 0.05])
    >>> test.p, test.smallest_p
    (0.0625, 0.0625)
    >>> test.low, test.high, test.level
    (0.01, 0.05, 0.9375)
    """
    differences_U = _finite(differences, name="differences", least=1)
    if not 0 < confidence < 1:
        raise ValueError(f"`0 < confidence < 1` must hold, but got {confidence=}.")
    means_S = _subset_means(differences_U, seed=seed)
    n_patterns = len(means_S) + 1  # the observed one, in which no sign is flipped
    # With fewer than `rejected` subset means on one side of a shift, the test rejects it.
    rejected = max(1, math.floor((1 - confidence) / 2 * n_patterns + 1e-9))
    has_interval = len(differences_U) > 1
    return SignFlip(
        n=len(differences_U),
        mean=float(differences_U.mean()),
        p=_two_sided(means_S, scale=float(np.abs(differences_U).max())),
        low=float(means_S[rejected - 1]) if has_interval else -math.inf,
        high=float(means_S[-rejected]) if has_interval else math.inf,
        level=1 - 2 * rejected / n_patterns if has_interval else 1.0,
        smallest_p=smallest_p(len(differences_U)),
        is_exact=len(differences_U) <= MOST_UNITS_ENUMERATED,
    )


def smallest_p(n_units: int, /) -> float:
    """Give the least two-sided p that the sign-flip test of some units can give.

    Examples
    --------
    >>> smallest_p(5), smallest_p(6), smallest_p(1)
    (0.0625, 0.03125, 1.0)
    """
    return 2 / 2**n_units if n_units <= MOST_UNITS_ENUMERATED else 2 / (N_DRAWN + 1)


def fewest_units(*, alpha: float = 0.05, n_comparisons: int = 1) -> int:
    """Give the fewest units with which the sign-flip test can reject.

    Examples
    --------
    >>> fewest_units(), fewest_units(n_comparisons=10)
    (6, 9)
    """
    return math.ceil(1 + math.log2(n_comparisons / alpha) - 1e-9)


def unreachable(
    n_units: int, /, *, unit: str = "animals", alpha: float = 0.05, n_comparisons: int = 1
) -> str:
    r"""Say in a sentence that so few units cannot show a difference; empty where they can.

    Parameters
    ----------
    n_units
        How many there are.
    unit
        What they are, in the plural.
    alpha
        Level of significance.
    n_comparisons
        Comparisons that Holm's correction is for.

    Examples
    --------
    >>> print(unreachable(5).replace(", so", ",\nso"))
    With 5 animals the smallest p the sign-flip test can give is 0.062,
    so no difference can be significant at 0.05; 6 animals are the fewest that can.
    >>> unreachable(6)
    ''
    """
    least = smallest_p(n_units)
    corrected = min(1.0, n_comparisons * least)
    if corrected <= alpha:
        return ""
    after = (
        f" ({corrected:.2g} after Holm's correction for {n_comparisons} comparisons)"
        if n_comparisons > 1
        else ""
    )
    fewest = fewest_units(alpha=alpha, n_comparisons=n_comparisons)
    return (
        f"With {n_units} {unit} the smallest p the sign-flip test can give is {least:.2g}{after}, "
        f"so no difference can be significant at {alpha:g}; {fewest} {unit} are the fewest that "
        "can."
    )


def _finite(values: ArrayLike, *, name: str, least: int) -> NDArray[np.float64]:
    values_F = np.asarray(values, dtype=np.float64)
    if values_F.ndim != 1 or len(values_F) < least or not np.isfinite(values_F).all():
        raise ValueError(
            f"`{name}` must be a list of {least} or more finite numbers, but got "
            f"{values_F.tolist()!r}: leave out what has no figure."
        )
    return values_F


def _subset_means(differences_U: NDArray[np.float64], *, seed: int) -> NDArray[np.float64]:
    """Give the means of all subsets that are not empty, or of many drawn ones, in order.

    Flipping the signs of a subset raises the sum of shifted differences if and only if the shift is
    above the subset's mean; so these means say where the test turns.
    """
    means_S: NDArray[np.float64] = np.sort(_subsets(len(differences_U), seed) @ differences_U)
    return means_S


@lru_cache(maxsize=1)
def _subsets(n_units: int, seed: int) -> NDArray[np.float64]:
    """Give each subset's weights of a mean, kept for the next comparison of the same units."""
    if n_units <= MOST_UNITS_ENUMERATED:
        numbers_S = np.arange(1, 2**n_units)
        is_in_SU = (numbers_S[:, None] >> np.arange(n_units)) & 1
    else:
        drawn_SU = np.random.default_rng(seed).integers(0, 2, size=(N_DRAWN, n_units))
        is_in_SU = drawn_SU[drawn_SU.any(axis=1)]
    weights_SU: NDArray[np.float64] = is_in_SU / is_in_SU.sum(axis=1, keepdims=True)
    return weights_SU


def _two_sided(means_S: NDArray[np.float64], *, scale: float) -> float:
    """Give the p of no difference."""
    tolerance = RELATIVE_TOLERANCE * scale
    n_below = int(np.searchsorted(means_S, tolerance, side="right"))
    n_above = len(means_S) - int(np.searchsorted(means_S, -tolerance, side="left"))
    return min(1.0, 2 * (1 + min(n_below, n_above)) / (len(means_S) + 1))
