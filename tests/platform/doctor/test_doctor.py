"""`calsweep doctor` on this machine and on a cluster: a line each, and the exit code tells."""

import re
import subprocess
import sys
import time

import pytest

from tests.platform.swept import ROOT
from tests.ray_nodes import free_port, ray_nodes

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def nodes():
    with ray_nodes() as nodes:
        nodes.start_head()
        nodes.add(cpus=1)
        nodes.add(cpus=2)
        yield nodes


def doctor(*overrides, env, code):
    """Give what each check came to, and said."""
    run = subprocess.run(
        [sys.executable, "-m", "calsweep.platform", "doctor", *map(str, overrides)],
        cwd=ROOT, env=env, capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert run.returncode == code, run.stdout + run.stderr
    lines = [re.fullmatch(r"(\S+) +(\S+) +(.*)", line) for line in run.stdout.splitlines()]
    return {line[2]: (line[1], line[3]) for line in lines}


def test_cluster_that_suits_a_sweep(nodes, mice, tmp_path):
    found = doctor(
        f"home={tmp_path / 'home'}", f"datasets.address={mice.folder}", env=nodes.env, code=0
    )
    assert list(found) == [
        "versions", "home", "cache", "devices", "credentials", "storage", "mlflow", "ray",
        "authentication", "resources",
    ]  # fmt: skip
    assert found["storage"] == ("ok", f"{mice.folder} (on disk): 5 recordings, 4500 frames")
    assert found["ray"] == ("ok", f"{nodes.address}: 3 nodes")
    assert found["authentication"] == (
        "ok",
        "the cluster asks for a token, and this process has it",
    )
    assert found["resources"] == ("ok", "3 folds at a time, each 1 CPU")
    assert list(tmp_path.iterdir()) == []  # nothing is left behind


def test_all_that_is_wrong_is_told_at_once(nodes, tmp_path):
    """A job that asks for GPUs where there are none, with a wrong address of everything."""
    port = free_port()
    env = {**nodes.env, "CALSWEEP_CACHE": "/proc/cache"}
    found = doctor(
        f"home={tmp_path}",
        f"datasets.address={tmp_path / 'none'}",
        f"tracking_uri=http://me:secret@127.0.0.1:{port}",
        "resources.gpus=1",
        env=env,
        code=1,
    )
    problems = {name for name, (standing, _) in found.items() if standing == "PROBLEM"}
    assert problems == {"cache", "storage", "mlflow", "resources"}
    assert found["resources"][1].startswith("The sweep would never start, because a fold asks for")
    assert "no dataset" in found["storage"][1].lower()
    assert f"MLflow at http://127.0.0.1:{port} refuses" in found["mlflow"][1]
    assert "secret" not in str(found)


@pytest.mark.parametrize("wrong", ["token", "address"])
def test_cluster_that_lets_nobody_in(nodes, tmp_path, wrong):
    env = nodes.env
    if wrong == "token":
        env["RAY_AUTH_TOKEN"] = "0" * 64
    else:
        env["RAY_ADDRESS"] = f"127.0.0.1:{free_port()}"
    begun = time.monotonic()
    found = doctor(f"home={tmp_path}", env=env, code=1)
    assert time.monotonic() - begun < 180
    assert found["ray"][0] == found["resources"][0] == "PROBLEM"
    assert found["ray"][1].startswith(f"The Ray cluster at {env['RAY_ADDRESS']} cannot be used: ")
    assert {"token": "its token is asked for", "address": "nothing answers there"}[wrong] in (
        found["ray"][1].lower()
    )
    assert env["RAY_AUTH_TOKEN"] not in str(found)


def test_node_that_comes_late_is_waited_for(nodes, mice, tmp_path):
    """No node has three CPUs until one is added, as an autoscaler would."""
    code = (
        "from calsweep.platform.cluster import cluster\n"
        "from calsweep.platform.resources import Resources\n"
        "print('asking', flush=True)\n"
        "with cluster(Resources(cpus=3, nodes_within_s=100)) as n:\n"
        "    print(n)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, env=nodes.env, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "asking\n"
        nodes.add(cpus=3)
        said, _ = process.communicate(timeout=120)
    assert (process.returncode, said) == (0, "1\n")
