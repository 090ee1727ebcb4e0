import numpy as np
import pytest

from calsweep.platform.explanations.region_map import BadRegionMap, read_region_map


@pytest.mark.parametrize(
    ("saved", "what"),
    [
        (np.zeros((4, 6), int), "has the shape 4 x 6, and the images 6 x 4"),
        (np.zeros((6, 4)), "holds float64"),
    ],
)
def test_map_that_does_not_suit_is_told(tmp_path, saved, what):
    np.save(tmp_path / "regions.npy", saved)
    with pytest.raises(BadRegionMap, match=what):
        read_region_map(tmp_path / "regions.npy", height=6, width=4)


def test_pickled_map_is_not_opened(tmp_path):
    np.save(tmp_path / "regions.npy", np.array([[{}]], dtype=object))
    with pytest.raises(BadRegionMap, match="allow_pickle=False"):
        read_region_map(tmp_path / "regions.npy", height=1, width=1)


def test_whole_numbers_are_read_as_they_are(tmp_path):
    region_HW = np.array([[0, 300], [7, 0]], dtype=np.uint16)
    np.save(tmp_path / "regions.npy", region_HW)
    found = read_region_map(tmp_path / "regions.npy", height=2, width=2)
    assert found.tolist() == [[0, 300], [7, 0]]
