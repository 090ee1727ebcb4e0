"""What a sweep costs beyond its training: (wall time x cores) / (seconds inside training).

    python -m tests.benchmarks.sweep_overhead               the demo's sweep
    python -m tests.benchmarks.sweep_overhead --trials 40   one of about ten minutes on two cores
    python -m tests.benchmarks.sweep_overhead --short --trials 200    folds of about 0.2 s
    python -m tests.benchmarks.sweep_overhead --short --trials 200 --tracking    and MLflow's share

Wall time is that of the whole command, from the shell: imports, start of Ray, search, record,
MLflow and leaderboard. Seconds inside training are those of the record, summed over folds. Memory
is the largest sum of proportional set sizes over all processes of the sweep, read twice a second,
or less often where reading them would take more than a fiftieth of a core.
With `--tracking` the sweep runs in this process, whose thread that feeds MLflow is timed.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from calsweep.datasets.shard_writer import write_dataset
from calsweep.datasets.simulation import Simulation
from calsweep.platform.command import main as main_command
from calsweep.platform.record_reader import read_sweep
from calsweep.platform.tracking import tracking_thread


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=4, help="configurations beside the baseline")
    parser.add_argument("--frames", type=int, default=4000, help="frames of each of five mice")
    parser.add_argument("--short", action="store_true", help="folds that train in about 0.2 s")
    parser.add_argument("--tracking", action="store_true", help="time the thread that feeds MLflow")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        write_dataset(Simulation(n_frames=options.frames).recordings(), folder=home / "mice")
        peak = Peak()
        begun = time.monotonic()
        arguments = command(home, n_trials=options.trials) + (SHORT if options.short else [])
        if options.tracking:
            tracking_s = run_timed(arguments)
        else:
            subprocess.run([sys.executable, "-m", "calsweep.platform", *arguments], check=True)
        wall_s = time.monotonic() - begun
        report(home, wall_s=wall_s, peak_bytes=peak.stop())
        if options.tracking:
            share = tracking_s / (wall_s * (os.cpu_count() or 1))
            print(f"MLflow was fed in {tracking_s:.1f} s of a processor, {share:.1%} of the time")


# Little enough for 0.2 s of one core, and no two of 200 configurations alike.
SHORT = [
    "~search_spaces.trainables.n_hidden", "tuner=random", "trainables.n_hidden=16",
    "datasets.window.length=11", "training.epochs=1",
    "training.epoch_fraction=0.5", "baseline_training.epochs=1",
]  # fmt: skip


def command(home: Path, *, n_trials: int) -> list[str]:
    return [
        "sweep",
        f"home={home}", "name=overhead", f"datasets.address={home / 'mice'}",
        "search_spaces.trainables.n_hidden.choices=[16,32]",
        "search_spaces.training.learning_rate.low=2e-3",
        f"n_trials={n_trials}", "seed=4", "training.epochs=4",
    ]  # fmt: skip


def run_timed(arguments: list[str]) -> float:
    """Run a command in this process, and give what the thread took of it that feeds MLflow."""
    took = []
    run = tracking_thread.TrackingThread._run

    def timed(self) -> None:
        run(self)
        took.append(time.thread_time())

    tracking_thread.TrackingThread._run = timed
    with contextlib.suppress(SystemExit):
        main_command(arguments)
    return sum(took)


def report(home: Path, *, wall_s: float, peak_bytes: int) -> None:
    sweep = read_sweep(home, "overhead")
    folds = [fold for trial in sweep.trials for fold in trial.folds]
    train_s = sum(fold.train_seconds for fold in folds)
    cores = os.cpu_count() or 1
    print(
        f"{len(sweep.trials)} configurations, {len(folds)} folds, {cores} cores: "
        f"wall {wall_s:.0f} s, inside training {train_s:.0f} s, "
        f"{train_s / len(folds):.2f} s a fold, overhead {wall_s * cores / train_s:.3f}, "
        f"training {train_s / (wall_s * cores):.0%} of the time, "
        f"memory at most {peak_bytes / 1e9:.2f} GB"
    )


class Peak:
    """The largest memory of all processes that began after this, or of those of one session."""

    def __init__(self, *, session: int | None = None, every_s: float = 0.5) -> None:
        self._before = set(processes())
        self._session = session
        self._every_s = every_s
        self._largest = 0
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> int:
        self._ending.set()
        self._thread.join()
        return self._largest

    def _watch(self) -> None:
        pause_s = self._every_s
        while not self._ending.wait(pause_s):
            begun = time.thread_time()
            now = sum(memory_of(pid) for pid in self._counted())
            self._largest = max(self._largest, now)
            pause_s = max(self._every_s, 50 * (time.thread_time() - begun))

    def _counted(self) -> set[int]:
        if self._session is None:
            return set(processes()) - self._before
        return {pid for pid in processes() if session_of(pid) == self._session}


def processes() -> list[int]:
    return [int(path.name) for path in Path("/proc").glob("[0-9]*")]


def session_of(pid: int) -> int:
    """Give the session of a process, which those that it starts share; 0 if it is gone."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[3])
    except OSError:
        return 0


def memory_of(pid: int) -> int:
    """Give a process's memory, pages shared with others counted by their share."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


if __name__ == "__main__":
    main()
