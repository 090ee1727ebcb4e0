"""``calsweep track``: bring MLflow up to what a sweep's record holds."""

from __future__ import annotations

from pathlib import Path

import click

from calsweep.platform.commands import option
from calsweep.platform.errors import hide_login
from calsweep.platform.record import SweepRecord, dynamics_folder
from calsweep.platform.record_reader import read_sweep
from calsweep.platform.tracking.address import recorded_tracking_uri, sweep_tracking_uri
from calsweep.platform.tracking.population_tracker import PopulationTrackingThread
from calsweep.platform.tracking.run_writer import Fed
from calsweep.platform.tracking.tracking_errors import TrackingRefused
from calsweep.platform.tracking.tracking_thread import TrackingThread


@click.command()
@click.argument("sweep")
@click.option(
    "--wait-s",
    default=600.0,
    show_default=True,
    type=click.FloatRange(min=1.0),
    help="Seconds at most, all outages of MLflow included.",
)
@option.home
@option.tracking
def track(sweep: str, wait_s: float, home: Path, tracking_uri: str) -> None:
    """Bring MLflow up to what the record of SWEEP holds, as after an outage.

    SWEEP may be a population of `calsweep lfads` as well. What is there stays and is not made
    twice; runs of what has no process any more are closed. Given again it goes on where it ended.
    """
    population = dynamics_folder(home) / sweep
    if (population / "sweep.json").exists():
        _track_population(population, home, wait_s=wait_s, given=tracking_uri)
        return
    record = read_sweep(home, sweep)
    uri = tracking_uri or sweep_tracking_uri(record, home=home)
    shown = hide_login(uri, uri=uri)
    n_folds = sum(len(trial.folds) for trial in record.trials)
    click.echo(f"{_of(record, n_folds)} in the record of {sweep}; MLflow is at {shown}.")
    with TrackingThread(uri, home=home, sweep=sweep) as tracking:
        teller = _Teller(tracking)
        error = tracking.close(deadline_s=wait_s, on_wait=teller.tell)
    if error:
        raise TrackingRefused(shown, f"{error} ({_did(tracking.fed)})")
    click.echo(f"MLflow has all of them: {_did(tracking.fed)}.")


def _track_population(folder: Path, home: Path, *, wait_s: float, given: str) -> None:
    uri = given or recorded_tracking_uri(folder, home=home)
    shown = hide_login(uri, uri=uri)
    click.echo(f"The population {folder.name} is in its folder; MLflow is at {shown}.")
    with PopulationTrackingThread(uri, home=home, sweep=folder.name) as tracking:
        error = tracking.close(deadline_s=wait_s)
    if error:
        raise TrackingRefused(shown, error)
    click.echo("MLflow has all of it.")


class _Teller:
    """Says how far the writing is, when it went on."""

    def __init__(self, tracking: TrackingThread) -> None:
        self._tracking = tracking
        self._told = 0

    def tell(self) -> None:
        n_folds = self._tracking.fed.n_folds
        if n_folds > self._told:
            click.echo(f"{n_folds} folds written")
            self._told = n_folds


def _of(record: SweepRecord, n_folds: int) -> str:
    return f"{n_folds} folds of {len(record.trials)} configurations are"


def _did(fed: Fed) -> str:
    """Say what was done, the least of it left out where it did not happen."""
    did = [f"{fed.n_folds} folds and {fed.n_summaries} summaries written now"]
    if fed.n_closed:
        did.append(f"{fed.n_closed} runs of attempts that died closed")
    if fed.n_removed:
        did.append(f"{fed.n_removed} runs that were there twice removed")
    return ", ".join(did)
