"""A small sweep of four trials over 20 folds, run as a person runs it, and what must hold of it.

Every fault is brought upon this sweep while it runs, and what comes of it is compared with one that
nothing befell.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from calsweep.platform.leaderboard import leaderboard
from calsweep.platform.record import SweepRecord, TrialState
from calsweep.platform.record_reader import read_sweep, record_events

ROOT = Path(__file__).parent.parent.parent
N_FOLDS = 4 * 20
WORKER, TRIAL = TRAINING = "ray::fold", "ray::ResourceTrainable"
WAIT_S = 400.0  # for a sweep to come so far, or to its end, beside much other work
_OF_THE_RUN = {"process", "train_seconds", "compute"}
_MARK = "CALSWEEP_TEST_SWEEP"


def words(address, home, *more) -> list[str]:
    """Give the command, from `sweep` on."""
    return [
        "sweep",
        f"home={home}",
        f"datasets.address={address}",
        "datasets.window.length=11",
        "training.epochs=1",
        "training.epoch_fraction=0.5",
        "training.batch_size=64",
        "baseline_training.epochs=1",
        "n_trials=3",
        "name=small",
        *more,
    ]


def plain_env() -> dict[str, str]:
    """Give the environment without the addresses that other tests may have left there."""
    left = {"RAY_ADDRESS", "MLFLOW_TRACKING_URI", "CALSWEEP_HOME"}
    return {name: value for name, value in os.environ.items() if name not in left}


@dataclass
class Sweep:
    """The sweep in a home of its own, and its processes, which a variable marks.

    Attributes
    ----------
    address
        Of the dataset.
    home
        Where it is recorded.
    env
        Of its processes.
    more
        Settings beside those of all such sweeps.
    """

    address: object
    home: Path
    env: dict[str, str] = field(default_factory=plain_env)
    more: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self._mark = secrets.token_hex(8)
        self.env = {**self.env, _MARK: self._mark}

    @contextlib.contextmanager
    def running(self, *command: str, env: dict[str, str] | None = None) -> Iterator[Driver]:
        """Run it, or another command on it, for the time of the block."""
        arguments = command or words(self.address, self.home, *self.more)
        with tempfile.TemporaryFile() as said:  # a pipe would hold it up when nobody reads
            process = subprocess.Popen(
                [sys.executable, "-m", "calsweep.platform", *map(str, arguments)],
                cwd=ROOT, env={**self.env, **(env or {})}, stdout=said,
                stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
            with process:
                try:
                    yield Driver(process, said.fileno())
                finally:
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(process.pid, signal.SIGKILL)

    def run(self, *command: str, code: int = 0) -> str:
        """Run it, or another command on it, to its end and give what it said."""
        with self.running(*command) as driver:
            return driver.ended(code=code)

    @property
    def folds(self) -> dict[str, int]:
        """Each trained fold's folder, and when it was written."""
        return folds_of(self.home)

    def wait_for(self, n: int, driver: Driver | None = None) -> dict[str, int]:
        """Wait until so many folds are trained, and give them."""
        return wait_for_folds(self.home, n, driver)

    def processes(self, title: str = "") -> list[int]:
        """Give the processes of this sweep, on a Ray of its own, whose command begins so."""
        return processes_with(_MARK, self._mark, title)

    def kill(self, title: str, *, deadline_s: float = WAIT_S) -> int:
        """Kill one process by its title, as the kernel does where memory is short."""
        give_up = time.monotonic() + deadline_s
        while True:
            for pid in self.processes(title):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    return pid
            assert time.monotonic() < give_up, f"no process {title!r}"
            time.sleep(0.02)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold up what trains for the time of the block, so that a fault lasts amid the sweep."""
        held = [pid for title in TRAINING for pid in self.processes(title)]
        self._send(signal.SIGSTOP, held)
        try:
            yield
        finally:
            self._send(signal.SIGCONT, held)

    def lose_cache(self, cache: Path) -> None:
        """Take away what the cache holds, with all processes that train and may still use it."""
        titles = (WORKER, "ray::IDLE")
        self._send(signal.SIGKILL, [pid for title in titles for pid in self.processes(title)])
        for entry in cache.iterdir():
            if entry.name != "locks":
                shutil.rmtree(entry.rename(cache / f".{entry.name}"))

    @staticmethod
    def _send(number: signal.Signals, pids: Iterable[int]) -> None:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def check(self, *, like: SweepRecord, before: dict[str, int], uri: str = "") -> None:
        """Check what must hold after any fault: of the record, of MLflow, and of processes."""
        check_whole(self.home, like=like, before=before)
        check_mlflow(uri or f"sqlite:///{self.home}/mlflow.db")
        wait_until_none_with(_MARK, self._mark)


@dataclass(frozen=True)
class Driver:
    """The process that runs the sweep.

    Attributes
    ----------
    process
        What `subprocess` knows of it.
    output
        Descriptor of the file that it writes to.
    """

    process: subprocess.Popen
    output: int

    @property
    def said(self) -> str:
        """What it said so far."""
        return os.pread(self.output, os.fstat(self.output).st_size, 0).decode()

    def wait_until(self, is_so: Callable[[], object]) -> None:
        """Wait until something is so, while it runs."""
        give_up = time.monotonic() + WAIT_S
        while not is_so():
            assert self.process.poll() is None, self.said
            assert time.monotonic() < give_up, f"it never came to it: {self.said}"
            time.sleep(0.05)

    def kill(self) -> None:
        """Kill it alone: what it started has to see for itself that it is gone."""
        self.process.kill()
        self.process.wait(timeout=60)

    def ended(self, *, code: int = 0) -> str:
        """Wait for its end and give what it said."""
        self.process.wait(timeout=WAIT_S)
        assert self.process.returncode == code, self.said
        return self.said


def run(address, home, *, env: dict[str, str] | None = None) -> str:
    """Run the sweep to its end and give what it said."""
    return Sweep(address, home, env or plain_env()).run()


def folds_of(home: Path) -> dict[str, int]:
    """Give each trained fold's folder, and when it was written."""
    folder = home / "sweeps/small/folds"
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("[!.]*")}


