"""An MLflow for the populations of each test, whose tables are made but once: they take longest."""

import shutil

import pytest

from calsweep.platform.tracking.tracking import open_client


@pytest.fixture(scope="session")
def empty_mlflow(tmp_path_factory):
    file = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
        open_client(f"sqlite:///{file}")
    return file


@pytest.fixture(autouse=True)
def own_mlflow(empty_mlflow, tmp_path_factory, monkeypatch):
    file = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    shutil.copy(empty_mlflow, file)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{file}")
