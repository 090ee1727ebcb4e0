"""A population killed at seeded moments and gone on with: does it end as the one left alone?

    python -m tests.benchmarks.population_kills              # the driver, then workers: ten each
    python -m tests.benchmarks.population_kills --only driver --first 3 --n 2

Eight members, a small GRU on two folds of five short simulated mice. The driver is killed (SIGKILL)
once: in the first ten seconds, inside a save of a member's state, just after a member began to
take over another's, or at a moment drawn over all generations; then `calsweep resume` goes on.
Workers are killed all along, each time after one to eight further lines of the lineage. What is
compared: who went on from whom in every generation, all values and losses to the last bit, and the
figures of every fold of every member.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from calsweep.datasets.shard_writer import write_dataset
from calsweep.datasets.simulation import Simulation
from calsweep.platform.population.lineage import Lineage
from calsweep.platform.record_reader import read_sweep
from tests.benchmarks.sweep_overhead import processes, session_of

NAME = "pop"
FOLDS = (
    "[{train: [mouse1_r1, mouse2_r1, mouse3_r1], validation: [mouse4_r1], test: [mouse5_r1]},"
    " {train: [mouse3_r1, mouse4_r1, mouse5_r1], validation: [mouse1_r1], test: [mouse2_r1]}]"
)
DEADLINE_S = 900.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=["driver", "workers"])
    parser.add_argument("--first", type=int, default=0, help="number of the first round")
    parser.add_argument("--n", type=int, default=10, help="rounds of each kind")
    parser.add_argument("--alone", type=Path, help="home of one that was left alone before")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        mice = Simulation(n_mice=5, recordings_per_mouse=1, n_frames=900, seed=1)
        write_dataset(mice.recordings(), folder=folder / "mice")
        begun = time.monotonic()
        if not options.alone:
            finish(folder, folder / "alone")
        whole_s = time.monotonic() - begun
        alone = rows(options.alone or folder / "alone")
        print(f"left alone: {whole_s:.0f} s, {len(alone)} lives and folds", flush=True)
        for kind in [options.only] if options.only else ["driver", "workers"]:
            n_same = 0
            for number in range(options.first, options.first + options.n):
                home = folder / f"{kind}-{number}"
                if kind == "driver":
                    what = kill_driver(folder, home, number)
                else:
                    what = kill_workers(folder, home, number)
                is_same = rows(home) == alone
                n_same += is_same
                print(f"{kind} {number}: {what}: {'the same' if is_same else 'OTHER'}", flush=True)
            print(f"{kind}: {n_same} of {options.n} the same", flush=True)


def begin(folder: Path, home: Path) -> list[str]:
    return [
        "sweep", f"home={home}", f"name={NAME}", f"datasets.address={folder / 'mice'}",
        "datasets.window.length=11", "datasets/folds=listed", f"datasets.folds.folds={FOLDS}",
        "training.batch_size=64",
        "training.epoch_fraction=0.5", "baseline_training.epochs=1", "trainables.n_hidden=4",
        "tuner=population", "search_spaces=optimization", "population.size=8",
        "population.generations=5", "resources.retries=50",
    ]  # fmt: skip


def kill_driver(folder: Path, home: Path, number: int) -> str:
    random_ = random.Random(number)
    members = home / "sweeps" / NAME / "members"
    lineage = home / "sweeps" / NAME / "lineage.jsonl"
    process = start(begin(folder, home))
    begun = time.monotonic()
    if number % 10 == 0:
        moment_s = random_.uniform(1.0, 10.0)
        time.sleep(moment_s)
        where = "in the first ten seconds"
    elif number % 10 == 1:
        n_before = random_.randint(0, 30)
        until(process, lambda: n_lines(lineage) >= n_before and has(members, ".partial"))
        where = "inside a save"
    elif number % 10 == 2:
        generation = random_.randint(2, 5)
        until(process, lambda: has(members, ".attempts", f".{generation:04d}"))
        where = "inside an exploit"
    else:
        n_before, wait_s = random_.randint(0, 40), random_.uniform(0.0, 2.0)
        until(process, lambda: n_lines(lineage) >= n_before)
        time.sleep(wait_s)
        where = "anywhere"
    process.send_signal(signal.SIGKILL)
    process.wait()
    at_s, n = time.monotonic() - begun, n_lines(lineage)
    finish(folder, home)
    end_group(process)
    return f"killed {where}, after {at_s:.1f} s with {n} lines"


def kill_workers(folder: Path, home: Path, number: int) -> str:
    random_ = random.Random(1000 + number)
    lineage = home / "sweeps" / NAME / "lineage.jsonl"
    n_killed = n_begun = 0
    begun = time.monotonic()
    code = -1
    while code != 0:
        process = start(next_command(folder, home))
        n_begun += 1
        next_lines = n_lines(lineage) + random_.randint(1, 8)
        while process.poll() is None:
            assert time.monotonic() - begun < DEADLINE_S, "it does not end"
            time.sleep(0.02)
            if n_lines(lineage) < next_lines:
                continue
            time.sleep(random_.uniform(0.0, 1.0))
            workers = workers_of(process.pid)
            if workers:
                os.kill(random_.choice(workers), signal.SIGKILL)
                n_killed += 1
                # By what was done, so that a busy machine, where they start slowly, comes on too.
                next_lines = n_lines(lineage) + random_.randint(1, 8)
        code = process.returncode
        end_group(process)
    attempts = sum(
        life.attempt
        for generation in range(1, 6)
        for life in Lineage(lineage.parent).generation(generation).values()
    )
    return f"{n_killed} workers killed, begun {n_begun} times, 40 lives in {attempts} attempts"


def rows(home: Path) -> list[Any]:
    """What has to be the same however often a sweep was killed."""
    sweep = read_sweep(home, NAME)
    lineage = Lineage(sweep.folder)
    lives: list[Any] = [
        (number, life.member, life.parent, dict(life.values), life.score)
        for number in range(1, lineage.n_generations + 1)
        for life in lineage.generation(number).values()
    ]
    folds = [
        (trial.name, trial.state, dict(trial.values), fold.key, fold.validation, fold.test)
        for trial in sweep.trials
        for fold in trial.folds
    ]
    return lives + folds


def start(arguments: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "calsweep.platform", *arguments],
        stdout=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip


def next_command(folder: Path, home: Path) -> list[str]:
    is_there = (home / "sweeps" / NAME / "sweep.json").exists()
    return ["resume", NAME, "--home", str(home)] if is_there else begin(folder, home)


def finish(folder: Path, home: Path) -> None:
    """Begin a sweep or go on with it, once more where Ray does not start on a busy machine."""
    for _ in range(5):
        process = start(next_command(folder, home))
        try:
            code = process.wait(DEADLINE_S)
        finally:
            end_group(process)
        if code == 0:
            return
    raise AssertionError(f"exit code {code}")


def end_group(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def until(process: subprocess.Popen[bytes], is_so: Callable[[], bool]) -> None:
    """Wait as closely as can be, until it is so or there is nothing left to kill."""
    deadline = time.monotonic() + DEADLINE_S
    while not is_so() and process.poll() is None:
        assert time.monotonic() < deadline, "it never came to it"


def has(folder: Path, suffix: str, prefix: str = "") -> bool:
    try:
        return any(
            entry.name.endswith(suffix) and entry.name.startswith(prefix)
            for entry in os.scandir(folder)
        )
    except FileNotFoundError:
        return False


def n_lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def workers_of(session: int) -> list[int]:
    """Give the processes of a session in which Ray works on something, or could."""
    found = []
    for pid in processes():
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        # Without its agents a node ends, and every process on it.
        is_worker = command.startswith(b"ray::") and b"Agent" not in command
        if is_worker and session_of(pid) == session:
            found.append(pid)
    return sorted(found)


if __name__ == "__main__":
    main()
