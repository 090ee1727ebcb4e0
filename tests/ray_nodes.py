"""A Ray cluster of several nodes on this machine: each on a loopback address of its own.

Nodes are what `ray start` makes, with a token. One that is removed goes as a machine goes that
loses its power: all of its processes at once.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

RAY = Path(sys.executable).with_name("ray")
HEAD = "127.0.0.1"
_UP_S = 90.0
# Of a process that may have started a Ray of its own, which it does as a laptop would.
_AS_A_CLUSTER = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "1"}


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind((HEAD, 0))
        return listener.getsockname()[1]


class Cable:
    """A network namespace, another machine to what runs in it, and the cable to it."""

    here = "10.231.77.1"
    there = "10.231.77.2"
    beside = "10.231.77.3"  # a second machine at this end

    def __init__(self) -> None:
        self.name = f"cs{os.getpid()}"
        self._end = f"{self.name}-0"

    def lay(self) -> None:
        ip("netns", "add", self.name)
        ip("link", "add", self._end, "type", "veth", "peer", "name", "eth0", "netns", self.name)
        for address in (self.here, self.beside):
            ip("addr", "add", f"{address}/24", "dev", self._end)
        ip("link", "set", self._end, "up")
        ip("-n", self.name, "addr", "add", f"{self.there}/24", "dev", "eth0")
        ip("-n", self.name, "link", "set", "eth0", "up")
        ip("-n", self.name, "link", "set", "lo", "up")

    def pull(self) -> None:
        ip("-n", self.name, "link", "set", "eth0", "down")

    def plug_in(self) -> None:
        ip("-n", self.name, "link", "set", "eth0", "up")

    def close(self) -> None:
        """Take away the machine at the other end, and the cable with it."""
        ip("netns", "del", self.name)


@contextlib.contextmanager
def cable() -> Iterator[Cable]:
    """Lay a cable to another machine, or skip the test with the reason."""
    if shutil.which("ip") is None:
        pytest.skip("no network namespace can be made: `ip` (iproute2) is not installed")
    cable = Cable()
    try:
        cable.lay()
    except subprocess.CalledProcessError as error:
        with contextlib.suppress(subprocess.CalledProcessError):
            cable.close()
        pytest.skip(f"no network namespace can be made here: {error.stderr.decode().strip()}")
    with contextlib.closing(cable):
        yield cable


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, timeout=30, capture_output=True)


class RayNodes:
    """A head without work, and nodes that come and go.

    Parameters
    ----------
    host
        Address of the head.
    """

    def __init__(self, host: str = HEAD) -> None:
        self.host = host
        # Sockets need a short path; what is lost with a head has no part in the next.
        self._temp = Path(tempfile.mkdtemp(prefix="cs-", dir="/tmp"))
        self._nodes: list[subprocess.Popen] = []
        self._n_started = 0
        self.port, self.dashboard = free_port(), free_port()
        # A head takes any token that it finds and `ray job submit` does not look for one: said to
        # both. Not this process's, whose tests may run a Ray of their own.
        self.auth = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """Where jobs are submitted."""
        return f"http://{self.host}:{self.dashboard}"

    @property
    def env(self) -> dict[str, str]:
        """What a process needs to reach the cluster."""
        return {**os.environ, **self.auth, **_AS_A_CLUSTER, "RAY_ADDRESS": self.address}

    def start_head(self, *, cpus: int = 0, takes_jobs: bool = True) -> subprocess.Popen:
        return self._start(
            self.host, "--head", f"--port={self.port}", f"--num-cpus={cpus}",
            f"--include-dashboard={takes_jobs}".lower(),
            f"--dashboard-host={self.host}", f"--dashboard-port={self.dashboard}",
            f"--temp-dir={self._temp}",
        )  # fmt: skip

    def add(self, *, cpus: int, host: str = "", cable: Cable | None = None) -> subprocess.Popen:
        """Add a node on this machine, or at the other end of a cable."""
        return self._start(
            cable.there if cable else host or f"127.0.0.{2 + len(self._nodes)}",
            f"--address={self.address}", f"--num-cpus={cpus}",
            within=("ip", "netns", "exec", cable.name) if cable else (),
        )  # fmt: skip

    def remove(self, node: subprocess.Popen) -> None:
        self._nodes.remove(node)
        processes = [psutil.Process(node.pid)]
        processes += processes[0].children(recursive=True)
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(processes, timeout=30)
        node.wait(timeout=30)

    def remove_all(self) -> None:
        for node in reversed(self._nodes):
            self.remove(node)

    def close(self) -> None:
        self.remove_all()
        shutil.rmtree(self._temp, ignore_errors=True)

    def _start(
        self, address: str, *arguments: str, within: tuple[str, ...] = ()
    ) -> subprocess.Popen:
        # Ports are Ray's own choice where it can choose: another Ray of this machine has some.
        command = [
            *within, RAY, "start", "--block", "--disable-usage-stats",
            f"--node-ip-address={address}",
            "--min-worker-port=0", "--max-worker-port=0", "--object-store-memory=200000000",
            f"--dashboard-agent-listen-port={free_port()}", *arguments,
        ]  # fmt: skip
        env = {
            **os.environ,
            **self.auth,
            **_AS_A_CLUSTER,
            "PATH": f"{RAY.parent}:{os.environ['PATH']}",
        }
        env.pop("RAY_ADDRESS", None)
        self._n_started += 1
        log = self._temp / f"node-{self._n_started}.txt"
        with log.open("w") as out:
            node = subprocess.Popen(
                command, env=env, stdout=out, stderr=out, start_new_session=True
            )
        self._nodes.append(node)
        give_up = time.monotonic() + _UP_S
        while "Ray runtime started" not in log.read_text():
            assert node.poll() is None, log.read_text()
            assert time.monotonic() < give_up, log.read_text()
            time.sleep(0.1)
        return node


@contextlib.contextmanager
def ray_nodes(host: str = HEAD) -> Iterator[RayNodes]:
    nodes = RayNodes(host)
    try:
        yield nodes
    finally:
        nodes.close()
