"""Where in an image behavior shows: how much worse decoders are that do not see a square of it.

W sets one of 64 overlapping squares to zero before training. The importance of a square is the test
AUC of the decoder that sees all, less that of the decoder that does not see it, fold by fold; a
place's importance is the mean over the squares that hold it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from calsweep.datasets.manifest import ImageFormat
from calsweep.datasets.mask import CutOut, UnitMask
from calsweep.platform.record import FoldRecord, SweepRecord, TrialRecord
from calsweep.platform.settings import Settings
from calsweep.platform.trained_fold import settings_of

# H height, W width, S squares, Y X cells of a map


@dataclass(frozen=True, kw_only=True)
class CutOuts:
    """Trials that differ in nothing but the square that their decoder does not see.

    Attributes
    ----------
    whole
        The one that sees all.
    without
        Number of a compartment to the trial that does not see it.
    mask
        The squares' size and stride.
    sweep
        Name of the sweep.
    """

    sweep: str
    whole: TrialRecord
    without: Mapping[int, TrialRecord]
    mask: CutOut


class NoCutOuts(ValueError):
    """A sweep has no cut-outs to draw a map of."""

    def __init__(self, sweep: str, what: str) -> None:
        super().__init__(sweep, what)
        self.sweep = sweep
        self.what = what

    def __str__(self) -> str:
        return (
            "a map needs one finished configuration that sees whole images and one for each "
            f"compartment, otherwise the same, but {self.what} in the sweep {self.sweep!r}: sweep "
            "images with +experiment=widefield_cut_out, or datasets/masks=cut_out and choices of "
            "datasets.mask.compartment (null for none), to its end."
        )


def find_cut_outs(sweep: SweepRecord, /, *, trial: str = "") -> CutOuts:
    """Find the trials of a map: of several, those with the most compartments.

    Parameters
    ----------
    sweep
        The record.
    trial
        Name of the one that sees all, if a certain one is meant.

    Raises
    ------
    NoCutOuts
        If there are none.
    """
    groups: list[tuple[Settings, dict[int | None, TrialRecord], CutOut]] = []
    for other in sweep.finished:
        settings = settings_of(other)
        mask = settings.datasets.mask
        if other.is_control or not isinstance(mask, CutOut | UnitMask):
            continue
        if isinstance(mask, UnitMask) and mask != UnitMask():
            continue
        compartment = mask.compartment if isinstance(mask, CutOut) else None
        bare = replace(settings, datasets=replace(settings.datasets, mask=UnitMask()))
        for known, members, _ in groups:
            if known == bare:
                members.setdefault(compartment, other)
                break
        else:
            groups.append((bare, {compartment: other}, CutOut()))
    possible = [
        members
        for _, members, _ in groups
        if None in members and len(members) > 1 and trial in ("", members[None].name)
    ]
    if not possible:
        n_cut = sum(len(members) - (None in members) for _, members, _ in groups)
        raise NoCutOuts(sweep.name, f"there are {n_cut} with a square cut out")
    members = max(possible, key=len)
    without = {c: other for c, other in sorted(members.items(), key=str) if c is not None}
    first = settings_of(next(iter(without.values()))).datasets.mask
    assert isinstance(first, CutOut)  # noqa: S101 - so they were chosen
    return CutOuts(
        sweep=sweep.name,
        whole=members[None],
        without=without,
        mask=replace(first, compartment=None),
    )


def square_importance(
    cut_outs: CutOuts, fold: FoldRecord, /, *, n_squares: int
) -> NDArray[np.float64]:
    """Give what the test AUC of a fold loses without each square, shape ``(square,)``.

    Raises
    ------
    NoCutOuts
        If a square is missing.
    """
    missing = sorted(set(range(n_squares)) - set(cut_outs.without))
    if missing:
        some = ", ".join(map(str, missing[:5]))
        raise NoCutOuts(
            cut_outs.sweep, f"{len(missing)} of {n_squares} compartments are missing ({some})"
        )
    return np.array(
        [fold.test.auc - _same_fold(cut_outs.without[s], fold).test.auc for s in range(n_squares)]
    )


def cut_out_map(
    importance_S: NDArray[np.floating], /, *, mask: CutOut, images: ImageFormat
) -> NDArray[np.float64]:
    """Average the squares that hold each place.

    Parameters
    ----------
    importance_S
        Of each square.
    mask
        Size and stride of squares.
    images
        Their height and width.

    Returns
    -------
    importance_YX
        Of each cell of a stride's side; of W's images 8 x 8. Where a square holds part of a cell
        only, the cell is the mean over its pixels.

    Examples
    --------
    Squares of two cells' side, one every cell: each cell is held by four, round the edges too.

    >>> importance_S = np.zeros(9)
    >>> importance_S[0] = 4.0  # rows 0 and 1, columns 0 and 1
    >>> images = ImageFormat(height=6, width=6, dtype="uint8")
    >>> cut_out_map(importance_S, mask=CutOut(size_px=4, stride_px=2), images=images).tolist()
    [[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 0.0]]
    """
    total_HW = np.zeros((images.height, images.width))
    count_HW = np.zeros((images.height, images.width))
    for s, importance in enumerate(importance_S):
        is_held_HW = replace(mask, compartment=s).masked(images)
        total_HW += importance * is_held_HW
        count_HW += is_held_HW
    side = mask.stride_px
    cells = (total_HW / count_HW).reshape(images.height // side, side, images.width // side, side)
    importance_YX: NDArray[np.float64] = cells.mean(axis=(1, 3))
    return importance_YX


def _same_fold(trial: TrialRecord, fold: FoldRecord) -> FoldRecord:
    return next(other for other in trial.folds if other.fold == fold.fold)
