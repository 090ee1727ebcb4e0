"""`ray up` takes the cluster file: Ray's own schema and preparation, short of asking a cloud."""

from pathlib import Path

import pytest
import ray
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

FILE = Path(__file__).parent.parent.parent / "infra/ray-aws.yaml"


@pytest.fixture(scope="module")
def config():
    prepared = prepare_config(yaml.safe_load(FILE.read_text()))
    validate_config(prepared)
    return prepared


def test_head_takes_no_work_and_workers_are_of_the_spot_market(config):
    types = config["available_node_types"]
    assert types["head"]["resources"] == {"CPU": 0}
    assert "InstanceMarketOptions" not in types["head"]["node_config"]
    assert types["gpu"]["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
    assert (types["gpu"]["min_workers"], types["gpu"]["max_workers"]) == (0, 8)


def test_nothing_is_installed_but_the_image(config):
    assert config["setup_commands"] == []
    assert config["head_setup_commands"] == []
    assert "calsweep" in config["docker"]["image"]


def test_every_node_asks_for_the_token(config):
    starts = config["head_start_ray_commands"] + config["worker_start_ray_commands"]
    assert [line.startswith("RAY_AUTH_MODE=token ") for line in starts if "ray start" in line] == [
        True,
        True,
    ]
    assert not any("dashboard-host" in line for line in starts)  # loopback, by Ray's default
    assert list(config["file_mounts"]) == ["/home/ray/.ray/auth_token"]


def test_image_and_manifests_name_the_version_of_ray_that_runs():
    cluster = FILE.parent / "kuberay/cluster/cluster.yaml"
    assert f"rayVersion: {ray.__version__}\n" in cluster.read_text()
