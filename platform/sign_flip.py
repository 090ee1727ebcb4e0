"""The sign-flip test: one difference an animal, whose sign could as well be the other.

An animal is in one difference alone, so these are independent where those of folds are not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from calsweep.platform.statistics import finite_values

# U unit (animal), S set of units whose signs are flipped

MOST_UNITS_ENUMERATED = 16
N_DRAWN = 99_999
RELATIVE_TOLERANCE = 1e-12  # of means that are equal but for rounding


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
    differences_U = finite_values(differences, name="differences", least=1)
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
