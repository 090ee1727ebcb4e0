"""Memory that is lent: used again, and never by two at once."""

import gc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from calsweep.datasets.lent_memory import Lender


def test_memory_that_nothing_looks_at_is_lent_again():
    lender = Lender()
    first = lender.array((3, 5), dtype="float32")
    place = first.ctypes.data
    del first
    assert lender.array((4, 4), dtype="uint16").ctypes.data == place


def test_every_kind_of_look_keeps_memory():
    lender = Lender()
    looks = [
        lambda array: array[1:, ::2],
        lambda array: array.view(np.uint16),
        lambda array: memoryview(array),
        lambda array: torch.from_numpy(array).transpose(0, 1),
        lambda array: torch.from_numpy(array)[0].numpy(),
    ]
    for look in looks:
        array = lender.array((4, 8), dtype="float32")
        place, seen = array.ctypes.data, look(array)
        del array
        gc.collect()
        assert lender.array((4, 8), dtype="float32").ctypes.data != place
        del seen
        assert place in {lender.array((4, 8), dtype="float32").ctypes.data for _ in range(3)}


def test_memory_begins_with_a_page_and_may_be_empty():
    lender = Lender()
    for n_bytes in (0, 1, 4096, 4097, 3_000_000):
        lent = lender.bytes(n_bytes)
        assert len(lent) == n_bytes
        assert lent.ctypes.data % 4096 == 0


def test_no_more_is_kept_than_may_be():
    lender = Lender(kept_bytes=3 * 4096)
    lent = [lender.bytes(4096) for _ in range(5)]
    del lent
    assert sum(map(len, lender._free.values())) == 3


def test_threads_never_have_the_same_memory():
    lender = Lender()

    def use(number):
        for i in range(300):
            array = lender.array((1 + i % 7, 1000), dtype="int64")
            array[:] = number
            assert (array[::-1] == number).all()
        return number

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(use, range(8))) == list(range(8))
