"""How fast the page is on a sweep of 10,000 fold runs over 64 recordings, in a real browser.

    python -m tests.benchmarks.dashboard [--trials 500] [--home FOLDER]

A second sweep has recordings of 18,000 frames and 600 units to go along, two decoders that are
explained, and a population of 20 members over 50 generations. Records are written through the
sweep's own writer; each time is from the click to the moment that the answer and the figures in
sight stand.
"""

import argparse
import contextlib
import dataclasses
import json
import math
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from playwright.sync_api import sync_playwright

from calsweep.datasets.dataset import read_manifest
from calsweep.datasets.fold import Fold, animal_folds
from calsweep.datasets.recording import Recording
from calsweep.datasets.shard_writer import write_dataset
from calsweep.datasets.simulation import Simulation
from calsweep.datasets.store import FolderStore
from calsweep.platform.explanations.explanation import Explanation, Kind
from calsweep.platform.plain import from_plain, to_plain
from calsweep.platform.record import FoldRecord, TrialState, sweeps_folder
from calsweep.platform.record_writer import Record
from calsweep.platform.score import Epoch, Score
from tests.dashboards.conftest import RECURRENT, SweepWriter
from tests.dashboards.evolved import write_lineage
from tests.dashboards.explained import FACTS
from tests.dashboards.web.conftest import CHROMIUM
from tests.dashboards.web.served import Reader, started

EPOCHS = 30
NAME = "large"
WIDE = "wide"
N_FRAMES = 18_000
N_UNITS = 600
STEPS, EXPLAINED = 31, 10_000
MEMBERS, GENERATIONS = 20, 50
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
    mice = Simulation(n_mice=16, recordings_per_mouse=4, n_frames=N_FRAMES, seed=0).recordings()
    description |= _over_a_dataset(home / "mice", mice, description["dataset"])
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


def write_wide(home: Path) -> None:
    """Write a sweep of two configurations over many units, explained, and its population."""
    with contextlib.ExitStack() as held:
        small = SweepWriter(home=home, held=held, name="pattern")
        small.begin()
        description = json.loads((small.read().folder / "sweep.json").read_text())
    description |= _over_a_dataset(home / "cells", _cells(), description["dataset"])
    plan = from_plain(description["plan"])
    with Record(sweeps_folder(home) / WIDE) as record:
        record.begin({**description, "n_planned": 2})
        for number in (1, 2):
            record.begin_trial(
                number,
                name=f"trial {number}",
                values={"trainables.hidden": 8 * number},
                verdict=to_plain(small.verdict()),
                settings={**description["settings"], "trainables": {"_target_": RECURRENT}},
            )
            for fold in plan.folds:
                key = f"{number:04d}{fold.index:02d}"
                folder = record.folder / "folds" / key
                folder.mkdir()
                _fold(fold, key, auc=0.9).write(folder)
                _predict(fold, folder)
                _explain(folder, null_key=f"0002{fold.index:02d}" if number == 1 else None)
                record.add_fold(number, key=key)
            record.end_trial(number, TrialState.DONE)
        _evolve(record.folder)


def _cells() -> Iterator[Recording]:
    """Give five recordings of many units, the regions of simulated mice over and over."""
    mice = Simulation(n_mice=5, recordings_per_mouse=1, n_frames=N_FRAMES, seed=1)
    rng = np.random.default_rng(1)
    for mouse in mice.recordings():
        often = N_UNITS // len(mouse.units)
        seen = np.tile(mouse.activity_TN, often)
        activity_TN = seen + rng.normal(0, 0.1, size=seen.shape).astype(np.float32)
        units = tuple(f"{unit}_{i}" for i in range(often) for unit in mouse.units)
        yield dataclasses.replace(mouse, activity_TN=activity_TN, units=units)


def _predict(fold: Fold, folder: Path) -> None:
    """Write what a decoder might have said of every frame of the recordings that a fold tests."""
    rng = np.random.default_rng(fold.index)
    tables = []
    for stretch in fold.test:
        frame = np.arange(stretch.start_frame, stretch.stop_frame)
        label = (np.sin(frame / 90) > 0.2).astype(np.int64)
        drift = np.convolve(rng.normal(size=len(frame) + 29), np.ones(30) / 5, mode="valid")
        probability = (1 / (1 + np.exp(-1.6 * (2 * label - 1) - 1.5 * drift))).astype(np.float32)
        recording = [stretch.recording] * len(frame)
        columns = {"recording": recording, "frame": frame, "label": label}
        tables.append(pa.table({**columns, "probability": probability}))
    pq.write_table(pa.concat_tables(tables), folder / "predictions.parquet")


