"""Windows of images from a real S3 endpoint behind faults: the same batches as from disk."""

import os
import shutil

import numpy as np
import pytest

from calsweep.datasets.cache import Cache
from calsweep.datasets.dataset import open_dataset
from calsweep.datasets.recording import Recording
from calsweep.datasets.shard import write_dataset
from calsweep.datasets.store import FolderStore
from calsweep.datasets.stream import ImageStream
from calsweep.platform.address import StorageRefused
from calsweep.platform.bucket import Bucket
from calsweep.platform.storage import publish
from tests.faults import FAULTS, FaultProxy

pytestmark = pytest.mark.skipif(
    "CALSWEEP_TEST_S3" not in os.environ, reason="CALSWEEP_TEST_S3 names no S3 endpoint"
)
ADDRESS = "s3://calsweep-test/images"
LOUD = [fault for fault in FAULTS if fault != "silence"]


def recordings():
    rng = np.random.default_rng(0)
    for i in range(4):
        yield Recording(
            subject=f"m{i}",
            name=f"m{i}_d1",
            activity_TN=np.empty((60, 0), dtype=np.float32),
            behavior={"run": np.arange(60) % 2},
            rate_hz=30.0,
            units=(),
            trial_T=np.zeros(60, dtype=np.int32),
            images=rng.integers(0, 4000, (60, 8, 8)).astype(np.uint16),
        )


@pytest.fixture
def folder(s3, tmp_path):
    """A dataset on disk and the same on S3."""
    folder, copy = tmp_path / "data", tmp_path / "copy"
    write_dataset(recordings(), folder=folder, shard_mb=0.002)
    shutil.copytree(folder, copy)
    publish(copy, address=ADDRESS)
    return folder


def batches(store, scratch):
    dataset = open_dataset(store, cache=Cache(scratch / "frames"))
    stream = ImageStream(
        manifest=dataset.manifest,
        store=store,
        cache=Cache(scratch / "images"),
        trial_T=dataset.trial_T,
        starts_W=np.concatenate([np.arange(i * 60, i * 60 + 56) for i in range(4)]),
        window_length=5,
        batch_size=16,
        seed=1,
    )
    return [batch.images() for batch in stream.epoch(0)]


def test_one_in_five_requests_fails_and_the_batches_are_the_same(folder, tmp_path, monkeypatch):
    expected = batches(FolderStore(folder), tmp_path / "disk")
    proxy = FaultProxy(
        os.environ["CALSWEEP_TEST_S3"],
        lambda _, __, n: LOUD[n // 5 % len(LOUD)] if n % 5 == 4 else "",
    )
    monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
    with proxy.running():
        got = batches(Bucket(ADDRESS), tmp_path / "s3")
    assert len(got) == 14
    assert all(np.array_equal(a, b) for a, b in zip(expected, got, strict=True))
    assert len(proxy.faults) == len(LOUD)


def test_a_service_that_stays_away_ends_the_epoch_with_a_clear_error(folder, tmp_path, monkeypatch):
    proxy = FaultProxy(
        os.environ["CALSWEEP_TEST_S3"], lambda _, path, __: "503" if "/images-00003" in path else ""
    )
    monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
    with (
        proxy.running(),
        pytest.raises(StorageRefused, match="answered ServiceUnavailable to GetObject: try again"),
    ):
        batches(Bucket(ADDRESS, deadline_s=2.0), tmp_path / "s3")
