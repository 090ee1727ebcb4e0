import numpy as np
import pytest

from calsweep.datasets.trial import trials_from


@pytest.mark.parametrize(
    ("values", "trials"),
    [
        ([7, 7, 3, 3, 7], [0, 0, 1, 1, 2]),
        (["a", "a", "b", "b", "b"], [0, 0, 1, 1, 1]),
        ([2], [0, 0, 1, 1, 1]),
        ([0, 4], [0, 0, 0, 0, 1]),
    ],
)
def test_trials_come_from_values_or_first_frames(values, trials):
    assert trials_from(np.array(values), n_frames=5).tolist() == trials


@pytest.mark.parametrize("values", [[3, 1], [0, 5], [-1, 2], [0.5, 2.0], [], [[0], [1]]])
def test_refuses_what_is_neither(values):
    with pytest.raises(ValueError, match=r"one value per frame \(5\)"):
        trials_from(np.array(values), n_frames=5)
