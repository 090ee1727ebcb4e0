"""Files written past the page cache: what was in memory, wherever they lie."""

import resource
from pathlib import Path

import numpy as np
import pytest

from calsweep.datasets.direct_write import BLOCK_BYTES, write_direct
from calsweep.datasets.lent_memory import LENDER


def filled(n_blocks):
    memory = LENDER.bytes(n_blocks * BLOCK_BYTES)
    memory[:] = np.random.default_rng(0).integers(0, 256, len(memory), dtype=np.uint8)
    return memory


@pytest.mark.parametrize("n_bytes", [1, 4095, 4096, 4097, 1_000_001])
def test_file_is_what_was_in_memory(tmp_path, n_bytes):
    memory = filled(-(-n_bytes // BLOCK_BYTES))
    write_direct(tmp_path / "file", memory, n_bytes=n_bytes)
    assert (tmp_path / "file").read_bytes() == memory[:n_bytes].tobytes()


def test_memory_that_no_disk_takes_directly_is_written(tmp_path):
    memory = filled(3)[100 : 100 + BLOCK_BYTES]  # it does not begin with a block
    write_direct(tmp_path / "file", memory, n_bytes=BLOCK_BYTES)
    assert (tmp_path / "file").read_bytes() == memory.tobytes()


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="there is no file system in memory")
def test_file_system_in_memory_takes_it():
    path = Path("/dev/shm/calsweep-direct-write-test")
    memory = filled(2)
    try:
        write_direct(path, memory, n_bytes=5000)
        assert path.read_bytes() == memory[:5000].tobytes()
    finally:
        path.unlink()


def test_file_that_may_not_grow_is_told(tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            write_direct(tmp_path / "file", filled(2), n_bytes=8000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
