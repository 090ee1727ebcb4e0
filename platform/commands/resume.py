"""``calsweep resume``: go on with a sweep that was interrupted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from calsweep.platform.commands import option
from calsweep.platform.commands.sweep import run_and_show
from calsweep.platform.config import settings_of
from calsweep.platform.ownership.change import Change
from calsweep.platform.population.population_run import find_dynamics
from calsweep.platform.record_reader import read_sweep


@click.command()
@click.argument("sweep")
@click.option(
    "--accept",
    type=click.Choice([change.value for change in Change]),
    multiple=True,
    help="Go on though this is not as it was when the sweep began; again for more. With other "
    "code, what is done stays; with other data or folds, every configuration is trained again.",
)
@click.option(
    "--n-trials", type=int, help="Configurations to try in all, the baseline not counted."
)
@click.option("--hours", type=float, help="Hours of work in all (budget.hours).")
@click.option("--device-hours", type=float, help="Hours of devices in all (budget.device_hours).")
@option.home
def resume(
    sweep: str,
    accept: tuple[str, ...],
    n_trials: int | None,
    hours: float | None,
    device_hours: float | None,
    home: Path,
) -> None:
    """Go on with SWEEP where it was interrupted; it ends as if it had not been.

    What is done is taken from its record. The command that began it, given again, does the same.
    If another process runs it, this one looks on, and goes on in its place if it dies.
    """
    dynamics = find_dynamics(home, sweep)
    if dynamics is None:
        settings = settings_of(read_sweep(home, sweep), home=home)
        budget = replace(
            settings.budget,
            hours=hours or settings.budget.hours,
            device_hours=device_hours or settings.budget.device_hours,
        )
        settings = replace(
            settings,
            n_trials=n_trials or settings.n_trials,
            budget=budget,
            overrides=(
                (*settings.overrides, *_said(n_trials, hours, device_hours))
                if settings.overrides
                else ()  # its settings are read as they are
            ),
        )
        run_and_show(replace(settings, accept_changes=tuple(map(Change, accept))))
        return
    if accept or n_trials or hours or device_hours:
        raise ValueError(
            f"{sweep!r} is a population of models of dynamics, which goes on with what it began "
            "with: leave out --accept, --n-trials, --hours and --device-hours."
        )
    from calsweep.platform.dynamics.sweep import run_dynamics

    inferred = run_dynamics(dynamics, say=click.echo)
    for name, file in inferred.files.items():
        click.echo(f"{name}: rates, factors and inferred inputs in {file}")


def _said(n_trials: int | None, hours: float | None, device_hours: float | None) -> list[str]:
    """Give what was asked for as overrides, with which the sweep is composed again later."""
    given = {"n_trials": n_trials, "budget.hours": hours, "budget.device_hours": device_hours}
    return [f"{name}={value}" for name, value in given.items() if value is not None]
