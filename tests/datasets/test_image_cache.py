"""Images of shards in the cache: fetched once by all processes, no loss where there is no room."""

import multiprocessing
import resource
import time

import numpy as np
import pytest

from calsweep.datasets.cache import Cache
from calsweep.datasets.image_cache import cached_images
from calsweep.datasets.recording import Recording
from calsweep.datasets.shard import DamagedShard
from calsweep.datasets.shard_writer import Compression, write_dataset
from calsweep.datasets.store import FolderStore

ENTRY_BYTES = 10 * 16 * 16 * 2 + 128


@pytest.fixture
def manifest(tmp_path):
    """Of six shards of ten images of 16 x 16 pixels of two bytes."""
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 1000, (10, 16, 16)).astype(np.uint16) for _ in range(6)]
    recordings = [filmed(f"m1_d{i}", images[i]) for i in range(6)]
    return write_dataset(recordings, folder=tmp_path / "data", compression=Compression.ZSTD)


def filmed(name, images):
    return Recording(
        subject="m1",
        name=name,
        activity_TN=np.empty((10, 0), dtype=np.float32),
        behavior={},
        rate_hz=30.0,
        units=(),
        trial_T=np.zeros(10, dtype=np.int32),
        images=images,
    )


class Noting:
    """A store that writes every read into a file, from whatever process."""

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


def images_of_all(manifest, store, cache):
    return [
        cached_images(shard, store=store, images=manifest.images, cache=cache)
        for shard in manifest.image_shards
    ]


def test_images_are_fetched_once(manifest, store, tmp_path):
    first = images_of_all(manifest, store, Cache(tmp_path / "cache"))
    second = images_of_all(manifest, store, Cache(tmp_path / "cache"))
    assert np.array_equal(first, second)
    assert not any(images.flags.writeable for images in first + second)
    assert store.reads() == [shard.file for shard in manifest.image_shards]


