import os
import pickle
import re
import subprocess
import sys

import pytest

from calsweep.datasets.cache import LockTimeout, beside, build_once, file_lock

BUILD_AND_COUNT = """
import sys, time
from pathlib import Path
from calsweep.datasets.cache import build_once

place = Path(sys.argv[1])

def build(partial):
    with (place.parent / "count").open("a") as count:
        count.write("x")
    time.sleep(0.3)
    partial.write_text("whole")

build_once(place, build=build)
"""


def test_a_lock_that_is_held_is_told_after_the_deadline(tmp_path):
    path = tmp_path / "lock"
    with (
        file_lock(path),
        pytest.raises(LockTimeout, match="Another process has held .* for 0.2 s") as told,
        file_lock(path, deadline_s=0.2),
    ):
        pass
    assert str(pickle.loads(pickle.dumps(told.value))) == str(told.value)
    with file_lock(path, deadline_s=0.2):
        pass


def test_processes_build_it_once(tmp_path):
    command = [sys.executable, "-c", BUILD_AND_COUNT, str(tmp_path / "place")]
    workers = [subprocess.Popen(command) for _ in range(3)]
    assert [worker.wait(60) for worker in workers] == [0, 0, 0]
    assert (tmp_path / "place").read_text() == "whole"
    assert (tmp_path / "count").read_text() == "x"


@pytest.mark.parametrize("make", [os.mkdir, os.mknod])
def test_a_build_that_fails_leaves_nothing(tmp_path, make):
    def build(partial):
        make(partial)
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        build_once(tmp_path / "place", build=build)
    assert [path.name for path in tmp_path.iterdir()] == [".place.lock"]


BUILD_AND_DIE = """
import os, signal, sys
from pathlib import Path
from calsweep.datasets.cache import build_once

def build(partial):
    partial.mkdir()
    (partial / "half").write_text("made")
    os.kill(os.getpid(), signal.SIGKILL)

build_once(Path(sys.argv[1]), build=build)
"""


def test_what_a_killed_build_left_is_removed_by_the_next(tmp_path):
    place = tmp_path / "a[1]"
    assert subprocess.run([sys.executable, "-c", BUILD_AND_DIE, str(place)]).returncode == -9
    assert len(list(tmp_path.glob(".*.partial"))) == 1
    others = [tmp_path / ".a[1].txt.0123abcd.partial", tmp_path / ".a1.0123abcd.partial"]
    for other in others:
        other.touch()
    build_once(place, build=lambda partial: partial.touch())
    assert sorted(tmp_path.glob(".*.partial")) == sorted(others)
    assert place.is_file()


@pytest.mark.parametrize("make", [os.mkdir, os.mknod])
def test_what_is_made_beside_is_there_at_the_end_only(tmp_path, make):
    place = tmp_path / "place"
    with beside(place) as partial:
        make(partial)
        assert re.fullmatch(r"\.place\.[0-9a-f]{8}\.partial", partial.name)
        assert not place.exists()
    assert list(tmp_path.iterdir()) == [place]


@pytest.mark.parametrize("make", [os.mkdir, os.mknod])
def test_what_fails_beside_leaves_what_was_there(tmp_path, make):
    place = tmp_path / "place"
    place.write_text("old")
    with pytest.raises(KeyboardInterrupt), beside(place) as partial:
        make(partial)
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == [place]
    assert place.read_text() == "old"
