"""`calsweep verify` names whatever is missing, twice, running, of another value, or damaged."""

import json
import shutil
import sqlite3
from pathlib import Path

import mlflow
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from calsweep.platform.champion.candidate import best_candidate
from calsweep.platform.champion.registry import CHAMPION, Registry
from calsweep.platform.fold.checksums import write_checksums
from calsweep.platform.tracking.tracking import Tracker
from tests.platform.written_sweep import Writer, runs_of

# One window of class 0 among four of class 1: AUC 2/4 and 3/4, three of five are right.
PROBABILITY = ([0.45, 0.2, 0.4, 0.6, 0.7], [0.3, 0.2, 0.4, 0.6, 0.7])


@pytest.fixture
def whole(writer, uri):
    """A finished sweep with everything that a fold leaves, tracked and promoted."""
    writer.done()
    for number in (0, 1):
        write_rest(fold_folder(writer, number), PROBABILITY[number])
    sweep = writer.read()
    Tracker(uri, home=writer.home, sweep=writer.name).sync(sweep)
    registry = Registry(uri)
    model = registry.copy(best_candidate(sweep), name=writer.name)
    registry.set_alias(writer.name, CHAMPION, model.version)
    return writer


def write_rest(folder: Path, probability):
    table = pa.table({"label": pa.array([0, 1, 1, 1, 1], pa.int8()), "probability": probability})
    pq.write_table(table, folder / "predictions.parquet", write_page_checksum=True)
    write_checksums(folder)


def fold_folder(writer: Writer, number: int) -> Path:
    return writer.home / "sweeps" / writer.name / "folds" / f"key{number}"


@pytest.fixture
def verify(calsweep, whole, uri):
    """Run the command; it gives exit code and lines."""

    def run():
        code, out, err = calsweep("verify", whole.name, "--home", whole.home, "--tracking-uri", uri)
        return code, out.splitlines(), err

    return run


def test_whole_sweep_is_said_to_be_whole(verify, whole, uri):
    code, lines, err = verify()
    assert lines == [f"Whole: 1 configurations, 2 folds, MLflow at {uri}."]
    assert (code, err) == (0, "")


def test_every_damage_to_the_record_is_named(verify, whole):
    folder = whole.home / "sweeps" / whole.name
    flip(fold_folder(whole, 0) / "model" / "model.safetensors")
    predictions = fold_folder(whole, 1) / "predictions.parquet"
    predictions.unlink()
    lines = (folder / "record.jsonl").read_text().splitlines()
    number = next(i for i, line in enumerate(lines) if '"event": "fold"' in line)
    lines[number] = lines[number].replace('"fold"', "~fold~", 1)
    (folder / "record.jsonl").write_text("\n".join(lines) + "\n")
    code, lines, err = verify()
    assert code == 2
    record = [line for line in lines if line.startswith("record: ")]
    assert record == [
        f"record: line {number + 1} of {folder}/record.jsonl is damaged.",
        "record: baseline fold 00 is missing.",
        f"record: baseline fold 01: {predictions} is missing.",
    ]
    # What the record has lost is all the more named where it is still there.
    assert "MLflow: the run of trial 0/key0 is not in the record." in lines
    assert "faults in 1 configurations, 1 folds" in err


def test_files_of_folds_are_held_against_their_sums(verify, whole):
    model = fold_folder(whole, 0) / "model" / "model.safetensors"
    flip(model)
    (fold_folder(whole, 1) / "fold.json").write_text("{")
    _, lines, _ = verify()
    assert (
        f"record: baseline fold 00: {fold_folder(whole, 0)}/model/model.safetensors is damaged: "
        "its bytes are not those that were written."
    ) in lines
    assert any(
        line.startswith(f"record: {fold_folder(whole, 1)}/fold.json cannot be read")
        for line in lines
    )
    assert (
        "artifacts: the run of baseline fold 00 has another model.safetensors of its model than "
        "the record: one is damaged."
    ) in lines


def test_figures_must_follow_from_predictions(verify, whole):
    write_rest(fold_folder(whole, 0), PROBABILITY[1])
    _, lines, _ = verify()
    assert lines == [
        "record: baseline fold 00: test auc is 0.500000, but its predictions come to 0.750000."
    ]


def test_folds_missing_from_the_disk_are_named(verify, whole):
    shutil.rmtree(fold_folder(whole, 0))
    code, lines, _ = verify()
    assert code == 2
    assert (
        f"record: {fold_folder(whole, 0)}/fold.json is missing: the sweep's own command trains it "
        "anew."
    ) in lines
    assert "record: baseline fold 00 is missing." in lines


