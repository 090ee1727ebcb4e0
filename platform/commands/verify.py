"""``calsweep verify``: hold a sweep's record, MLflow, artifacts and registry against each other."""

from __future__ import annotations

from pathlib import Path

import click

from calsweep.platform.command import BAD_INPUT
from calsweep.platform.commands import option
from calsweep.platform.errors import hide_login
from calsweep.platform.fault import Fault, Part
from calsweep.platform.record import SweepRecord
from calsweep.platform.record_check import check_record
from calsweep.platform.tracking.address import sweep_tracking_uri


@click.command()
@click.argument("sweep")
@option.home
@option.tracking
def verify(sweep: str, home: Path, tracking_uri: str) -> int:
    """Name whatever of SWEEP is missing, twice, running, of another value, or damaged.

    The record is read first and is what all else is compared with. Nothing is changed. Exit code 0
    if all is as it has to be, 2 if not.
    """
    record, faults = check_record(home, sweep)
    uri = tracking_uri or sweep_tracking_uri(record, home=home)
    faults += _check_tracking(record, uri)
    for fault in faults:
        click.echo(str(fault))
    n_folds = sum(len(trial.folds) for trial in record.trials)
    what = f"{len(record.trials)} configurations, {n_folds} folds, MLflow at "
    what += hide_login(uri, uri=uri)
    if not faults:
        click.echo(f"Whole: {what}.")
        return 0
    click.echo(f"{len(faults)} faults in {what}.", err=True)
    if any(fault.part is Part.MLFLOW for fault in faults):
        click.echo(f"`calsweep track {sweep}` writes what MLflow lacks.", err=True)
    return BAD_INPUT


def _check_tracking(record: SweepRecord, uri: str) -> list[Fault]:
    from calsweep.platform.tracking.registry_check import registry_faults
    from calsweep.platform.tracking.run_check import RunCheck
    from calsweep.platform.tracking.tracking import find_runs, refusals

    with refusals(uri):
        client, store = find_runs(uri, record.name)
        if store is None:
            return [Fault(part=Part.MLFLOW, what=f"there is no experiment of {record.name}.")]
        check = RunCheck(client, store, record)
        return [*check.faults(), *registry_faults(client, record, check.runs)]
