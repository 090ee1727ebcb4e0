"""Recordings of five simulated mice, and a local Ray, for tests in several folders."""

import contextlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest
import torch
from botocore.config import Config

from calsweep.datasets.cache import file_lock
from calsweep.datasets.dataset import read_manifest
from calsweep.datasets.manifest import Manifest
from calsweep.datasets.shard_writer import write_dataset
from calsweep.datasets.simulation import Simulation
from calsweep.datasets.store import FolderStore
from calsweep.datasets.transform import MinMax, Transforms
from calsweep.datasets.view import View
from calsweep.datasets.window import Window

torch.set_num_threads(1)  # as folds train; several wait for each other where cores are busy


_S3_LOCK = Path(tempfile.gettempdir()) / "calsweep-test-s3.lock"
_S3_DEADLINE_S = 250.0


def pytest_collection_modifyitems(items):
    """Begin with what takes long, so that no process is left with it at the end."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture(autouse=True)
def mlflow_is_forgotten():
    """Take back the variable that MLflow sets of itself: it would name the next one's MLflow."""
    yield
    os.environ.pop("MLFLOW_TRACKING_URI", None)


@dataclass(frozen=True)
class Mice:
    """A dataset of five short simulated recordings."""

    folder: Path
    manifest: Manifest

    def view(self, *, length: int) -> View:
        return View(
            address=str(self.folder),
            target="run",
            window=Window(length=length),
            transforms=Transforms(scaling=MinMax()),
        )


@pytest.fixture(scope="session")
def mice(tmp_path_factory) -> Mice:
    folder = tmp_path_factory.mktemp("mice") / "dataset"
    simulation = Simulation(n_mice=5, recordings_per_mouse=1, n_frames=900, seed=1)
    write_dataset(simulation.recordings(), folder=folder)
    return Mice(folder, read_manifest(FolderStore(folder)))


def name_s3_service(monkeypatch):
    """Set what a process needs to reach the S3 service, if there is one."""
    if "CALSWEEP_TEST_S3" in os.environ:
        monkeypatch.setenv("AWS_ENDPOINT_URL", os.environ["CALSWEEP_TEST_S3"])
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test:tester")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")


@pytest.fixture
def s3(monkeypatch):
    """An empty bucket of the real S3 service that CALSWEEP_TEST_S3 names, and a client to it."""
    if "CALSWEEP_TEST_S3" not in os.environ:
        pytest.skip("CALSWEEP_TEST_S3 names no S3 endpoint")
    name_s3_service(monkeypatch)
    with file_lock(_S3_LOCK, deadline_s=_S3_DEADLINE_S):  # tests of two processes take turns
        yield from s3_bucket("calsweep-test")


def s3_bucket(name):
    """Make a bucket and give a client to it; at the end both it and what is in it go."""
    config = Config(
        s3={"addressing_style": "path"},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    client = boto3.Session().client("s3", config=config)
    client.create_bucket(Bucket=name)
    yield client
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=name):
        for item in page.get("Contents", []):
            client.delete_object(Bucket=name, Key=item["Key"])
    client.delete_bucket(Bucket=name)


@pytest.fixture(scope="session")
def local_ray():
    """One Ray for all tests that train from this process: its workers start and import but once."""
    from calsweep.platform.cluster import cluster
    from calsweep.platform.resources import Resources

    with contextlib.ExitStack() as stack:
        with pytest.MonkeyPatch.context() as monkeypatch:
            name_s3_service(monkeypatch)  # Ray's processes keep what they are started with
            stack.enter_context(cluster(Resources()))
        yield
