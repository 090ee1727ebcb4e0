"""Configurations of one sweep or several, side by side: what differs, and what is chance."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from calsweep.platform.arm import FIGURES, Arm
from calsweep.platform.independence import frames_ratio, independent_units
from calsweep.platform.plain import nearest
from calsweep.platform.sign_flip import SignFlip, sign_flip, unreachable
from calsweep.platform.statistics import (
    CorrectedT,
    Summary,
    corrected_t,
    describe,
    holm,
    rank_sum,
    signed_rank,
)

ALPHA = 0.05
WHAT_TO_TRUST = (
    "Rank-sum and signed-rank take folds as independent, as papers do; folds share training "
    "animals, so both find differences too easily. The corrected t widens the variance by that "
    "overlap, and sign-flip takes one difference an animal: trust these, sign-flip first."
)


class Method(Enum):
    """A test of significance."""

    RANK_SUM = "rank-sum"
    SIGNED_RANK = "signed-rank"
    CORRECTED_T = "corrected t"
    SIGN_FLIP = "sign-flip"


@dataclass(frozen=True, kw_only=True)
class PValue:
    """A p as it is, and corrected for all pairs of the comparison."""

    raw: float
    holm: float


@dataclass(frozen=True, kw_only=True)
class Pair:
    """An arm less its reference.

    Attributes
    ----------
    arm, reference
        What is compared.
    mean_difference
        Of the test figures.
    differences
        One a fold; empty if their folds differ.
    corrected_t, sign_flip
        With their intervals; ``None`` where they do not apply.
    p
        Of each test that applies.
    """

    arm: Arm
    reference: Arm
    mean_difference: float
    differences: tuple[float, ...]
    corrected_t: CorrectedT | None
    sign_flip: SignFlip | None
    p: Mapping[Method, PValue]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Arms and the tests between them.

    Attributes
    ----------
    figure
        Which figure of the test part.
    alpha
        Level of significance.
    arms
        As they were given.
    summaries
        Of each arm's figures over its folds.
    pairs
        Those that were tested.
    unit
        What the sign-flip test takes one difference of, in the plural; empty if it does not apply.
    notes
        What a reader has to know, in sentences.
    """

    figure: str
    alpha: float
    arms: tuple[Arm, ...]
    summaries: tuple[Summary, ...]
    pairs: tuple[Pair, ...]
    unit: str
    notes: tuple[str, ...]

    def name(self, arm: Arm, /) -> str:
        """Name an arm, with its sweep where there are several."""
        sweeps = {other.sweep.name for other in self.arms}
        return arm.trial.name if len(sweeps) == 1 else arm.name


def compare(
    arms: Sequence[Arm],
    /,
    *,
    reference: Arm | None,
    figure: str = "auc",
    alpha: float = ALPHA,
) -> Comparison:
    """Test each arm against a reference, or every two arms.

    Parameters
    ----------
    arms
        At least two, all of one behavior.
    reference
        One of them; ``None`` for all pairs.
    figure
        Which figure of the test part.
    alpha
        Level of significance.

    Returns
    -------
    comparison
        Each test's p is corrected by Holm over all pairs. Arms with the same fold plan are paired
        by fold; arms with different plans are compared by rank sum alone.

    Raises
    ------
    ValueError
        If there is nothing to compare, or what there is cannot be compared.
    """
    _check(arms, figure=figure, alpha=alpha)
    both = (
        list(itertools.combinations(arms, 2))
        if reference is None
        else [(arm, reference) for arm in arms if arm.name != reference.name]
    )
    pairs = _corrected([_pair(arm, other, figure=figure) for arm, other in both])
    units = [independent_units(arm.sweep.plan) for arm in arms]
    return Comparison(
        figure=figure,
        alpha=alpha,
        arms=tuple(arms),
        summaries=tuple(describe(arm.figures_of_test(figure)) for arm in arms),
        pairs=pairs,
        unit=next((unit.name for unit in units if unit), ""),
        notes=tuple(dict.fromkeys([*_reach(pairs, alpha=alpha), *_limits(arms, pairs)])),
    )


def _check(arms: Sequence[Arm], *, figure: str, alpha: float) -> None:
    if figure not in FIGURES:
        raise ValueError(
            f"`figure` must be a figure of the test part, but got {figure!r}. "
            f"{nearest(figure, FIGURES)}"
        )
    if not 0 < alpha < 1:
        raise ValueError(f"`0 < alpha < 1` must hold, but got {alpha=}.")
    names = [arm.name for arm in arms]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(
                f"configurations must differ, but {name} is given twice: leave one out."
            )
    if len(names) < 2:
        raise ValueError(
            "a comparison needs two finished configurations, but there is "
            f"{names[0] if names else 'none'}: wait for more, or name another with "
            "`--arm SWEEP:TRIAL`."
        )
    targets = {str(arm.sweep.dataset["target"]): arm for arm in arms}
    if len(targets) > 1:
        said = ", ".join(f"{arm.name} decodes {target!r}" for target, arm in targets.items())
        raise ValueError(
            f"configurations must decode the same behavior to be compared, but {said}: compare "
            "those of one behavior."
        )


