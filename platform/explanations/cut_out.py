"""Where in an image behavior shows: how much worse decoders are that do not see a square of it.

W sets one of 64 overlapping squares to zero before training. The importance of a square is the test
AUC of the decoder that sees all, less that of the decoder that does not see it, fold by fold; a
place's importance is the mean over the squares that hold it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from calsweep.datasets.manifest import ImageFormat
from calsweep.datasets.mask import CutOut, UnitMask
from calsweep.platform.fold.trained_fold import settings_of
from calsweep.platform.record import FoldRecord, SweepRecord, TrialRecord
from calsweep.platform.settings import Settings

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
    wholes: list[tuple[Settings, TrialRecord]] = []
    groups: list[_Group] = []
    for other in sweep.finished:
        settings = settings_of(other)
        mask = settings.datasets.mask
        bare = replace(settings, datasets=replace(settings.datasets, mask=UnitMask()))
        if other.is_control:
            continue
        if isinstance(mask, CutOut) and mask.compartment is not None:
            squares = replace(mask, compartment=None)
            group = next((g for g in groups if (g.bare, g.squares) == (bare, squares)), None)
            if group is None:
                group = _Group(bare=bare, squares=squares)
                groups.append(group)
            group.without.setdefault(mask.compartment, other)
        elif isinstance(mask, CutOut) or mask == UnitMask():
            wholes.append((bare, other))
    possible = [
        (whole, group)
        for group in groups
        for bare, whole in wholes
        if bare == group.bare and trial in ("", whole.name)
    ]
    if not possible:
        n_cut = sum(len(group.without) for group in groups)
        raise NoCutOuts(sweep.name, f"there are {n_cut} with a square cut out")
    whole, group = max(possible, key=lambda pair: len(pair[1].without))
    return CutOuts(
        sweep=sweep.name,
        whole=whole,
        without=dict(sorted(group.without.items())),
        mask=group.squares,
    )


@dataclass(frozen=True, kw_only=True)
class _Group:
    """Trials that see all but a square of one size and stride, otherwise the same."""

    bare: Settings
    squares: CutOut
    without: dict[int, TrialRecord] = field(default_factory=dict)


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
        [fold.test.auc - cut_outs.without[s].fold(fold.fold).test.auc for s in range(n_squares)]
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
