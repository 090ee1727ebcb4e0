"""``calsweep lfads``: train LFADS or RADICaL with a population and infer the rates of trials."""

from __future__ import annotations

from collections.abc import Sequence

import click

from calsweep.platform.config import (
    DYNAMICS_EXPERIMENTS,
    ExperimentCommand,
    compose_dynamics,
    experiment_of,
    variants,
)
from calsweep.platform.dynamics.experiment import order_of_methods, run_experiment
from calsweep.platform.dynamics.settings import DynamicsSettings
from calsweep.platform.dynamics.sweep import run_dynamics


def _help() -> str:
    return f"""Train LFADS or RADICaL with a population, and infer rates of every trial.

    OVERRIDES are GROUP=VARIANT or DOTTED.NAME=VALUE:

    \b
      datasets.address=ADDRESS       the dataset (a folder or s3://...)
      datasets.recordings=[NAME]     some of its recordings (all, with read-ins of their own)
      datasets.beside=[ADDRESS]      further datasets, of other neurons: trainables.n_aligned=8
      datasets.bins_per_frame=3      bins finer than a frame, by when each unit is sampled
      datasets.condition=NAME        datasets.measures=[x,y,z]
      trainables={"|".join(variants("trainables/lfads"))}
      search_spaces=autolfads        population.size=20  population.generation=50 ...
      training.batch_size=128        training.ramp_epochs=80 ...
      seed=0  name=NAME  home=FOLDER  resources.gpus=1  tracking_uri=ADDRESS

    Experiments of R simulate Lorenz systems and compare methods on them, +experiment=NAME:

    \b
      {" ".join(variants(DYNAMICS_EXPERIMENTS))}
      values=[7,10]                  simulation.trials_per_condition=20 ...

    What was interrupted goes on when the same command is given again.
    """


@click.command(help=_help(), context_settings={"ignore_unknown_options": True})
@click.argument("overrides", nargs=-1)
def lfads(overrides: tuple[str, ...]) -> None:
    """Compose, build, run."""
    command = experiment_of(overrides)
    if command is not None:
        _run_experiment(command)
        return
    inferred = run_dynamics(compose_dynamics(overrides), say=click.echo)
    best = inferred.best
    values = ", ".join(f"{n.rpartition('.')[2]} {v:.3g}" for n, v in best.values.items())
    click.echo(
        f"Best: member {best.member} of generation {best.generation}, validation loss "
        f"{best.score:.5g} nats a value ({values})."
    )
    for name, file in inferred.files.items():
        click.echo(f"{name}: rates, factors and inferred inputs in {file}")


def _run_experiment(command: ExperimentCommand) -> None:
    # Whatever the values, these settings say where it lies and by which seed.
    first = compose_dynamics(["datasets.address=.", *command.overrides])

    def run(overrides: Sequence[str]) -> DynamicsSettings:
        settings = compose_dynamics([*overrides, *command.overrides])
        run_dynamics(settings, say=click.echo)
        return settings

    folder = first.home / "experiments" / command.name
    findings = run_experiment(
        command.experiment,
        name=command.name,
        folder=folder,
        run=run,
        only=command.only,
        seed=first.seed,
        simulation=command.simulation,
        say=click.echo,
    )
    click.echo("")
    for line in order_of_methods(findings):
        click.echo(line)
    click.echo(f"\nNext: calsweep rates {command.name}   # draws it")
