"""A model becomes champion past a gate, and everything of it can be looked up."""

import shutil
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from calsweep.platform.champion.candidate import best_candidate
from calsweep.platform.champion.fresh import ModelFails, Trial, try_out
from calsweep.platform.champion.gate import Gate, NotPromoted
from calsweep.platform.champion.history import Action, Ending, History
from calsweep.platform.champion.load import load_model
from calsweep.platform.champion.promotion import promote, roll_back
from calsweep.platform.champion.registry import Registry
from calsweep.platform.comparison import Method
from calsweep.platform.fold.ensemble import Ensemble
from calsweep.platform.record_reader import read_sweep
from calsweep.platform.tracking.tracking_errors import ModelNotFound, TrackingRefused
from tests.platform.written_sweep import NOWHERE

pytestmark = pytest.mark.timeout(300)


@pytest.mark.slow
def test_first_champion_then_a_better_one_and_back(stage_on):
    first = stage_on.promote("weak", because="to begin with")
    assert first.evidence.comparison == "There was no champion to beat."
    assert stage_on.aliases() == {"champion": "1"}
    assert [row.fold for row in first.repeated] == [stage_on.candidate("weak").folds[0].fold]
    assert first.repeated[0].furthest < 1e-6

    second = stage_on.promote("strong")
    assert stage_on.aliases() == {"champion": "2", "challenger": "1"}
    assert second.evidence.mean_difference > 0.1
    assert second.evidence.p < 0.05

    again = stage_on.promote("strong")
    assert again.evidence is None
    assert stage_on.versions() == ["1", "2"]

    with pytest.raises(NotPromoted, match="does not beat the champion"):
        stage_on.promote("weak")
    assert stage_on.aliases() == {"champion": "2", "challenger": "1"}

    back = stage_on.roll_back(because="it stumbles on new mice")
    assert (back.model.version, back.former) == ("1", "2")
    assert stage_on.aliases() == {"champion": "1", "challenger": "2"}
    changes = History(stage_on.home, stage_on.name).read()
    assert [(c.action, c.version, c.former, c.because) for c in changes] == [
        (Action.PROMOTE, "1", "", "to begin with"),
        (Action.PROMOTE, "2", "1", ""),
        (Action.ROLLBACK, "1", "2", "it stumbles on new mice"),
    ]
    assert {change.ending for change in changes} == {Ending.DONE}
    assert changes[1].evidence["test"] == "signed-rank"
    assert changes[1].evidence["fresh_process"][0]["auc"] == pytest.approx(
        stage_on.candidate("strong").folds[0].test.auc
    )
    with pytest.raises(ModelNotFound, match="version 1 is the first champion"):
        stage_on.roll_back(because="further")
    stage_on.roll_back(because="no, it was fine", to="2")
    assert stage_on.aliases() == {"champion": "2", "challenger": "1"}


def test_pages_of_mlflow_tell_what_a_version_is(stage):
    stage.promote("weak")
    stage.promote("strong", because="better on every mouse")
    sweep = read_sweep(stage.home, "strong")
    version = stage.client.get_model_version(stage.name, "2")
    assert version.description.startswith("linear of sweep `strong`: fold ")
    assert "| fold | validation AUC | test AUC | test accuracy |" in version.description
    assert "animals mouse1, mouse2, mouse3, mouse4, mouse5" in version.description
    assert version.tags["calsweep.dataset_hash"] == sweep.dataset["content_hash"]
    assert version.tags["calsweep.plan_hash"] == sweep.plan_hash
    assert version.tags["calsweep.champion_because"] == "better on every mouse"
    assert "signed-rank p =" in version.tags["calsweep.champion_evidence"]
    assert len(version.tags["calsweep.test.auc"].split(",")) == 6
    run = stage.client.get_run(version.run_id)
    assert run.data.tags["calsweep.fold_key"] == stage.candidate("strong").folds[0].key
    former = stage.client.get_model_version(stage.name, "1")
    assert former.tags["calsweep.succeeded_by"] == "2"
    page = stage.client.get_registered_model(stage.name).description.splitlines()
    assert page[0] == "Champions, the last first:"
    assert "| promote | 2 | 1 |" in page[4]
    assert page[4].endswith("| better on every mouse |")
    assert "| promote | 1 | - |" in page[5]


