"""A whole sweep from the shell: its record, MLflow, promotion, prediction, and going on."""

import contextlib
import io
import json
import os
import re
import signal
import threading
import time
from dataclasses import dataclass

import numpy as np
import pyarrow.parquet as pq
import pytest

from calsweep.datasets.store import FolderStore
from calsweep.platform.arm import default_arms, default_reference
from calsweep.platform.command import main
from calsweep.platform.comparison import Method, compare
from calsweep.platform.independence import frames_ratio
from calsweep.platform.leaderboard import leaderboard, nested_choice
from calsweep.platform.record import TrialState
from calsweep.platform.record_reader import read_sweep
from tests.platform.swept import N_FOLDS, Sweep, table, words

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def calsweep(*arguments, home, code=0):
    """Run a command in this process; a sweep attaches to the Ray of `local_ray`."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as monkeypatch, pytest.raises(SystemExit) as ended:
        monkeypatch.setenv("CALSWEEP_HOME", str(home))
        monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)  # other tests may have left it
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main([str(argument) for argument in arguments])
    assert ended.value.code == code, out.getvalue() + err.getvalue()
    return Said(out.getvalue(), err.getvalue())


@dataclass(frozen=True)
class Said:
    """What a command printed."""

    out: str
    err: str


@pytest.fixture(scope="module")
def swept(undisturbed):
    return undisturbed


@pytest.fixture(scope="module")
def home(undisturbed):
    return undisturbed.folder.parent.parent


def test_every_configuration_has_20_folds_and_the_baseline_stands_first(swept):
    assert [trial.name for trial in swept.trials] == ["baseline", "trial 1", "trial 2", "trial 3"]
    assert [trial.state for trial in swept.trials] == [TrialState.DONE] * 4
    pairs = {(t, v) for t in range(5) for v in range(5) if t != v}
    for trial in swept.trials:
        assert [fold.fold for fold in trial.folds] == list(range(20))
        assert {(fold.test_group, fold.validation_group) for fold in trial.folds} == pairs
    assert swept.trials[0].settings["trainables"]["_target_"].endswith(".Linear")
    assert set(swept.trials[1].values) == {
        "trainables.cell",
        "trainables.bidirectional",
        "trainables.n_hidden",
        "training.learning_rate",
    }


def test_output_tells_progress_figures_and_what_to_do_next(home):
    shown = (home / "said.txt").read_text()
    assert "4 configurations (the linear baseline first) x 20 folds" in shown
    assert "Honest figure: test AUC" in shown
    assert "calsweep promote small" in shown


def test_status_tells_that_a_sweep_is_over(home, swept):
    lines = dict(
        line.split(maxsplit=1) if not line.startswith(("time", "last")) else (line[:10], line[12:])
        for line in calsweep("status", "small", home=home).out.splitlines()
    )
    assert lines["sweep"] == f"small ({swept.identity})"
    assert lines["state"] == "over"
    assert lines["trials"] == "4 of 4 ended"
    assert lines["folds"] == "80 of 80 done"
    assert lines["last error"] == "none"
    assert "small" in calsweep("status", home=home).out


def test_processes_are_reused(swept):
    processes = {fold.process for trial in swept.trials for fold in trial.folds}
    assert len(processes) <= os.cpu_count()


def test_configurations_of_a_sweep_can_be_compared(swept):
    arms = default_arms(swept)
    comparison = compare(arms, reference=default_reference(arms))
    assert len(comparison.pairs) == len(swept.finished) - 1
    assert all(set(pair.p) == set(Method) for pair in comparison.pairs)
    assert frames_ratio(swept.plan) == pytest.approx(1 / 3)


def test_leaderboard_is_ordered_by_validation_alone(swept):
    rows = leaderboard(swept)
    means = [row.validation_auc for row in rows]
    assert means == sorted(means, reverse=True)
    assert {row.trial.name for row in rows} == {"baseline", "trial 1", "trial 2", "trial 3"}
    best = max(swept.trials, key=lambda t: np.mean([f.validation.auc for f in t.folds]))
    assert rows[0].trial == best


def test_nested_choice_reads_only_the_folds_of_its_group(swept):
    for choice in nested_choice(swept):
        scores = {
            trial.number: np.mean(
                [f.validation.auc for f in trial.folds if f.test_group == choice.test_group]
            )
            for trial in swept.trials
        }
        assert choice.trial.number == max(scores, key=scores.get)
        assert choice.test_auc == pytest.approx(
            np.mean([f.test.auc for f in choice.trial.folds if f.test_group == choice.test_group])
        )


def test_figures_follow_from_the_stored_predictions(swept):
    from sklearn.metrics import roc_auc_score

    for fold in swept.trials[1].folds[:3]:
        table = pq.read_table(swept.fold_folder(fold) / "predictions.parquet").to_pandas()
        assert roc_auc_score(table.label, table.probability) == pytest.approx(fold.test.auc)
        assert ((table.probability > 0.5) == table.label).mean() == pytest.approx(
            fold.test.accuracy
        )
        assert table.groupby("recording", observed=True).frame.apply(lambda f: f.is_unique).all()


def test_mlflow_holds_every_trial_and_fold(home, swept, ask_mlflow):
    import mlflow

    ask_mlflow(home)
    runs = mlflow.search_runs(experiment_names=["calsweep/small"], max_results=1000)
    assert len(runs) == 4 + 4 * 20
    assert set(runs.status) == {"FINISHED"}
    parents = runs[runs["tags.mlflow.parentRunId"].isna()]
    children = runs[runs["tags.mlflow.parentRunId"].notna()]
    assert sorted(parents["tags.mlflow.runName"]) == [trial.name for trial in swept.trials]
    assert (children.groupby("tags.mlflow.parentRunId").size() == 20).all()
    for trial in swept.trials:
        parent = parents[parents["tags.calsweep.trial"] == str(trial.number)].iloc[0]
        mean = np.mean([fold.test.auc for fold in trial.folds])
        assert parent["metrics.test_auc_mean"] == pytest.approx(mean)
        assert parent["metrics.n_folds"] == 20
    for tag, value in {
        "dataset_hash": swept.dataset["content_hash"],
        "plan_hash": swept.plan_hash,
        "code_version": swept.code_version,
        "seed": "0",
    }.items():
        assert set(runs[f"tags.calsweep.{tag}"]) == {value}
    assert children["tags.calsweep.fold_seed"].nunique() == 20
    assert parents["params.training.epochs"].eq("1").all()
    fold = swept.trials[1].folds[7]
    run = children[children["tags.calsweep.fold_key"] == fold.key].iloc[0]
    assert run["metrics.test_auc"] == pytest.approx(fold.test.auc)
    client = mlflow.MlflowClient()
    assert [m.value for m in client.get_metric_history(run.run_id, "train_loss")] == [
        pytest.approx(fold.curve[0].train_loss)
    ]
    settings = mlflow.artifacts.load_dict(f"{run.artifact_uri}/settings.json")
    assert settings == swept.trials[1].settings


def test_nothing_stored_is_a_pickle(home):
    suspects = [
        path
        for folder in ("artifacts", "sweeps/small/folds")
        for path in (home / folder).rglob("*")
        if path.suffix in {".pkl", ".pickle", ".pt", ".pth", ".bin", ".joblib"}
    ]
    assert suspects == []


def test_promoted_model_is_the_best_fold_by_validation_and_predicts(
    home, mice, swept, tmp_path, ask_mlflow
):
    import mlflow

    best = leaderboard(swept)[0].trial
    fold = max(best.folds, key=lambda f: f.validation.auc)
    shown = calsweep("promote", "small", "--name", "runner", home=home).out
    assert f"fold {fold.fold} " in shown
    assert "models:/runner@champion is version 1" in shown
    again = calsweep("promote", "small", "--name", "runner", home=home).out
    assert "is version 1" in again  # the same fold is not registered twice

    out = tmp_path / "out.parquet"
    calsweep("predict", "models:/runner@champion", mice.folder, out, home=home)
    table = pq.read_table(out).to_pandas()
    assert list(table.columns) == ["recording", "frame", "probability"]
    assert len(table) == 5 * (900 - 10)
    stored = pq.read_table(swept.fold_folder(fold) / "predictions.parquet").to_pandas()
    joined = stored.merge(table, on=["recording", "frame"], suffixes=("", "_again"))
    assert len(joined) == len(stored)
    np.testing.assert_allclose(joined.probability, joined.probability_again, atol=1e-5)

    ask_mlflow(home)
    client = mlflow.MlflowClient()
    version = client.get_model_version("runner", "1")
    files = [file.path for file in client.list_artifacts(version.run_id, "report")]
    assert files == ["report/report.html"]
    model = mlflow.pyfunc.load_model("models:/runner@champion")
    from calsweep.datasets.shard import read_shard  # frames as they lie in the dataset

    rows = read_shard(mice.manifest.shards[0], store=FolderStore(mice.folder)).to_pandas()
    first = rows[rows.recording == rows.recording.iloc[0]]
    frames = first[[f"unit.{unit}" for unit in mice.manifest.units]]
    frames.columns = mice.manifest.units
    predicted = model.predict(frames)
    whole = table[table.recording == first.recording.iloc[0]]
    assert len(predicted) == 900
    np.testing.assert_allclose(predicted.probability.iloc[5:-5], whole.probability, atol=1e-5)
    assert predicted.probability.iloc[:5].isna().all()


def test_report_is_written(home):
    shown = calsweep("report", "small", home=home).out
    path = home / "sweeps/small/report.html"
    assert str(path) in shown
    assert path.stat().st_size > 1_000_000


def test_same_command_attaches_and_trains_nothing(home, swept):
    before = {path: path.stat().st_mtime_ns for path in (home / "sweeps/small/folds").iterdir()}
    run = calsweep(*words(swept.dataset["address"], home), home=home)
    assert "run to its end before; nothing to train" in run.out
    after = {path: path.stat().st_mtime_ns for path in (home / "sweeps/small/folds").iterdir()}
    assert after == before
    assert table(read_sweep(home, "small")) == table(swept)


def test_other_settings_under_the_same_name_are_refused(home, swept):
    other = words(swept.dataset["address"], home, "training.learning_rate=0.5")
    run = calsweep(*other, home=home, code=2)
    assert run.err.strip().splitlines()[-1:] == [
        "calsweep: The sweep 'small' is there already and has other settings "
        "(training.learning_rate); it is left as it is: give another `name=`."
    ]
    assert table(read_sweep(home, "small")) == table(swept)


@dataclass(frozen=True)
class Interrupted:
    """A sweep that a second process asked for while it ran, and that Ctrl-C ended."""

    pid: int
    second: Said
    said: str
    n_trained: int


@pytest.fixture(scope="module")
def interrupted(mice, tmp_path_factory):
    home = tmp_path_factory.mktemp("interrupted")
    sweep = Sweep(mice.folder, home)
    with sweep.running() as driver:
        wait_until((home / "sweeps/small/sweep.json").exists)
        interrupter = threading.Thread(target=interrupt, args=(driver, sweep))
        interrupter.start()
        second = calsweep(*words(mice.folder, home), home=home, code=2)
        interrupter.join()
        said = driver.ended(code=130)
    return Interrupted(driver.process.pid, second, said, len(sweep.folds))


def interrupt(driver, sweep):
    sweep.wait_for(3, driver)
    driver.process.send_signal(signal.SIGINT)


def test_second_submission_of_a_sweep_that_is_interrupted_ends_with_it(interrupted):
    assert f":{interrupted.pid} just now: looking on" in interrupted.second.out
    assert f":{interrupted.pid}, which ran the sweep 'small'" in interrupted.second.err
    assert "ended before it was over (interrupted)" in interrupted.second.err
    assert "`calsweep resume small` goes on" in interrupted.second.err


def test_interrupted_sweep_says_so_and_is_no_success(interrupted):
    assert "the same command goes on from there" in interrupted.said
    assert 3 <= interrupted.n_trained < N_FOLDS


def wait_until(is_so):
    deadline = time.monotonic() + 120
    while not is_so():
        assert time.monotonic() < deadline, "it never came to it"
        time.sleep(0.1)


def test_failing_configuration_is_recorded_and_the_rest_goes_on(mice, tmp_path, local_ray):
    """Recordings of 900 frames hold no window of 901, and no loss stands a rate of 1e38."""
    run = calsweep(
        *words(
            mice.folder,
            tmp_path,
            "datasets/folds=leave_one_animal_out",
            "tuner=grid",
            "search_spaces=empty",
            "+search_spaces.arms.long={datasets: {window: {length: 901}}}",
            "+search_spaces.arms.fast={training: {learning_rate: 1.0e+38}}",
            "+search_spaces.arms.right={}",
        ),
        home=tmp_path,
    )
    sweep = read_sweep(tmp_path, "small")
    by_arm = {trial.values.get("arm", "baseline"): trial for trial in sweep.trials}
    assert {arm: trial.state for arm, trial in by_arm.items()} == {
        "baseline": TrialState.DONE,
        "long": TrialState.FAILED,
        "fast": TrialState.FAILED,
        "right": TrialState.DONE,
    }
    too_long, diverged = by_arm["long"], by_arm["fast"]
    assert "901" in too_long.error
    error_file = tmp_path / f"sweeps/small/errors/{too_long.name.replace(' ', '-')}.txt"
    assert "split_fold" in error_file.read_text()
    assert re.search(r"not finite in step \d+ of epoch 1, on windows of mouse\d_r1", diverged.error)
    ranked = {row.trial.name for row in leaderboard(sweep)}
    assert ranked == {"baseline", by_arm["right"].name}
    assert sweep.is_over  # settings that cannot be trained are not tried again
    assert f"{diverged.name} failed" in run.out


def test_random_search_and_grid_try_what_they_should(mice, tmp_path, local_ray):
    calsweep(
        *words(
            mice.folder,
            tmp_path,
            "datasets/folds=leave_one_animal_out",
            "tuner=grid",
            "n_trials=null",
            "search_spaces=window",
            "search_spaces.datasets.window.length.choices=[5,11]",
            "search_spaces.datasets.window.shift.choices=[-2,0]",
        ),
        home=tmp_path,
    )
    values = [list(trial.values.values()) for trial in read_sweep(tmp_path, "small").trials]
    assert values == [[], [5, -2], [5, 0], [11, -2], [11, 0]]


def test_record_keeps_the_resolved_settings(home, swept):
    plain = json.loads((home / "sweeps/small/sweep.json").read_text())
    assert plain["settings"]["training"]["epochs"] == 1
    assert plain["settings"]["training"]["label_smoothing"] == 0.01
    assert plain["settings"]["datasets"]["window"] == {
        "_target_": "calsweep.datasets.window.Window",
        "length": 11,
        "shift": 0,
    }
