"""Batches of images from a real S3 endpoint behind faults: the same as from disk."""

import os
import shutil

import numpy as np
import pytest
import torch

from calsweep.datasets.cache import Cache
from calsweep.datasets.dataset import open_dataset
from calsweep.datasets.recording import Recording
from calsweep.datasets.shard_writer import write_dataset
from calsweep.datasets.split import Part, Scaling
from calsweep.datasets.store import FolderStore
from calsweep.platform.fold.batch import epoch_batches
from calsweep.platform.fold.feed import Feed, Shares
from calsweep.platform.fold.training import Training
from calsweep.platform.object_storage.address import StorageRefused
from calsweep.platform.object_storage.bucket import Bucket
from calsweep.platform.object_storage.storage import publish
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
    dataset = open_dataset(store, cache=Cache(scratch))
    starts_W = np.concatenate([np.arange(i * 60, i * 60 + 56) for i in range(4)])
    part = Part(
        frames=dataset.images(), starts_W=starts_W, targets_W=starts_W, labels_W=starts_W % 2
    )
    training = Training(batch_size=16, run_length=4)
    feed = Feed(
        part=part,
        scaling=Scaling(offset_N=np.zeros((8, 8), np.float32), scale_N=np.ones((8, 8), np.float32)),
        window_length=5,
        training=training,
        device=torch.device("cpu"),
        shares=Shares(),
    )
    order = epoch_batches(part, training=training, seed=1, epoch=1)
    return [piece.frames.numpy() for pieces in feed.batches(order) for piece in pieces]


def test_one_in_five_requests_fails_and_the_batches_are_the_same(folder, tmp_path, monkeypatch):
    expected = batches(FolderStore(folder), tmp_path / "disk")
    proxy = FaultProxy(
        os.environ["CALSWEEP_TEST_S3"],
        lambda _, __, n: LOUD[n // 5 % len(LOUD)] if n % 5 == 4 else "",
    )
    monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
    with proxy.running():
        got = batches(Bucket(ADDRESS), tmp_path / "s3")
    assert len(got) == len(expected) >= 14
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
