"""Figures that others published for the same data, and what each test must hold for any data."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calsweep.platform.statistics import (
    corrected_t,
    describe,
    fewest_units,
    holm,
    rank_sum,
    sign_flip,
    signed_rank,
    smallest_p,
    unreachable,
)

# Heights of cross- less self-fertilised maize, in eighths of an inch (Darwin 1876).
DARWIN = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]
FLOATS = st.floats(-1, 1, allow_subnormal=False)
P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=12)


def test_quartiles_are_those_of_r_and_numpy():
    summary = describe([6, 7, 15, 36, 39, 40, 41, 42, 43, 47, 49])  # R: quantile(x), type 7
    assert (summary.lower_quartile, summary.median, summary.upper_quartile) == (25.5, 40.0, 42.5)
    assert summary.iqr == 17.0
    assert summary.n == 11


def test_single_value_has_no_spread():
    assert (describe([0.7]).mean, describe([0.7]).sd, describe([0.7]).iqr) == (0.7, 0.0, 0.0)


def test_rank_sum_of_hollander_and_wolfe():
    # R: wilcox.test, permeability of chorioamnion: W = 35, p = 0.1272 on one side.
    at_term = [0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46]
    earlier = [1.15, 0.88, 0.90, 0.74, 1.21]
    test = rank_sum(at_term, earlier)
    assert test.statistic == 35
    assert test.p == pytest.approx(2 * 0.1272, abs=1e-4)


def test_rank_sum_of_twenty_folds_is_the_approximation():
    # 20 on a side, U = 105: z = (200 - 105 - 0.5) / sqrt(20 * 20 * 41 / 12).
    test = rank_sum(range(20), [i + 5.5 for i in range(20)])
    z = 94.5 / math.sqrt(400 * 41 / 12)
    assert test.statistic == 105
    assert test.p == pytest.approx(math.erfc(z / math.sqrt(2)))


def test_rank_sum_of_equal_values_finds_nothing():
    assert rank_sum([0.5] * 20, [0.5] * 20).p == 1.0
    assert rank_sum([0.5], [0.7]).p == 1.0


def test_signed_rank_of_hollander_and_wolfe():
    # R: wilcox.test(paired = TRUE), depression scale: V = 40 of 45, p = 0.01953 on one side.
    first = [1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30]
    second = [0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29]
    test = signed_rank(np.subtract(first, second))
    assert test.statistic == 5
    assert test.p == 2 * 0.01953125


def test_signed_rank_leaves_zeros_out():
    assert signed_rank([0.0] * 20).p == 1.0
    assert signed_rank([0.0, 0.1, 0.2, 0.3, 0.4, 0.5]).p == 0.0625


def test_holm_as_r_has_it():
    # R: p.adjust(p, "holm")
    assert holm([0.05, 0.01, 0.04, 0.02, 0.03]) == pytest.approx([0.09, 0.05, 0.09, 0.08, 0.09])
    assert holm([0.5, 0.6]) == (1.0, 1.0)
    assert holm([]) == ()
    assert holm([0.03]) == (0.03,)


@given(P_VALUES)
def test_holm_keeps_the_order_and_lies_between_none_and_bonferroni(p_values):
    corrected = holm(p_values)
    for p, q in zip(p_values, corrected, strict=True):
        assert p <= q <= min(1.0, len(p_values) * p)
    by_p = [q for _, q in sorted(zip(p_values, corrected, strict=True))]
    assert by_p == sorted(by_p)


def test_corrected_t_widens_the_variance_by_the_overlap():
    # Mean 3, variance 2.5, 1/5 + 1/4: t = 3 / sqrt(0.45 * 2.5); t(0.975, 4) = 2.7764.
    test = corrected_t([1, 2, 3, 4, 5], test_to_train=0.25)
    error = math.sqrt(0.45 * 2.5)
    assert test.t == pytest.approx(3 / error)
    assert test.degrees == 4
    assert (test.low, test.high) == pytest.approx(
        (3 - 2.7764 * error, 3 + 2.7764 * error), abs=1e-4
    )


def test_corrected_t_of_twenty_mouse_folds():
    # One mouse tests, three train: 1/20 + 1/3 in place of 1/20, so t is sqrt(23/3) times smaller.
    differences = np.linspace(-0.01, 0.03, 20)
    plain = differences.mean() / (differences.std(ddof=1) / math.sqrt(20))
    test = corrected_t(differences, test_to_train=1 / 3)
    assert test.t == pytest.approx(plain / math.sqrt(23 / 3))


def test_corrected_t_of_differences_that_are_all_alike():
    assert corrected_t([0.0] * 5, test_to_train=0.3).p == 1.0
    assert corrected_t([0.5] * 5, test_to_train=0.3).p == 0.0


@pytest.mark.parametrize(
    ("differences", "ratio", "message"),
    [
        ([0.1], 0.3, "must be a list of 2 or more finite numbers, but got [0.1]"),
        ([0.1, 0.2], 0.0, "`test_to_train > 0` must hold, but got test_to_train=0.0"),
        ([0.1, math.nan], 0.3, "finite numbers, but got [0.1, nan]"),
    ],
)
def test_corrected_t_refuses(differences, ratio, message):
    with pytest.raises(ValueError, match=r".") as raised:
        corrected_t(differences, test_to_train=ratio)
    assert message in str(raised.value)


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
