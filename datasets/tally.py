"""Counts of what reading came to in this process, for who watches over it."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, fields


@dataclass(frozen=True, kw_only=True)
class Counts:
    """What reading came to.

    Attributes
    ----------
    bytes_read
        Of shards, from disk or over a network.
    cache_hits, cache_misses
        Entries of a cache that were there, and that were made.
    storage_retries
        Calls to an object storage that were made again.
    """

    bytes_read: int = 0
    cache_hits: int = 0
    cache_misses: int = 0
    storage_retries: int = 0


@dataclass
class Tally:
    """Adds up, from whatever thread.

    Examples
    --------
    >>> tally = Tally()
    >>> tally.add(Counts(bytes_read=5, cache_hits=1))
    >>> tally.add(Counts(bytes_read=2))
    >>> tally.taken()
    Counts(bytes_read=7, cache_hits=1, cache_misses=0, storage_retries=0)
    >>> tally.taken()
    Counts(bytes_read=0, cache_hits=0, cache_misses=0, storage_retries=0)
    """

    _counts: Counts = field(default_factory=Counts)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def add(self, more: Counts, /) -> None:
        """Count more."""
        with self._lock:
            both = {f.name: getattr(self._counts, f.name) + getattr(more, f.name) for f in _FIELDS}
            self._counts = Counts(**both)

    def taken(self) -> Counts:
        """Give what was counted, and begin anew."""
        with self._lock:
            counts, self._counts = self._counts, Counts()
        return counts


_FIELDS = fields(Counts)

TALLY = Tally()
"""Of this process."""
