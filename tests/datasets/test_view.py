import dataclasses

import numpy as np
import pytest

from calsweep.datasets.cache import Cache
from calsweep.datasets.dataset import open_dataset
from calsweep.datasets.fold import animal_folds
from calsweep.datasets.fold_protocol import AnimalGroups
from calsweep.datasets.recording import Recording
from calsweep.datasets.shard_writer import write_dataset
from calsweep.datasets.store import FolderStore
from calsweep.datasets.transform import Detrend, MinMax, Transforms, ZScore, detrended
from calsweep.datasets.view import Labels, View, check_windows, prepare, split_fold
from calsweep.datasets.window import Window

VIEW = View(
    address="data",
    target="run",
    window=Window(length=5, shift=1),
    transforms=Transforms(detrend=Detrend(length_frames=7), scaling=MinMax()),
)


def recordings(*, change=()):
    for i in range(1, 6):
        rng = np.random.default_rng(i)
        activity_TN = rng.normal(i, 1, (40, 3)).astype(np.float32)
        if f"m{i}" in change:
            activity_TN *= 100
        yield Recording(
            subject=f"m{i}",
            name=f"m{i}_d1",
            activity_TN=activity_TN,
            behavior={"run": (np.arange(40) % 3 == 0).astype(int)},
            rate_hz=30.0,
            units=("a", "b", "c"),
            trial_T=np.repeat([0, 1], [25, 15]).astype(np.int32),
        )


def opened(folder, **how):
    write_dataset(recordings(**how), folder=folder / "data")
    return open_dataset(FolderStore(folder / "data"), cache=Cache(folder / "cache"))


@pytest.fixture
def dataset(tmp_path):
    return opened(tmp_path)


@pytest.fixture
def fold(dataset):
    return animal_folds(dataset.manifest, target="run").folds[0]  # m1 tests, m2 validates


def test_parts_hold_the_windows_of_their_recordings(dataset, fold, tmp_path):
    data = split_fold(dataset, VIEW, fold, seed=0, cache=Cache(tmp_path / "cache"))
    # 25 frames hold 21 windows of 5 and 15 hold 11; the label is 3 frames after the start.
    starts = [*range(21), *range(25, 36)]
    assert data.test.starts_W.tolist() == starts
    assert data.validation.starts_W.tolist() == [40 + start for start in starts]
    assert data.train.starts_W.tolist() == [80 + 40 * i + s for i in range(3) for s in starts]
    assert data.test.targets_W.tolist() == [start + 3 for start in starts]
    assert data.test.labels_W.tolist() == [int((start + 3) % 3 == 0) for start in starts]
    assert data.window_length == 5


def test_parts_share_one_array_and_copy_no_frames(dataset, fold, tmp_path):
    data = split_fold(dataset, VIEW, fold, seed=0, cache=Cache(tmp_path / "cache"))
    assert np.shares_memory(data.train.frames, data.test.frames)
    assert np.shares_memory(data.train.frames, data.validation.frames)
    assert isinstance(data.train.frames, np.memmap)
    assert data.train.frames.shape == dataset.activity_TN.shape
    raw = dataclasses.replace(VIEW, transforms=Transforms(scaling=ZScore()))
    data = split_fold(dataset, raw, fold, seed=0, cache=Cache(tmp_path / "cache"))
    assert np.shares_memory(data.train.frames, dataset.activity_TN)


def test_steps_never_cross_recordings(dataset, tmp_path):
    frames_TN = prepare(dataset, VIEW.transforms, cache=Cache(tmp_path / "cache"))
    for recording in recordings():
        expected = detrended(recording.activity_TN, length_frames=7)
        assert np.array_equal(frames_TN[dataset.spans[recording.name]], expected)


