import os
import pickle
import re
import subprocess
import sys

import pytest

from calsweep.datasets.cache import Cache, LockTimeout, NoRoom, beside, build_once, file_lock

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


def entry(cache, name, *, n_bytes=1000):
    """Use an entry once, and give its bytes."""

    def build(path):
        path.write_bytes(name[-1:].encode() * n_bytes)

    with cache.entry(name, n_bytes=n_bytes, build=build) as place:
        return place.read_bytes()


def names(folder):
    return sorted(path.name for path in (folder / "kind").iterdir())


def test_what_was_not_used_for_longest_makes_room(tmp_path):
    cache = Cache(tmp_path, limit_mb=0.0035)
    for name in "abcad":  # a is used again, so b goes
        assert entry(cache, f"kind/{name}") == name.encode() * 1000
    assert names(tmp_path) == ["a", "c", "d"]
    entry(cache, "kind/e", n_bytes=2500)
    assert names(tmp_path) == ["d", "e"]


def test_folders_are_entries_too(tmp_path):
    cache = Cache(tmp_path, limit_mb=0.0035)

    def build(path):
        path.mkdir()
        (path / "x").write_bytes(b"x" * 2000)

    with cache.entry("kind/a", n_bytes=2000, build=build) as place:
        assert (place / "x").stat().st_size == 2000
    entry(cache, "kind/b")
    assert names(tmp_path) == ["a", "b"]
    entry(cache, "kind/c")
    assert names(tmp_path) == ["b", "c"]


def test_what_is_held_stays(tmp_path):
    cache = Cache(tmp_path, limit_mb=0.0025)
    place = cache.keep("kind/a", n_bytes=1000, build=lambda path: path.write_bytes(b"a" * 1000))
    entry(cache, "kind/b")
    entry(Cache(tmp_path, limit_mb=0.0025), "kind/c")
    assert names(tmp_path) == ["a", "c"]
    with pytest.raises(NoRoom, match="0 MB are needed in the cache .*CALSWEEP_CACHE_MB higher"):
        entry(cache, "kind/d", n_bytes=2000)
    assert place.read_bytes() == b"a" * 1000
    cache.close()
    entry(Cache(tmp_path, limit_mb=0.0025), "kind/d", n_bytes=2000)
    assert names(tmp_path) == ["d"]


def test_what_was_removed_by_hand_is_made_anew_beside_who_uses_it(tmp_path):
    user = Cache(tmp_path)
    user.keep("kind/a", n_bytes=1000, build=lambda path: path.write_bytes(b"a" * 1000)).unlink()
    assert entry(Cache(tmp_path), "kind/a") == b"a" * 1000


def test_what_is_being_made_counts(tmp_path):
    cache = Cache(tmp_path, limit_mb=0.0025)

    def build(path):
        with pytest.raises(NoRoom):
            entry(Cache(tmp_path, limit_mb=0.0025), "kind/b")
        path.write_bytes(b"a" * 2000)

    with cache.entry("kind/a", n_bytes=2000, build=build):
        assert names(tmp_path) == ["a"]


RESERVE_AND_DIE = """
import os, signal, sys
from pathlib import Path
from calsweep.datasets.cache import Cache

with Cache(Path(sys.argv[1])).entry(
    "kind/a", n_bytes=2000, build=lambda path: os.kill(os.getpid(), signal.SIGKILL)
):
    pass
"""


def test_what_a_killed_process_reserved_is_free(tmp_path):
    assert subprocess.run([sys.executable, "-c", RESERVE_AND_DIE, str(tmp_path)]).returncode == -9
    assert len(list((tmp_path / "locks").glob("*.reserved"))) == 1
    entry(Cache(tmp_path, limit_mb=0.0025), "kind/b", n_bytes=2000)
    assert list((tmp_path / "locks").glob("*.reserved")) == []


def test_full_disk_is_told_and_leaves_nothing(tmp_path):
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(tmp_path)]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a small disk cannot be mounted here")
    try:
        cache = Cache(tmp_path)
        entry(cache, "kind/a")
        with pytest.raises(NoRoom, match="or its disk is full"):
            entry(cache, "kind/b", n_bytes=100_000)
        assert names(tmp_path) == ["a"]
        assert entry(cache, "kind/c") == b"c" * 1000
    finally:
        subprocess.run(["umount", "-l", str(tmp_path)], check=True)
