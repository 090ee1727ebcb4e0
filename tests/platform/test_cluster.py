"""A cluster of our own comes up, or what is wrong is said; what there is is counted."""

import subprocess
import sys

import pytest

from calsweep.platform.cluster import NeverStarts, n_parallel
from calsweep.platform.resources import Resources

# In a process of its own: Ray is one to a process.
FAILING = """
import sys
import ray
from calsweep.platform.cluster import RayNotStarted, cluster
from calsweep.platform.resources import Resources

n_failing, tries, init = int(sys.argv[1]), [], ray.init

def start(**settings):
    tries.append(settings["address"])
    if len(tries) <= n_failing:  # as Ray fails on a busy machine
        raise Exception("The current node timed out during startup.")
    init(**settings, num_cpus=1)

ray.init = start
try:
    with cluster(Resources()) as n_folds:
        print(n_folds, ray.is_initialized())
except RayNotStarted as error:
    print(error)
print(tries, ray.is_initialized())
"""


LISTENING = """
import psutil
import calsweep.platform.commands.sweep  # all that a sweep imports, in its order
from calsweep.platform.cluster import cluster
from calsweep.platform.resources import Resources

with cluster(Resources()):
    own = psutil.Process()
    for process in (own, *own.children(recursive=True)):
        for open in process.net_connections(kind="inet"):
            if open.status == psutil.CONN_LISTEN:
                print(open.laddr.ip)
"""


def start(*, n_failing, monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    told = subprocess.run(
        [sys.executable, "-c", FAILING, str(n_failing)],
        capture_output=True, text=True, timeout=180,
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
    return told.stdout.splitlines()


def test_start_that_fails_once_is_tried_again(monkeypatch):
    said = start(n_failing=1, monkeypatch=monkeypatch)
    assert said == ["1 True", "['local', 'local'] False"]


def test_start_that_fails_twice_is_told(monkeypatch):
    assert start(n_failing=2, monkeypatch=monkeypatch) == [
        "Ray did not start on this machine, nor on a second try: The current node timed out during "
        "startup. End other work on the machine, or name a cluster that runs in RAY_ADDRESS.",
        "['local', 'local'] False",
    ]


def test_ray_of_our_own_listens_on_loopback_alone(monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    told = subprocess.run(
        [sys.executable, "-c", LISTENING], capture_output=True, text=True, timeout=180
    )
    assert told.returncode == 0, told.stderr
    addresses = told.stdout.split()
    assert len(addresses) >= 3  # GCS, raylet, workers
    assert {address.removeprefix("::ffff:") for address in addresses} == {"127.0.0.1"}


def test_fold_that_never_fits_is_told():
    with pytest.raises(NeverStarts, match=r"\{'CPU': 4\} and the cluster has \{'CPU': 2.0\}"):
        n_parallel(Resources(num_workers=2, cpus=2), nodes=[{"CPU": 2.0}])


def test_gpu_that_no_node_has_is_told():
    with pytest.raises(NeverStarts) as told:
        n_parallel(Resources(gpus=1), nodes=[{"CPU": 2.0}])
    assert str(told.value) == (
        "The sweep would never start, because a fold asks for {'CPU': 1, 'GPU': 1} and the cluster "
        "has {'CPU': 2.0, 'GPU': 0.0}: ask for less with resources.num_workers, resources.cpus or "
        "resources.gpus."
    )


def test_worker_that_fits_onto_no_single_node_is_told():
    """Four CPUs are there, but no node has three."""
    with pytest.raises(NeverStarts, match=r"have \[\{'CPU': 2.0\}, \{'CPU': 2.0\}\]"):
        n_parallel(Resources(cpus=3), nodes=[{"CPU": 2.0}, {"CPU": 2.0}])


def test_workers_of_a_fold_may_lie_on_several_nodes():
    nodes = [{"CPU": 2.0, "GPU": 1.0}, {"CPU": 2.0, "GPU": 1.0}, {"CPU": 64.0}]
    assert n_parallel(Resources(num_workers=2, gpus=1), nodes=nodes) == 1
    assert n_parallel(Resources(gpus=0.5), nodes=nodes) == 4
