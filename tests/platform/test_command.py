"""Bad input ends with exit code 2 and one message with the way out; nothing is left behind."""

import shutil
from dataclasses import replace

import numpy as np
import pytest

from calsweep.datasets.dataset import read_manifest
from calsweep.datasets.shard import write_dataset
from calsweep.datasets.simulation import Simulation
from calsweep.datasets.store import FolderStore
from calsweep.platform.command import COMMANDS, main


@pytest.fixture
def calsweep(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        shown = capsys.readouterr()
        return ended.value.code, shown.out, shown.err

    return run


def test_help_names_every_command_without_loading_an_engine(calsweep):
    code, out, _ = calsweep("--help")
    assert code == 0
    assert all(f"  {name} " in out for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(calsweep, name):
    code, out, _ = calsweep(name, "--help")
    assert code == 0
    assert out.startswith(f"Usage: calsweep {name}")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["trainable=gru"], "`trainable` is not a setting. Did you mean `trainables`?"),
        (["trainables=grru"], "`trainables=grru` is not known. Did you mean `gru`?"),
        (["datasets=widefeld"], "Did you mean `widefield`?"),
        (
            ["trainables.n_hiden=3"],
            "`trainables.n_hiden` is not a setting. Did you mean `n_hidden`?",
        ),
        (["training.learning_rat=3"], "Did you mean `learning_rate`?"),
        (["training.epochs=many"], "`training.epochs` must be of type int, but got 'many'."),
        (["training.epochs=0"], "`epochs >= 1` must hold, but got epochs=0."),
        (["tuner=optun"], "`tuner` cannot be 'optun'. Did you mean `optuna`?"),
        (["name=../other"], "`name` must be a plain name"),
        (["gru"], "`NAME=VALUE` is the form of an override, but got 'gru'."),
        (["trainables={_target_: os.system}"], "is not known"),
        (["baseline._target_=os.system"], "only types of calsweep are built"),
        (["baseline=5"], "`baseline` must be a Decoder, but got 5."),
        (["trainables=[gru,lstm]"], "`trainables` takes one variant, but got [gru,lstm]"),
    ],
)
def test_wrong_override_is_told_with_the_nearest_right_name(calsweep, tmp_path, overrides, message):
    code, out, err = calsweep("sweep", "datasets.address=m1", *overrides)
    assert code == 2
    assert out == ""
    assert message in err
    assert len(err.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["datasets.target=runs"], "`target` must name a behavior of the dataset, but got 'runs'"),
        (["datasets.target=speed_cm_s"], "`target` must be a label"),
        (["datasets.window.length=901"], "has 900 frames, and a window of 901 frames"),
        (["datasets.k_groups=6"], "6 groups need at least 6 animals, but the dataset has 5"),
        (["tuner=grid"], "`training.learning_rate` in the search space: a grid needs countable"),
        (["search_spaces.trainables.n_hidden.choices=[0,8]"], "`n_hidden >= 1` must hold"),
        (["+search_spaces.trainables.n_layers.choices=[1,2]"], "`trainables.n_layers` is not a"),
        (["+search_spaces.datasets.target.choices=[run,rest]"], "`datasets.target` cannot be sea"),
        (
            ["+search_spaces.datasets.labels.choices=[observed,permuted]"],
            "`datasets.labels` cannot be searched: all trials of a sweep share it.",
        ),
    ],
)
def test_settings_that_do_not_suit_the_dataset_are_refused_before_anything_begins(
    calsweep, mice, tmp_path, overrides, message
):
    code, _, err = calsweep("sweep", f"datasets.address={mice.folder}", *overrides)
    assert code == 2
    assert message in err
    assert len(err.strip().splitlines()) == 1
    assert not (tmp_path / ".calsweep" / "sweeps").exists()


def test_label_with_one_class_is_told(calsweep, tmp_path):
    recordings = []
    for recording in Simulation(n_frames=300).recordings():
        rest = {"run": np.zeros(300, np.int64)}
        recordings.append(replace(recording, behavior=rest, behavior_unit={}))
    write_dataset(recordings, folder=tmp_path / "resting")
    code, _, err = calsweep("sweep", f"datasets.address={tmp_path / 'resting'}")
    assert code == 2
    assert "`target` must have both classes, 0 and 1, but 'run' is 0 in all 1500 frames" in err
    assert not (tmp_path / ".calsweep" / "sweeps").exists()


def test_missing_dataset_is_told(calsweep):
    code, _, err = calsweep("sweep", "datasets.address=nowhere")
    assert code == 2
    assert "No dataset at" in err
    assert "calsweep ingest" in err


def test_damaged_shard_is_named_and_never_read(calsweep, mice, tmp_path):
    folder = tmp_path / "damaged"
    shutil.copytree(mice.folder, folder)
    shard = folder / read_manifest(FolderStore(folder)).shards[0].file
    raw = bytearray(shard.read_bytes())
    raw[len(raw) // 2] ^= 1
    shard.write_bytes(raw)
    for command in (["sweep", f"datasets.address={folder}"], ["data", "check", folder]):
        code, _, err = calsweep(*command)
        assert code == 2
        assert shard.name in err
    assert list((tmp_path / ".calsweep").rglob("*.npy")) == []


def test_address_without_credentials_is_told(calsweep, monkeypatch, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    code, _, err = calsweep("sweep", "datasets.address=s3://lab/m1")
    assert code == 2
    assert "set AWS_ACCESS_KEY_ID" in err


def test_unknown_sweep_is_told(calsweep):
    for command in ("leaderboard", "promote", "report"):
        code, _, err = calsweep(command, "nothing")
        assert code == 2
        assert "No sweep 'nothing'" in err
