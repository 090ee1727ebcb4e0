"""Folds within recordings keep parts apart, and trials and events whole."""

import itertools

import numpy as np
import pytest

from calsweep.datasets.fold import HeldOut, PartName, Stretch
from calsweep.datasets.fold_in_time import StratifiedWindows, TimeBlocks, WholeEvents, WholeTrials
from calsweep.datasets.fold_protocol import Reach
from calsweep.datasets.timeline import check_parts, fold_windows
from calsweep.datasets.transform import Detrend, MinMax, Scope, Transforms
from calsweep.datasets.view import View, fitted_stretches, plan_folds
from calsweep.datasets.window import Window

ALTERNATING = np.tile([0, 1], 50)


def frames_of(fold):
    """Give each part's frames as a set of (recording, frame)."""
    return [
        {(s.recording, t) for s in fold.part(name) for t in range(s.start_frame, s.stop_frame)}
        for name in PartName
    ]


def test_blocks_with_a_gap_written_out(timeline_of):
    timeline = timeline_of([("m1", "a", ALTERNATING)])
    plan = TimeBlocks().plan(timeline, reach=Reach(window_frames=5, look_frames=3))
    assert plan.name == "blocks of time in 5 groups, gap of 5 frames"
    assert plan.holds_out is HeldOut.FRAMES
    assert plan.groups[0] == ("a 0-19",)
    fold = plan.folds[0]  # block 0 tests, block 1 validates
    assert fold.test == (Stretch(recording="a", start_frame=0, stop_frame=17),)
    assert fold.validation == (Stretch(recording="a", start_frame=22, stop_frame=37),)
    assert fold.train == (Stretch(recording="a", start_frame=42, stop_frame=100),)
    assert len(plan.folds) == 20


@pytest.mark.parametrize(("look", "needed"), [(0, 9), (30, 30)])
def test_gap_is_as_wide_as_window_and_steps_need_and_no_narrower(timeline_of, look, needed):
    timeline = timeline_of([("m1", "a", np.tile([0, 1], 200))])
    reach = Reach(window_frames=9, look_frames=look)
    for fold in TimeBlocks().plan(timeline, reach=reach).folds:
        for one, other in itertools.combinations(frames_of(fold), 2):
            assert min(abs(t - u) for _, t in one for _, u in other) > needed
    given = TimeBlocks(gap_frames=needed).plan(timeline, reach=reach)
    assert given.folds == TimeBlocks().plan(timeline, reach=reach).folds
    with pytest.raises(ValueError, match=f"`gap_frames >= {needed}` must hold"):
        TimeBlocks(gap_frames=needed - 1).plan(timeline, reach=reach)


def test_gap_of_a_view_is_that_of_its_window_and_detrending(timeline_of):
    timeline = timeline_of([("m1", "a", np.tile([0, 1], 500))])
    steps = Transforms(detrend=Detrend(length_frames=40), scaling=MinMax(over=Scope.RECORDING))
    view = View(address="", target="run", window=Window(length=11), folds=TimeBlocks())
    assert "gap of 11 frames" in plan_folds(timeline, [view]).name
    wide = View(address="", target="run", transforms=steps, folds=TimeBlocks())
    assert "gap of 39 frames" in plan_folds(timeline, [view, wide]).name


def test_every_recording_is_in_every_group_and_classes_are_even(timeline_of):
    rng = np.random.default_rng(0)
    recordings = [
        (f"m{i}", f"r{i}", np.repeat(rng.random(40) < 0.3, 25).astype(int)) for i in range(6)
    ]
    timeline = timeline_of(recordings)
    plan = TimeBlocks(n_blocks=10).plan(timeline, reach=Reach(window_frames=5))
    for group in plan.groups:
        assert [name.split()[0] for name in group] == [f"r{i // 2}" for i in range(12)]
    shares = []
    for fold in plan.folds:
        counts = np.sum([timeline.count(stretch) for stretch in fold.test], axis=0)
        shares.append(counts[1] / counts.sum())
    assert max(shares) - min(shares) < 0.1


