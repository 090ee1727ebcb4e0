"""A small sweep of four trials over 20 folds, run as a person runs it, and what must hold of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import psutil

from calsweep.platform.leaderboard import leaderboard
from calsweep.platform.record import SweepRecord, TrialState, read_sweep

ROOT = Path(__file__).parent.parent.parent
N_FOLDS = 4 * 20
_OF_THE_RUN = {"process", "train_seconds", "compute"}


def words(address, home, *more) -> list[str]:
    """Give the command, from `sweep` on."""
    return [
        "sweep",
        f"home={home}",
        f"datasets.address={address}",
        "datasets.window.length=11",
        "training.epochs=1",
        "training.batch_size=64",
        "baseline_training.epochs=1",
        "n_trials=3",
        "name=small",
        *more,
    ]


def begin(address, home, *more, env) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "calsweep.platform", *words(address, home, *more)],
        cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
    )  # fmt: skip


def run(address, home, *more, env, code: int = 0) -> str:
    """Run the sweep to its end and give what it said."""
    with begin(address, home, *more, env=env) as process:
        return ended(process, code=code)


def ended(process: subprocess.Popen, *, code: int = 0) -> str:
    try:
        said, _ = process.communicate(timeout=240)
    finally:
        process.kill()
    assert process.returncode == code, said
    return said


def folds_of(home: Path) -> dict[str, int]:
    """Give each trained fold's folder, and when it was written."""
    folder = home / "sweeps/small/folds"
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("[!.]*")}


def wait_for_folds(home: Path, n: int, process: subprocess.Popen | None = None) -> dict[str, int]:
    give_up = time.monotonic() + 120
    while len(folds_of(home)) < n:
        assert process is None or process.poll() is None, process.communicate()[0]
        assert time.monotonic() < give_up, f"{len(folds_of(home))} of {n} folds"
        time.sleep(0.1)
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
    """Check what must hold after any fault.

    Every fold stands in the record once, those from before the fault were not trained again, and
    the leaderboard is that of a sweep that nothing befell.
    """
    sweep = read_sweep(home, "small")
    assert [trial.state for trial in sweep.trials] == [TrialState.DONE] * 4
    assert Counter(len(trial.folds) for trial in sweep.trials) == {20: 4}
    after = folds_of(home)
    assert len(after) == N_FOLDS
    assert {name: after[name] for name in before} == before
    assert table(sweep) == table(like)
    return sweep


def check_mlflow(home: Path, ask_mlflow) -> None:
    """Check that MLflow has every run once, and none that is not over."""
    import mlflow

    ask_mlflow(home)
    runs = mlflow.search_runs(experiment_names=["calsweep/small"], max_results=1000)
    assert Counter(runs.status) == {"FINISHED": 4 + N_FOLDS}


def n_trained(home: Path) -> Counter:
    """Count how often the record was told of each fold, in the last run of its trial."""
    counts: Counter = Counter()
    for line in (home / "sweeps/small/record.jsonl").read_text().splitlines():
        event = json.loads(line)
        if event["event"] == "trial":
            counts = Counter({k: n for k, n in counts.items() if k[0] != event["trial"]})
        elif event["event"] == "fold":
            counts[event["trial"], event["key"]] += 1
    return counts


def processes_with(variable: str, value: str) -> list[str]:
    """Name the processes that have a variable in their environment, this one not among them."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get(variable) == value:
                found.append(" ".join(process.cmdline()) or process.name())
        except psutil.Error:  # ended meanwhile, or another's
            continue
    return found


def wait_until_none_with(variable: str, value: str) -> None:
    give_up = time.monotonic() + 60
    while left := processes_with(variable, value):
        assert time.monotonic() < give_up, left
        time.sleep(0.2)
