"""Windows of images: every one once, in the seed's order, however many read, wherever it begins."""

from collections import Counter

import numpy as np
import pytest

from calsweep.datasets.cache import Cache
from calsweep.datasets.dataset import open_dataset
from calsweep.datasets.recording import Recording
from calsweep.datasets.shard import write_dataset
from calsweep.datasets.store import FolderStore
from calsweep.datasets.stream import ImageStream
from calsweep.datasets.window import Window, window_starts

LENGTHS = {"m1_d1": 41, "m1_d2": 30, "m2_d1": 55, "m3_d1": 12}


def recordings():
    number = 0
    for name, n_frames in LENGTHS.items():
        # The first pixel of each image says which frame of the dataset it is.
        images_THW = np.zeros((n_frames, 2, 3), dtype=np.uint16)
        images_THW[:, 0, 0] = number + np.arange(n_frames)
        images_THW[:, 1, 2] = 7
        number += n_frames
        yield Recording(
            subject=name.split("_")[0],
            name=name,
            activity_TN=np.empty((n_frames, 0), dtype=np.float32),
            behavior={"run": np.arange(n_frames) % 2},
            rate_hz=30.0,
            units=(),
            trial_T=np.repeat([0, 1], [9, n_frames - 9]).astype(np.int32),
            images=images_THW,
        )


class Counting:
    def __init__(self, folder):
        self.store = FolderStore(folder)
        self.address = self.store.address
        self.reads = Counter()

    def read(self, name):
        self.reads[name] += 1
        return self.store.read(name)


@pytest.fixture
def store(tmp_path):
    write_dataset(recordings(), folder=tmp_path / "data", shard_mb=0.0003)
    return Counting(tmp_path / "data")


def stream(store, tmp_path, *, names=LENGTHS, length=3, limit_mb=1.0, **options):
    dataset = open_dataset(store, cache=Cache(tmp_path / "cache"))
    window = Window(length=length)
    starts = [
        dataset.spans[name].start
        + window_starts(dataset.trial_T[dataset.spans[name]], window=window)
        for name in names
    ]
    store.reads.clear()
    defaults = {"batch_size": 8, "seed": 5, "n_lanes": 2, "read_ahead": 2}
    return ImageStream(
        manifest=dataset.manifest,
        store=store,
        cache=Cache(tmp_path / "images", limit_mb=limit_mb),
        trial_T=dataset.trial_T,
        starts_W=np.concatenate(starts),
        window_length=length,
        **{**defaults, **options},
    )


def numbers(batch):
    """Which frame of the dataset each channel of each image is."""
    return batch.images()[..., 0, 0].astype(int)


def test_channels_are_the_frame_before_the_frame_and_the_frame_after(store, tmp_path):
    batches = list(stream(store, tmp_path, batch_size=1).in_order())
    assert numbers(batches[0]).tolist() == [[[0, 0, 1], [0, 1, 2], [1, 2, 3]]]
    assert numbers(batches[1]).tolist() == [[[0, 1, 2], [1, 2, 3], [2, 3, 4]]]
    # The first trial has nine frames, so seven windows of three; none sees the next trial.
    assert numbers(batches[6]).tolist() == [[[5, 6, 7], [6, 7, 8], [7, 8, 8]]]
    assert numbers(batches[7]).tolist() == [[[9, 9, 10], [9, 10, 11], [10, 11, 12]]]
    # The second recording begins at frame 41.
    last_of_first = [[[37, 38, 39], [38, 39, 40], [39, 40, 40]]]
    at = [numbers(batch).tolist() for batch in batches].index(last_of_first)
    assert numbers(batches[at + 1]).tolist() == [[[41, 41, 42], [41, 42, 43], [42, 43, 44]]]
    assert batches[0].images().dtype == np.float32
    assert (batches[0].images()[..., 1, 2] == 7).all()


def test_an_epoch_gives_every_window_once_and_another_order_than_the_next(store, tmp_path):
    images = stream(store, tmp_path)
    first, second = (
        np.concatenate([batch.windows_W for batch in images.epoch(n)]).tolist() for n in (0, 1)
    )
    everything = list(range(sum(n - 2 - 2 for n in LENGTHS.values())))
    assert sorted(first) == sorted(second) == everything
    assert first != second
    assert first != everything
    assert images.n_batches == len(list(images.epoch(0))) == 16


def test_a_batch_has_the_frames_of_its_windows(store, tmp_path):
    images = stream(store, tmp_path, length=5)
    for batch in images.epoch(0):
        middle = numbers(batch)[:, :, 1]
        assert np.array_equal(middle[:, 0], images.starts_W[batch.windows_W])
        assert (np.diff(middle, axis=1) == 1).all()
        assert len(np.unique(batch.frames_FHX[:, 0, 0])) == len(batch.frames_FHX)


@pytest.mark.parametrize("n_readers", [1, 2, 4])
@pytest.mark.parametrize("read_ahead", [1, 3, 100])
def test_batches_do_not_depend_on_who_reads(store, tmp_path, n_readers, read_ahead):
    plain = list(stream(store, tmp_path, n_readers=1).epoch(3))
    others = stream(store, tmp_path, n_readers=n_readers, read_ahead=read_ahead).epoch(3)
    for one, other in zip(plain, others, strict=True):
        assert np.array_equal(one.windows_W, other.windows_W)
        assert np.array_equal(one.images(), other.images())


@pytest.mark.parametrize("first_batch", [0, 1, 7, 15, 16])
def test_an_epoch_goes_on_in_the_middle(store, tmp_path, first_batch):
    whole = [batch.images() for batch in stream(store, tmp_path).epoch(2)]
    rest = [batch.images() for batch in stream(store, tmp_path).epoch(2, first_batch=first_batch)]
    assert len(rest) == len(whole) - first_batch
    assert all(np.array_equal(a, b) for a, b in zip(whole[first_batch:], rest, strict=True))


def test_an_epoch_fetches_each_shard_once_even_with_hardly_a_cache(store, tmp_path):
    images = stream(store, tmp_path, limit_mb=0.001)
    assert len(images.manifest.image_shards) == 16
    list(images.epoch(0))
    assert set(store.reads.values()) == {1}
    assert len(store.reads) == 16


def test_what_is_cached_is_not_fetched_again(store, tmp_path):
    images = stream(store, tmp_path)
    list(images.epoch(0))
    list(images.epoch(1))
    assert set(store.reads.values()) == {1}


def test_only_shards_with_windows_are_fetched(store, tmp_path):
    images = stream(store, tmp_path, names=("m1_d2",))
    list(images.epoch(0))
    fetched = [s for s in images.manifest.image_shards if s.file in store.reads]
    assert {span.recording for shard in fetched for span in shard.spans} == {"m1_d2"}
    assert len(fetched) == len(store.reads)


def test_batches_mix_recordings(store, tmp_path):
    images = stream(store, tmp_path, n_lanes=4, batch_size=20)
    borders = np.cumsum(list(LENGTHS.values()))
    first = next(iter(images.epoch(0)))
    mixed = np.unique(np.searchsorted(borders, images.starts_W[first.windows_W], side="right"))
    assert len(mixed) == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "`batch_size >= 1` must hold, but got batch_size=0"),
        ({"n_readers": 0}, "`n_readers >= 1` must hold"),
        ({"starts_W": np.empty(0, dtype=np.int64)}, "at least one window"),
    ],
)
def test_what_cannot_be_streamed_is_refused(store, tmp_path, options, message):
    import dataclasses

    with pytest.raises(ValueError, match=message):
        dataclasses.replace(stream(store, tmp_path), **options)
