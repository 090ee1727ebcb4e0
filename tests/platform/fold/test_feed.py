"""Batches of images: shards fetched once, in the seed's order, however many read."""

from collections import Counter

import numpy as np
import pytest
import torch

from calsweep.datasets.cache import Cache
from calsweep.datasets.dataset import open_dataset
from calsweep.datasets.image_frames import ImageFrames
from calsweep.datasets.recording import Recording
from calsweep.datasets.shard_writer import write_dataset
from calsweep.datasets.split import Part, Scaling
from calsweep.datasets.store import FolderStore
from calsweep.datasets.window import Window, window_starts
from calsweep.platform.fold.batch import epoch_batches
from calsweep.platform.fold.feed import Feed, Shares
from calsweep.platform.fold.training import Training

LENGTHS = {"m1_d1": 41, "m1_d2": 30, "m2_d1": 55, "m3_d1": 12}
QUICK = Training(batch_size=8, run_length=2)


def recordings():
    number = 0
    for name, n_frames in LENGTHS.items():
        # The first pixel of each image says which frame of the dataset it is.
        images_THW = np.zeros((n_frames, 2, 3), dtype=np.uint16)
        images_THW[:, 0, 0] = number + np.arange(n_frames)
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


def part_of(store, tmp_path, *, names=LENGTHS, limit_mb=1.0, n_readers=3):
    dataset = open_dataset(store, cache=Cache(tmp_path / "cache"))
    window = Window(length=3)
    starts_W = np.concatenate(
        [
            dataset.spans[name].start
            + window_starts(dataset.trial_T[dataset.spans[name]], window=window)
            for name in names
        ]
    )
    store.reads.clear()
    cache = Cache(tmp_path / "images", limit_mb=limit_mb)
    return Part(
        frames=ImageFrames(dataset.manifest, store=store, cache=cache, n_readers=n_readers),
        starts_W=starts_W,
        targets_W=starts_W + 1,
        labels_W=starts_W % 2,
    )


def feed_of(part, *, shares=Shares()):  # noqa: B008 - frozen
    return Feed(
        part=part,
        scaling=Scaling(offset_N=np.zeros((2, 3), np.float32), scale_N=np.ones((2, 3), np.float32)),
        window_length=3,
        training=QUICK,
        device=torch.device("cpu"),
        shares=shares,
    )


def fed(part, *, epoch=1, first=0, shares=Shares()):  # noqa: B008 - frozen
    """Give the number of each frame that the windows of each batch see."""
    feed = feed_of(part, shares=shares)
    order = epoch_batches(part, training=QUICK, seed=5, epoch=epoch)
    found = []
    for (batch,) in feed.batches(order[first:]):
        numbers = batch.frames[..., 0, 0].int()
        windows = numbers.unfold(1, 3, 1)[batch.weights_RK]
        found.append(windows.tolist())
    return found


def test_epoch_gives_every_window_once_and_another_order_than_the_next(store, tmp_path):
    part = part_of(store, tmp_path)
    first, second = ([w for batch in fed(part, epoch=n) for w in batch] for n in (1, 2))
    expected = [[s, s + 1, s + 2] for s in part.starts_W.tolist()]
    assert sorted(first) == sorted(second) == expected
    assert first != second
    assert first != expected


@pytest.mark.parametrize("n_readers", [1, 2, 4])
def test_batches_do_not_depend_on_who_reads(store, tmp_path, n_readers):
    alone = fed(part_of(store, tmp_path / "a", n_readers=1))
    assert fed(part_of(store, tmp_path / "b", n_readers=n_readers)) == alone


@pytest.mark.parametrize("first", [0, 1, 7, 15])
def test_epoch_goes_on_in_the_middle(store, tmp_path, first):
    part = part_of(store, tmp_path)
    assert fed(part, first=first) == fed(part)[first:]


@pytest.mark.filterwarnings("ignore:.*fetched each time")  # the cache has no room
@pytest.mark.parametrize("limit_mb", [1.0, 0.00001])
def test_epoch_fetches_each_shard_once_even_without_a_cache(store, tmp_path, limit_mb):
    part = part_of(store, tmp_path, limit_mb=limit_mb)
    fed(part)
    assert set(store.reads.values()) == {1}
    assert len(store.reads) == len(part.frames.shard_recordings)


def test_what_is_cached_is_not_fetched_again(store, tmp_path):
    fed(part_of(store, tmp_path))
    part = part_of(store, tmp_path)
    fed(part, epoch=2)
    assert not store.reads


def test_few_shards_lie_in_memory(store, tmp_path, monkeypatch):
    monkeypatch.setattr("calsweep.datasets.image_frames._AHEAD_BYTES", 0.0)  # two of them
    part = part_of(store, tmp_path)
    most = 0
    order = epoch_batches(part, training=QUICK, seed=5, epoch=1)
    for _ in feed_of(part).batches(order):
        most = max(most, len(part.frames._open))
    # Of each of four recordings side by side the shard in use and the one that runs go over to,
    # and two ahead.
    assert most <= 4 + 4 + 2 < len(part.frames.shard_recordings)
    assert len(part.frames._open) == 0


def test_only_shards_with_windows_are_fetched(store, tmp_path):
    part = part_of(store, tmp_path, names=["m2_d1"])
    fed(part)
    of_it = np.flatnonzero(part.frames.shard_recordings == list(LENGTHS).index("m2_d1"))
    assert len(store.reads) <= len(of_it) + 1  # a shard may begin with the recording before


def test_batches_mix_recordings(store, tmp_path):
    ends = np.cumsum(list(LENGTHS.values()))
    mixed = [
        len({int(np.searchsorted(ends, window[0], side="right")) for window in batch})
        for batch in fed(part_of(store, tmp_path))
    ]
    assert np.mean(mixed) > 1.5


def test_shares_of_two_processes_are_the_batches(store, tmp_path):
    part = part_of(store, tmp_path)
    whole = fed(part)
    shares = [fed(part, shares=Shares(rank=rank, world_size=2)) for rank in (0, 1)]
    for batch, one, other in zip(whole, *shares, strict=True):
        assert sorted(batch) == sorted(one + other)
