"""The disks of cache and record are full amid a sweep: it is told, and what was done is kept."""

import contextlib
import re
import shutil
import subprocess

import pytest

from tests.platform import swept

pytestmark = [pytest.mark.nightly, pytest.mark.slow, pytest.mark.timeout(900)]


def test_full_disks_of_cache_and_then_of_record(mice, undisturbed, tmp_path):
    with small_disk(tmp_path / "home") as home, small_disk(tmp_path / "cache") as cache:
        sweep = swept.Sweep(mice.folder, home, {**swept.plain_env(), "CALSWEEP_CACHE": str(cache)})
        with sweep.running() as driver:
            sweep.wait_for(10, driver)
            sweep.lose_cache(cache)
            fill(cache)  # before others take the place of the processes that trained
            said = driver.ended(code=2)
        assert "No trial of the sweep 'small' came to its end; the first failed: NoRoom: " in said
        assert f"needed in the cache {cache}" in said
        assert "free some of the disk, or name a folder of another in CALSWEEP_CACHE" in said

        first_ones = sweep.folds
        said = sweep.run(code=2)
        assert f"calsweep: {cache} cannot be used: its disk has " in said
        assert re.search(r" \d MB free and 100 MB are needed: free some, or name a folder", said)
        (cache / "filler").unlink()
        with sweep.running() as driver:
            sweep.wait_for(40, driver)
            fill(home)
            said = driver.ended(code=2)
        assert "is full (No space left on device): free some of it" in said
        assert "what was done is kept" in said

        before = sweep.folds
        assert before.items() >= first_ones.items()
        (home / "filler").unlink()
        sweep.run()
        sweep.check(like=undisturbed, before=before)


@contextlib.contextmanager
def small_disk(folder):
    """Mount a disk of its own size, which only root may."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=250m", "calsweep-test", folder]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no disk can be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True, timeout=60)


def fill(folder):
    """Write until nothing more can be."""
    for n_bytes in (2**20, 512):
        with contextlib.suppress(OSError), (folder / "filler").open("ab", buffering=0) as file:
            while True:
                file.write(bytes(n_bytes))
