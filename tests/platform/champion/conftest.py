"""A home with two sweeps of small linear decoders, each on six folds of five simulated mice."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from mlflow import MlflowClient

from calsweep.platform.champion.candidate import Candidate, best_candidate
from calsweep.platform.champion.gate import Gate
from calsweep.platform.champion.promotion import Promotion, promote, roll_back
from calsweep.platform.comparison import Method
from calsweep.platform.record_reader import read_sweep
from tests.mlflow_server import postgres
from tests.recorded import record_weak_and_strong

SIX_FOLDS = Gate(test=Method.SIGNED_RANK)  # which six folds suffice for, if all are better


@pytest.fixture(autouse=True)
def no_address_from_outside(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture(scope="session")
def home(mice, tmp_path_factory):
    """Give a home with the sweeps ``weak``, which learns hardly anything, and ``strong``."""
    return record_weak_and_strong(tmp_path_factory.mktemp("champions"), mice)


@dataclass(frozen=True)
class Stage:
    """A registered model of a test's own, in the home that all share."""

    home: Path
    name: str
    uri: str

    @property
    def client(self) -> MlflowClient:
        return MlflowClient(self.uri)

    def candidate(self, sweep: str, **settings) -> Candidate:
        return best_candidate(read_sweep(self.home, sweep), **settings)

    def promote(
        self, sweep: str, *, ensemble: bool = False, gate: Gate = SIX_FOLDS, **settings
    ) -> Promotion:
        candidate = self.candidate(sweep, ensemble=ensemble)
        given = {"home": self.home, "name": self.name, "uri": self.uri, **settings}
        return promote(candidate, gate=gate, **given)

    def roll_back(self, **settings) -> Promotion:
        return roll_back(self.name, home=self.home, uri=self.uri, **settings)

    def aliases(self) -> dict[str, str]:
        model = self.client.get_registered_model(self.name)
        return {alias: str(version) for alias, version in model.aliases.items()}

    def versions(self) -> list[str]:
        found = self.client.search_model_versions(f"name='{self.name}'")
        return sorted(str(version.version) for version in found)


@pytest.fixture
def stage(home, request):
    return Stage(home, _name(request), f"sqlite:///{home / 'mlflow.db'}")


@pytest.fixture(params=["sqlite", "postgresql"])
def stage_on(request, home):
    """Give a stage whose MLflow keeps runs and models in SQLite, then in PostgreSQL."""
    if request.param == "sqlite":
        yield Stage(home, _name(request), f"sqlite:///{home / 'mlflow.db'}")
    else:
        with postgres() as served:
            yield Stage(home, _name(request), served.uri)


def _name(request):
    name = request.node.name.replace("[", "-").rstrip("]")
    return "".join(c if c.isalnum() else "-" for c in name)
