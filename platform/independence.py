"""What of a fold plan can be taken as independent, and how much its parts overlap."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from calsweep.datasets.fold import Fold, FoldPlan, HeldOut, PartName


@dataclass(frozen=True, kw_only=True)
class Units:
    """What of a fold plan can be taken as independent.

    Attributes
    ----------
    name
        What a unit is, in the plural.
    of_fold
        Number of a fold to that of its unit.
    """

    name: str
    of_fold: Mapping[int, int]

    @property
    def n(self) -> int:
        """How many there are."""
        return len(set(self.of_fold.values()))

    def means(self, plan: FoldPlan, values: Sequence[float], /) -> tuple[float, ...]:
        """Average values of folds, in the order of the plan, over each unit."""
        of_unit: dict[int, list[float]] = defaultdict(list)
        for fold, value in zip(plan.folds, values, strict=True):
            of_unit[self.of_fold[fold.index]].append(value)
        return tuple(math.fsum(mine) / len(mine) for _, mine in sorted(of_unit.items()))


def independent_units(plan: FoldPlan, /) -> Units | None:
    """Give the animals, or groups of them, that test by themselves.

    Folds that test the same animals are one unit. Where folds hold out recordings, those that
    have a recording in common, in any part, are of one animal, and so one unit.

    Returns
    -------
    units
        ``None`` if a plan has fewer than two: where folds hold out frames, every fold knows every
        animal.
    """
    if plan.holds_out is HeldOut.ANIMALS:
        alone = all(len(group) == 1 for group in plan.groups)
        name = "test parts" if not plan.groups else "animals" if alone else "groups of animals"
        units = Units(name=name, of_fold=_linked(plan.folds, parts=(PartName.TEST,)))
    elif plan.holds_out is HeldOut.RECORDINGS:
        of_fold = _linked(plan.folds, parts=tuple(PartName))
        units = Units(name="animals", of_fold=of_fold)
    else:
        return None
    return units if units.n > 1 else None


def frames_ratio(plan: FoldPlan, /) -> float:
    """Give the frames that test over those that train, the mean over the folds."""
    ratios = [_ratio(fold) for fold in plan.folds]
    return math.fsum(ratios) / len(ratios)


def _linked(folds: Sequence[Fold], *, parts: Sequence[PartName]) -> dict[int, int]:
    """Give folds that have a recording in common in some part the same number."""
    unit_of: dict[int, int] = {}
    units: list[set[str]] = []
    members: list[list[int]] = []
    for fold in folds:
        mine = {stretch.recording for part in parts for stretch in fold.part(part)}
        joined = [fold.index]
        for i in [i for i, unit in enumerate(units) if unit & mine][::-1]:
            mine |= units.pop(i)
            joined = members.pop(i) + joined
        units.append(mine)
        members.append(joined)
    for number, joined in enumerate(sorted(map(sorted, members))):
        unit_of.update(dict.fromkeys(joined, number))
    return unit_of


def _ratio(fold: Fold) -> float:
    if fold.draw is not None:
        train_share = 1 - fold.draw.validation_share - fold.draw.test_share
        return fold.draw.test_share / train_share
    n_test = sum(stretch.n_frames for stretch in fold.test)
    return n_test / sum(stretch.n_frames for stretch in fold.train)
