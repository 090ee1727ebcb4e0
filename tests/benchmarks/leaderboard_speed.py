"""How long the leaderboard of a sweep of 10,000 fold runs takes, from the shell and in a process.

    python -m tests.benchmarks.leaderboard_speed

500 configurations on 20 folds of five groups of animals, 30 epochs each, with figures drawn from a
seed and written as a sweep writes them.
"""

from __future__ import annotations

import argparse
import itertools
import json
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np

from calsweep.datasets.audit import Verdict
from calsweep.datasets.fold import Fold, FoldPlan, Stretch
from calsweep.platform.compute import Compute
from calsweep.platform.leaderboard import leaderboard, nested_choice
from calsweep.platform.plain import to_plain
from calsweep.platform.record import FoldRecord
from calsweep.platform.record_reader import read_sweep
from calsweep.platform.record_writer import Record
from calsweep.platform.score import Epoch, Score

N_EPOCHS = 30
SETTINGS = {
    "trainables": {"_target_": "calsweep.trainables.recurrent.Recurrent", "n_hidden": 32},
    "datasets": {"_target_": "calsweep.datasets.view.View", "address": "mice", "target": "run"},
    "training": {"_target_": "calsweep.platform.fold.training.Training", "epochs": N_EPOCHS},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        write(home, n_trials=options.trials)
        for _ in range(options.rounds):
            begun = time.perf_counter()
            sweep = read_sweep(home, "many")
            read_s = time.perf_counter() - begun
            rows, nested = leaderboard(sweep), nested_choice(sweep)
            inside_s = time.perf_counter() - begun
            cpu_s = -cpu_of_children()
            begun = time.perf_counter()
            command = [sys.executable, "-m", "calsweep.platform", "leaderboard", "many"]
            subprocess.run([*command, "--home", str(home)], check=True, capture_output=True)
            shell_s = time.perf_counter() - begun
            cpu_s += cpu_of_children()
            print(
                f"{sum(len(row.trial.folds) for row in rows)} fold runs, {len(nested)} groups: "
                f"read {read_s:.2f} s, read and ranked {inside_s:.2f} s, command {shell_s:.2f} s "
                f"({cpu_s:.2f} s of a core)"
            )


def cpu_of_children() -> float:
    """Give the seconds of cores that ended children took, which other work does not lengthen."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def write(home: Path, *, n_trials: int) -> None:
    plan = _plan()
    rng = np.random.default_rng(0)
    folder = home / "sweeps" / "many"
    with Record(folder) as record:
        record.begin(
            {
                "settings": {"seed": 0},
                "dataset": {"address": "mice", "content_hash": "da7a" * 16, "target": "run"},
                "plan": to_plain(plan),
                "plan_hash": plan.content_hash,
                "code_version": "1",
                "verdict": to_plain(Verdict()),
                "n_planned": n_trials,
            }
        )
        record.append({"event": "owner"})
        with (folder / "record.jsonl").open("a") as file:  # 10,000 times onto the disk take a while
            for number in range(n_trials):
                for line in _lines(folder, plan, number, rng):
                    file.write(json.dumps({**line, "token": 1, "worked_s": 1.0, "at": 0.0}) + "\n")


def _lines(folder: Path, plan: FoldPlan, number: int, rng: np.random.Generator):
    name = f"trial {number}" if number else "baseline"
    about = {"name": name, "values": {"trainables.n_hidden": number}, "settings": SETTINGS}
    yield {"event": "trial", "trial": number, **about, "verdict": to_plain(Verdict())}
    for fold in plan.folds:
        done = _fold(fold, key=f"{number:016d}{fold.index:016d}", auc=float(rng.uniform(0.6, 0.99)))
        (folder / "folds" / done.key).mkdir()
        done.write(folder / "folds" / done.key)
        figures = {key: value for key, value in asdict(done).items() if key != "curve"}
        yield {"event": "fold", "trial": number, "key": done.key, "figures": figures}
    yield {"event": "end", "trial": number, "state": "done", "error": "", "may_pass": False}


def _fold(fold: Fold, *, key: str, auc: float) -> FoldRecord:
    score = Score(loss=0.3, auc=auc, accuracy=0.8, precision=0.7, recall=0.6, f1=0.65)
    return FoldRecord(
        key=key,
        fold=fold.index,
        test_group=fold.test_group,
        validation_group=fold.validation_group,
        seed=fold.index,
        best_epoch=7,
        curve=tuple(
            Epoch(epoch=epoch, train_loss=1 / epoch, validation=score)
            for epoch in range(1, N_EPOCHS + 1)
        ),
        validation=score,
        test=score,
        n_windows=100_000,
        train_seconds=12.5,
        process="here:1",
        compute=Compute(device_seconds=13.0, cpu_seconds=12.0, bytes_read=10**6, n_attempts=1),
    )


def _plan() -> FoldPlan:
    def part(*groups: int) -> tuple[Stretch, ...]:
        names = (f"m{group}_r{i}" for group in groups for i in range(4))
        return tuple(Stretch(recording=n, start_frame=0, stop_frame=18_000) for n in names)

    return FoldPlan(
        name="animals",
        groups=tuple((f"m{group}",) for group in range(5)),
        folds=tuple(
            Fold(
                index=index,
                test_group=test,
                validation_group=validation,
                train=part(*(g for g in range(5) if g not in (test, validation))),
                validation=part(validation),
                test=part(test),
            )
            for index, (test, validation) in enumerate(itertools.permutations(range(5), 2))
        ),
    )


if __name__ == "__main__":
    main()
