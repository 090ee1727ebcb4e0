"""The run of a population of models of dynamics: what it holds, once, also after an outage."""

import json
import math

import mlflow
import pytest

from calsweep.platform.population.lineage import Life, Lineage
from calsweep.platform.tracking.population_tracker import (
    PopulationTracker,
    PopulationTrackingThread,
)
from calsweep.platform.tracking.tracked_population import read_population, run_tags
from tests.platform.written_sweep import NOWHERE

RATE = "training.learning_rate"
SCORES = {1: (0.75, 0.5), 2: (0.25, math.nan), 3: (0.25, 0.125)}


class Population:
    """Writes a population of two members line by line."""

    def __init__(self, home, name):
        self.home, self.name = home, name
        self.folder = home.resolve() / "dynamics" / name
        self.folder.mkdir(parents=True)
        described = {
            "settings": {"seed": 7, "population": {"size": 2, "generations": 3}},
            "dataset": {"address": "lorenz", "content_hash": "da7a"},
            "code_version": "0.1.0+abc",
        }
        (self.folder / "sweep.json").write_text(json.dumps(described))
        self.lineage = Lineage(self.folder)

    def live(self, generation, member):
        score = SCORES[generation][member - 1]
        parent = {1: None, 2: 2}.get(generation, 1)  # the second takes over
        self.lineage.add(
            Life(
                generation=generation, member=member, parent=parent, values={RATE: 0.01 * member},
                score=score, attempt=1, seconds=2.0, train_seconds=1.5,
                error="" if math.isfinite(score) else "lost",
            )
        )  # fmt: skip

    def train(self, *generations):
        for generation in generations:
            self.live(generation, 1)
            self.live(generation, 2)

    def finish(self):
        self.lineage.finish("3 generations are done")
        state = self.lineage.place(generation=3, member=2)
        state.parent.mkdir()
        state.write_bytes(b"weights")
        (self.folder / "a recording.parquet").write_bytes(b"rates")
        (self.folder / "a recording.samples.parquet").write_bytes(b"samples")
        best = {"member": 2, "generation": 3, "loss": 0.125, "values": {RATE: 0.02}}
        (self.folder / "best.json").write_text(json.dumps(best))

    def read(self):
        return read_population(self.home, self.name)

    def runs(self, uri):
        mlflow.set_tracking_uri(uri)
        return mlflow.search_runs(experiment_names=[f"calsweep-lfads/{self.name}"])


@pytest.fixture
def population(mlflow_home, request):
    return Population(mlflow_home, request.node.name)


def history(uri, run_id, name):
    metrics = mlflow.MlflowClient(uri).get_metric_history(run_id, name)
    return {metric.step: metric.value for metric in metrics}


def check_whole(population, uri):
    """One run, with each generation once, the lineage, the best member and its rates."""
    runs = population.runs(uri)
    assert len(runs) == 1
    run = runs.iloc[0]
    assert run["status"] == "FINISHED"
    assert run["tags.calsweep.run"] == "population"
    assert run["tags.calsweep.dataset_hash"] == "da7a"
    assert run["tags.calsweep.best_member"] == "2"
    assert run["tags.calsweep.ended"] == "3 generations are done"
    assert (run["params.seed"], run["params.population.size"]) == ("7", "2")
    losses = {1: 0.5, 2: 0.25, 3: 0.125}
    assert history(uri, run["run_id"], "best_loss") == losses
    assert history(uri, run["run_id"], "mean_loss") == {1: 0.625, 2: 0.25, 3: 0.1875}
    assert history(uri, run["run_id"], "n_alive") == {1: 2.0, 2: 1.0, 3: 2.0}
    assert history(uri, run["run_id"], "n_took_over") == {1: 0.0, 2: 1.0, 3: 1.0}
    table = mlflow.artifacts.load_dict(f"{run['artifact_uri']}/lineage.json")
    assert table["columns"] == [
        "generation", "member", "parent", "loss", "train_seconds", "error", RATE
    ]  # fmt: skip
    assert table["data"][:4] == [
        [1, 1, None, 0.75, 1.5, "", 0.01],
        [1, 2, None, 0.5, 1.5, "", 0.02],
        [2, 1, 2, 0.25, 1.5, "", 0.01],
        [2, 2, 2, None, 1.5, "lost", 0.02],
    ]
    assert len(table["data"]) == 6
    client = mlflow.MlflowClient(uri)
    files = {
        item.path
        for under in (None, "rates", "model")
        for item in client.list_artifacts(run["run_id"], under)
        if not item.is_dir
    }
    assert files == {
        "best.json", "lineage.json", "settings.json", "rates/a recording.parquet", "model/0003-002"
    }  # fmt: skip


def test_generations_are_written_as_they_are_whole(population, uri):
    population.train(1)
    population.live(2, 1)
    tracker = PopulationTracker(uri, home=population.home, name=population.name)
    tracker.sync(population.read(), is_running=True)
    run = population.runs(uri).iloc[0]
    assert run["status"] == "RUNNING"
    assert history(uri, run["run_id"], "best_loss") == {1: 0.5}
    population.live(2, 2)
    tracker.sync(population.read(), is_running=True)
    assert history(uri, run["run_id"], "best_loss") == {1: 0.5, 2: 0.25}
    population.train(3)
    population.finish()
    tracker.sync(population.read(), is_running=True)
    check_whole(population, uri)


def test_same_written_by_others_is_there_once(population, uri):
    population.train(1, 2, 3)
    population.finish()
    for _ in range(2):
        tracker = PopulationTracker(uri, home=population.home, name=population.name)
        tracker.sync(population.read())
        tracker.sync(population.read())
    assert tracker.fed.n_summaries == 0
    check_whole(population, uri)


def test_run_of_one_that_has_no_process_is_killed_until_it_goes_on(population, uri):
    population.train(1)
    tracker = PopulationTracker(uri, home=population.home, name=population.name)
    tracker.sync(population.read(), is_running=True)
    tracker.sync(population.read())  # nobody holds its name
    assert population.runs(uri)["status"].tolist() == ["KILLED"]
    PopulationTracker(uri, home=population.home, name=population.name).sync(
        population.read(), is_running=True
    )
    assert population.runs(uri)["status"].tolist() == ["RUNNING"]
    population.train(2, 3)
    population.finish()
    tracker.sync(population.read())
    check_whole(population, uri)


def test_outage_is_told_and_caught_up_by_track(population, uri, calsweep, monkeypatch):
    population.train(1, 2, 3)
    population.finish()
    thread = PopulationTrackingThread(NOWHERE, home=population.home, sweep=population.name)
    error = thread.close(deadline_s=3)
    assert error
    assert "secret" not in error
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    code, out, err = calsweep("track", population.name, "--home", population.home)
    assert code == 0, err
    assert "MLflow has all of it." in out
    check_whole(population, uri)


def test_datasets_that_are_modelled_together_are_all_told(tmp_path):
    population = Population(tmp_path, "days")
    described = json.loads((population.folder / "sweep.json").read_text())
    described["beside"] = [{"address": "day2", "content_hash": "da7a2"}]
    (population.folder / "sweep.json").write_text(json.dumps(described))
    tags = run_tags(read_population(tmp_path, "days"))
    assert tags["calsweep.dataset"] == "lorenz, day2"
    assert tags["calsweep.dataset_hash"] == "da7a, da7a2"
