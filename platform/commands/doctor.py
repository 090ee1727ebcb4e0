"""``calsweep doctor``: whether a sweep could run here, and what to do if not."""

from __future__ import annotations

import click

from calsweep.platform.cluster import check_home
from calsweep.platform.config import compose_settings
from calsweep.platform.doctor import machine, service
from calsweep.platform.doctor.check import Check, Standing, run_checks
from calsweep.platform.places import cache_folder, tracking_uri
from calsweep.platform.settings import SweepSettings

_ADDRESS = "datasets.address="
_NO_DATASET = "-"


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("overrides", nargs=-1)
def doctor(overrides: tuple[str, ...]) -> int:
    """Look whether a sweep could run here, and say what to do if not.

    OVERRIDES are those of the sweep (see `calsweep sweep --help`): its dataset, MLflow, home and
    resources are looked at. Without any, those are that a sweep would have by default. The cluster
    is that of RAY_ADDRESS, or one that is started on this machine and ended again.

    The exit code is 0 if all is well, and 1 if there is a problem. Nothing is left behind.
    """
    is_named = any(override.startswith(_ADDRESS) for override in overrides)
    settings = compose_settings(overrides if is_named else (*overrides, _ADDRESS + _NO_DATASET))
    is_well = True
    for finding in run_checks(_checks(settings, has_dataset=is_named)):
        is_well &= finding.standing is not Standing.PROBLEM
        click.echo(f"{finding.standing.value:8}{finding.name:16}{finding.text}")
    return 0 if is_well else 1


def _checks(settings: SweepSettings, *, has_dataset: bool) -> list[Check]:
    home, ray = settings.home, service.RayLook()
    uri = tracking_uri(home, settings.tracking_uri)
    # The look at Ray has a deadline of its own; twice it, since authentication asks again.
    with_ray = {"deadline_s": 2 * service.RAY_DEADLINE_S + 10}

    def look_at_home() -> str:
        check_home(home)
        return machine.check_folder(home, setting="home=FOLDER")

    checks = [
        Check(name="versions", look=machine.versions),
        Check(name="home", look=look_at_home),
        Check(
            name="cache",
            look=lambda: machine.check_folder(cache_folder(home), setting="CALSWEEP_CACHE"),
        ),
        Check(name="devices", look=machine.devices, deadline_s=60.0),
        Check(name="credentials", look=service.credentials),
    ]
    if has_dataset:
        address = settings.datasets.address
        checks.append(Check(name="storage", look=lambda: service.storage(address)))
    return [
        *checks,
        Check(
            name="mlflow",
            look=lambda: service.mlflow(uri, home=home),
            deadline_s=service.MLFLOW_DEADLINE_S + 10,
        ),
        Check(name="ray", look=ray.there, **with_ray),
        Check(name="authentication", look=ray.authentication, **with_ray),
        Check(name="resources", look=lambda: ray.resources(settings.resources), **with_ray),
    ]