def test_prepared_frames_are_kept_by_content(dataset, tmp_path):
    cache = Cache(tmp_path / "cache")
    prepare(dataset, VIEW.transforms, cache=cache)
    prepare(dataset, dataclasses.replace(VIEW.transforms, scaling=ZScore()), cache=cache)
    assert len(list((cache.folder / "prepared").glob("*.npy"))) == 1
    prepare(dataset, Transforms(detrend=Detrend(length_frames=9)), cache=cache)
    assert len(list((cache.folder / "prepared").glob("*.npy"))) == 2


def test_scaling_is_fitted_on_training_frames(dataset, fold, tmp_path):
    data = split_fold(dataset, VIEW, fold, seed=0, cache=Cache(tmp_path / "cache"))
    frames_TN = data.train.frames[80:]
    assert np.array_equal(data.scaling.offset_N, frames_TN.min(axis=0))
    spread = frames_TN.max(axis=0) - frames_TN.min(axis=0)
    assert np.allclose(data.scaling.scale_N, 1 / spread)


@pytest.mark.parametrize("scaling", [MinMax(), ZScore()])
def test_validation_and_test_frames_do_not_change_the_scaling(dataset, fold, tmp_path, scaling):
    view = dataclasses.replace(VIEW, transforms=Transforms(detrend=Detrend(), scaling=scaling))
    other = opened(tmp_path / "other", change=("m1", "m2"))
    here = split_fold(dataset, view, fold, seed=0, cache=Cache(tmp_path / "cache")).scaling
    there = split_fold(other, view, fold, seed=0, cache=Cache(tmp_path / "cache")).scaling
    assert np.array_equal(here.offset_N, there.offset_N)
    assert np.array_equal(here.scale_N, there.scale_N)
    trained = opened(tmp_path / "trained", change=("m3",))
    changed = split_fold(trained, view, fold, seed=0, cache=Cache(tmp_path / "cache")).scaling
    assert not np.array_equal(here.scale_N, changed.scale_N)


def test_permuted_labels_train_and_validate_and_true_ones_test(dataset, fold, tmp_path):
    view = dataclasses.replace(VIEW, labels=Labels.PERMUTED)
    cache = tmp_path / "cache"
    real = split_fold(dataset, VIEW, fold, seed=0, cache=Cache(cache))
    control = split_fold(dataset, view, fold, seed=0, cache=Cache(cache))
    assert np.array_equal(control.test.labels_W, real.test.labels_W)
    for part in ("train", "validation"):
        mine, true = getattr(control, part).labels_W, getattr(real, part).labels_W
        assert mine.sum() == true.sum()
        assert not np.array_equal(mine, true)
    again = split_fold(dataset, view, fold, seed=0, cache=Cache(cache))
    assert np.array_equal(control.train.labels_W, again.train.labels_W)
    other = split_fold(dataset, view, fold, seed=1, cache=Cache(cache))
    assert not np.array_equal(control.train.labels_W, other.train.labels_W)


@pytest.mark.parametrize("window", [Window(length=26), Window(length=5, shift=23)])
def test_a_recording_shorter_than_the_window_is_named(dataset, fold, tmp_path, window):
    view = dataclasses.replace(VIEW, window=window)
    message = r"longest trial of m1_d1 \(and 4 other recordings\) has 25 frames.* needs 26"
    with pytest.raises(ValueError, match=message):
        check_windows(dataset.manifest, view)
    with pytest.raises(ValueError, match=message):
        split_fold(dataset, view, fold, seed=0, cache=Cache(tmp_path / "cache"))


def test_a_part_with_one_class_is_named(dataset, fold, tmp_path):
    run = np.array(dataset.behavior["run"])
    run[:40] = [1] + [0] * 39  # one frame of class 1, that no window decodes
    changed = dataclasses.replace(dataset, behavior={**dataset.behavior, "run": run})
    with pytest.raises(
        ValueError, match=r"'run' is 0 in all 32 windows of the test part \(m1_d1\)"
    ):
        split_fold(changed, VIEW, fold, seed=0, cache=Cache(tmp_path / "cache"))


def test_refuses_too_few_groups():
    with pytest.raises(ValueError, match="k_groups >= 3"):
        AnimalGroups(k_groups=2)