def _pair(arm: Arm, reference: Arm, *, figure: str) -> Pair:
    mine, theirs = arm.figures_of_test(figure), reference.figures_of_test(figure)
    plan = arm.sweep.plan
    is_paired = _is_paired(arm, reference)
    differences = [a - b for a, b in zip(mine, theirs, strict=True)] if is_paired else []
    units = independent_units(plan)
    t = corrected_t(differences, test_to_train=frames_ratio(plan)) if is_paired else None
    flip = sign_flip(units.means(plan, differences)) if is_paired and units else None
    p: dict[Method, float] = {}
    if min(len(mine), len(theirs)) > 1:
        p[Method.RANK_SUM] = rank_sum(mine, theirs).p
    if is_paired:
        p[Method.SIGNED_RANK] = signed_rank(differences).p
    if t:
        p[Method.CORRECTED_T] = t.p
    if flip:
        p[Method.SIGN_FLIP] = flip.p
    return Pair(
        arm=arm,
        reference=reference,
        mean_difference=describe(mine).mean - describe(theirs).mean,
        differences=tuple(differences),
        corrected_t=t,
        sign_flip=flip,
        p={method: PValue(raw=value, holm=value) for method, value in p.items()},
    )


def _is_paired(arm: Arm, reference: Arm) -> bool:
    """Say whether both have the same folds, more than one."""
    return arm.sweep.plan_hash == reference.sweep.plan_hash and len(arm.sweep.plan.folds) > 1


def _corrected(pairs: Sequence[Pair]) -> tuple[Pair, ...]:
    """Correct each test's p over the pairs that have it."""
    of_pair: list[dict[Method, PValue]] = [{} for _ in pairs]
    for method in Method:
        tested = [i for i, pair in enumerate(pairs) if method in pair.p]
        raw = [pairs[i].p[method].raw for i in tested]
        for i, p, corrected in zip(tested, raw, holm(raw), strict=True):
            of_pair[i][method] = PValue(raw=p, holm=corrected)
    return tuple(dataclasses.replace(pair, p=p) for pair, p in zip(pairs, of_pair, strict=True))


def _reach(pairs: Sequence[Pair], *, alpha: float) -> list[str]:
    """Say where too few animals test to show any difference."""
    flipped = [(pair, pair.sign_flip) for pair in pairs if pair.sign_flip]
    said = []
    for pair, flip in flipped:
        units = independent_units(pair.arm.sweep.plan)
        assert units is not None  # noqa: S101 - there is a sign-flip test
        sentence = unreachable(flip.n, unit=units.name, alpha=alpha, n_comparisons=len(flipped))
        if sentence and units.name == "groups of animals":
            sentence += " `datasets/folds=each_animal` tests each animal by itself."
        if sentence:
            said.append(sentence)
    return said


def _limits(arms: Sequence[Arm], pairs: Sequence[Pair]) -> list[str]:
    """Say which tests do not apply, and what else differs."""
    said = []
    for pair in pairs:
        hashes = (pair.arm.sweep.plan_hash, pair.reference.sweep.plan_hash)
        if hashes[0] != hashes[1]:
            said.append(
                f"{pair.arm.sweep.name} and {pair.reference.sweep.name} have different fold plans "
                f"({hashes[0][:12]}, {hashes[1][:12]}), so no fold of one is a fold of the other: "
                "only the rank-sum test applies. Sweeps with the same `datasets.folds` on the same "
                "dataset are compared fold by fold."
            )
    for arm in arms:
        plan = arm.sweep.plan
        if len(plan.folds) == 1:
            said.append(f"The fold plan {plan.name!r} has one fold, which no test can be made of.")
        elif independent_units(plan) is None:
            said.append(
                f"The fold plan {plan.name!r} holds out {plan.holds_out.value}, so every animal is "
                "in training, and no test at the level of animals applies."
            )
    datasets = {arm.sweep.dataset.get("content_hash"): arm.sweep for arm in arms}
    if len(datasets) > 1:
        named = ", ".join(f"{sweep.name} {str(key)[:12]}" for key, sweep in datasets.items())
        said.append(f"The sweeps are of different datasets (content hashes: {named}).")
    return said
