"""A fold that is trained again from its record is the same, or is told where it parts."""

from dataclasses import replace

import pytest
from safetensors.torch import load_file, save_file

from calsweep.datasets.fold_protocol import AnimalGroups
from calsweep.platform.fold.training import Training
from calsweep.platform.places import cache_folder
from calsweep.platform.record_reader import read_sweep
from calsweep.platform.rerun import FoldNotFound, find_fold, rerun_fold
from calsweep.platform.settings import Settings
from calsweep.trainables.recurrent import Cell, Recurrent
from tests.recorded import record_sweep


@pytest.fixture(scope="module")
def home(mice, tmp_path_factory):
    home = tmp_path_factory.mktemp("rerun")
    view = replace(mice.view(length=5), folds=AnimalGroups(k_groups=3))
    settings = Settings(
        trainables=Recurrent(cell=Cell.GRU, n_hidden=4),
        datasets=view,
        training=Training(epochs=2, batch_size=256),
    )
    record_sweep(home, "small", {"trial 1": settings}, n_folds=2)
    return home


def find(home, run):
    return find_fold(home, run, uri=f"sqlite:///{home}/mlflow.db")


def test_fold_is_trained_to_the_same_bits(home):
    done = rerun_fold(find(home, "small:1:1"), cache=cache_folder(home))
    assert done.is_same
    assert done.parted_at is None
    assert done.reasons == ()
    assert done.now.test == done.then.test
    assert done.now.key == done.then.key


def test_fold_whose_record_was_changed_is_told(home, calsweep):
    fold = find(home, "small:best:0").fold
    folder = home / "sweeps/small/folds" / fold.key
    path, figures = folder / "model/model.safetensors", folder / "fold.json"
    weights, text = load_file(path), figures.read_text()
    name = sorted(weight for weight in weights if weight.startswith("weight."))[0]
    try:
        save_file({**weights, name: weights[name] * 2}, path)
        second = fold.curve[1]
        curve = (fold.curve[0], replace(second, train_loss=second.train_loss + 1e-9))
        replace(fold, curve=curve).write(folder)
        code, out, _ = calsweep("rerun", fold.key[:12], "--home", home)
    finally:
        save_file(weights, path)
        figures.write_text(text)
    assert code == 1
    assert "epoch 1 · " in out
    assert out.count("(the same)") == 1
    last = out.strip().splitlines()[-1]
    assert last.startswith(f"It differs: weights.{name.removeprefix('weight.')}, epoch 2. ")
    assert "They part at epoch 2." in last


def test_run_of_mlflow_names_its_fold(home):
    from calsweep.platform.tracking.tracking import Tracker

    uri = f"sqlite:///{home}/mlflow.db"
    sweep = read_sweep(home, "small")
    Tracker(uri, home=home, sweep="small").sync(sweep)
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("calsweep/small").experiment_id
    runs = {run.info.run_name: run.info.run_id for run in client.search_runs([experiment])}
    assert find(home, runs["trial 1 fold 01"]).fold == sweep.trials[0].folds[1]
    with pytest.raises(FoldNotFound, match="neither this home nor MLflow has a fold"):
        find(home, runs["trial 1"])
    with pytest.raises(FoldNotFound, match="neither this home nor MLflow has a fold"):
        find(home, "f" * 32)


def test_fold_that_is_not_there_is_told(home):
    with pytest.raises(FoldNotFound, match="trial 1 has the folds 0, 1"):
        find(home, "small:1:7")
    with pytest.raises(LookupError, match="No sweep 'smal'"):
        find(home, "smal:1:7")


def test_other_code_is_told(home):
    found = find(home, "small:1:0")
    older = replace(found, sweep=replace(found.sweep, code_version="0.0.9+abc"))
    done = rerun_fold(older, cache=cache_folder(home), threads=1)
    assert done.is_same
    assert done.reasons[0].startswith("The code was 0.0.9+abc and is ")


def test_member_of_a_population_is_sent_to_replay(home):
    found = find(home, "small:1:0")
    member = replace(found, sweep=replace(found.sweep, settings={"tuner": "population"}))
    with pytest.raises(ValueError, match="calsweep replay small MEMBER"):
        rerun_fold(member, cache=cache_folder(home))
