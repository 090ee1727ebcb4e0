"""MLflow's registry of models: versions, aliases, and what stands beside them on its pages."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import mlflow
from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from calsweep.platform.champion.version_tag import KEY
from calsweep.platform.errors import first_line
from calsweep.platform.plain import nearest
from calsweep.platform.tracking.stored_model import store_model
from calsweep.platform.tracking.tracked import MODEL_ID, RUN_KEY
from calsweep.platform.tracking.tracking import open_client, refusals
from calsweep.platform.tracking.tracking_errors import ModelNotFound

if TYPE_CHECKING:  # it brings torch, which looking at a registry does not take
    from calsweep.platform.champion.candidate import Candidate

CHAMPION = "champion"
CHALLENGER = "challenger"
_NOT_THERE = "RESOURCE_DOES_NOT_EXIST"
_NO_MODEL = {_NOT_THERE, "INVALID_PARAMETER_VALUE"}  # so it calls an alias that is not there
_ENSEMBLE = "calsweep.platform.fold.ensemble"


@dataclass(frozen=True, kw_only=True)
class RegisteredModel:
    """A version of a registered model.

    Attributes
    ----------
    name, version
        Of the model in the registry.
    run_id
        Run that it stands with.
    tags
        Where it comes from, its figures, and when it was champion.
    """

    name: str
    version: str
    run_id: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def uri(self) -> str:
        """The address under which the champion is loaded."""
        return f"models:/{self.name}@{CHAMPION}"

    @property
    def key(self) -> str:
        """What it is: that of `Candidate`."""
        return self.tags.get(KEY, "")


class Registry:
    """The registry of one MLflow.

    Parameters
    ----------
    uri
        MLflow's address.
    """

    def __init__(self, uri: str, /) -> None:
        self._client = open_client(uri)

    def aliased(self, name: str, alias: str, /) -> RegisteredModel | None:
        """Give the version that an alias names; ``None`` if it names none."""
        version = self._aliases(name).get(alias)
        return self.version(name, version) if version else None

    def version(self, name: str, version: str, /) -> RegisteredModel:
        """Give a version.

        Raises
        ------
        ModelNotFound
            If there is none.
        """
        try:
            return _as_model(self._client.get_model_version(name, version))
        except MlflowException as error:
            if error.error_code not in _NO_MODEL:
                raise
            raise ModelNotFound(f"models:/{name}/{version}", _reason(error)) from error

    def models(self) -> dict[str, dict[str, str]]:
        """Give the names of the registered models, each with its aliases and their versions."""
        found: dict[str, dict[str, str]] = {}
        token = None
        while True:
            page = self._client.search_registered_models(page_token=token)
            for model in page:
                found[model.name] = {alias: str(v) for alias, v in model.aliases.items()}
            token = page.token
            if not token:
                return found

    def versions(self, name: str, /) -> tuple[RegisteredModel, ...]:
        """Give the versions of a model, the latest first, as many as MLflow gives at once."""
        quote = '"' if "'" in name else "'"
        found = self._client.search_model_versions(f"name={quote}{name}{quote}")
        return tuple(map(_as_model, sorted(found, key=lambda v: -int(v.version))))

    def copy(self, candidate: Candidate, /, *, name: str) -> RegisteredModel:
        """Put a candidate's model into the registry; one that is there is not put there twice.

        Its sweep must be in MLflow. What an earlier attempt left half done is done anew.
        """
        run = self._run(candidate)
        there = self._client.search_model_versions(f"run_id='{run.info.run_id}'")
        for version in map(_as_model, there):
            if version.name == name and version.key == candidate.key:
                return version
        self._ensure_model(name)
        is_ensemble = candidate.is_ensemble
        model_id = self._ensemble(candidate, run) if is_ensemble else run.data.tags[MODEL_ID]
        made = self._client.create_model_version(
            name,
            source=f"models:/{model_id}",
            run_id=run.info.run_id,
            model_id=model_id,
            tags=candidate.tags(),
            description=candidate.description(),
        )
        return self.version(name, str(made.version))

    def fetch(self, model: RegisteredModel, folder: Path, /) -> Path:
        """Fetch a version's files into a folder, and give what `read_model` reads."""
        uri = f"models:/{model.name}/{model.version}"
        return _within(Path(mlflow.artifacts.download_artifacts(uri, dst_path=str(folder))))

    def set_alias(self, name: str, alias: str, version: str, /) -> None:
        """Let an alias name a version."""
        self._client.set_registered_model_alias(name, alias, version)

    def tag(self, name: str, version: str, tags: Mapping[str, str], /) -> None:
        """Set tags of a version."""
        for key, value in tags.items():
            self._client.set_model_version_tag(name, version, key, value)

    def describe(self, name: str, text: str, /) -> None:
        """Set the text that stands above a model's versions, in Markdown."""
        self._client.update_registered_model(name, description=text)

    def attach(self, model: RegisteredModel, path: Path, /, *, under: str) -> None:
        """Put a file with the run of a version."""
        self._client.log_artifact(model.run_id, str(path), under)

    def check_alias(self, name: str, alias: str, /) -> None:
        """Check that an alias of a model is known.

        Raises
        ------
        ModelNotFound
            If it is not, with those that are.
        """
        known = self._aliases(name)
        if alias not in known:
            has = nearest(alias, known) if known else "It has none."
            raise ModelNotFound(f"models:/{name}@{alias}", f"the model has no such alias. {has}")

    def _aliases(self, name: str) -> dict[str, str]:
        try:
            aliases = self._client.get_registered_model(name).aliases
        except MlflowException as error:
            if error.error_code != _NOT_THERE:
                raise
            return {}
        return {alias: str(version) for alias, version in aliases.items()}

    def _ensure_model(self, name: str) -> None:
        try:
            self._client.get_registered_model(name)
        except MlflowException as error:
            if error.error_code != _NOT_THERE:
                raise
            self._client.create_registered_model(name)

    def _run(self, candidate: Candidate) -> Run:
        experiment = self._client.get_experiment_by_name(f"calsweep/{candidate.sweep.name}")
        asked = f"tags.`{RUN_KEY}` = '{candidate.run_key}'"
        found = self._client.search_runs([experiment.experiment_id], asked) if experiment else []
        if not found:
            raise RuntimeError(f"MLflow has no run of {candidate.name}")
        return found[0]

    def _ensemble(self, candidate: Candidate, run: Run) -> str:
        """Give the stored model of an ensemble; one that was never finished is stored anew."""
        experiment = run.info.experiment_id
        asked = f"source_run_id = '{run.info.run_id}'"
        for logged in self._client.search_logged_models([experiment], filter_string=asked):
            if logged.tags.get(KEY) != candidate.key:
                continue
            if str(logged.status) == "READY":
                return str(logged.model_id)
            self._client.delete_logged_model(logged.model_id)
        with tempfile.TemporaryDirectory(prefix="calsweep-ensemble-") as scratch:
            folder = Path(scratch) / "model"
            candidate.save_ensemble(folder)
            return store_model(
                self._client,
                folder,
                loader=_ENSEMBLE,
                name="ensemble",
                experiment=experiment,
                run_id=run.info.run_id,
                tags={KEY: candidate.key},
            )


