"""MLflow that ends, fails or is slow: nothing stops, and all is there once when it is back."""

import json
import re
import subprocess
import sys
from pathlib import Path

import mlflow
import pytest

from calsweep.platform.tracking import tracked, tracking_thread
from calsweep.platform.tracking.tracking import Tracker, find_runs
from calsweep.platform.tracking.tracking_thread import TrackingThread
from tests.faults import LOST_ANSWER, FaultProxy
from tests.mlflow_server import MlflowServer, wait_until
from tests.platform.written_sweep import runs_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
CATCH_UP_S = 200.0
ROOT = Path(__file__).parent.parent.parent.parent


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(tracking_thread, "SYNC_EVERY_S", 0.05)
    monkeypatch.setattr(tracking_thread, "LONGEST_PAUSE_S", 0.5)


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory):
    """One server for all tests, which may end it: its tables are made but once."""
    server = MlflowServer(folder=tmp_path_factory.mktemp("server"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def server(shared_server):
    if not shared_server.answers():
        shared_server.kill()
        shared_server.start()
    return shared_server


def feed(writer, uri) -> TrackingThread:
    return TrackingThread(uri, home=writer.home, sweep=writer.name, is_running=True)


def check_whole(uri, writer):
    """Every fold once, no run runs, and the table of folds is that of the record."""
    sweep = writer.read()
    runs = runs_of(uri, writer.name)
    keys = [tracked.trial_key(trial) for trial in sweep.trials]
    keys += [tracked.fold_key(trial, fold) for trial in sweep.trials for fold in trial.folds]
    assert sorted(runs.index) == sorted(keys)
    assert set(runs["status"]) == {"FINISHED"}
    for trial in sweep.trials:
        parent = runs.loc[tracked.trial_key(trial)]
        there = mlflow.artifacts.load_dict(f"{parent['artifact_uri']}/folds.json")
        assert there == json.loads(json.dumps(tracked.fold_table(trial)))
        for fold in trial.folds:
            run = runs.loc[tracked.fold_key(trial, fold)]
            assert run["tags.mlflow.parentRunId"] == parent["run_id"]
            for name, value in tracked.final_figures(fold).items():
                assert run[f"metrics.{name}"] == value
            history = mlflow.MlflowClient().get_metric_history(run["run_id"], "train_loss")
            assert len(history) == len(fold.curve)
    _, store = find_runs(uri, writer.name)
    models = [model.source_run_id for model in store.logged_models()]
    assert sorted(models) == sorted(runs["run_id"].drop(tracked.trial_key(sweep.trials[0])))


def test_down_at_the_end_is_caught_up_later_and_once(writer, server, calsweep):
    writer.begin()
    writer.fold(0)
    with feed(writer, server.url) as tracking:
        wait_until(lambda: tracking.fed.n_folds == 1)
        server.kill()
        writer.fold(1)
        writer.end()
        assert "Connection refused" in tracking.close(deadline_s=1)
        assert tracking.stop(deadline_s=60)
    arguments = ("track", writer.name, "--home", writer.home, "--tracking-uri", server.url)
    away = subprocess.run(  # what it leaves amid a call is ended with its process
        [sys.executable, "-m", "calsweep.platform", *map(str, arguments), "--wait-s", "2"],
        cwd=ROOT, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert away.returncode == 2
    assert "0 folds and 0 summaries written now" in away.stderr
    assert "refuses" in away.stderr
    server.start()
    code, out, err = calsweep(*arguments)
    assert (code, err) == (0, "")
    begun = f"2 folds of 1 configurations are in the record of {writer.name}; MLflow is at "
    assert out.splitlines()[0] == f"{begun}{server.url}."
    assert out.splitlines()[-1] == "MLflow has all of them: 1 folds and 1 summaries written now."
    check_whole(server.url, writer)
    code, out, _ = calsweep(*arguments)
    assert out.splitlines()[-1] == "MLflow has all of them: 0 folds and 0 summaries written now."
    check_whole(server.url, writer)


@pytest.mark.parametrize("fault", ["500", LOST_ANSWER])
def test_errors_again_and_again(writer, server, fault):
    """Each kind of request fails the first two times that it is asked for."""
    n_asked: dict[tuple[str, str], int] = {}

    def choose(method, path, _):
        plain = re.sub(r"\bm-[0-9a-f]{32}\b", "MODEL", path.partition("?")[0])
        kind = (method, plain.rpartition("artifacts/")[0] or plain)
        n_asked[kind] = n_asked.get(kind, 0) + 1
        return fault if n_asked[kind] <= 2 else ""

    proxy = FaultProxy(server.url, choose)
    writer.begin()
    with proxy.running(), feed(writer, proxy.url) as tracking:
        writer.fold(0)
        writer.fold(1)
        writer.end()
        assert tracking.close(deadline_s=CATCH_UP_S) == ""
    assert proxy.faults[fault] >= 10
    check_whole(server.url, writer)


def test_one_request_in_seven_fails_for_ever(writer, server):
    """A fold takes more requests than that: each is asked for again, where that does no harm."""
    proxy = FaultProxy(server.url, lambda _, __, n: "500" if n % 7 == 3 else "")
    writer.begin()
    with proxy.running(), feed(writer, proxy.url) as tracking:
        writer.fold(0)
        writer.fold(1)
        writer.end()
        assert tracking.close(deadline_s=CATCH_UP_S) == ""
    assert proxy.faults["500"] >= 3
    check_whole(server.url, writer)


def test_slow_answers_do_not_hold_up_the_sweep(writer, server):
    """A server that is silent: the end is told within its deadline, and is caught up later."""
    proxy = FaultProxy(server.url, lambda *_: "silence", silence_s=4.0)
    writer.begin()
    with proxy.running(), feed(writer, proxy.url) as tracking:
        writer.fold(0)
        writer.fold(1)
        writer.end()
        assert tracking.close(deadline_s=1)
        assert tracking.stop(deadline_s=60)
    Tracker(server.url, home=writer.home, sweep=writer.name).sync(writer.read())
    check_whole(server.url, writer)


def test_runs_of_what_died_are_closed_and_go_on(writer, uri, calsweep):
    """The process of a sweep is gone: its trial is KILLED until the sweep goes on."""
    writer.begin()
    writer.fold(0)
    Tracker(uri, home=writer.home, sweep=writer.name).sync(writer.read(), is_running=True)
    assert runs_of(uri, writer.name).loc["trial 0", "status"] == "RUNNING"
    code, out, _ = calsweep("track", writer.name, "--home", writer.home, "--tracking-uri", uri)
    assert code == 0
    assert out.endswith("1 summaries written now, 1 runs of attempts that died closed.\n")
    dead = runs_of(uri, writer.name)
    assert dict(dead["status"]) == {"trial 0": "KILLED", "trial 0/key0": "FINISHED"}
    assert dead.loc["trial 0", "metrics.n_folds"] == 1

    writer.trial()
    writer.fold(0)
    tracker = Tracker(uri, home=writer.home, sweep=writer.name)
    tracker.sync(writer.read(), is_running=True)
    assert runs_of(uri, writer.name).loc["trial 0", "status"] == "RUNNING"
    writer.fold(1)
    tracker.sync(writer.end())
    assert runs_of(uri, writer.name).loc["trial 0", "tags.calsweep.attempt"] == "2"
    assert runs_of(uri, writer.name).loc["trial 0", "metrics.n_folds"] == 2
    check_whole(uri, writer)


def test_fold_trained_anew_has_a_run_of_its_own(writer, uri):
    """Its folder was lost: the run of the first attempt is closed, and is not counted."""
    sweep = writer.done()
    Tracker(uri, home=writer.home, sweep=writer.name).sync(sweep)
    old = runs_of(uri, writer.name).loc["trial 0/key0", "run_id"]
    folder = sweep.folder / "folds" / "key0"
    text = (folder / "fold.json").read_text()
    (folder / "fold.json").write_text(text.replace('"train_seconds": 1.5', '"train_seconds": 2.5'))
    writer.fold(0)  # the record has a line for it again
    Tracker(uri, home=writer.home, sweep=writer.name).sync(writer.read())
    client = mlflow.MlflowClient(uri)
    replaced = client.get_run(old)
    assert replaced.info.status == "KILLED"
    assert replaced.data.tags["calsweep.replaced_run_key"] == "trial 0/key0"
    runs = runs_of(uri, writer.name)
    assert runs.loc["trial 0/key0", "metrics.train_seconds"] == 2.5
    assert runs.loc["trial 0", "metrics.train_seconds"] == 4.0
    assert list(runs.index[:3]) == ["trial 0", "trial 0/key0", "trial 0/key1"]


def test_artifacts_on_s3(s3, writer, monkeypatch):
    monkeypatch.setenv("CALSWEEP_ARTIFACTS", "s3://calsweep-test/artifacts")
    uri = f"sqlite:///{writer.home}/mlflow.db"
    Tracker(uri, home=writer.home, sweep=writer.name).sync(writer.done())
    keys = [item["Key"] for item in s3.list_objects_v2(Bucket="calsweep-test")["Contents"]]
    assert sum(key.endswith("folds.json") for key in keys) == 1
    assert sum(key.endswith("model.safetensors") for key in keys) == 2
    assert all(key.startswith(f"artifacts/{writer.name}/") for key in keys)
    check_whole(uri, writer)
