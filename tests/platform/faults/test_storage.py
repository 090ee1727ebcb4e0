"""The S3 endpoint of data and models fails, is gone, and is slow; PostgreSQL is restarted."""

import itertools
import os
import time

import pytest

from calsweep.platform.object_storage.storage import publish
from tests.conftest import name_s3_service, s3_bucket
from tests.faults import FaultProxy
from tests.mlflow_server import postgres
from tests.platform import swept

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
BUCKET = "calsweep-faults"
FAILING = ("503", "SlowDown", "reset", "half a body")
GONE_S = 60.0


class Endpoint:
    """Has a fault for every so many requests, or for all; at first, it fails in many ways."""

    def __init__(self):
        self.give(*FAILING, every=3)

    def give(self, *faults, every):
        self._faults, self._every = itertools.cycle(faults), every

    def __call__(self, _method, _path, n):
        return next(self._faults) if n % self._every == self._every - 1 else ""


@pytest.fixture
def s3(monkeypatch):
    """A bucket of its own: that of other tests is not held for as long as this takes."""
    if "CALSWEEP_TEST_S3" not in os.environ:
        pytest.skip("CALSWEEP_TEST_S3 names no S3 endpoint")
    name_s3_service(monkeypatch)
    yield from s3_bucket(BUCKET)


def test_s3_fails_is_gone_for_a_minute_and_slow_and_postgresql_is_restarted(
    s3, mice, undisturbed, tmp_path
):
    address = f"s3://{BUCKET}/mice"
    publish(mice.folder, address=address)
    endpoint, cache = Endpoint(), tmp_path / "cache"
    proxy = FaultProxy(os.environ["CALSWEEP_TEST_S3"], endpoint, silence_s=3.0)
    with proxy.running(), postgres() as database:
        env = {
            **swept.plain_env(),
            "AWS_ENDPOINT_URL": proxy.url,
            "CALSWEEP_CACHE": str(cache),
            "CALSWEEP_ARTIFACTS": f"s3://{BUCKET}/artifacts",
        }
        more = (f"tracking_uri={database.uri}",)
        sweep = swept.Sweep(address, tmp_path / "home", env, more)
        with sweep.running() as driver:
            sweep.wait_for(10, driver)
            with sweep.held():
                driver.wait_until(lambda: all(proxy.faults[fault] for fault in FAILING))
            database.stop()
            sweep.wait_for(20, driver)
            database.start()
            before = sweep.wait_for(30, driver)
            endpoint.give("reset", every=1)
            sweep.lose_cache(cache)
            time.sleep(GONE_S)
            assert len(sweep.folds) < swept.N_FOLDS
            endpoint.give("silence", every=2)
            driver.wait_until(lambda: proxy.faults["silence"])
            endpoint.give("503", "reset", every=3)
            said = driver.ended()
        where = ("small", "--home", sweep.home, "--tracking-uri", database.uri)
        said += sweep.run("track", *where)
        assert "MLflow has all of them: " in said
        said += sweep.run("data", "check", address)
        assert "Whole: 1 shards" in said
        sweep.check(like=undisturbed, before=before, uri=database.uri)
    written = [path.read_bytes() for path in sweep.home.rglob("*.json*")]
    assert not any(b"test:tester" in text for text in [said.encode(), *written])
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
    keys = [item["Key"] for page in pages for item in page["Contents"]]
    assert all(key.startswith(("mice/", "artifacts/small/")) for key in keys)
    assert sum(key.endswith("model.safetensors") for key in keys) == swept.N_FOLDS
    assert sum(key.endswith("folds.json") for key in keys) == 4
