"""Disk, versions and devices of this machine are told as they are."""

import re
import sys
from pathlib import Path

import pytest
import torch

import calsweep
from calsweep.platform.doctor import machine
from calsweep.platform.doctor.machine import NoDisk, check_folder


def test_folder_that_is_not_there_yet_is_looked_at_and_not_made(tmp_path):
    said = check_folder(tmp_path / "a/b", setting="home=FOLDER")
    assert re.fullmatch(rf"{tmp_path}/a/b: \d+\.\d GB free", said)
    assert list(tmp_path.iterdir()) == []


def test_full_disk_is_told_with_the_way_out(tmp_path):
    with pytest.raises(NoDisk) as told:
        check_folder(tmp_path, needed_mb=1e12, setting="home=FOLDER")
    assert re.fullmatch(
        rf"{tmp_path} cannot be used: its disk has \d+ MB free and 1000000000000 MB are needed: "
        "free some, or name a folder of another disk with home=FOLDER.",
        str(told.value),
    )


def test_folder_in_a_file_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(NoDisk, match="nothing can be written there .* with CALSWEEP_CACHE"):
        check_folder(tmp_path / "file/cache", setting="CALSWEEP_CACHE")


def test_folder_that_takes_no_file_is_told():
    with pytest.raises(NoDisk, match="nothing can be written there"):
        check_folder(Path("/proc/calsweep"), setting="home=FOLDER")


def test_versions_are_those_that_run():
    said = machine.versions()
    python = ".".join(map(str, sys.version_info[:3]))
    assert said.startswith(f"calsweep {calsweep.__version__}, Python {python}, ray ")
    assert f"torch {torch.__version__.partition('+')[0]}" in said


def test_version_that_does_not_suit_is_told(monkeypatch):
    asked = ["ray<2", "numpy>=1", "no-such-thing>=1", "mypy>=99; extra == 'dev'"]
    monkeypatch.setattr(machine.metadata, "requires", lambda _: asked)
    with pytest.raises(RuntimeError) as told:
        machine.versions()
    assert re.fullmatch(
        r"ray 2\.\d+\.\d+ is not <2; no-such-thing is not installed: install calsweep again, with "
        r"constraints\.txt\.",
        str(told.value),
    )


def test_devices_are_named():
    assert re.match(r"\d+ CPUs, (no GPU|\d+ GPU \(.+\))", machine.devices())
