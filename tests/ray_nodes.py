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

RAY = Path(sys.executable).with_name("ray")
HEAD = "127.0.0.1"
_UP_S = 90.0


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind((HEAD, 0))
        return listener.getsockname()[1]


class RayNodes:
    """A head without work, and nodes that come and go."""

    def __init__(self) -> None:
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
        return f"{HEAD}:{self.port}"

    @property
    def url(self) -> str:
        """Where jobs are submitted."""
        return f"http://{HEAD}:{self.dashboard}"

    @property
    def env(self) -> dict[str, str]:
        """What a process needs to reach the cluster."""
        return {**os.environ, **self.auth, "RAY_ADDRESS": self.address}

    def start_head(self, *, cpus: int = 0) -> subprocess.Popen:
        return self._start(
            HEAD, "--head", f"--port={self.port}", f"--num-cpus={cpus}",
            f"--dashboard-host={HEAD}", f"--dashboard-port={self.dashboard}",
            f"--temp-dir={self._temp}",
        )  # fmt: skip

    def add(self, *, cpus: int) -> subprocess.Popen:
        return self._start(
            f"127.0.0.{2 + len(self._nodes)}", f"--address={self.address}", f"--num-cpus={cpus}"
        )

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

    def _start(self, ip: str, *arguments: str) -> subprocess.Popen:
        # Ports are Ray's own choice where it can choose: another Ray of this machine has some.
        command = [
            RAY, "start", "--block", "--disable-usage-stats", f"--node-ip-address={ip}",
            "--min-worker-port=0", "--max-worker-port=0", "--object-store-memory=200000000",
            f"--dashboard-agent-listen-port={free_port()}", *arguments,
        ]  # fmt: skip
        env = {**os.environ, **self.auth, "PATH": f"{RAY.parent}:{os.environ['PATH']}"}
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
def ray_nodes() -> Iterator[RayNodes]:
    nodes = RayNodes()
    try:
        yield nodes
    finally:
        nodes.close()
