"""``calsweep promote``: make the best fold's model the champion."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from calsweep.platform.commands import option
from calsweep.platform.errors import hide_login
from calsweep.platform.record import read_sweep
from calsweep.platform.registry import promote as promote_best
from calsweep.platform.settings import default_home
from calsweep.platform.settings import tracking_uri as usual_tracking_uri


@click.command()
@click.argument("sweep")
@click.option("--name", default="", help="Name in the registry.  [default: the sweep's]")
@option.home
@option.tracking
def promote(sweep: str, name: str, home: Path, tracking_uri: str) -> None:
    """Register the best fold of SWEEP's best configuration, chosen on validation only."""
    record = read_sweep(home, sweep)
    done = promote_best(record, home=home, name=name or sweep, uri=tracking_uri)
    fold = done.fold
    click.echo(
        f"Champion {done.model.uri} is version {done.model.version}: {done.trial.name}, fold "
        f"{fold.fold} (validation AUC {fold.validation.auc:.4f}, test AUC {fold.test.auc:.4f})."
    )
    click.echo(
        f"\nNext: calsweep predict {done.model.uri} DATASET OUT.parquet{_where(home, done.uri)}"
    )


def _where(home: Path, uri: str) -> str:
    """Give the options that lead to the same home and MLflow, where they are not the usual ones."""
    options = []
    if home != default_home():
        options += ["--home", str(home)]
    usual = usual_tracking_uri(home)
    if uri != hide_login(usual, uri=usual):
        options += ["--tracking-uri", uri]
    return f" {shlex.join(options)}" if options else ""
