"""``calsweep stop``: end a population before its time."""

from __future__ import annotations

from pathlib import Path

import click

from calsweep.platform.commands import option
from calsweep.platform.population.evolution import STOP_FILE
from calsweep.platform.population.lineage import Lineage
from calsweep.platform.population.population_run import find_population


@click.command()
@click.argument("sweep")
@option.home
def stop(sweep: str, home: Path) -> None:
    """End the population SWEEP, of decoders or of LFADS, with the generation that is under way.

    Decoders are tested and stand on the leaderboard as they are then; of LFADS the best infers.
    """
    folder = find_population(home, sweep).folder
    lineage = Lineage(folder)
    if lineage.end:
        raise ValueError(f"the population of {sweep!r} is over already: {lineage.end}.")
    (folder / STOP_FILE).touch()
    click.echo(f"{sweep} ends with generation {max(lineage.n_generations, 1)}.")