@pytest.mark.parametrize(("compression", "n_kept"), [(Compression.NONE, 0), (Compression.ZSTD, 2)])
def test_what_lies_as_near_is_not_kept_again(tmp_path, compression, n_kept):
    """Shards on the cache's own disk that are not compressed are as good as what would be kept."""
    images = (np.arange(20 * 64 * 64) // 4096).astype(np.uint16).reshape(20, 64, 64)
    recordings = [filmed("m1_d1", images[:10]), filmed("m1_d2", images[10:])]
    manifest = write_dataset(recordings, folder=tmp_path / "data", compression=compression)
    cache = Cache(tmp_path / "cache")
    for _ in range(2):
        got = images_of_all(manifest, FolderStore(tmp_path / "data"), cache)
        assert np.array_equal(np.concatenate(got), images)
        assert len(list((tmp_path / "cache").glob("images/*.npy"))) == n_kept


def test_images_that_are_not_compressed_are_kept_as_their_shard(tmp_path):
    images = np.arange(10 * 16 * 16).astype(np.uint16).reshape(10, 16, 16)
    folder = tmp_path / "data"
    manifest = write_dataset([filmed("m1_d1", images)], folder=folder, compression=Compression.NONE)
    store = Noting(folder, tmp_path / "notes")
    cache = Cache(tmp_path / "cache")
    for _ in range(2):
        (got,) = images_of_all(manifest, store, cache)
        assert np.array_equal(got, images)
        assert not got.flags.writeable
    (shard,) = manifest.image_shards
    kept = tmp_path / "cache/images" / f"{shard.sha256}.parquet"
    assert kept.read_bytes() == (folder / shard.file).read_bytes()
    assert store.reads() == [shard.file]
    kept.write_bytes(kept.read_bytes()[:-1] + b"x")  # is never read as data
    (got,) = images_of_all(manifest, store, cache)
    assert np.array_equal(got, images)
    assert store.reads() == [shard.file] * 2
    (got,) = images_of_all(manifest, store, cache)
    assert np.array_equal(got, images)
    assert kept.read_bytes() == (folder / shard.file).read_bytes()


def test_damage_of_what_is_used_where_it_lies_is_told(tmp_path):
    images = np.arange(10 * 16 * 16).astype(np.uint16).reshape(10, 16, 16)
    folder = tmp_path / "data"
    manifest = write_dataset([filmed("m1_d1", images)], folder=folder, compression=Compression.NONE)
    file = folder / manifest.image_shards[0].file
    whole = file.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    for damaged in (bytes(flipped), whole[:-1], b""):
        file.write_bytes(damaged)
        with pytest.raises(DamagedShard, match="do not have the XXH3"):
            images_of_all(manifest, FolderStore(folder), Cache(tmp_path / "cache"))
    file.unlink()
    with pytest.raises(DamagedShard, match="the file is missing"):
        images_of_all(manifest, FolderStore(folder), Cache(tmp_path / "cache"))


def test_images_are_handed_on_before_they_are_written(manifest, store, tmp_path):
    shard, handed = manifest.image_shards[0], []
    kept = tmp_path / "cache/images"

    def hand_on(images_RHW):
        handed.append((images_RHW, [path.name for path in kept.glob("*.npy")]))

    for _ in range(2):
        cached_images(
            shard,
            store=store,
            images=manifest.images,
            cache=Cache(tmp_path / "cache"),
            hand_on=hand_on,
        )
    (first, before), (second, after) = handed
    assert np.array_equal(first, second)
    assert before == []
    assert after == [f"{shard.sha256}.npy"]
    assert np.array_equal(np.load(kept / after[0]), first)


def test_images_that_cannot_be_written_are_handed_on(manifest, store, tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (ENTRY_BYTES + 500, limits[1]))
    try:
        with pytest.warns(RuntimeWarning, match=r"Images cannot be kept: .*File too large"):
            got = images_of_all(manifest, store, Cache(tmp_path / "cache"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert np.array_equal(got, images_of_all(manifest, store, Cache(tmp_path / "whole")))
    assert list((tmp_path / "cache/images").iterdir()) == []


def test_entry_that_is_not_whole_is_refused(manifest, store, tmp_path):
    images_of_all(manifest, store, Cache(tmp_path / "cache"))
    for path in (tmp_path / "cache/images").iterdir():
        path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match="is not a .npy file of the shape and type"):
        images_of_all(manifest, store, Cache(tmp_path / "cache"))


def test_what_made_room_stays_whole_where_it_is_in_use(manifest, store, tmp_path):
    whole = images_of_all(manifest, store, Cache(tmp_path / "whole"))
    small = Cache(tmp_path / "small", limit_mb=2 * ENTRY_BYTES / 1e6)
    assert np.array_equal(images_of_all(manifest, store, small), whole)
    assert len(list((tmp_path / "small/images").iterdir())) == 2


def test_images_larger_than_the_cache_are_held_in_memory(manifest, store, tmp_path):
    whole = images_of_all(manifest, store, Cache(tmp_path / "whole"))
    with pytest.warns(RuntimeWarning, match=r"0 MB are needed .*CALSWEEP_CACHE_MB .* each time"):
        got = images_of_all(manifest, store, Cache(tmp_path / "small", limit_mb=0.001))
    assert np.array_equal(got, whole)
    assert list((tmp_path / "small/images").iterdir()) == []


def read_all(manifest, store, folder, sums):
    sums.put([int(images.sum()) for images in images_of_all(manifest, store, Cache(folder))])


def test_processes_never_fetch_one_shard_twice(manifest, tmp_path):
    store = Noting(tmp_path / "data", tmp_path / "notes", seconds=0.05)
    context = multiprocessing.get_context("spawn")
    sums = context.Queue()
    processes = [
        context.Process(target=read_all, args=(manifest, store, tmp_path / "cache", sums))
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
        images_of_all(manifest, store, Cache(tmp_path / "cache"))
    assert store.reads() == [shard.file] * 2
    assert list((tmp_path / "cache/images").iterdir()) == []
