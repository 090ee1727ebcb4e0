"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path

import click

home = click.option(
    "--home",
    type=click.Path(path_type=Path),
    default=Path(".calsweep"),
    envvar="CALSWEEP_HOME",
    show_default=True,
    help="Folder of sweeps, models and cache.",
)
tracking = click.option(
    "--tracking-uri",
    default="",
    help="MLflow's address.  [default: MLFLOW_TRACKING_URI, or SQLite in the home]",
)
