"""Windows of parts and their classes, where there are more than two and where some are unknown."""

import numpy as np
import pytest

from calsweep.datasets.fold import Fold, PartName, Stretch
from calsweep.datasets.fold_in_time import StratifiedWindows, TimeBlocks
from calsweep.datasets.fold_protocol import AnimalGroups, Reach
from calsweep.datasets.timeline import check_parts, fold_windows
from calsweep.datasets.window import Window

STEPS = [0, 0, 1, 1, 0, 0, 2, 2, 0, 0]
LENGTH = 3


def stretch(name, start=0, stop=60):
    return Stretch(recording=name, start_frame=start, stop_frame=stop)


def fold_of(train, validation, test):
    return Fold(index=0, train=(train,), validation=(validation,), test=(test,))


@pytest.fixture
def footsteps(timeline_of):
    return timeline_of([("m1", name, STEPS * 6) for name in "abc"])


def test_windows_of_each_class_are_counted(footsteps):
    fold = fold_of(stretch("a"), stretch("b"), stretch("c"))
    windows = fold_windows(fold, footsteps, window=Window(length=LENGTH))
    # The first and the last frame, both of class 0, are the middle of no window.
    assert windows[PartName.TRAIN].n_windows == (34, 12, 12)


def test_frames_whose_label_is_not_known_are_decoded_by_no_window(timeline_of):
    labels = [0, 0, -1, -1, 1, 1, 0, 1, -1]
    timeline = timeline_of([("m1", name, labels) for name in "abc"])
    fold = fold_of(*(stretch(name, 0, 9) for name in "abc"))
    windows = fold_windows(fold, timeline, window=Window(length=LENGTH))[PartName.TRAIN]
    assert (windows.starts["a"] + 1).tolist() == [1, 4, 5, 6, 7]
    assert windows.n_windows == (2, 3)
    assert timeline.count(stretch("a", 0, 9)) == (3, 3)


def test_training_needs_every_class_and_the_others_two(footsteps):
    window = Window(length=LENGTH)
    without_2 = stretch("a", 0, 6)
    check_parts(fold_of(stretch("b"), without_2, stretch("c")), footsteps, window=window)
    with pytest.raises(ValueError, match="never 2 in the 4 windows of the training part"):
        check_parts(fold_of(without_2, stretch("b"), stretch("c")), footsteps, window=window)
    rest = stretch("a", 7, 11)
    with pytest.raises(ValueError, match="is 0 in all 2 windows of the test part"):
        check_parts(fold_of(stretch("b"), stretch("c"), rest), footsteps, window=window)


def test_draw_takes_its_share_of_each_class(footsteps):
    reach = Reach(window_frames=LENGTH, look_frames=0)
    plan = StratifiedWindows(validation_share=0.25, test_share=0.25).plan(footsteps, reach=reach)
    windows = fold_windows(plan.folds[0], footsteps, window=Window(length=LENGTH))
    # 102 windows of class 0, and 36 of each of the others.
    assert windows[PartName.TEST].n_windows == (26, 9, 9)
    assert windows[PartName.VALIDATION].n_windows == (26, 9, 9)


@pytest.mark.parametrize("protocol", [AnimalGroups(k_groups=3), TimeBlocks(k_groups=3)], ids=str)
def test_groups_are_even_in_each_class(timeline_of, protocol):
    rng = np.random.default_rng(0)
    recordings = [(f"m{i}", f"r{i}", rng.choice(3, p=[0.6, 0.2, 0.2], size=600)) for i in range(6)]
    timeline = timeline_of(recordings)
    plan = protocol.plan(timeline, reach=Reach(window_frames=LENGTH, look_frames=0))
    for fold in plan.folds:
        counts = fold_windows(fold, timeline, window=Window(length=LENGTH))[PartName.TEST].n_windows
        shares = np.array(counts) / sum(counts)
        np.testing.assert_allclose(shares, [0.6, 0.2, 0.2], atol=0.05)


def test_rare_events_are_in_every_part_once_blocks_are_short(timeline_of):
    """Bouts of running early in a recording, none in its last 30 %."""
    label_T = np.zeros(1000, dtype=int)
    for start in (130, 180, 230, 280, 530, 580, 630, 680):
        label_T[start : start + 12] = 1
    timeline = timeline_of([("m1", "a", label_T)])

    def check_all(n_blocks):
        plan = TimeBlocks(n_blocks=n_blocks).plan(timeline, reach=Reach(window_frames=11))
        for fold in plan.folds:
            check_parts(fold, timeline, window=Window(length=11))

    check_all(20)
    refused = r"is 0 in all \d+ windows of the .* part \(a\)\. .*`datasets\.folds\.n_blocks`"
    with pytest.raises(ValueError, match=refused):
        check_all(5)
