"""Figures that others published for the same data, and what sign-flip must hold for any data."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calsweep.platform.sign_flip import fewest_units, sign_flip, smallest_p, unreachable

# Heights of cross- less self-fertilised maize, in eighths of an inch (Darwin 1876).
DARWIN = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]
FLOATS = st.floats(-1, 1, allow_subnormal=False)


def test_sign_flip_of_darwins_maize_is_fishers():
    # Fisher (1935), section 21: 863 of 32,768 patterns are as high, so p = 1,726 / 32,768.
    test = sign_flip(DARWIN)
    assert test.p == 1726 / 32768
    assert test.is_exact
    assert test.low < 0 < test.high
    assert test.level >= 0.95


def test_five_animals_cannot_be_significant():
    test = sign_flip([0.1, 0.2, 0.3, 0.4, 0.5])
    assert test.p == test.smallest_p == 0.0625
    assert unreachable(test.n) == (
        "With 5 animals the smallest p the sign-flip test can give is 0.062, so no difference can "
        "be significant at 0.05; 6 animals are the fewest that can."
    )


def test_six_animals_can():
    assert sign_flip([0.1, 0.2, 0.3, 0.4, 0.5, 0.6]).p == 0.03125
    assert unreachable(6) == ""


def test_correction_asks_for_more_animals():
    assert unreachable(6, n_comparisons=10) == (
        "With 6 animals the smallest p the sign-flip test can give is 0.031 (0.31 after Holm's "
        "correction for 10 comparisons), so no difference can be significant at 0.05; 9 animals "
        "are the fewest that can."
    )


@pytest.mark.parametrize("alpha", [0.05, 0.01, 0.0625])
@pytest.mark.parametrize("n_comparisons", [1, 2, 10])
def test_fewest_are_the_fewest(alpha, n_comparisons):
    fewest = fewest_units(alpha=alpha, n_comparisons=n_comparisons)
    assert smallest_p(fewest) * n_comparisons <= alpha < smallest_p(fewest - 1) * n_comparisons


def test_interval_of_few_animals_says_how_sure_it_is():
    test = sign_flip([0.1, 0.2, 0.3])
    assert (test.low, test.high, test.level) == (0.1, 0.3, 0.75)


def test_single_animal_says_nothing():
    test = sign_flip([0.1])
    assert (test.p, test.low, test.high) == (1.0, -math.inf, math.inf)


def test_no_difference_at_all():
    assert sign_flip([0.0] * 5).p == 1.0


@given(st.lists(FLOATS, min_size=2, max_size=8))
def test_p_counts_the_sign_patterns(differences):
    observed = abs(sum(differences))
    sums = [
        abs(sum(sign * d for sign, d in zip(signs, differences, strict=True)))
        for signs in itertools.product((-1, 1), repeat=len(differences))
    ]
    tolerance = 1e-11 * max(map(abs, differences))
    n_as_far = sum(s >= observed - tolerance for s in sums)
    n_further = sum(s > observed + tolerance for s in sums)
    p = sign_flip(differences).p * len(sums)
    assert n_further <= p <= n_as_far


@given(st.lists(st.integers(-1000, 1000), min_size=6, max_size=9, unique=True))
@settings(deadline=None)
def test_interval_is_the_test_turned_round(differences):
    test = sign_flip(differences)
    width = test.high - test.low
    for inside in (test.low, test.low + width / 2, test.high):
        assert sign_flip(np.subtract(differences, inside)).p > 0.05 - 1e-9
    for outside in (test.low - width / 1e6, test.high + width / 1e6):
        assert sign_flip(np.subtract(differences, outside)).p <= 0.05 + 1e-9


def test_interval_holds_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(3)
    tests = [sign_flip(rng.normal(0.02, 0.05, size=7)) for _ in range(2000)]
    share = np.mean([test.low <= 0.02 <= test.high for test in tests])
    assert tests[0].level == 1 - 2 * 3 / 2**7
    assert share == pytest.approx(tests[0].level, abs=0.015)  # three standard errors


def test_many_animals_are_sampled_and_come_to_the_same():
    differences = np.random.default_rng(0).normal(0.3, 1, 30)
    test = sign_flip(differences)
    assert not test.is_exact
    assert test == sign_flip(differences)
    # The normal approximation of the same test.
    z = differences.sum() / math.sqrt((differences**2).sum())
    assert test.p == pytest.approx(math.erfc(z / math.sqrt(2)), abs=0.01)
    assert test.low < differences.mean() < test.high
