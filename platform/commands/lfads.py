"""``calsweep lfads``: train LFADS or RADICaL with a population and infer the rates of trials."""

from __future__ import annotations

import click

from calsweep.platform.config import compose_dynamics, variants
from calsweep.platform.dynamics_sweep import run_dynamics


def _help() -> str:
    return f"""Train LFADS or RADICaL with a population, and infer rates of every trial.

    OVERRIDES are GROUP=VARIANT or DOTTED.NAME=VALUE:

    \b
      datasets.address=ADDRESS       the dataset (a folder or s3://...)
      datasets.recordings=[NAME]     some of its recordings (all, with read-ins of their own)
      datasets.bins_per_frame=3      bins finer than a frame, by when each unit is sampled
      datasets.condition=NAME        datasets.measures=[x,y,z]
      trainables={"|".join(variants("trainables/lfads"))}
      search_spaces=autolfads        population.size=20  population.generation=50 ...
      training.batch_size=128        training.ramp_epochs=80 ...
      seed=0  name=NAME  home=FOLDER  resources.gpus=1

    What was interrupted goes on when the same command is given again.
    """


@click.command(help=_help(), context_settings={"ignore_unknown_options": True})
@click.argument("overrides", nargs=-1)
def lfads(overrides: tuple[str, ...]) -> None:
    """Compose, build, run."""
    inferred = run_dynamics(compose_dynamics(overrides), say=click.echo)
    best = inferred.best
    values = ", ".join(f"{n.rpartition('.')[2]} {v:.3g}" for n, v in best.values.items())
    click.echo(
        f"Best: member {best.member} of generation {best.generation}, validation loss "
        f"{best.score:.5g} nats a value ({values})."
    )
    for name, file in inferred.files.items():
        click.echo(f"{name}: rates, factors and inferred inputs in {file}")
