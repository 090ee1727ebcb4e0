"""The cache of images: bounded, shared between processes, no loss where the disk is full."""

import multiprocessing
import os
import subprocess
import time

import numpy as np
import pytest

from calsweep.datasets.image_cache import ImageCache
from calsweep.datasets.recording import Recording
from calsweep.datasets.shard import DamagedShard, write_dataset
from calsweep.datasets.store import FolderStore

SHARD_BYTES = 10 * 16 * 16 * 2


@pytest.fixture
def manifest(tmp_path):
    """Of six shards of ten images of 16 x 16 pixels of two bytes."""
    rng = np.random.default_rng(0)
    recordings = [
        Recording(
            subject="m1",
            name=f"m1_d{i}",
            activity_TN=np.empty((10, 0), dtype=np.float32),
            behavior={},
            rate_hz=30.0,
            units=(),
            trial_T=np.zeros(10, dtype=np.int32),
            images=rng.integers(0, 1000, (10, 16, 16)).astype(np.uint16),
        )
        for i in range(6)
    ]
    return write_dataset(recordings, folder=tmp_path / "data")


class Noting:
    """A slow store that writes every read into a file, from whatever process."""

    def __init__(self, folder, notes, *, seconds=0.0):
        self.folder, self.notes, self.seconds = folder, notes, seconds
        self.address = str(folder)

    def read(self, name):
        with self.notes.open("a") as file:
            file.write(f"{name}\n")
        time.sleep(self.seconds)
        return FolderStore(self.folder).read(name)

    def reads(self):
        return self.notes.read_text().split() if self.notes.exists() else []


@pytest.fixture
def store(tmp_path):
    return Noting(tmp_path / "data", tmp_path / "notes")


def cached(folder):
    return sorted(file.name for file in folder.glob("*.npy"))


def test_those_unused_for_longest_make_room(manifest, store, tmp_path):
    cache = ImageCache(tmp_path / "images", limit_mb=3.5 * (SHARD_BYTES + 128) / 1e6)
    shards = manifest.image_shards

    def use(i):
        return cache.images(shards[i], store=store, images=manifest.images)

    first = use(0)
    for i in (1, 2, 0, 3):  # 0 is used again, so 1 goes
        use(i)
    assert cached(tmp_path / "images") == sorted(f"{shards[i].sha256}.npy" for i in (0, 2, 3))
    use(1)
    use(4)
    assert cached(tmp_path / "images") == sorted(f"{shards[i].sha256}.npy" for i in (3, 1, 4))
    assert store.reads() == [shards[i].file for i in (0, 1, 2, 3, 1, 4)]
    assert first.sum() == use(0).sum()  # what is gone from the folder is still whole where in use


def test_shard_larger_than_the_limit_is_held_in_memory(manifest, store, tmp_path):
    cache = ImageCache(tmp_path / "images", limit_mb=0.001)
    images = cache.images(manifest.image_shards[0], store=store, images=manifest.images)
    assert images.shape == (10, 16, 16)
    assert cached(tmp_path / "images") == []


def all_images(cache, manifest, store):
    shards = manifest.image_shards
    return np.stack([cache.images(s, store=store, images=manifest.images) for s in shards])


def read_all(manifest, store, folder, sums):
    cache = ImageCache(folder)
    shards = manifest.image_shards
    sums.put([int(cache.images(s, store=store, images=manifest.images).sum()) for s in shards])


def test_two_processes_never_fetch_one_shard_twice(manifest, tmp_path):
    store = Noting(tmp_path / "data", tmp_path / "notes", seconds=0.05)
    context = multiprocessing.get_context("spawn")
    sums = context.Queue()
    processes = [
        context.Process(target=read_all, args=(manifest, store, tmp_path / "images", sums))
        for _ in range(3)
    ]
    for process in processes:
        process.start()
    got = [sums.get(timeout=60) for _ in processes]
    for process in processes:
        process.join(timeout=60)
    assert got[0] == got[1] == got[2]
    assert sorted(store.reads()) == sorted(shard.file for shard in manifest.image_shards)


def test_damaged_shard_is_not_kept(manifest, store, tmp_path):
    shard = manifest.image_shards[0]
    file = tmp_path / "data" / shard.file
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    with pytest.raises(DamagedShard, match=shard.file):
        ImageCache(tmp_path / "images").images(shard, store=store, images=manifest.images)
    assert store.reads() == [shard.file] * 2
    assert cached(tmp_path / "images") == []


def test_full_disk_loses_nothing(manifest, store, tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(small)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small disk cannot be mounted here")
    try:
        cache = ImageCache(small)
        with pytest.warns(RuntimeWarning, match="No room is left in .*CALSWEEP_CACHE"):
            got = all_images(cache, manifest, store)
        assert np.array_equal(got, all_images(ImageCache(tmp_path / "x"), manifest, store))
        assert list(small.glob(".*.partial")) == []
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)
