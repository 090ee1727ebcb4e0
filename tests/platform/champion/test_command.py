"""``calsweep promote``, ``champion`` and ``predict`` say what they did, and what to do next."""

import pytest

pytestmark = pytest.mark.timeout(300)


def test_champion_is_shown_with_its_history_and_predicts_by_name(
    stage, calsweep, mice, tmp_path, monkeypatch
):
    monkeypatch.setenv("CALSWEEP_HOME", str(stage.home))
    code, out, err = calsweep("promote", "weak", "--name", stage.name, "--no-report")
    assert code == 0, out + err
    lines = out.strip().splitlines()
    fold = stage.candidate("weak").folds[0]
    assert lines[0] == (
        f"Champion models:/{stage.name}@champion is version 1: trial weak, fold {fold.fold} "
        f"(validation AUC {fold.validation.auc:.4f}, test AUC {fold.test.auc:.4f})."
    )
    assert lines[1] == "There was no champion to beat."
    assert lines[2].startswith("In a fresh process 1 fold came to the record's figures (")
    assert lines[-1] == f"Next: calsweep predict models:/{stage.name}@champion DATASET OUT.parquet"

    code, out, err = calsweep(
        "promote", "strong", "--name", stage.name, "--ensemble", "--margin", 0.01,
        "--because", "steadier", "--test", "signed-rank", "--no-report",
    )  # fmt: skip
    assert code == 0, out + err
    assert "signed-rank p = 0.0312, level 0.05." in out
    assert "Version 1 is the challenger now." in out
    code, out, _ = calsweep("champion", "show", stage.name)
    assert out.splitlines()[0] == f"champion: models:/{stage.name}/2"
    assert "  because            steadier" in out
    assert f"challenger: models:/{stage.name}/1" in out
    code, out, _ = calsweep("champion", "history", stage.name)
    assert [line.split("Z  ")[1].split(",")[0] for line in out.splitlines() if "Z  " in line] == [
        "promote: version 1",
        "promote: version 2 in place of version 1",
    ]

    code, out, err = calsweep("predict", stage.name, mice.folder, tmp_path / "out.parquet")
    assert code == 0, out + err
    assert f"probability of run at {5 * (900 - 4)} frames of 5 recordings, by {stage.name}." in out

    code, out, err = calsweep("champion", "rollback", stage.name, "--because", "a test")
    assert "is version 1 again; version 2 is the challenger now." in out


def test_options_that_lead_there_are_printed(stage, calsweep, monkeypatch):
    other = f"sqlite:///{stage.home}/./mlflow.db"
    code, out, _ = calsweep(
        "promote", "weak", "--name", stage.name, "--no-report", "--home", stage.home,
        "--tracking-uri", other,
    )  # fmt: skip
    assert code == 0
    assert out.endswith(f"OUT.parquet --home {stage.home} --tracking-uri {other}\n")


def test_unknown_champion_and_sweep_are_told(stage, calsweep):
    stage.promote("weak")
    where = ("--home", stage.home)
    code, _, err = calsweep("champion", "history", stage.name + "s", *where)
    assert code == 2
    assert f"Did you mean {stage.name!r}?" in err or stage.name in err
    code, _, err = calsweep("champion", "show", "nobody", *where)
    assert code == 2
    assert "No model at models:/nobody@champion: the model has no such alias. It has none." in err
    code, _, err = calsweep("promote", "wek", *where)
    assert code == 2
    assert "No sweep 'wek'." in err
    code, _, err = calsweep("champion", "rollback", stage.name, *where)
    assert code == 2
    assert "--because" in err


def test_sweep_without_a_finished_configuration_is_told(stage, calsweep):
    record = stage.home / "sweeps/weak"
    folder = stage.home / "sweeps/unfinished"
    folder.mkdir(exist_ok=True)
    (folder / "sweep.json").write_text((record / "sweep.json").read_text())
    begun = (record / "record.jsonl").read_text().splitlines()[0]
    (folder / "record.jsonl").write_text(begun + "\n")
    code, _, err = calsweep("promote", "unfinished", "--home", stage.home)
    assert code == 2
    assert "No trial of the sweep 'unfinished' is finished yet." in err
    code, _, err = calsweep("promote", "unfinished", "--trial", "1", "--home", stage.home)
    assert code == 2
    assert "configurations must be finished" in err
