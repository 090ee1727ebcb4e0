"""Whether the versions of models that came from a sweep are whole, and named by an alias."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from calsweep.platform.tracking import environment  # noqa: F401

# isort: split
from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from calsweep.platform.champion.registry import CHAMPION
from calsweep.platform.champion.version_tag import KEY
from calsweep.platform.errors import first_line
from calsweep.platform.fault import Fault, Part
from calsweep.platform.record import SweepRecord
from calsweep.platform.tracking import tracked
from calsweep.platform.tracking.run_check import differing_files
from calsweep.platform.tracking.tracked import MODEL_ID


def registry_faults(
    client: MlflowClient, sweep: SweepRecord, runs: dict[str, list[Run]], /
) -> Iterator[Fault]:
    """Compare the versions that come from a sweep with its record and its runs.

    Parameters
    ----------
    client
        Of MLflow.
    sweep
        Its record.
    runs
        Those of the sweep by key.
    """
    by_name: dict[str, list[ModelVersion]] = defaultdict(list)
    for version in _versions(client, sweep.name):
        by_name[version.name].append(version)
    folders = {
        run.info.run_id: sweep.fold_folder(fold) / "model"
        for trial in sweep.trials
        for fold in trial.folds
        for run in runs.get(tracked.fold_key(trial, fold), [])
    }
    models = {
        run.info.run_id: run.data.tags.get(MODEL_ID, "") for group in runs.values() for run in group
    }
    for name, versions in by_name.items():
        yield from (_fault(what) for what in _alias_faults(client, name))
        n_times = Counter((version.run_id, version.tags.get(KEY)) for version in versions)
        for version in versions:
            which = f"version {version.version} of {name}"
            if (n := n_times[version.run_id, version.tags.get(KEY)]) > 1:
                yield _fault(f"{which} is there {n} times.")
            if str(version.status) != "READY":
                yield _fault(f"{which} is {version.status}.")
            if version.run_id not in models:
                yield _fault(f"{which} comes from the run {version.run_id}, which is not there.")
                continue
            is_ensemble = version.run_id not in folders  # it stands with the run of its trial
            if not is_ensemble and version.source != f"models:/{models[version.run_id]}":
                yield _fault(f"{which} is {version.source}, not the model of its run.")
            try:
                location = client.get_logged_model(
                    str(version.source).removeprefix("models:/")
                ).artifact_location
            except MlflowException as error:
                yield _fault(f"{which} has no model any more ({first_line(error)}).")
                continue
            if is_ensemble:
                continue
            for what in differing_files(location, folders[version.run_id]):
                yield _fault(f"{which} {what}.")


def _fault(what: str) -> Fault:
    return Fault(part=Part.REGISTRY, what=what)


def _versions(client: MlflowClient, sweep: str) -> Iterator[ModelVersion]:
    token = None
    quoted = sweep.replace("'", "''")
    while True:
        page = client.search_model_versions(f"tags.`calsweep.sweep` = '{quoted}'", page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _alias_faults(client: MlflowClient, name: str) -> Iterator[str]:
    aliases = client.get_registered_model(name).aliases
    if CHAMPION not in aliases:
        yield f"{name} has no alias {CHAMPION!r}: `calsweep promote` gives it."
    for alias, version in aliases.items():
        try:
            client.get_model_version(name, str(version))
        except MlflowException as error:
            yield f"{name}@{alias} is version {version}, which is not there ({first_line(error)})."
