"""``calsweep resume``: go on with a sweep that was interrupted."""

from __future__ import annotations

from pathlib import Path

import click

from calsweep.platform.commands import option
from calsweep.platform.commands.sweep import run_and_show
from calsweep.platform.config import settings_of
from calsweep.platform.population.population_run import find_dynamics
from calsweep.platform.record import read_sweep


@click.command()
@click.argument("sweep")
@option.home
def resume(sweep: str, home: Path) -> None:
    """Go on with SWEEP where it was interrupted; it ends as if it had not been.

    What is done is taken from its record. The command that began it, given again, does the same.
    """
    dynamics = find_dynamics(home, sweep)
    if dynamics is None:
        run_and_show(settings_of(read_sweep(home, sweep), home=home))
        return
    from calsweep.platform.dynamics.sweep import run_dynamics

    inferred = run_dynamics(dynamics, say=click.echo)
    for name, file in inferred.files.items():
        click.echo(f"{name}: rates, factors and inferred inputs in {file}")
