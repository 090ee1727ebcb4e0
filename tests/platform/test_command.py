"""Bad input ends with exit code 2 and one message with the way out; nothing is left behind."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from calsweep.datasets.dataset import read_manifest
from calsweep.datasets.shard_writer import write_dataset
from calsweep.datasets.simulation import Simulation
from calsweep.datasets.store import FolderStore
from calsweep.platform.command import COMMANDS, _disk_full

PLAIN = ("datasets.transforms.detrend=null",)
TWICE = (
    "datasets/folds=listed",
    "datasets.folds.folds=[{train: [mouse1_r1, mouse2_r1], validation: [mouse3_r1], "
    "test: [[mouse1_r1, 800, 900]]}]",
    *PLAIN,
)


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
        (["datasets/folds=time_block"], "`datasets/folds=time_block` is not known. Did you mean"),
        (["datasets.folds=5"], "`datasets.folds` must be a Folds, but got 5."),
        (
            ["datasets.folds={_target_: calsweep.datasets.window.Window}"],
            "`datasets.folds` must be a Folds, but got Window(",
        ),
        (["datasets.mask.keep=[1.5]"], "`datasets.mask.keep"),
        (["datasets.folds.k_groups=2"], "`k_groups >= 3` must hold"),
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
        (["datasets.folds.k_groups=6"], "6 groups need at least 6 animals, but the dataset has 5"),
        (
            ["datasets/folds=time_blocks"],
            "gaps of 999 frames leave none of the validation part of fold 0",
        ),
        (
            ["datasets/folds=time_blocks", "datasets.folds.gap_frames=10", *PLAIN],
            "`gap_frames >= 31` must hold",
        ),
        (
            ["datasets/folds=time_blocks", "datasets.transforms.scaling.over=recording", *PLAIN],
            "The folds (blocks of time in 5 groups, gap of 31 frames) leak: 4500 frames of",
        ),
        ([*TWICE], "leak: animals mouse1 are in the training and the test part (fold 0); recordin"),
        ([*TWICE, "datasets.folds.holds_out=frames"], "leak: 100 frames of mouse1_r1 are in the"),
        (["datasets.mask.keep=region51"], "'region51' is none of its 50"),
        (["+search_spaces.datasets.mask.keep.choices=[all,region51]"], "'region51' is none of its"),
        (["+search_spaces.datasets.folds.k_groups.choices=[3,4]"], "cannot be searched"),
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
    assert "`target` must have two classes or more, but 'run' is 0 in all 1500 frames" in err
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
    for command in ("leaderboard", "compare", "promote", "report"):
        code, _, err = calsweep(command, "nothing")
        assert code == 2
        assert "No sweep 'nothing'" in err


def test_folds_are_drawn_and_audited(calsweep, mice, tmp_path):
    code, out, _ = calsweep("folds", "show", mice.folder)
    assert code == 0
    assert "animals in 5 groups: 20 folds" in out
    assert "TTTTTTTTTTTTvvvvvvvvvvvv····································" in out  # fold 0
    assert "60 / 20 / 20" in out
    assert "group 4: mouse5" in out
    assert "Holds out: animals." in out
    assert "Audit: clean with notes." in out
    assert "Note: detrended by a centred moving average of 1000 frames" in out
    drawing = ["folds", "show", mice.folder, "--target", "run", "datasets/folds=stratified_windows"]
    code, out, _ = calsweep(*drawing, *PLAIN, "--save", tmp_path / "folds.html")
    assert code == 0
    assert "x" * 60 in out
    assert "70 / 15 / 15" in out
    assert "in windows of the training and the test part (fold 0) (asked for by name)" in out
    assert "stratified windows" in (tmp_path / "folds.html").read_text()


def test_folds_of_wrong_input_are_told(calsweep, mice, tmp_path):
    code, _, err = calsweep("folds", "show", mice.folder, "--target", "speed_cm_s")
    assert (code, "`target` must be a label" in err) == (2, True)
    code, _, err = calsweep("folds", "show", mice.folder, "--save", "folds.png")
    assert (code, ".html or .svg" in err) == (2, True)
    code, _, err = calsweep("folds", "show", tmp_path / "nowhere")
    assert (code, "No dataset at" in err) == (2, True)


def test_data_check_says_which_folds_a_dataset_allows(calsweep, mice):
    code, out, _ = calsweep("data", "check", mice.folder)
    assert code == 0
    assert "animal_groups: 20 folds (mouse1 | mouse2 | mouse3 | mouse4 | mouse5), holds out" in out
    assert "leave_one_animal_out: 5 folds" in out
    assert "leave_one_recording_out: not possible: leaving a recording out needs three" in out
    assert "stratified_windows: 1 fold, holds out nothing, LEAKY" in out
    assert "time_blocks: 20 folds, holds out frames" in out
    assert "whole_trials:" in out
    code, out, _ = calsweep("data", "check", mice.folder, "--groups", 6, "--window", 800)
    assert "animal_groups: not possible: 6 groups need at least 6 animals" in out
    assert "time_blocks: not possible:" in out


def test_full_disk_is_told_with_what_to_do():
    with (
        pytest.raises(OSError, match="No space left") as full,
        Path("/dev/full").open("wb", buffering=0) as file,
    ):
        file.write(b"x")
    assert _disk_full(full.value) == (
        "the disk is full (No space left on device): free some of it and give the same command "
        "again, which goes on from there; what was done is kept."
    )
    assert _disk_full(FileNotFoundError(2, "No such file")) == ""
