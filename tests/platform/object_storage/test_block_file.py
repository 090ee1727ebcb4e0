"""A file read in blocks: the bytes of the file, in few requests and little more than asked for."""

import io
import os

import numpy as np
import pytest

from calsweep.platform.object_storage import block_file
from calsweep.platform.object_storage.block_file import BlockFile

DATA = np.random.default_rng(0).bytes(10_000)


@pytest.fixture
def asked():
    return []


@pytest.fixture
def file(asked):
    def read_range(start, stop):
        asked.append((start, stop))
        return DATA[start:stop]

    return BlockFile(read_range, n_bytes=len(DATA), version="1", block_bytes=100)


def test_reads_what_a_file_on_disk_would(file):
    there = io.BytesIO(DATA)
    rng = np.random.default_rng(1)
    for _ in range(300):
        at, n = int(rng.integers(0, 10_050)), int(rng.integers(0, 900))
        assert file.seek(at) == there.seek(at)
        assert file.read(n) == there.read(n)
        assert file.tell() == there.tell()
    file.seek(0)
    assert file.read() == DATA
    assert file.read(5) == b""


def test_seeks_from_start_place_and_end(file):
    assert file.seek(-10, os.SEEK_END) == 9_990
    assert file.read() == DATA[-10:]
    assert file.seek(20) == 20
    assert file.seek(5, os.SEEK_CUR) == 25
    with pytest.raises(ValueError, match="must not be negative, but got -1"):
        file.seek(-1)


def test_many_small_reads_are_one_request(file, asked):
    for _ in range(50):
        file.read(2)
    assert asked == [(0, 100)]


def test_one_large_read_is_one_request(file, asked):
    file.seek(1_050)
    assert file.read(500) == DATA[1_050:1_550]
    assert asked == [(1_000, 1_600)]


def test_reading_on_fetches_more_each_time(file, asked):
    file.seek(200)
    for _ in range(8):
        file.read(90)
    assert asked == [(200, 300), (300, 500), (500, 900), (900, 1_700)]


def test_jumping_fetches_one_block_each(file, asked):
    for at in (5_050, 210, 9_950, 5_010):
        file.seek(at)
        file.read(3)
    assert asked == [(5_000, 5_100), (200, 300), (9_900, 10_000)]


def test_blocks_used_last_are_kept_and_no_more(file, asked, monkeypatch):
    monkeypatch.setattr(block_file, "MAX_BLOCKS_KEPT", 2)
    for block in (10, 20, 10, 30, 10, 20):
        file.seek(block * 100)
        file.read(1)
    assert [start // 100 for start, _ in asked] == [10, 20, 30, 20]