def test_every_damage_to_runs_is_named(verify, whole, uri):
    client = mlflow.MlflowClient(uri)
    runs = runs_of(uri, whole.name)
    parent, first, second = runs["run_id"]
    experiment = runs["experiment_id"].iloc[0]
    client.create_run(experiment, tags={"calsweep.run_key": "trial 0"})
    client.create_run(experiment, tags={"calsweep.run_key": "trial 7/key3"})
    database = whole.home / "mlflow.db"
    with sqlite3.connect(database) as connection:
        change = "UPDATE latest_metrics SET value = 0.99 WHERE run_uuid = ? AND key = 'test_auc'"
        connection.execute(change, (first,))
        change = "UPDATE params SET value = 'other' WHERE run_uuid = ? AND key = 'trainables.type'"
        connection.execute(change, (first,))
    client.delete_run(second)
    client.set_tag(first, "calsweep.dataset_hash", "0" * 8)
    _, lines, err = verify()
    name = "the run of baseline fold 00"
    assert [line for line in lines if line.startswith("MLflow: ")] == [
        "MLflow: the run of baseline is there 2 times.",
        "MLflow: the run of baseline is RUNNING, though nothing writes it any more.",
        f"MLflow: {name} has parameter trainables.type = 'other', the record "
        "'calsweep.trainables.linear.Linear'.",
        f"MLflow: {name} has tag calsweep.dataset_hash = '00000000', the record 'da7a'.",
        f"MLflow: {name} has test_auc = 0.99, the record 0.5.",
        "MLflow: the run of baseline fold 01 is missing.",
        "MLflow: the run of trial 7/key3 is not in the record.",
    ]
    assert f"calsweep track {whole.name}" in err
    assert client.get_run(parent).info.status == "FINISHED"


def test_every_damage_to_artifacts_is_named(verify, whole, uri):
    client = mlflow.MlflowClient(uri)
    runs = runs_of(uri, whole.name)
    parent, first, second = (Path(where.removeprefix("file://")) for where in runs["artifact_uri"])
    (parent / "folds.json").write_text(json.dumps({"folds": []}))
    (first / "settings.json").write_text("{")
    (second / "settings.json").unlink()
    model = client.get_logged_model(runs["tags.calsweep.model_id"].iloc[1])
    flip(Path(model.artifact_location.removeprefix("file://")) / "data/model/model.safetensors")
    client.delete_logged_model(runs["tags.calsweep.model_id"].iloc[2])
    _, lines, _ = verify()
    beginnings = [
        "artifacts: the run of baseline has another folds.json than the record.",
        "artifacts: the run of baseline fold 00 has a damaged settings.json (",
        "artifacts: the run of baseline fold 00 has another model.safetensors of its model than",
        "artifacts: the run of baseline fold 01 lacks settings.json (",
        "artifacts: the run of baseline fold 01 lacks its model (m-",
    ]
    found = [line for line in lines if line.startswith("artifacts: ")]
    assert len(found) == len(beginnings)
    for line, beginning in zip(found, beginnings, strict=True):
        assert line.startswith(beginning)


def test_every_damage_to_the_registry_is_named(verify, whole, uri):
    client = mlflow.MlflowClient(uri)
    version = client.get_model_version(whole.name, "1")
    client.create_model_version(
        whole.name, source=version.source, run_id=version.run_id, tags=version.tags
    )
    client.delete_registered_model_alias(whole.name, "champion")
    client.delete_run(version.run_id)
    _, lines, _ = verify()
    gone = f"comes from the run {version.run_id}, which is not there."
    assert [line for line in lines if line.startswith("registry: ")] == [
        f"registry: {whole.name} has no alias 'champion': `calsweep promote` gives it.",
        f"registry: version 2 of {whole.name} is there 2 times.",
        f"registry: version 2 of {whole.name} {gone}",
        f"registry: version 1 of {whole.name} is there 2 times.",
        f"registry: version 1 of {whole.name} {gone}",
    ]


def test_sweep_that_is_not_tracked_is_told(calsweep, writer, uri):
    writer.done()
    arguments = ("verify", writer.name, "--home", writer.home, "--tracking-uri", uri)
    code, out, _ = calsweep(*arguments)
    assert code == 2
    assert f"MLflow: there is no experiment of {writer.name}." in out


def test_nothing_is_changed(verify, whole, uri):
    before = runs_of(uri, whole.name).to_json()
    verify()
    assert runs_of(uri, whole.name).to_json() == before


def flip(path: Path):
    """Turn one bit in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)
