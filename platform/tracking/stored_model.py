"""Models put into MLflow as it stores its own."""

from __future__ import annotations

import datetime
import shutil
import tempfile
import uuid
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from calsweep.platform.tracking.environment import asking_again

# isort: split
import mlflow.pyfunc
from mlflow.entities import LoggedModel
from mlflow.models import ModelSignature
from mlflow.tracking import MlflowClient
from mlflow.types import ColSpec, Schema

import calsweep
from calsweep.platform.fold.units import units_of
from calsweep.platform.tracking.artifact_folder import artifact_folder

MODEL_TYPE = "pyfunc"
_DESCRIPTION = "MLmodel"
_DATA = Path("data") / "model"


def store_model(
    client: MlflowClient,
    folder: Path,
    /,
    *,
    loader: str,
    name: str,
    experiment: str,
    run_id: str,
    tags: Mapping[str, str] | None = None,
    half: LoggedModel | None = None,
) -> str:
    """Store a model as MLflow stores its own, without guessing requirements.

    Parameters
    ----------
    client
        Of the MLflow that takes it.
    folder
        Named ``model``, as `calsweep.platform.fold.ensemble.read_model` reads it.
    loader
        Module that loads it for MLflow.
    name
        Of the stored model.
    experiment, run_id
        Where it belongs.
    tags
        Of the stored model.
    half
        The stored model that a writer began and did not finish; ``None`` makes a new one.

    Returns
    -------
    model_id
        Of the stored model, which is whole.
    """
    logged = half or client.create_logged_model(
        experiment,
        name=name,
        source_run_id=run_id,
        model_type=MODEL_TYPE,
        tags=dict(tags or {}),
    )
    place = artifact_folder(logged.artifact_location)
    with asking_again():
        if place is not None:
            write_model(folder, place, loader=loader)
        else:
            with tempfile.TemporaryDirectory(prefix="calsweep-model-") as scratch:
                path = Path(scratch) / "model"
                write_model(folder, path, loader=loader)
                client.log_model_artifacts(logged.model_id, str(path))
        client.finalize_logged_model(logged.model_id, "READY")
    model_id: str = logged.model_id
    return model_id


@lru_cache(maxsize=8)
def _files(loader: str, units: tuple[str, ...]) -> Mapping[str, str]:
    """Give what MLflow writes beside a model's own files, by name.

    It takes MLflow longer than all else of a fold, and models of a sweep differ in little of it.
    """
    with tempfile.TemporaryDirectory(prefix="calsweep-model-") as scratch:
        data = Path(scratch) / _DATA.name
        data.mkdir()
        path = Path(scratch) / "saved"
        mlflow.pyfunc.save_model(
            str(path),
            loader_module=loader,
            data_path=str(data),
            signature=_signature(units),
            pip_requirements=[f"calsweep=={calsweep.__version__}"],
        )
        return {file.name: file.read_text() for file in path.iterdir() if file.is_file()}


def write_model(folder: Path, place: Path, /, *, loader: str) -> None:
    """Write a model as MLflow stores its own into a folder; what it held of one is replaced.

    Parameters
    ----------
    folder, loader
        As `store_model` takes them.
    place
        Of the model's artifacts.
    """
    shutil.copytree(folder, place / _DATA, dirs_exist_ok=True)
    n_bytes = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    for name, text in _files(loader, units_of(folder)).items():
        of_this = _of_this_model(text, n_bytes=n_bytes) if name == _DESCRIPTION else text
        (place / name).write_text(of_this)


def _of_this_model(description: str, *, n_bytes: int) -> str:
    """Give what MLflow tells one model by from another: a number, a time and a size of its own."""
    now = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
    own = {
        "model_uuid": uuid.uuid4().hex,
        "utc_time_created": f"'{now.isoformat(sep=' ')}'",
        "model_size_bytes": str(n_bytes),
    }
    lines = [line for line in description.splitlines() if line.partition(":")[0] not in own]
    return "\n".join([*lines, *(f"{key}: {value}" for key, value in own.items())]) + "\n"


def _signature(units: tuple[str, ...]) -> ModelSignature:
    """One row a frame; frames of different recordings or trials are told apart by name.

    Double and long, which are pandas' own: MLflow refuses what would lose digits.
    """
    optional = [
        ColSpec("string", "recording", required=False),
        ColSpec("long", "trial", required=False),
    ]
    inputs = Schema([*(ColSpec("double", unit) for unit in units), *optional])
    return ModelSignature(inputs=inputs, outputs=Schema([ColSpec("float", "probability")]))
