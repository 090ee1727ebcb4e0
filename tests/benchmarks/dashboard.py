"""How fast the page is on a sweep of 10,000 fold runs over 64 recordings, in a real browser.

    python -m tests.benchmarks.dashboard [--trials 500] [--home FOLDER]

The record is written through the sweep's own writer; each time is from the click to the moment that
the answer and the figures in sight stand.
"""

import argparse
import contextlib
import json
import math
import os
import re
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
from playwright.sync_api import sync_playwright

from calsweep.datasets.dataset import read_manifest
from calsweep.datasets.fold import animal_folds
from calsweep.datasets.shard_writer import write_dataset
from calsweep.datasets.simulation import Simulation
from calsweep.datasets.store import FolderStore
from calsweep.platform.plain import to_plain
from calsweep.platform.record import FoldRecord, TrialState, sweeps_folder
from calsweep.platform.record_writer import Record
from calsweep.platform.score import Epoch, Score
from tests.dashboards.conftest import RECURRENT, SweepWriter
from tests.dashboards.web.conftest import CHROMIUM
from tests.dashboards.web.served import Reader, started

EPOCHS = 30
NAME = "large"
SETTLED = """() => [...document.querySelectorAll('figure[data-source]')].every(figure => {
    const box = figure.getBoundingClientRect();
    return box.top > innerHeight || box.bottom < 0 || figure.dataset.state === 'settled';
})"""


def write(home: Path, *, n_trials: int) -> None:
    """Write a sweep of the linear baseline and others, each on 20 folds."""
    with contextlib.ExitStack() as held:
        small = SweepWriter(home=home, held=held)
        small.begin()
        small.trial(0)
    templates = sorted((small.read().folder / "folds").iterdir())
    description = json.loads((small.read().folder / "sweep.json").read_text())
    description |= _over_a_dataset(home / "mice", description["dataset"])
    rng = np.random.default_rng(0)
    verdict, target = to_plain(small.verdict()), "calsweep.trainables.linear.Linear"
    with Record(sweeps_folder(home) / NAME) as record:
        record.begin({**description, "n_planned": n_trials + 1})
        for number in range(n_trials + 1):
            values = {
                "trainables.cell": str(rng.choice(["gru", "lstm", "simple"])),
                "trainables.hidden": int(rng.integers(4, 64)),
                "training.learning_rate": float(10 ** rng.uniform(-4, -1)),
                "datasets.window.length": int(rng.integers(1, 40)),
            }
            record.begin_trial(
                number,
                name=f"trial {number}" if number else "baseline",
                values=values if number else {},
                verdict=verdict,
                settings={
                    **description["settings"],
                    "trainables": {"_target_": RECURRENT if number else target},
                },
            )
            level = 0.8 + 0.02 * math.log10(values["training.learning_rate"])
            for fold, template in zip(small.plan().folds, templates, strict=True):
                key = f"{number:04d}{fold.index:02d}"
                folder = record.folder / "folds" / key
                folder.mkdir()
                _fold(fold, key, auc=level + rng.normal(0, 0.02)).write(folder)
                shutil.copy(template / "predictions.parquet", folder)
                record.add_fold(number, key=key)
            record.end_trial(number, TrialState.DONE)


def _over_a_dataset(folder: Path, dataset: dict) -> dict:
    """Write 64 recordings of ten minutes, and give what a sweep says of them and their folds."""
    mice = Simulation(n_mice=16, recordings_per_mouse=4, n_frames=18_000, seed=0)
    write_dataset(mice.recordings(), folder=folder)
    manifest = read_manifest(FolderStore(folder))
    plan = animal_folds(manifest, target="run")
    return {
        "dataset": {
            **dataset,
            "address": str(folder),
            "content_hash": manifest.content_hash,
            "rate_hz": manifest.rate_hz,
            "n_units": len(manifest.units),
            "n_frames": manifest.n_frames,
            "subjects": list(manifest.subjects),
            "recordings": [entry.name for entry in manifest.recordings],
        },
        "plan": to_plain(plan),
        "plan_hash": plan.content_hash,
    }