def test_ensemble_is_the_mean_of_its_folds_and_serves(stage, mice):
    done = stage.promote("strong", ensemble=True)
    assert [row.fold for row in done.repeated] == [0, 1, 2, 3, 4, 5]
    model = load_model(stage.name, home=stage.home)
    assert isinstance(model, Ensemble)
    assert len(model.members) == 6
    version = stage.client.get_model_version(stage.name, "1")
    assert "the mean of 6 folds' probabilities" in version.description
    assert version.tags["calsweep.folds"] == "0,1,2,3,4,5"

    mlflow.set_tracking_uri(stage.uri)
    frames = pd.DataFrame({unit: [0.0] * 6 for unit in mice.manifest.units})
    served = mlflow.pyfunc.load_model(f"models:/{stage.name}@champion").predict(frames)
    alone = [
        load_model(
            str(stage.home / "sweeps/strong/folds" / fold.key / "model"), home=stage.home
        ).probabilities(frames.to_numpy("float32"), trial_T=pd.Series([0] * 6).to_numpy("int32"))
        for fold in stage.candidate("strong", ensemble=True).folds
    ]
    mean = sum(member[2, 1] for member in alone) / 6
    assert served.probability[2] == pytest.approx(mean, abs=1e-6)


def test_ensemble_of_the_champions_configuration_does_not_beat_it(stage):
    stage.promote("strong")
    with pytest.raises(NotPromoted, match=r"AUC \+0.0000 on 6 folds") as refused:
        stage.promote("strong", ensemble=True)
    assert "--unbeaten-because" in str(refused.value)
    done = stage.promote("strong", ensemble=True, gate=Gate(unbeaten_because="steadier"))
    assert done.evidence.overruled == {"unbeaten": "steadier"}
    tags = stage.client.get_model_version(stage.name, "2").tags
    assert tags["calsweep.overruled.unbeaten"] == "steadier"


def test_model_that_no_longer_loads_leaves_the_champion(stage):
    stage.promote("weak")
    stage.promote("strong", ensemble=True)
    version = stage.client.get_model_version(stage.name, "2")
    stored = stage.client.get_logged_model(version.source.removeprefix("models:/"))
    folder = Path(stored.artifact_location.removeprefix("file://"))
    path = folder / "data/model/members/03/model.safetensors"
    whole = path.read_bytes()
    stage.roll_back(because="a test")
    try:
        path.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(ModelFails, match=r"members/03 is damaged.*the champion stays"):
            stage.promote("strong", ensemble=True)
        with pytest.raises(ModelFails, match="members/03 is damaged"):
            stage.roll_back(because="a test", to="2")
    finally:
        path.write_bytes(whole)
    assert stage.aliases() == {"champion": "1", "challenger": "2"}
    assert stage.promote("strong", ensemble=True).model.version == "2"


def test_model_that_comes_to_other_figures_fails(stage, tmp_path):
    """The record says one thing and the model another: that of the weak sweep."""
    strong, weak = stage.candidate("strong"), stage.candidate("weak")
    home = tmp_path / "home"
    shutil.copytree(stage.home / "sweeps/strong", home / "sweeps/strong")
    trial = Trial(
        model=str(weak.sweep.fold_folder(weak.folds[0]) / "model"),
        home=str(home),
        sweep="strong",
        trial=strong.trial.number,
        folds=(strong.folds[0].fold,),
        cache=str(tmp_path / "cache"),
    )
    with pytest.raises(ModelFails, match=r"comes to a test AUC of .*, but the record has"):
        try_out(trial, what="it")
    with pytest.raises(ModelFails, match="not done within 0.01 s"):
        try_out(trial, what="it", deadline_s=0.01)


