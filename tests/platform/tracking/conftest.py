"""The two ways in which runs are written: whole into the tables, or by MLflow's client."""

import pytest

from calsweep.platform.tracking import run_tables


@pytest.fixture
def by_client(monkeypatch):
    """Give what has MLflow's client write all, as with tables of a version that is not known."""
    return lambda: monkeypatch.setattr(run_tables, "TRIED_VERSIONS", ())


@pytest.fixture(params=["whole", "by client"])
def either_way(request, by_client):
    """Run a test twice, and give the name in `run_writer` of what writes a model's files."""
    if request.param == "whole":
        return "write_files"
    by_client()
    return "store_model"
