"""A map is of squares of one size, and averages those that hold a cell, round the edges too."""

import numpy as np
import pytest

from calsweep.datasets.manifest import ImageFormat
from calsweep.datasets.mask import CutOut, UnitMask
from calsweep.datasets.view import Inputs, View
from calsweep.datasets.window import Window
from calsweep.platform.explanations.cut_out import NoCutOuts, cut_out_map, find_cut_outs
from calsweep.platform.fold.training import Training
from calsweep.platform.plain import to_plain
from calsweep.platform.score import Score
from calsweep.platform.settings import Settings
from calsweep.trainables.linear import Linear
from tests.platform.scored_sweep import pair_plan, scored_sweep, scored_trial

PLAN = pair_plan(n=3)


def sweep_of(*masks, epochs=1):
    """A sweep with a trial for each mask, all else the same."""
    trials = []
    for number, mask in enumerate(masks):
        view = View(
            address="images",
            target="run",
            inputs=Inputs.IMAGES,
            window=Window(length=3),
            mask=mask,
        )
        settings = Settings(trainables=Linear(), datasets=view, training=Training(epochs=epochs))
        score = Score(loss=0.5, auc=0.75, accuracy=0.5)
        plain = to_plain(settings)
        trials.append(scored_trial(PLAN, number, lambda _, s=score: s, settings=plain))
    return scored_sweep(PLAN, trials)


SMALL, LARGE = CutOut(size_px=16, stride_px=16), CutOut(size_px=32, stride_px=16)


def square(mask, compartment):
    return CutOut(compartment=compartment, size_px=mask.size_px, stride_px=mask.stride_px)


def test_squares_of_two_sizes_are_two_maps():
    sweep = sweep_of(
        UnitMask(), square(SMALL, 0), square(LARGE, 0), square(LARGE, 1), square(SMALL, 1),
        square(LARGE, 2),
    )  # fmt: skip
    found = find_cut_outs(sweep)
    assert found.mask == LARGE
    assert found.whole.number == 0
    assert {c: trial.number for c, trial in found.without.items()} == {0: 2, 1: 3, 2: 5}


def test_squares_are_in_the_order_of_their_numbers():
    found = find_cut_outs(sweep_of(UnitMask(), *(square(SMALL, c) for c in (10, 9, 2))))
    assert list(found.without) == [2, 9, 10]


def test_one_that_cuts_nothing_out_sees_all():
    found = find_cut_outs(sweep_of(square(SMALL, 0), SMALL))
    assert (found.whole.number, found.mask) == (1, SMALL)


@pytest.mark.parametrize(
    "masks",
    [
        (square(SMALL, 0), square(SMALL, 1)),  # none that sees all
        (UnitMask(), SMALL),  # none that does not
        (UnitMask(keep=("region1",)), square(SMALL, 0)),  # sees a part
    ],
)
def test_without_both_there_is_no_map(masks):
    with pytest.raises(NoCutOuts, match=r"in the sweep 's': sweep images with"):
        find_cut_outs(sweep_of(*masks))


def test_name_that_sees_no_whole_image_is_told():
    with pytest.raises(NoCutOuts, match="there are 1 with a square cut out"):
        find_cut_outs(sweep_of(UnitMask(), square(SMALL, 0)), trial="trial 1")


def test_map_of_four_by_four_as_by_hand():
    images = ImageFormat(height=64, width=64, dtype="uint8")
    mask = CutOut(size_px=32, stride_px=16)
    importance_S = np.arange(16.0)
    by_hand = np.empty((4, 4))
    for y in range(4):
        for x in range(4):  # the square above, left, both, and its own; -1 is the last one
            rows, columns = ((y - 1) % 4, y), ((x - 1) % 4, x)
            by_hand[y, x] = np.mean([4 * r + c for r in rows for c in columns])
    np.testing.assert_allclose(cut_out_map(importance_S, mask=mask, images=images), by_hand)
    assert by_hand[0, 0] == np.mean([0, 3, 12, 15])
    assert by_hand[2, 1] == np.mean([4, 5, 8, 9])


def test_squares_of_one_stride_are_the_map():
    images = ImageFormat(height=32, width=48, dtype="uint8")
    mask = CutOut(size_px=16, stride_px=16)
    assert cut_out_map(np.arange(6.0), mask=mask, images=images).tolist() == [[0, 1, 2], [3, 4, 5]]


def test_a_square_that_ends_within_a_cell_counts_by_pixels():
    images = ImageFormat(height=6, width=6, dtype="uint8")
    map_YX = cut_out_map(np.eye(9)[0], mask=CutOut(size_px=3, stride_px=2), images=images)
    assert map_YX.sum() > 0
    assert map_YX[0, 0] > map_YX[0, 1] == pytest.approx(map_YX[1, 0])
    assert map_YX[2, 2] == 0
