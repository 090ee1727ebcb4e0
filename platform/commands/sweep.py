"""``calsweep sweep``: train configurations on all folds and record everything."""

from __future__ import annotations

import click

from calsweep.platform.commands.leaderboard import print_leaderboard
from calsweep.platform.config import compose_settings, experiments, unheard, variants
from calsweep.platform.places import default_home
from calsweep.platform.settings import SweepSettings
from calsweep.platform.sweep import run_sweep


def _help() -> str:
    width = max(map(len, experiments()))
    listed = "\n".join(f"      {name:{width}}  {what}" for name, what in experiments().items())
    return f"""Train configurations on all folds and record everything.

    OVERRIDES are GROUP=VARIANT or DOTTED.NAME=VALUE:

    \b
      datasets.address=ADDRESS       the dataset (a folder or s3://...)
      datasets.target=NAME           the behavior to decode
      datasets={"|".join(variants("datasets"))}
      datasets/folds={"|".join(variants("datasets/folds"))}
      datasets/masks={"|".join(variants("datasets/masks"))}
      trainables={"|".join(variants("trainables"))}
      search_spaces={"|".join(variants("search_spaces"))} (or several: [a,b])
      tuner=optuna|random|grid       n_trials=20  seed=0  name=NAME
      budget.hours=8                 budget.device_hours=40  pruning.method=wilcoxon
      tuner=population               population.size=8  population.generations=20 ...
      training.epochs=30             datasets.window.length=31 ...
      datasets.folds.k_groups=5      datasets.mask.keep=NAME
      resources.num_workers=2        home=FOLDER  tracking_uri=URI
      search_spaces.arms.ARM.training.epochs=1      in one arm (* for every arm)

    Experiments repeat a comparison that a paper drew, +experiment=NAME datasets.address=ADDRESS:

    \b
{listed}

    A sweep that was interrupted goes on when the same command is given again.
    """


@click.command(help=_help(), context_settings={"ignore_unknown_options": True})
@click.argument("overrides", nargs=-1)
def sweep(overrides: tuple[str, ...]) -> None:
    """Compose, build, run."""
    settings = compose_settings(overrides)
    for line in unheard(overrides, settings):
        click.echo(f"Note: {line}", err=True)
    run_and_show(settings)


def run_and_show(settings: SweepSettings, /) -> None:
    """Run a sweep to its end and print what came of it."""
    record = run_sweep(settings)
    print_leaderboard(record)
    if not record.finished:
        return
    home = f" --home {settings.home}" if settings.home != default_home() else ""
    click.echo(f"\nNext: calsweep promote {record.name}{home}")
    click.echo(f"      calsweep report {record.name}{home}")
