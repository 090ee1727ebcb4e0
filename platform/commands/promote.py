"""``calsweep promote``: make the best fold's model the champion."""

from __future__ import annotations

from pathlib import Path

import click

from calsweep.platform.commands import option
from calsweep.platform.record import read_sweep
from calsweep.platform.registry import promote as promote_best


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
    click.echo(f"\nNext: calsweep predict {done.model.uri} DATASET OUT.parquet")
