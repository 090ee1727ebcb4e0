"""MLflow holds what the record holds, once, whoever writes and however often."""

import getpass
import os
import threading
import time

import mlflow
import numpy as np
import pandas as pd
import pytest
import torch
from mlflow import MlflowClient
from mlflow.entities import Experiment

from calsweep.datasets.view import View
from calsweep.datasets.window import Window
from calsweep.platform.fold.model import FoldModel, FrameModel
from calsweep.platform.tracking import run_writer, tracked, tracking
from calsweep.platform.tracking.address import sweep_tracking_uri
from calsweep.platform.tracking.tracking import Tracker
from tests.platform.written_sweep import runs_of, tiny_model


@pytest.fixture(autouse=True)
def no_address_from_outside(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def test_runs_carry_figures_settings_and_provenance(writer, uri):
    sweep = writer.done()
    assert Tracker(uri, home=writer.home, sweep=writer.name).sync(sweep) == 2
    runs = runs_of(uri, writer.name)
    assert list(runs.index) == ["trial 0", "trial 0/key0", "trial 0/key1"]
    assert set(runs["status"]) == {"FINISHED"}
    parent, child = runs.loc["trial 0"], runs.loc["trial 0/key1"]
    assert parent["metrics.n_folds"] == 2
    assert parent["metrics.validation_auc_mean"] == 0.8125
    assert parent["metrics.test_auc_mean"] == 0.625
    assert parent["metrics.train_seconds"] == 3.0
    assert child["tags.mlflow.parentRunId"] == parent["run_id"]
    assert child["metrics.test_auc"] == 0.75
    assert child["metrics.best_epoch"] == 2
    assert child["params.trainables.type"] == "calsweep.trainables.linear.Linear"
    assert child["tags.calsweep.dataset_hash"] == "da7a"
    assert child["tags.calsweep.verdict"] == "clean with notes"
    assert child["tags.calsweep.evidence"] == "Detrending looks 500 frames ahead."
    assert child["tags.calsweep.holds_out"] == "animals"
    history = mlflow.MlflowClient().get_metric_history(child["run_id"], "train_loss")
    assert [(metric.step, metric.value) for metric in history] == [(1, 0.9), (2, 0.6)]


def test_syncing_twice_gives_the_same_runs(writer, uri):
    sweep = writer.done()
    tracker = Tracker(uri, home=writer.home, sweep=writer.name)
    tracker.sync(sweep)
    before = runs_of(uri, writer.name)
    assert tracker.sync(sweep) == 0
    assert Tracker(uri, home=writer.home, sweep=writer.name).sync(sweep) == 0
    pd.testing.assert_frame_equal(runs_of(uri, writer.name), before)  # end times among them


def test_summary_is_written_again_when_a_failed_trial_is_resumed(writer, uri):
    writer.begin()
    writer.fold(0)
    tracker = Tracker(uri, home=writer.home, sweep=writer.name)
    tracker.sync(writer.end(error="no memory"))
    parent = runs_of(uri, writer.name).loc["trial 0"]
    assert (parent["status"], parent["metrics.n_folds"]) == ("FAILED", 1)
    assert parent["tags.calsweep.error"] == "no memory"

    writer.trial()
    writer.fold(0)
    writer.fold(1)
    Tracker(uri, home=writer.home, sweep=writer.name).sync(writer.end())
    runs = runs_of(uri, writer.name)
    assert len(runs) == 3
    parent = runs.loc["trial 0"]
    assert (parent["status"], parent["metrics.n_folds"]) == ("FINISHED", 2)
    assert parent["metrics.validation_auc_mean"] == 0.8125
    assert not parent.get("tags.calsweep.error")


def test_writers_of_one_sweep_take_turns(writer, uri, monkeypatch, either_way):
    """A promotion waits while the sweep's thread has a child half written, and keeps it."""
    sweep = writer.done()
    first = Tracker(uri, home=writer.home, sweep=writer.name)
    second = Tracker(uri, home=writer.home, sweep=writer.name)
    half_written = threading.Event()
    write = getattr(run_writer, either_way)

    def slow(*args, **kwargs):
        half_written.set()
        time.sleep(0.5)
        return write(*args, **kwargs)

    monkeypatch.setattr(run_writer, either_way, slow)
    thread = threading.Thread(target=first.sync, args=(sweep,))
    thread.start()
    assert half_written.wait(30)
    assert second.sync(sweep) == 0
    thread.join()
    assert list(runs_of(uri, writer.name).index) == ["trial 0", "trial 0/key0", "trial 0/key1"]


def test_writer_sees_what_another_wrote_between(writer, uri):
    writer.begin()
    writer.fold(0)
    first = Tracker(uri, home=writer.home, sweep=writer.name)
    second = Tracker(uri, home=writer.home, sweep=writer.name)
    assert first.sync(writer.read()) == 1
    writer.fold(1)
    assert second.sync(writer.end()) == 1
    assert first.sync(writer.read()) == 0
    assert len(runs_of(uri, writer.name)) == 3


def test_child_of_a_killed_writer_is_made_again(writer, uri, monkeypatch, by_client):
    by_client()
    sweep = writer.done()
    with monkeypatch.context() as patched:
        patched.setattr(run_writer, "store_model", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            Tracker(uri, home=writer.home, sweep=writer.name).sync(sweep)
    assert runs_of(uri, writer.name).loc["trial 0/key0", "status"] == "RUNNING"
    assert Tracker(uri, home=writer.home, sweep=writer.name).sync(sweep) == 2
    runs = runs_of(uri, writer.name)
    assert list(runs.index) == ["trial 0", "trial 0/key0", "trial 0/key1"]
    assert set(runs["status"]) == {"FINISHED"}


def test_model_of_a_killed_writer_is_gone_on_with_and_leaves_no_files(
    writer, uri, monkeypatch, by_client
):
    by_client()
    sweep = writer.done()
    with monkeypatch.context() as patched:
        patched.setattr(MlflowClient, "finalize_logged_model", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            Tracker(uri, home=writer.home, sweep=writer.name).sync(sweep)
    assert Tracker(uri, home=writer.home, sweep=writer.name).sync(sweep) == 2
    models = writer.home / "artifacts" / writer.name / "models"
    of_runs = set(runs_of(uri, writer.name)["tags.calsweep.model_id"].dropna())
    assert {folder.name for folder in models.iterdir()} == of_runs
    assert {MlflowClient(uri).get_logged_model(one).status for one in of_runs} == {"READY"}
    assert len(of_runs) == 2


def test_stored_model_takes_ordinary_frames(writer, uri):
    sweep = writer.done()
    Tracker(uri, home=writer.home, sweep=writer.name).sync(sweep)
    run = runs_of(uri, writer.name).loc["trial 0/key1"]
    model = mlflow.pyfunc.load_model(f"models:/{run['tags.calsweep.model_id']}")
    frames = pd.DataFrame({"a": [0.0, 2.0, 1.0], "b": [0.0, 0.0, 1.0]})
    assert frames["a"].dtype == np.float64
    expected = [0.5, 0.8808, 0.5]  # 1 / (1 + exp(-2)) = 0.8808
    np.testing.assert_allclose(model.predict(frames).probability, expected, atol=1e-4)
    named = frames.assign(
        recording=["x", "y", "x"], trial=np.array([2**40, 0, 2**40 + 2**32], dtype=np.int64)
    )
    np.testing.assert_allclose(model.predict(named).probability, expected, atol=1e-4)
    whole = frames.astype({"a": np.int32, "b": np.uint16})
    np.testing.assert_allclose(model.predict(whole).probability, expected, atol=1e-4)


def test_trials_far_apart_in_number_are_told_apart():
    """Windows of three frames in trials of two: none is whole."""
    model = tiny_model()
    wide = FoldModel(
        decoder=model.decoder,
        view=View(address="mice", target="run", window=Window(length=3)),
        units=model.units,
        rate_hz=model.rate_hz,
        scaling=model.scaling,
        state={"kernel.weight": torch.zeros(1, 2, 3), "kernel.bias": torch.zeros(1)},
    )
    frames = pd.DataFrame({"a": [0.0] * 4, "b": [0.0] * 4})
    one = FrameModel(wide).predict(frames).probability
    np.testing.assert_array_equal(one, [np.nan, 0.5, 0.5, np.nan])
    two = FrameModel(wide).predict(frames.assign(trial=[0, 0, 2**32, 2**32])).probability
    assert two.isna().all()


def test_server_decides_where_its_models_lie(writer):
    made = []

    class Client:
        def get_experiment_by_name(self, *_):
            return None

        def create_experiment(self, *_, artifact_location):
            made.append(artifact_location)
            return "1"

        def get_experiment(self, number):
            return Experiment(number, "s", made[-1] or "mlflow-artifacts:/1", "active")

    writer.begin()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(tracking, "open_client", lambda _: Client())
        Tracker("https://lab.org/mlflow", home=writer.home, sweep=writer.name)
        Tracker("postgresql://lab.org/mlflow", home=writer.home, sweep=writer.name)
    assert made == [None, (writer.home / "artifacts" / writer.name).resolve().as_uri()]


def test_mlflow_prints_no_line_for_each_run():
    from mlflow.environment_variables import MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT

    assert MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT.get()


def test_address_used_is_not_that_of_the_next_home(uri):
    tracking.open_client(uri)
    assert "MLFLOW_TRACKING_URI" not in os.environ


def test_user_without_a_name_has_a_number(monkeypatch):
    def fail():
        raise KeyError("getpwuid(): uid not found: 4711")

    monkeypatch.setattr(getpass, "getuser", fail)
    assert tracked.user_name() == str(os.getuid())


def test_sweep_remembers_its_mlflow(writer, monkeypatch):
    sweep = writer.done()
    usual = f"sqlite:///{writer.home.resolve() / 'mlflow.db'}"
    assert sweep_tracking_uri(sweep, home=writer.home) == usual
    (sweep.folder / "tracking_uri").write_text("https://lab.org/mlflow\n")
    assert sweep_tracking_uri(sweep, home=writer.home) == "https://lab.org/mlflow"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://me:secret@lab.org/mlflow")
    assert sweep_tracking_uri(sweep, home=writer.home) == "https://me:secret@lab.org/mlflow"


class TestSavedModel:
    def test_comes_back(self, tmp_path):
        tiny_model().save(tmp_path / "model")
        assert FoldModel.load(tmp_path / "model").units == ("a", "b")

    def test_is_missing(self, tmp_path):
        with pytest.raises(ValueError, match="holds no model of calsweep"):
            FoldModel.load(tmp_path)

    @pytest.mark.parametrize(
        ("file", "text"),
        [
            ("model.safetensors", "not numbers"),
            ("model.json", "{"),
            ("model.json", "[]"),
            ("model.json", '{"format": 2}'),
            ("model.json", '{"format": 2, "decoder": 3, "view": 4, "units": 5, "rate_hz": 6}'),
        ],
    )
    def test_is_damaged(self, tmp_path, file, text):
        folder = tmp_path / "model"
        tiny_model().save(folder)
        (folder / file).write_text(text)
        with pytest.raises(ValueError, match=f"the model in {folder} is damaged"):
            FoldModel.load(folder)

    def test_has_weights_of_another_decoder(self, tmp_path):
        folder = tmp_path / "model"
        tiny_model().save(folder)
        described = (folder / "model.json").read_text()
        (folder / "model.json").write_text(described.replace('"b"', '"b", "c"'))
        with pytest.raises(ValueError, match=f"the model in {folder} is damaged"):
            FoldModel.load(folder)

    def test_has_another_format(self, tmp_path):
        folder = tmp_path / "model"
        tiny_model().save(folder)
        described = (folder / "model.json").read_text()
        (folder / "model.json").write_text(described.replace('"format": 2', '"format": 3'))
        with pytest.raises(ValueError, match="a model of format 3, but 2 is read here"):
            FoldModel.load(folder)
