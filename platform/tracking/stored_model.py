"""Models put into MLflow as it stores its own."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from calsweep.platform.tracking.environment import asking_again

# isort: split
import mlflow.pyfunc
from mlflow.models import ModelSignature
from mlflow.tracking import MlflowClient
from mlflow.types import ColSpec, Schema

import calsweep
from calsweep.platform.fold.ensemble import read_model


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

    Returns
    -------
    model_id
        Of the stored model, which is whole.
    """
    units = read_model(folder).units
    logged = client.create_logged_model(
        experiment,
        name=name,
        source_run_id=run_id,
        model_type="pyfunc",
        tags=dict(tags or {}),
    )
    with tempfile.TemporaryDirectory(prefix="calsweep-model-") as scratch:
        path = Path(scratch) / "model"
        mlflow.pyfunc.save_model(
            str(path),
            loader_module=loader,
            data_path=str(folder),
            signature=_signature(units),
            pip_requirements=[f"calsweep=={calsweep.__version__}"],
        )
        with asking_again():
            client.log_model_artifacts(logged.model_id, str(path))
            client.finalize_logged_model(logged.model_id, "READY")
    model_id: str = logged.model_id
    return model_id


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