def wait_for_folds(home: Path, n: int, driver: Driver | None = None) -> dict[str, int]:
    give_up = time.monotonic() + WAIT_S
    while len(folds_of(home)) < n:
        assert driver is None or driver.process.poll() is None, driver.said
        assert time.monotonic() < give_up, f"{len(folds_of(home))} of {n} folds"
        time.sleep(0.05)
    return folds_of(home)


def table(sweep: SweepRecord) -> list[tuple]:
    """Give the leaderboard with every figure of every fold, but for who trained when."""
    return [
        (row.trial.name, dict(row.trial.values))
        + tuple(
            tuple((k, str(v)) for k, v in asdict(fold).items() if k not in _OF_THE_RUN)
            for fold in row.trial.folds
        )
        for row in leaderboard(sweep)
    ]


def check_whole(home: Path, *, like: SweepRecord, before: dict[str, int]) -> SweepRecord:
    """Check what must hold of the record after any fault.

    Every fold was trained once and stands in the record, those from before the fault were not
    trained again, and the leaderboard is that of a sweep that nothing befell.
    """
    sweep = read_sweep(home, "small")
    assert [trial.state for trial in sweep.trials] == [TrialState.DONE] * 4
    assert [[fold.fold for fold in trial.folds] for trial in sweep.trials] == [list(range(20))] * 4
    after = folds_of(home)
    assert len(after) == N_FOLDS
    assert {name: after[name] for name in before} == before
    # A line that says `stored` is of a fold that an earlier process had trained.
    lines = [line for line in record_events(sweep.folder) if line["event"] == "fold"]
    assert {line["key"] for line in lines} == set(after)
    trained = Counter(line["key"] for line in lines if not line.get("stored"))
    assert set(trained.values()) == {1}
    assert table(sweep) == table(like)
    return sweep


def check_mlflow(uri: str) -> None:
    """Check that MLflow has every run once, and none that is not over."""
    from mlflow import MlflowClient  # it takes seconds to import, in tests that do not ask it

    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("calsweep/small")
    runs = client.search_runs([experiment.experiment_id], max_results=1000)
    assert Counter(run.info.status for run in runs) == {"FINISHED": 4 + N_FOLDS}
    assert len({run.data.tags["calsweep.run_key"] for run in runs}) == 4 + N_FOLDS


def processes_with(variable: str, value: str, title: str = "") -> list[int]:
    """Give the processes that were started with a variable, this one not among them."""
    marked = re.compile(rb"(^|\0)" + f"{variable}={value}".encode() + rb"\0")
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # ended meanwhile
            is_named = (folder / "cmdline").read_bytes().startswith(title.encode())
            # A process that gave itself a title may have lost a part of its environment to it.
            if is_named and marked.search((folder / "environ").read_bytes()):
                found.append(int(folder.name))
    return [pid for pid in found if pid != os.getpid()]


def wait_until_none_with(variable: str, value: str, title: str = "") -> None:
    """Wait until what was started with a variable has ended; a Ray takes seconds to see it."""
    give_up = time.monotonic() + 90
    while left := processes_with(variable, value, title):
        assert time.monotonic() < give_up, [command_of(pid) for pid in left]
        time.sleep(0.2)


def command_of(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").replace("\0", " ")[:200]
    return ""