def download_model(uri: str, /, *, tracking_uri: str) -> Path:
    """Fetch a model of the registry or of a run.

    Parameters
    ----------
    uri
        ``models:/NAME@champion``, ``models:/NAME/VERSION`` or ``runs:/...``.
    tracking_uri
        MLflow's address.

    Returns
    -------
    folder
        What `calsweep.platform.fold.ensemble.read_model` reads.

    Raises
    ------
    ModelNotFound
        If there is none.
    TrackingRefused
        If MLflow cannot be asked.
    """
    with refusals(tracking_uri):
        registry = Registry(tracking_uri)
        name, at, alias = uri.removeprefix("models:/").partition("@")
        if at and uri.startswith("models:/"):
            registry.check_alias(name, alias)
        try:
            return _within(Path(mlflow.artifacts.download_artifacts(uri)))
        except (MlflowException, FileNotFoundError) as error:
            if isinstance(error, MlflowException) and error.error_code not in _NO_MODEL:
                raise
            raise ModelNotFound(uri, _reason(error)) from error


def _within(folder: Path) -> Path:
    return folder / "data" / "model"


def _reason(error: BaseException) -> str:
    return f"{first_line(error).rstrip('.')}."


def _as_model(version: ModelVersion) -> RegisteredModel:
    return RegisteredModel(
        name=version.name,
        version=str(version.version),
        run_id=version.run_id or "",
        tags=dict(version.tags),
    )
