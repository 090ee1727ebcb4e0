"""``calsweep stop``: end a sweep before its time."""

from __future__ import annotations

from pathlib import Path

import click

from calsweep.platform.budget import STOP_FILE
from calsweep.platform.commands import option
from calsweep.platform.ownership.lease import read_owner
from calsweep.platform.population.lineage import Lineage
from calsweep.platform.population.population_run import find_dynamics, find_population
from calsweep.platform.record_reader import read_sweep
from calsweep.search_spaces.suggestion import Tuner


@click.command()
@click.argument("sweep")
@option.home
def stop(sweep: str, home: Path) -> None:
    """End SWEEP wherever it runs; `calsweep resume` goes on with it later.

    Of a search, the folds under way end with their epoch. A population, of decoders or of LFADS,
    ends for good with the generation that is under way: decoders are tested and stand on the
    leaderboard as they are then; of LFADS the best infers.
    """
    is_dynamics = find_dynamics(home, sweep) is not None
    if is_dynamics or read_sweep(home, sweep).settings.get("tuner") == Tuner.POPULATION.value:
        _stop_population(sweep, home)
        return
    folder = read_sweep(home, sweep).folder
    owner = read_owner(folder)
    if owner is None or not owner.is_held or owner.process.is_gone:
        raise ValueError(f"nobody runs the sweep {sweep!r}: `calsweep status {sweep}` shows it.")
    (folder / STOP_FILE).touch()
    click.echo(f"{sweep}, run by {owner.process.name}, ends with the epochs under way.")


def _stop_population(sweep: str, home: Path) -> None:
    folder = find_population(home, sweep).folder
    lineage = Lineage(folder)
    if lineage.end:
        raise ValueError(f"the population of {sweep!r} is over already: {lineage.end}.")
    (folder / STOP_FILE).touch()
    click.echo(f"{sweep} ends with generation {max(lineage.n_generations, 1)}.")
