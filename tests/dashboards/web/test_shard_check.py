import shutil
import time

import pytest

from calsweep.dashboards.web.shard_check import ShardCheck
from calsweep.datasets.dataset import read_manifest
from calsweep.datasets.store import FolderStore

ENDS_WITHIN_S = 60


@pytest.fixture
def folder(mice, tmp_path):
    return shutil.copytree(mice.folder, tmp_path / "mice")


def ended(check):
    give_up_s = time.monotonic() + ENDS_WITHIN_S
    while not check.progress.is_over:
        assert time.monotonic() < give_up_s
        time.sleep(0.01)
    return check.progress


def test_whole_dataset_is_whole_and_is_checked_once_for_each_asking(folder):
    check, manifest = ShardCheck(str(folder)), read_manifest(FolderStore(folder))
    check.begin(2, manifest)  # an old address
    assert check.progress.number == 0
    check.begin(1, manifest)
    found = ended(check)
    assert (found.n_checked, found.n_shards, found.n_damaged, found.refusal) == (1, 1, 0, "")
    assert found.n_bytes == sum(shard.n_bytes for shard in manifest.shards)
    check.begin(1, manifest)
    assert ended(check) == found
    check.begin(2, manifest)
    assert ended(check).number == 2


def test_damaged_and_missing_shards_are_named(folder):
    manifest = read_manifest(FolderStore(folder))
    shard = folder / manifest.shards[0].file
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    check = ShardCheck(str(folder))
    check.begin(1, manifest)
    found = ended(check)
    assert (found.n_damaged, found.n_checked) == (1, 1)
    assert "do not have the SHA-256" in found.damaged[0]
    shard.unlink()
    check.begin(2, manifest)
    assert "the file is missing" in ended(check).damaged[0]


def test_check_that_takes_too_long_is_given_up(folder):
    check = ShardCheck(str(folder), within_s=0.0)
    check.begin(1, read_manifest(FolderStore(folder)))
    found = ended(check)
    assert found.n_checked == 0
    assert "not enough for all" in found.refusal


def test_address_that_cannot_be_asked_is_told(folder):
    check = ShardCheck("gs://lab/m1")
    check.begin(1, read_manifest(FolderStore(folder)))
    assert "cannot be used" in ended(check).refusal