def _explain(folder: Path, *, null_key: str | None) -> None:
    rng = np.random.default_rng(0)
    difference_E = rng.normal(size=EXPLAINED).astype(np.float32)
    Explanation(
        kind=Kind.SHAP,
        options={},
        facts={**FACTS, "window_length": STEPS, "target_offset": STEPS // 2}
        | ({"null_key": null_key} if null_key else {}),
        arrays={
            "importance": rng.uniform(0.01, 0.02, (STEPS, len(FACTS["units"]))).astype(np.float32),
            "sum_E": difference_E,
            "difference_E": difference_E,
            "targets_E": np.arange(EXPLAINED),
        },
    ).write(folder)


def _evolve(folder: Path) -> None:
    """Write a population in which the worst quarter takes over from the best."""
    rng = np.random.default_rng(0)
    lives = [(1, member, None, 1e-3, rng.uniform(0.5, 0.9)) for member in range(1, MEMBERS + 1)]
    latest = lives
    for generation in range(2, GENERATIONS + 1):
        ranked = sorted(latest, key=lambda life: life[4])
        quarter = MEMBERS // 4
        heirs = {
            bad[1]: good for good, bad in zip(ranked[:quarter], ranked[-quarter:], strict=True)
        }
        before = [(life, heirs.get(life[1], life)) for life in latest]
        latest = [
            (generation, own[1], of[1], of[3] * rng.choice([0.8, 1, 1.25]), of[4] * 0.98)
            for own, of in before
        ]
        lives += latest
    write_lineage(folder, lives)


def _over_a_dataset(folder: Path, recordings: Iterable[Recording], dataset: dict) -> dict:
    """Write recordings, and give what a sweep says of them and their folds."""
    write_dataset(recordings, folder=folder)
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

    def turn(link) -> None:
        """Go along a recording: the address changes once the answer is there."""
        before = page.url
        link.click()
        page.wait_for_function("before => location.href !== before", arg=before)

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
    timed("later in the traces", lambda: turn(page.get_by_role("link", name="Later")))
    page.locator("#along select").select_option(index=40)
    timed("traces of another recording", lambda: press_in("#along"))
    timed("check of every shard, begun", lambda: page.get_by_text("Check every shard").click())
    timed("data while shards are checked", lambda: go(f"{at}/data"))
    timed("back to the leaderboard", lambda: go(at))
    _measure_wide(page, go, turn, timed, press_in)
    peak = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    print(f"| peak of the server | {int(peak[1]) / 1024:.0f} MB |")
    print(f"console: {reader.said or 'silent'}")


def _measure_wide(page, go, turn, timed, press_in) -> None:
    """Go along recordings of many units, and look at explanations and a population."""
    at = f"/sweeps/{WIDE}"
    timed(
        "predictions along 18,000 frames of 600 units, first view", lambda: go(f"{at}/predictions")
    )
    drawn = "#activity .plot-container"
    timed("... until the dataset is opened for them", lambda: page.wait_for_selector(drawn))
    timed("a later stretch", lambda: turn(page.get_by_role("link", name="Later")))
    everything = page.get_by_role("link", name="all", exact=True)
    timed("all 18,000 frames at once", lambda: turn(everything))
    timed("the worst stretch", lambda: turn(page.locator("#worst a").first))
    page.locator("#chosen select[name=recording]").select_option(index=3)
    timed("another recording", lambda: press_in("#chosen"))
    timed("explanations of two decoders, first view", lambda: go(f"{at}/explanations"))
    timed("population of 20 over 50 generations, first view", lambda: go(f"{at}/population"))
    page.get_by_label("Ancestors of member").select_option("7")
    timed("ancestors of another member", lambda: press_in("#chosen"))


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
    if not (sweeps_folder(home) / WIDE).exists():
        write_wide(home)
    if not (sweeps_folder(home) / NAME).exists():  # the latest, which the server reads ahead
        write(home, n_trials=given.trials)
    with started(home) as (address, pid), sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        measure(Reader(page=browser.new_page(), address=address), pid)
        browser.close()


if __name__ == "__main__":
    main()
