"""What reading comes to in a process that trains, exported while it does and at its end."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from calsweep.datasets.tally import TALLY
from calsweep.platform.metrics import exported
from calsweep.platform.metrics.exported import Exporter

_EVERY_S = 5.0


class ReadMetrics:
    """Exports what was counted in this process.

    Parameters
    ----------
    sweep
        For which it reads.
    """

    def __init__(self, sweep: str, /) -> None:
        self._exporter = Exporter(sweep)
        self._last_s = time.monotonic()

    def tell(self, *, is_last: bool = False) -> None:
        """Export what came since, unless that was just done."""
        now = time.monotonic()
        if now - self._last_s < _EVERY_S and not is_last:
            return
        self._last_s = now
        counts = TALLY.taken()
        self._exporter.add(exported.BYTES_READ, counts.bytes_read)
        self._exporter.add(exported.CACHE_HITS, counts.cache_hits)
        self._exporter.add(exported.CACHE_MISSES, counts.cache_misses)
        self._exporter.add(exported.STORAGE_RETRIES, counts.storage_retries)


@contextlib.contextmanager
def read_metrics(place: Path, /) -> Iterator[ReadMetrics]:
    """Export what is read for a sweep in a block.

    Parameters
    ----------
    place
        Folder of its folds or members, which lies in that of the sweep.
    """
    reads = _of(place.parent.name)
    try:
        yield reads
    finally:
        reads.tell(is_last=True)


@lru_cache(maxsize=4)
def _of(sweep: str) -> ReadMetrics:
    """Give the same for all folds of a sweep: metrics are made once in a process."""
    return ReadMetrics(sweep)
