"""Images read by their numbers, whichever shards they lie in, and brought to one scale."""

import numpy as np
import pytest

from calsweep.datasets.cache import Cache
from calsweep.datasets.dataset import open_dataset
from calsweep.datasets.pixel_scale import moments
from calsweep.datasets.recording import Recording
from calsweep.datasets.shard import DamagedShard
from calsweep.datasets.shard_writer import write_dataset
from calsweep.datasets.store import FolderStore
from calsweep.datasets.transform import Detrend, MinMax, PixelScale, Scope, Transforms
from calsweep.datasets.view import Inputs, View, check_windows, prepare_images

N_FRAMES = 25


def images_of(i):
    rng = np.random.default_rng(i)
    return (rng.integers(0, 50, (N_FRAMES, 8, 10)) + 100 * i).astype(np.uint16)


@pytest.fixture
def dataset(tmp_path):
    """Three recordings in shards of about nine images."""
    recordings = [
        Recording(
            subject=f"m{i}",
            name=f"m{i}_d1",
            activity_TN=np.empty((N_FRAMES, 0), dtype=np.float32),
            behavior={"run": np.arange(N_FRAMES) % 2},
            rate_hz=30.0,
            units=(),
            trial_T=np.zeros(N_FRAMES, dtype=np.int32),
            images=images_of(i),
        )
        for i in range(3)
    ]
    manifest = write_dataset(recordings, folder=tmp_path / "data", shard_mb=0.0015)
    assert len(manifest.image_shards) >= 6
    return open_dataset(FolderStore(tmp_path / "data"), cache=Cache(tmp_path / "cache"))


ALL = np.concatenate([images_of(i) for i in range(3)])


def test_frames_are_read_by_number_in_any_order_and_shape(dataset):
    frames = dataset.images()
    assert frames.shape == (75, 8, 10)
    assert len(frames) == 75
    assert frames.dtype == np.uint16
    numbers = np.random.default_rng(0).integers(0, 75, (4, 6))
    np.testing.assert_array_equal(frames[numbers], ALL[numbers])
    np.testing.assert_array_equal(frames[20:60:3], ALL[20:60:3])


@pytest.mark.parametrize("dtype", ["uint16", "float32", "float64"])
def test_frames_are_read_into_an_array_of_any_type(dataset, dtype):
    numbers = np.array([3, 4, 5, 24, 25, 26, 26, 70, 8])
    into = np.empty((9, 8, 10), dtype=dtype)
    dataset.images().read(numbers, into=into)
    np.testing.assert_array_equal(into, ALL[numbers])


def test_frames_that_were_let_go_are_read_again(dataset):
    frames = dataset.images()
    for _ in range(2):
        np.testing.assert_array_equal(frames[np.arange(75)], ALL)
        frames.let_go(np.arange(75))
        assert len(frames._open) == 0


def test_no_frames_are_read_without_a_shard(dataset):
    assert dataset.images()[np.arange(0)].shape == (0, 8, 10)
    assert dataset.images()[30:30].shape == (0, 8, 10)


def test_shard_that_could_not_be_fetched_is_asked_for_again(dataset, tmp_path):
    frames = dataset.images()
    file = tmp_path / "data" / dataset.manifest.image_shards[0].file
    away = file.rename(tmp_path / "away")
    with pytest.raises(DamagedShard, match="the file is missing"):
        frames[np.arange(3)]
    away.rename(file)
    np.testing.assert_array_equal(frames[np.arange(3)], ALL[:3])


def test_no_one_waits_for_what_is_closed(dataset):
    frames = dataset.images()
    frames.prefetch(np.arange(75))
    frames.close()
    with pytest.raises(RuntimeError, match="after shutdown"):
        frames[np.arange(75)]


def test_each_shard_knows_its_recording(dataset):
    frames = dataset.images()
    firsts = frames.shard_borders[:-1]
    assert (firsts // N_FRAMES).tolist() == frames.shard_recordings.tolist()


def test_few_shards_are_open_and_all_can_be_read(dataset, monkeypatch):
    monkeypatch.setattr("calsweep.datasets.image_frames._OPEN_BYTES", 1.0)
    frames = dataset.images()
    frames.prefetch(np.arange(75))
    np.testing.assert_array_equal(frames[np.arange(75)], ALL)
    assert len(frames._open) == 4


def test_moments_are_those_of_the_frames(dataset, tmp_path):
    frames, cache = dataset.images(), Cache(tmp_path / "cache")
    parts = [slice(3, 20), slice(40, 75)]
    taken = np.concatenate([ALL[part] for part in parts]).astype(float)
    for _ in range(2):  # the second time from the cache
        scaling = moments(frames, parts, content_hash="a", cache=cache).scaling()
        np.testing.assert_allclose(scaling.offset_N, taken.mean(axis=0), rtol=1e-6)
        spread = np.sqrt(np.mean(taken**2) - np.mean(taken.mean(axis=0) ** 2))
        np.testing.assert_allclose(scaling.scale_N, 1 / spread, rtol=1e-6)


def test_images_without_spread_become_zero(tmp_path):
    from calsweep.datasets.pixel_scale import Moments

    flat = Moments(n_frames=3, sum_HW=np.full((2, 2), 6.0), squares=3 * 4 * 4.0)
    assert flat.scaling().scale_N.tolist() == [[0.0, 0.0], [0.0, 0.0]]


def test_recordings_are_scaled_each_by_itself(dataset, tmp_path):
    steps = Transforms(scaling=PixelScale(over=Scope.RECORDING))
    frames = prepare_images(dataset, steps, cache=Cache(tmp_path / "cache"))
    for i in range(3):
        own = images_of(i).astype(float)
        centred = own - own.mean(axis=0)
        span = slice(i * N_FRAMES, (i + 1) * N_FRAMES)
        np.testing.assert_allclose(frames[span], centred / centred.std(), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("steps", [Transforms(scaling=MinMax()), Transforms(detrend=Detrend())])
def test_steps_of_traces_are_refused_for_images(dataset, steps):
    view = View(address="", target="run", inputs=Inputs.IMAGES, transforms=steps)
    with pytest.raises(ValueError, match="images are scaled by PixelScale or not at all, but got"):
        check_windows(dataset.manifest, view)


def test_images_of_a_dataset_without_them_are_refused(mice):
    view = View(address="", target="run", inputs=Inputs.IMAGES)
    with pytest.raises(ValueError, match="it has traces only: ingest its images"):
        check_windows(mice.manifest, view)


def test_scaling_of_pixels_is_refused_for_traces(mice):
    view = View(address="", target="run", transforms=Transforms(scaling=PixelScale()))
    with pytest.raises(ValueError, match="but traces are decoded here"):
        check_windows(mice.manifest, view)
