"""``calsweep demo``: the whole way on simulated mice, from files to a champion and its report."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import numpy as np

from calsweep.datasets.dataset import open_dataset
from calsweep.datasets.npz import NpzSource
from calsweep.datasets.simulation import Simulation
from calsweep.platform.champion.candidate import best_candidate
from calsweep.platform.champion.gate import Gate
from calsweep.platform.champion.load import load_model
from calsweep.platform.champion.promotion import promote
from calsweep.platform.commands import option
from calsweep.platform.commands.leaderboard import print_leaderboard
from calsweep.platform.commands.page import draw_report
from calsweep.platform.config import compose_settings
from calsweep.platform.ingestion import ingest
from calsweep.platform.object_storage.storage import locate
from calsweep.platform.places import cache_folder, open_cache
from calsweep.platform.prediction import write_predictions
from calsweep.platform.provenance import code_version
from calsweep.platform.record import SweepRecord
from calsweep.platform.sweep import run_sweep

MODEL = "demo-run-decoder"
N_FRAMES = 4000


@click.command()
@option.home
@click.pass_context
def demo(context: click.Context, home: Path) -> None:
    """Simulate mice, ingest, sweep, promote, predict on a new mouse, and draw a report."""
    # One folder for each version of the code: what another version made is left alone.
    name = f"demo-{code_version().partition('+')[2][:6]}"
    folder = home / name
    with _step(1, "Simulating five mice that run and rest, and a sixth for later"):
        _simulate(Simulation(n_mice=5, n_frames=N_FRAMES), folder / "recordings")
        _simulate(Simulation(n_mice=1, first_mouse=6, n_frames=N_FRAMES), folder / "sixth")
    with _step(2, "Ingesting the recordings as checked Parquet datasets"):
        _ingest(folder / "recordings", folder / "mice")
        _ingest(folder / "sixth", folder / "new-mouse")
    with _step(3, "Sweeping recurrent decoders on 20 mouse-wise folds each"):
        sweep = _sweep(name, home=home, address=folder / "mice")
        print_leaderboard(sweep)
    with _step(4, "Promoting the best fold's model, chosen on validation only"):
        gate = Gate(unbeaten_because="the demo goes on with the model that it trained")
        model = promote(best_candidate(sweep), home=home, name=MODEL, gate=gate).model
        click.echo(f"{model.uri} is version {model.version}.")
    with _step(5, "Decoding the sixth mouse, which no fold saw"):
        _predict(model.uri, home=home, folder=folder)
    with _step(6, "Drawing the report"):
        draw_report(context, sweep.name, home)
    _what_now(sweep, home=home, model=model.uri, folder=folder)


@contextmanager
def _step(number: int, what: str) -> Iterator[None]:
    begun = time.monotonic()
    click.secho(f"\n[{number}/6] {what} ...", bold=True)
    yield
    click.echo(f"      done in {time.monotonic() - begun:.0f} s")


def _simulate(simulation: Simulation, folder: Path) -> None:
    """Write recordings as a lab would have them: one .npz a recording."""
    folder.mkdir(parents=True, exist_ok=True)
    for recording in simulation.recordings():
        arrays: dict[str, Any] = {
            "traces": recording.activity_TN,
            "rate_hz": np.float64(recording.rate_hz),
            "region": np.array(recording.units),
            **recording.behavior,
        }
        np.savez_compressed(folder / f"{recording.name}.npz", **arrays)


def _ingest(origin: Path, address: Path) -> None:
    manifest = ingest(NpzSource(), origin=origin, address=str(address), replace=True)
    click.echo(
        f"{address}: {len(manifest.recordings)} recordings, {manifest.n_frames} frames of "
        f"{len(manifest.units)} units at {manifest.rate_hz:g} Hz."
    )


def _sweep(name: str, *, home: Path, address: Path) -> SweepRecord:
    settings = compose_settings(
        [
            f"home={home}",
            f"name={name}",
            f"datasets.address={address}",
            "search_spaces=architecture",
            "search_spaces.trainables.n_hidden.choices=[16,32]",
            "search_spaces.training.learning_rate.low=2e-3",
            "n_trials=4",
            "seed=4",
            "training.epochs=4",
        ]
    )
    return run_sweep(settings)


def _predict(model: str, *, home: Path, folder: Path) -> None:
    dataset = open_dataset(locate(str(folder / "new-mouse")), cache=open_cache(cache_folder(home)))
    out = folder / "new-mouse.parquet"
    out.unlink(missing_ok=True)
    n_frames = write_predictions(load_model(model, home=home), dataset, out)
    click.echo(f"{out}: probability of running at {n_frames} frames.")


def _what_now(sweep: SweepRecord, *, home: Path, model: str, folder: Path) -> None:
    click.secho("\nThere it is:", bold=True)
    click.echo(f"  report      {sweep.folder / 'report.html'}")
    click.echo(f"  model       {model}")
    click.echo(f"  prediction  {folder / 'new-mouse.parquet'}")
    click.echo("\nTry next, with other windows on the same mice:")
    click.echo(
        f"  .venv/bin/calsweep sweep home={home} datasets.address={folder / 'mice'} "
        "search_spaces=window n_trials=6 training.epochs=4"
    )
