"""Nodes of a cluster are lost under a sweep, cut off, or all of them at once with the head.

Each node is a raylet of its own on this machine.
"""

import os
import signal
import time

import pytest

from tests.platform import swept
from tests.ray_nodes import cable, ray_nodes

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
# A node that is silent is given up after some seconds; a minute is what Ray itself waits.
IMPATIENT = {
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "2000",
    "RAY_health_check_failure_threshold": "8",
}


def check(sweep, nodes, *, like, before):
    sweep.check(like=like, before=before)
    for title in ("ray::fold", "ray::ResourceTrainable"):
        swept.wait_until_none_with("RAY_AUTH_TOKEN", nodes.auth["RAY_AUTH_TOKEN"], title)


def test_node_removed_and_then_head_and_all(mice, undisturbed, tmp_path, monkeypatch):
    """The driver lay on the head's machine, as that of a job does."""
    for name, value in IMPATIENT.items():
        monkeypatch.setenv(name, value)
    with ray_nodes() as nodes:
        nodes.start_head(takes_jobs=False)
        first = nodes.add(cpus=1)
        nodes.add(cpus=1)
        sweep = swept.Sweep(mice.folder, tmp_path, nodes.env)
        with sweep.running() as driver:
            first_ones = sweep.wait_for(15, driver)
            nodes.remove(first)
            nodes.add(cpus=1)
            sweep.wait_for(45, driver)
            os.killpg(driver.process.pid, signal.SIGKILL)
            nodes.remove_all()
        swept.wait_until_none_with("RAY_AUTH_TOKEN", nodes.auth["RAY_AUTH_TOKEN"])
        before = sweep.folds
        assert before.items() >= first_ones.items()
        nodes.start_head(takes_jobs=False)
        nodes.add(cpus=2)
        said = sweep.run("resume", "small", "--home", tmp_path)
        assert "Honest figure: test AUC" in said
        check(sweep, nodes, like=undisturbed, before=before)


def test_cable_to_a_node_pulled_for_a_while_and_then_for_long(
    mice, undisturbed, tmp_path, monkeypatch
):
    """What runs at its other end runs on, writes what it trained, and nobody hears of it."""
    for name, value in IMPATIENT.items():
        monkeypatch.setenv(name, value)
    with cable() as it, ray_nodes(it.here) as nodes:
        nodes.start_head(takes_jobs=False)
        nodes.add(cpus=1, host=it.beside)
        nodes.add(cpus=1, cable=it)
        sweep = swept.Sweep(mice.folder, tmp_path, nodes.env)
        with sweep.running() as driver:
            sweep.wait_for(10, driver)
            it.pull()
            time.sleep(2.0)
            it.plug_in()
            sweep.wait_for(25, driver)
            it.pull()
            before = sweep.wait_for(60, driver)
            it.plug_in()
            driver.ended()
        check(sweep, nodes, like=undisturbed, before=before)
