"""Whatever happens to the files of a dataset, they are refused or give what was written.

    CALSWEEP_DAMAGES=10000 python -m pytest tests/datasets/test_damage.py

does it 10,000 times.
"""

import os
import shutil

import numpy as np
import pytest

from calsweep.datasets.cache import Cache
from calsweep.datasets.dataset import DatasetNotFound, open_dataset
from calsweep.datasets.recording import Recording
from calsweep.datasets.shard import DamagedShard, read_images
from calsweep.datasets.shard_writer import write_dataset
from calsweep.datasets.store import FolderStore

N_DAMAGES = int(os.environ.get("CALSWEEP_DAMAGES", "300"))
REFUSED = (DamagedShard, DatasetNotFound, ValueError)


def recordings():
    rng = np.random.default_rng(0)
    for i in range(3):
        yield Recording(
            subject=f"m{i}",
            name=f"m{i}_d1",
            activity_TN=rng.normal(size=(40, 3)).astype(np.float32),
            behavior={"run": rng.integers(0, 2, 40), "speed_cm_s": rng.random(40)},
            rate_hz=30.0,
            units=("a", "b", "c"),
            trial_T=np.repeat([0, 1], 20).astype(np.int32),
            images=rng.integers(0, 4000, (40, 5, 4)).astype(np.uint16),
        )


def contents(folder, cache):
    """Everything that a dataset gives, as bytes."""
    store = FolderStore(folder)
    dataset = open_dataset(store, cache=Cache(cache))
    manifest = dataset.manifest
    images = [
        read_images(shard, store=store, images=manifest.images).tobytes()
        for shard in manifest.image_shards
    ]
    arrays = [dataset.activity_TN, dataset.trial_T, *dataset.behavior.values()]
    about = (manifest.units, manifest.rate_hz, manifest.recordings, dict(manifest.behaviors))
    return [array.tobytes() for array in arrays], images, repr(about)


def flip(rng, files):
    file = files[rng.integers(len(files))]
    data = bytearray(file.read_bytes())
    for _ in range(rng.integers(1, 4)):
        data[rng.integers(len(data))] ^= 1 << rng.integers(8)
    file.write_bytes(data)


def truncate(rng, files):
    file = files[rng.integers(len(files))]
    data = file.read_bytes()
    file.write_bytes(data[: rng.integers(len(data))])


def swap(rng, files):
    a, b = rng.choice(len(files), 2, replace=False)
    first, second = files[a].read_bytes(), files[b].read_bytes()
    files[a].write_bytes(second)
    files[b].write_bytes(first)


def lose(rng, files):
    files[rng.integers(len(files))].unlink()


def splice(rng, files):
    """Put a stretch of one file into another, as a disk that mixes up its blocks does."""
    a, b = rng.choice(len(files), 2, replace=False)
    source, target = files[a].read_bytes(), bytearray(files[b].read_bytes())
    length = int(rng.integers(1, min(len(source), len(target))))
    at, where = rng.integers(len(source) - length + 1), rng.integers(len(target) - length + 1)
    target[where : where + length] = source[at : at + length]
    files[b].write_bytes(target)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("damage", [flip, truncate, swap, lose, splice])
def test_damage_is_never_read_as_data(tmp_path, damage):
    whole = tmp_path / "whole"
    manifest = write_dataset(recordings(), folder=whole, shard_mb=0.001)
    assert len(manifest.all_shards) > 10
    expected = contents(whole, tmp_path / "cache")
    refused = 0
    for n in range(N_DAMAGES // 5):
        rng = np.random.default_rng([n, len(damage.__name__)])
        folder, cache = tmp_path / "damaged", tmp_path / "fresh"
        shutil.copytree(whole, folder)
        damage(rng, sorted(folder.iterdir()))
        try:
            got = contents(folder, cache)
        except REFUSED:
            refused += 1
        else:
            assert got == expected, f"damage {n} was read as data"
        shutil.rmtree(folder)
        shutil.rmtree(cache, ignore_errors=True)
    # What is left are flips in the manifest's spaces, or of what does not change its content.
    assert refused >= 0.95 * (N_DAMAGES // 5)
