import numpy as np
import pytest

from calsweep.datasets.window import Window, window_starts

TRIALS = np.array([0, 0, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 2])
STRETCH = [0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 2, 2, 3]  # the trial 0 that comes back is another


def expected(window):
    """Try every start: window and target must lie in one stretch."""
    starts = []
    for start in range(len(STRETCH)):
        frames = [*range(start, start + window.length), start + window.target_offset]
        inside = [STRETCH[frame] for frame in frames if 0 <= frame < len(STRETCH)]
        if len(inside) == len(frames) and len(set(inside)) == 1:
            starts.append(start)
    return starts


@pytest.mark.parametrize("length", range(1, 8))
@pytest.mark.parametrize("shift", range(-6, 7))
def test_windows_and_targets_never_cross_a_border(length, shift):
    window = Window(length=length, shift=shift)
    assert window_starts(TRIALS, window=window).tolist() == expected(window)


@pytest.mark.parametrize("length", range(1, 8))
@pytest.mark.parametrize("shift", range(-6, 7))
def test_reach_is_the_shortest_trial_with_a_window(length, shift):
    window = Window(length=length, shift=shift)
    enough, less = np.zeros(window.reach_frames), np.zeros(window.reach_frames - 1)
    assert len(window_starts(enough.astype(int), window=window)) == 1
    if len(less):
        assert len(window_starts(less.astype(int), window=window)) == 0


def test_label_is_at_the_centre_plus_shift():
    assert Window(length=31).target_offset == 15
    assert Window(length=31, shift=-20).target_offset == -5
    assert Window(length=4).target_offset == 2


def test_refuses_no_length():
    with pytest.raises(ValueError, match=r"`length >= 1` must hold"):
        Window(length=0)
