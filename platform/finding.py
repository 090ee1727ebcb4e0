"""What a comparison found, in a sentence a pair, by the most careful test that could tell."""

from __future__ import annotations

from calsweep.platform.arm import figure_name
from calsweep.platform.comparison import Comparison, Method, Pair

_CAREFUL = (Method.SIGN_FLIP, Method.CORRECTED_T, Method.RANK_SUM)  # the most careful first


def telling_method(comparison: Comparison, /) -> Method:
    """Choose the most careful test that could find a difference between any of the arms.

    The sign-flip test, or where too few animals test, the corrected t; the rank sum where arms
    have different folds.
    """
    return max((_telling(pair, comparison) for pair in comparison.pairs), key=_CAREFUL.index)


def findings(comparison: Comparison, /) -> tuple[str, ...]:
    """Say of each pair that can be tested whether its arms differ, by the test that tells it best.

    Arms of other folds, which only the rank sum compares, lower the care for no other pair.
    """
    told = [(pair, _telling(pair, comparison)) for pair in comparison.pairs]
    return tuple(_finding(comparison, pair, how) for pair, how in told if how in pair.p)


def _telling(pair: Pair, comparison: Comparison) -> Method:
    flip = pair.sign_flip
    if flip is not None and len(comparison.pairs) * flip.smallest_p <= comparison.alpha:
        return Method.SIGN_FLIP
    return Method.CORRECTED_T if Method.CORRECTED_T in pair.p else Method.RANK_SUM


def _finding(comparison: Comparison, pair: Pair, method: Method) -> str:
    name, reference = comparison.name(pair.arm), comparison.name(pair.reference)
    figure, p = f"test {figure_name(comparison.figure)}", pair.p[method].holm
    how = f"{method.value}, p {p:.3f}" if p >= 0.001 else f"{method.value}, p < 0.001"
    how += " after Holm" if len(comparison.pairs) > 1 else ""
    if p <= comparison.alpha:
        above = "higher" if pair.mean_difference > 0 else "lower"
        amount = f"{abs(pair.mean_difference):.3f}"
        return f"{name} differs from {reference}: its {figure} is {above} by {amount} ({how})."
    return (
        f"{name} is not shown to differ from {reference}: {figure} {pair.mean_difference:+.3f} "
        f"({how}); folds that vary this much can bring that about by chance."
    )
