"""A real MLflow server on loopback, and a real PostgreSQL, that can be taken away and come back."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

START_S = 150.0


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@dataclass
class MlflowServer:
    """MLflow with a database and a folder of artifacts, at one address however often it starts."""

    folder: Path
    store: str = ""
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1",
                    "--port", str(self.port), "--workers", "1",
                    "--backend-store-uri", self.store or f"sqlite:///{self.folder}/mlflow.db",
                    "--artifacts-destination", str(self.folder / "artifacts"),
                ],
                stdout=log, stderr=log, start_new_session=True,
                env={
                    **os.environ,
                    "MLFLOW_DISABLE_TELEMETRY": "true",
                    # Of nine processes that nobody here asks anything of.
                    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
                },
            )  # fmt: skip
        wait_until(self.answers, why=self.folder / "server.log")

    def answers(self) -> bool:
        with contextlib.suppress(OSError):
            with urllib.request.urlopen(f"{self.url}/health", timeout=5) as answer:
                return bool(answer.status == 200)
        return False

    def kill(self) -> None:
        """End it as the kernel does where memory is short: it can say nothing more."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


@dataclass
class Postgres:
    """A PostgreSQL of its own, on loopback."""

    folder: Path
    binaries: Path
    port: int = field(default_factory=free_port)

    @property
    def uri(self) -> str:
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/postgres"

    def make(self) -> None:
        if os.getuid() == 0:  # it refuses to run as root
            shutil.chown(self.folder, "postgres")
        self._run("initdb", "-D", self._data, "-U", "postgres", "--auth=trust", "--no-sync")

    def start(self) -> None:
        settings = f"-p {self.port} -c listen_addresses=127.0.0.1 -k {self.folder} -F"
        log = str(self.folder / "log")
        self._run("pg_ctl", "-D", self._data, "-w", "-t", "60", "-l", log, "-o", settings, "start")

    def stop(self) -> None:
        """End it at once, with all its connections."""
        self._run("pg_ctl", "-D", self._data, "-w", "-t", "60", "-m", "immediate", "stop")

    @property
    def _data(self) -> str:
        return str(self.folder / "data")

    def _run(self, command: str, *arguments: str) -> None:
        user = "postgres" if os.getuid() == 0 else None
        run = subprocess.run(
            [self.binaries / command, *arguments], user=user, cwd=self.folder,
            stdin=subprocess.DEVNULL, capture_output=command == "initdb", timeout=120,
        )  # fmt: skip
        assert run.returncode == 0, f"{command} {arguments}: {run.stderr!r}"


def postgres_binaries() -> Path:
    """Find PostgreSQL, or skip the test with the reason."""
    if importlib.util.find_spec("psycopg") is None:
        pytest.skip("psycopg is not installed (pip install 'calsweep[postgresql]')")
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    on_path = shutil.which("initdb")
    if on_path:
        found.append(Path(on_path).resolve())
    if not found:
        pytest.skip("PostgreSQL is not installed (initdb and pg_ctl)")
    return found[-1].parent


@contextlib.contextmanager
def postgres() -> Iterator[Postgres]:
    """Run a PostgreSQL of its own for the time of the block."""
    binaries = postgres_binaries()
    # Not in pytest's folder, which none but its owner may enter.
    folder = Path(tempfile.mkdtemp(prefix="calsweep-postgres-"))
    server = Postgres(folder=folder, binaries=binaries)
    try:
        server.make()
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def wait_until(is_so, *, why: Path | str = "", deadline_s: float = START_S) -> None:
    give_up = time.monotonic() + deadline_s
    while not is_so():
        told = why.read_text()[-2000:] if isinstance(why, Path) else why
        assert time.monotonic() < give_up, f"it never came to it: {told}"
        time.sleep(0.1)
