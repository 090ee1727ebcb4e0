"""Figures that others published for the same data, and what each test must hold for any data."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calsweep.platform.statistics import (
    corrected_t,
    describe,
    holm,
    paired_t,
    rank_sum,
    signed_rank,
)

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


def test_paired_t_is_students_own():
    # Student (1908): additional hours of sleep of ten patients by two drugs; t = 4.06, one-sided
    # p = 0.0014.
    first = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
    second = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]
    test = paired_t(second, first)
    assert round(test.t, 2) == 4.06
    assert round(test.p, 4) == 0.0014
    assert round(paired_t(first, second).p, 4) == 0.9986


def test_paired_t_of_differences_that_are_all_alike():
    assert paired_t([1.0, 2.0], [1.0, 2.0]).p == 0.5
    assert paired_t([1.5, 2.5], [1.0, 2.0]).p == 0.0
    assert paired_t([1.0, 2.0], [1.5, 2.5]).p == 1.0
    with pytest.raises(ValueError, match="figures of the same folds, but got 2 and 3"):
        paired_t([1.0, 2.0], [1.0, 2.0, 3.0])