def test_champion_that_was_set_by_hand_is_noted(stage):
    stage.promote("weak")
    stage.promote("strong")
    stage.client.set_registered_model_alias(stage.name, "champion", "1")
    done = stage.promote("strong")
    assert done.mended == ("Version 1 was made champion elsewhere; the history notes it.",)
    changes = History(stage.home, stage.name).read()
    assert [(c.action.value, c.version) for c in changes] == [
        ("promote", "1"),
        ("promote", "2"),
        ("elsewhere", "1"),
        ("promote", "2"),
    ]


def test_champion_that_moves_while_a_candidate_is_tried_out_is_not_overrun(stage, monkeypatch):
    """As a promoter of another home does, which does not wait for this one's lock."""
    stage.promote("weak")
    stage.promote("strong")
    stage.roll_back(because="a test")
    fetch = Registry.fetch

    def meanwhile(self, *args):
        stage.client.set_registered_model_alias(stage.name, "champion", "2")
        return fetch(self, *args)

    monkeypatch.setattr(Registry, "fetch", meanwhile)
    with pytest.raises(NotPromoted, match="the champion is another since it was compared"):
        stage.promote("strong", ensemble=True)
    assert stage.aliases()["champion"] == "2"


def test_home_without_the_champions_sweep_compares_by_what_the_registry_holds(stage, tmp_path):
    stage.promote("weak")
    home = tmp_path / "another"
    shutil.copytree(stage.home / "sweeps/strong", home / "sweeps/strong")
    candidate, gate = best_candidate(read_sweep(home, "strong")), Gate(test=Method.SIGNED_RANK)
    done = promote(candidate, home=home, name=stage.name, gate=gate, uri=stage.uri)
    assert done.mended == ("Version 1 was made champion elsewhere; the history notes it.",)
    assert done.evidence.p == 0.03125
    assert stage.aliases() == {"champion": "2", "challenger": "1"}
    changes = History(home, stage.name).read()
    assert [(change.action.value, change.version) for change in changes] == [
        ("elsewhere", "1"),
        ("promote", "2"),
    ]


@pytest.mark.parametrize("name", ["", " ", "a/b", "a:b", "..", "n" * 201])
def test_name_that_the_registry_refuses_is_told_before_anything_is_written(home, tmp_path, name):
    with pytest.raises(ValueError, match="a model's name must not be empty"):
        promote(best_candidate(read_sweep(home, "strong")), home=tmp_path, name=name, uri=NOWHERE)
    assert not list(tmp_path.iterdir())


def test_unreachable_mlflow_is_one_error_without_password(stage):
    with pytest.raises(TrackingRefused) as refused:
        stage.promote("strong", uri=NOWHERE)
    text = str(refused.value)
    assert text.startswith("MLflow at http://127.0.0.1:9 refuses: ")
    assert "secret" not in text


def test_missing_model_and_alias_are_told_with_those_there_are(stage):
    stage.promote("weak")
    with pytest.raises(ModelNotFound, match="no such alias. There are: champion"):
        load_model(f"models:/{stage.name}@winner", home=stage.home)
    with pytest.raises(ModelNotFound, match="nobody@champion: the model has no such alias"):
        load_model("nobody", home=stage.home)
    with pytest.raises(ModelNotFound, match="version"):
        load_model(f"models:/{stage.name}/7", home=stage.home)
    with pytest.raises(ModelNotFound, match="there is no champion to take back"):
        roll_back("nobody", home=stage.home, because="a test")


def test_other_errors_of_the_registry_are_not_taken_for_a_missing_model(stage, monkeypatch):
    def fail(*_, **__):
        raise MlflowException("the database is locked")

    monkeypatch.setattr(MlflowClient, "get_registered_model", fail)
    with pytest.raises(TrackingRefused, match="the database is locked"):
        stage.promote("strong")
