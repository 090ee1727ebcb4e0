"""A run that is written whole is, to all who ask MLflow, the run that its client makes."""

import mlflow
import pytest
from mlflow.tracking import MlflowClient

from calsweep.platform.tracking.artifact_folder import artifact_folder
from calsweep.platform.tracking.run_tables import RunTables, WholeRun
from calsweep.platform.tracking.tracked import Figure
from calsweep.platform.tracking.tracking import Tracker
from tests.mlflow_server import postgres
from tests.platform.written_sweep import Writer, runs_of


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def database(request, mlflow_home):
    if request.param == "sqlite":
        yield f"sqlite:///{mlflow_home / 'mlflow.db'}"
    else:
        with postgres() as served:
            yield served.uri


def told(uri, sweep, key):
    """Give all that MLflow tells of a run and its model but what differs from run to run."""
    client = MlflowClient(uri)
    row = runs_of(uri, sweep).loc[key]
    run = client.get_run(row["run_id"])
    histories = {
        name: [(m.step, m.value, m.timestamp) for m in client.get_metric_history(row.run_id, name)]
        for name in run.data.metrics
    }
    (model,) = client.search_logged_models(
        [run.info.experiment_id], filter_string=f"source_run_id = '{row.run_id}'"
    )
    tags = dict(run.data.tags)
    assert tags.pop("calsweep.model_id") == model.model_id
    assert artifact_folder(run.info.artifact_uri).parent.name == row.run_id
    assert artifact_folder(model.artifact_location).parent.name == model.model_id
    places = (artifact_folder(run.info.artifact_uri), artifact_folder(model.artifact_location))
    loaded = mlflow.pyfunc.load_model(model.model_uri)
    return {
        "tags": tags,
        "params": run.data.params,
        "metrics": run.data.metrics,
        "histories": histories,
        "info": [
            getattr(run.info, name)
            for name in ("run_name", "status", "start_time", "end_time", "user_id",
                         "lifecycle_stage", "experiment_id")
        ],
        "model": [
            getattr(model, name)
            for name in ("name", "status", "model_type", "tags", "params", "experiment_id")
        ],
        "files": [sorted(str(p.relative_to(at)) for p in at.rglob("*")) for at in places],
        "settings": (places[0] / "settings.json").read_text(),
        "signature": loaded.metadata.signature.to_dict(),
    }  # fmt: skip


def test_run_is_the_one_that_the_client_makes(database, mlflow_home, by_client):
    sweep = Writer(home=mlflow_home, name=f"alike-{database[:6]}")
    sweep.begin()
    sweep.fold(0)
    tracker = Tracker(database, home=mlflow_home, sweep=sweep.name)
    assert tracker.sync(sweep.read()) == 1
    whole = told(database, sweep.name, "trial 0/key0")
    assert whole["metrics"]["validation_auc"] == 0.75  # of the last epoch
    assert whole["histories"]["train_loss"][0][:2] == (1, 0.9)

    key = "trial 0/key0"
    MlflowClient(database).delete_run(runs_of(database, sweep.name).loc[key, "run_id"])
    by_client()
    assert Tracker(database, home=mlflow_home, sweep=sweep.name).sync(sweep.read()) == 1
    assert told(database, sweep.name, key) == whole


def test_run_that_was_removed_by_hand_is_made_by_the_client(database, mlflow_home):
    sweep = Writer(home=mlflow_home, name=f"removed-{database[:6]}").done()
    Tracker(database, home=mlflow_home, sweep=sweep.name).sync(sweep)
    gone = runs_of(database, sweep.name).loc["trial 0/key1", "run_id"]
    MlflowClient(database).delete_run(gone)
    assert Tracker(database, home=mlflow_home, sweep=sweep.name).sync(sweep) == 1
    runs = runs_of(database, sweep.name)
    assert list(runs.index) == ["trial 0", "trial 0/key0", "trial 0/key1"]
    assert runs.loc["trial 0/key1", "run_id"] != gone
    assert Tracker(database, home=mlflow_home, sweep=sweep.name).sync(sweep) == 0


def test_writer_killed_before_the_rows_leaves_no_run_and_its_files_are_used(
    writer, uri, monkeypatch
):
    sweep = writer.done()
    with monkeypatch.context() as patched:
        patched.setattr(RunTables, "insert", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            Tracker(uri, home=writer.home, sweep=writer.name).sync(sweep)
    assert list(runs_of(uri, writer.name).index) == ["trial 0"]
    artifacts = writer.home / "artifacts" / writer.name
    before = sorted(path.name for path in artifacts.iterdir())
    assert Tracker(uri, home=writer.home, sweep=writer.name).sync(sweep) == 2
    assert sorted(path.name for path in artifacts.iterdir()) == before
    assert set(runs_of(uri, writer.name)["status"]) == {"FINISHED"}


def test_what_stops_the_writer_stops_it_between_folds(writer, uri):
    sweep = writer.done()
    asked = []

    def check():
        asked.append(len(asked))
        if len(asked) == 2:
            raise KeyboardInterrupt

    tracker = Tracker(uri, home=writer.home, sweep=writer.name)
    with pytest.raises(KeyboardInterrupt):
        tracker.sync(sweep, check=check)
    assert list(runs_of(uri, writer.name).index) == ["trial 0", "trial 0/key0"]
    assert tracker.sync(sweep) == 1


def test_artifacts_elsewhere_and_servers_are_written_by_the_client(mlflow_home):
    at = {"experiment": "1"}
    database = f"sqlite:///{mlflow_home / 'other.db'}"
    assert RunTables.at(database, location="s3://lab/mlflow/1", **at) is None
    assert RunTables.at("http://127.0.0.1:9", location="file:///data/1", **at) is None
    assert RunTables.at(database, location="file:///data/1", **at) is not None


def test_figures_that_are_no_numbers_or_twice_there_are_kept_as_mlflow_keeps_them(uri, mlflow_home):
    client = MlflowClient(uri)
    number = client.create_experiment("odd", artifact_location=(mlflow_home / "odd").as_uri())
    values = [(1, 0.5), (2, float("nan")), (3, float("inf")), (3, float("inf"))]
    figures = [Figure(name="loss", value=value, step=step) for step, value in values]
    run = WholeRun(
        run_id="0" * 32, model_id="m-" + "0" * 32, name="odd", model_name="decoder",
        model_type="pyfunc", tags={"mlflow.user": "me"}, params={}, figures=figures, begun_ms=1,
        ended_ms=2,
    )  # fmt: skip
    tables = RunTables.at(uri, experiment=number, location=(mlflow_home / "odd").as_uri())
    assert tables.insert([run])
    assert not tables.insert([run])
    history = client.get_metric_history(run.run_id, "loss")
    assert [(m.step, str(m.value)) for m in sorted(history, key=lambda m: m.step)] == [
        (1, "0.5"), (2, "nan"), (3, "1.7976931348623157e+308"),
    ]  # fmt: skip
    assert client.get_run(run.run_id).data.metrics == {"loss": 1.7976931348623157e308}
    assert tables.insert([])