def test_trials_are_whole_and_on_one_side(timeline_of):
    trial_T = np.repeat(np.arange(12), 10)
    timeline = timeline_of([("m1", "a", np.tile([0, 1], 60), trial_T)])
    plan = WholeTrials(k_groups=3).plan(timeline, reach=Reach(window_frames=5))
    for fold in plan.folds:
        train, validation, test = ({t // 10 for _, t in part} for part in frames_of(fold))
        assert (len(train), len(validation), len(test)) == (4, 4, 4)
        assert train | validation | test == set(range(12))
    assert sum(len(part) for part in frames_of(plan.folds[0])) == 120  # no frame is lost


def test_trials_keep_apart_what_detrending_joins(timeline_of):
    trial_T = np.repeat(np.arange(6), 40)
    timeline = timeline_of([("m1", "a", np.tile([0, 1], 120), trial_T)])
    plan = WholeTrials(k_groups=3).plan(timeline, reach=Reach(window_frames=5, look_frames=10))
    for fold in plan.folds:
        for one, other in itertools.combinations(frames_of(fold), 2):
            assert min(abs(t - u) for _, t in one for _, u in other) > 10


def test_events_are_whole_and_on_one_side(timeline_of):
    rng = np.random.default_rng(1)
    lengths = rng.integers(3, 40, 60)
    label_T = np.concatenate([np.full(n, i % 2) for i, n in enumerate(lengths)])
    timeline = timeline_of([("m1", "a", label_T)])
    plan = WholeEvents(k_groups=3).plan(timeline, reach=Reach(window_frames=7))
    stops = np.cumsum(lengths).tolist()
    events = [set(range(stops[i - 1], stops[i])) for i in range(1, 60, 2)]
    for fold in plan.folds:
        held = [{t for _, t in part} for part in frames_of(fold)]
        for event in events:
            assert sum(event <= part for part in held) == 1
        for one, other in itertools.combinations(held, 2):
            assert min(abs(t - u) for t in one for u in other) > 7


def test_events_too_near_to_each_other_stay_together(timeline_of):
    label_T = [0] * 10 + [1] * 5 + [0] * 4 + [1] * 5 + [0] * 20 + [1] * 5 + [0] * 20 + [1, 0] * 5
    timeline = timeline_of([("m1", "a", label_T)])
    plan = WholeEvents(k_groups=3).plan(timeline, reach=Reach(window_frames=5))
    assert plan.groups == (("a 0-33",), ("a 34-58",), ("a 59-78",))
    with pytest.raises(ValueError, match=r"at least 4 events .* 5 frames of rest .* has 3"):
        WholeEvents(k_groups=4).plan(timeline, reach=Reach(window_frames=5))


def test_windows_at_random_are_stratified_and_each_is_in_one_part(timeline_of):
    label_T = np.tile([0, 0, 0, 1], 100)
    timeline = timeline_of([("m1", "a", label_T), ("m1", "b", label_T)])
    plan = StratifiedWindows().plan(timeline, reach=Reach())
    assert plan.holds_out is HeldOut.NOTHING
    windows = fold_windows(plan.folds[0], timeline, window=Window(length=5))
    assert windows[PartName.TRAIN].n_windows == (416, 138)  # of 594 and 198 windows
    assert windows[PartName.VALIDATION].n_windows == (89, 30)
    assert windows[PartName.TEST].n_windows == (89, 30)
    for name in ("a", "b"):
        starts = np.concatenate([windows[part].starts[name] for part in PartName])
        assert sorted(starts) == list(range(396))
    other = StratifiedWindows(seed=1).plan(timeline, reach=Reach())
    assert other.content_hash != plan.content_hash
    again = fold_windows(other.folds[0], timeline, window=Window(length=5))
    assert not np.array_equal(again[PartName.TEST].starts["a"], windows[PartName.TEST].starts["a"])


def test_what_a_draw_is_fitted_on_are_the_frames_of_its_training_windows(timeline_of):
    timeline = timeline_of([("m1", "a", np.tile([0, 1], 30))])
    protocol = StratifiedWindows(test_share=0.4, validation_share=0.4)
    (fold,) = protocol.plan(timeline, reach=Reach()).folds
    window = Window(length=3)
    windows = fold_windows(fold, timeline, window=window)
    stretches = fitted_stretches(fold, windows, on=(PartName.TRAIN,), window=window)
    found = [t for s in stretches for t in range(s.start_frame, s.stop_frame)]
    seen = {s + i for s in windows[PartName.TRAIN].starts["a"].tolist() for i in range(3)}
    assert found == sorted(seen)
    assert len(found) < 60


@pytest.mark.parametrize("protocol", [TimeBlocks, WholeTrials, WholeEvents])
def test_fewer_than_three_groups_are_told(protocol):
    with pytest.raises(ValueError, match="`k_groups >= 3` must hold"):
        protocol(k_groups=2)


def test_settings_that_cannot_be_are_told():
    with pytest.raises(ValueError, match="`n_blocks >= k_groups` must hold"):
        TimeBlocks(n_blocks=4)
    with pytest.raises(ValueError, match="a sum below 1"):
        StratifiedWindows(validation_share=0.5, test_share=0.5)


def test_too_few_trials_are_told(timeline_of):
    timeline = timeline_of([("m1", "a", ALTERNATING)])
    with pytest.raises(ValueError, match=r"at least 5 trials, but the dataset has 1\."):
        WholeTrials().plan(timeline, reach=Reach())


def test_gaps_that_leave_nothing_are_told(timeline_of):
    timeline = timeline_of([("m1", "a", ALTERNATING)])
    with pytest.raises(ValueError, match=r"gaps of 999 frames leave none .*detrend` \(null"):
        TimeBlocks().plan(timeline, reach=Reach(window_frames=31, look_frames=999))


def test_a_part_of_one_class_is_told(timeline_of):
    timeline = timeline_of([("m1", "a", [0] * 80 + [0, 1] * 10)])
    plan = TimeBlocks().plan(timeline, reach=Reach(window_frames=3))
    with pytest.raises(
        ValueError, match=r"'run' is 0 in all \d+ windows of the validation part \(a"
    ):
        check_parts(plan.folds[0], timeline, window=Window(length=3))
    with pytest.raises(ValueError, match="no window of 'run' fits .* of the validation part"):
        check_parts(plan.folds[0], timeline, window=Window(length=19))