def _fold(fold, key: str, *, auc: float) -> FoldRecord:
    curve = tuple(
        Epoch(
            epoch=epoch,
            train_loss=0.7 / epoch,
            validation=Score(loss=0.7 / epoch + 0.01 * epoch, auc=auc, accuracy=auc),
        )
        for epoch in range(1, EPOCHS + 1)
    )
    score = Score(loss=0.3, auc=auc, accuracy=auc)
    return FoldRecord(
        key=key,
        fold=fold.index,
        test_group=fold.test_group,
        validation_group=fold.validation_group,
        seed=fold.index,
        best_epoch=8,
        curve=curve,
        validation=score,
        test=score,
        n_windows=1000,
        train_seconds=1.0,
        process="here:1",
    )


def measure(reader: Reader, pid: int) -> None:
    """Open the sweep and use each control, and print the seconds that each took."""
    page = reader.page
    at = f"/sweeps/{NAME}"

    def go(path: str) -> None:
        page.goto(f"{reader.address}{path}")

    def press(name: str) -> None:
        with page.expect_navigation():
            page.get_by_role("button", name=name).click()

    def press_in(section: str) -> None:
        with page.expect_navigation():
            page.locator(f"{section} button").click()

    def follow(name: str) -> None:
        with page.expect_navigation():
            page.get_by_role("link", name=name, exact=True).click()

    def timed(what: str, act) -> None:
        begun, worked = time.perf_counter(), _processor_s(pid)
        act()
        page.wait_for_function(SETTLED)
        took_s, server_s = time.perf_counter() - begun, _processor_s(pid) - worked
        print(f"| {what} | {took_s:.2f} | {server_s:.2f} |", flush=True)

    print("| | s | processor of the server, s |\n|---|---|---|")
    timed("list of sweeps, first view", lambda: go("/"))
    timed("the sweep, first view", lambda: follow(NAME))
    timed("next page of the leaderboard", lambda: follow("Next"))
    page.get_by_label("Name or setting").fill("cell=gru")
    timed("filter", lambda: press("Show"))
    for figure in ("history", "importance", "parallel", "spread"):
        scroll = f"document.getElementById('{figure}').scrollIntoView({{behavior: 'instant'}})"
        timed(f"scroll to {figure}", lambda scroll=scroll: page.evaluate(scroll))
    timed("folds of the best", lambda: follow("Folds"))
    page.get_by_label("Configuration").select_option(index=3)
    timed("folds of another", lambda: press("Show"))
    for figure in ("groups", "roc", "confusion", "learning"):
        scroll = f"document.getElementById('{figure}').scrollIntoView({{behavior: 'instant'}})"
        timed(f"scroll to {figure}", lambda scroll=scroll: page.evaluate(scroll))
    timed("compare the best four with the baseline", lambda: follow("Compare"))
    timed("explanations (none)", lambda: follow("Explanations"))
    timed("population (none)", lambda: follow("Population"))
    timed("data", lambda: follow("Data"))
    for figure in ("balance", "traces", "plan"):
        scroll = f"document.getElementById('{figure}').scrollIntoView({{behavior: 'instant'}})"
        timed(f"scroll to {figure}", lambda scroll=scroll: page.evaluate(scroll))
    page.wait_for_selector("#traces .plot-container")  # the dataset is verified and decoded before
    timed("later in the traces", lambda: page.get_by_role("link", name="Later").click())
    page.locator("#along select").select_option(index=40)
    timed("traces of another recording", lambda: press_in("#along"))
    timed("check of every shard, begun", lambda: page.get_by_text("Check every shard").click())
    timed("data while shards are checked", lambda: go(f"{at}/data"))
    timed("back to the leaderboard", lambda: go(at))
    peak = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    print(f"| peak of the server | {int(peak[1]) / 1024:.0f} MB |")
    print(f"console: {reader.said or 'silent'}")


def _processor_s(pid: int) -> float:
    """Give the processor time of a process, which other work on the machine changes little."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Write the record where there is none yet, and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=500)
    parser.add_argument("--home", type=Path)
    given = parser.parse_args()
    home = given.home or Path(tempfile.mkdtemp())
    if not (sweeps_folder(home) / NAME).exists():
        write(home, n_trials=given.trials)
    with started(home) as (address, pid), sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        measure(Reader(page=browser.new_page(), address=address), pid)
        browser.close()


if __name__ == "__main__":
    main()
