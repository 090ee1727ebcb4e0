"""A map of cut-outs averages the squares that hold a cell, round the edges too."""

import numpy as np
import pytest

from calsweep.datasets.manifest import ImageFormat
from calsweep.datasets.mask import CutOut
from calsweep.platform.cut_out import cut_out_map


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
