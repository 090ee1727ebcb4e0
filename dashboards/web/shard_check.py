"""Every shard of a dataset verified, in a thread of its own, one check at a time."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace

from calsweep.datasets.manifest import Manifest

CHECKED_WITHIN_S = 300.0
NAMED = 5


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a check is.

    Attributes
    ----------
    number
        Of the check, from 1; 0 if none was asked for.
    n_checked, n_shards
        Shards that were read, and all.
    n_bytes
        Of those that were read.
    damaged
        What is wrong with the first few that are not as they were written.
    n_damaged
        How many are not.
    is_over
        Whether nothing more comes.
    refusal
        Why it ended before the last shard; empty if it did not.
    ended_s
        When it ended, in seconds since 1970.
    """

    number: int = 0
    n_checked: int = 0
    n_shards: int = 0
    n_bytes: int = 0
    damaged: tuple[str, ...] = ()
    n_damaged: int = 0
    is_over: bool = True
    refusal: str = ""
    ended_s: float = 0.0


class ShardCheck:
    """Verifies the shards of a dataset as `calsweep data check` does, when it is asked to.

    Parameters
    ----------
    address
        Of the dataset.
    within_s
        Seconds after which it gives up, between two shards.
    """

    def __init__(self, address: str, /, *, within_s: float = CHECKED_WITHIN_S) -> None:
        self._address = address
        self._within_s = within_s
        self._lock = threading.Lock()
        self._progress = Progress()

    @property
    def progress(self) -> Progress:
        """How far the latest check is."""
        return self._progress

    def begin(self, number: int, manifest: Manifest, /) -> None:
        """Begin the check of this number, if it is the next and none is under way.

        An address that asks for it may be opened again and again: it is checked once.
        """
        with self._lock:
            if not self._progress.is_over or number != self._progress.number + 1:
                return
            n_shards = len(manifest.all_shards)
            self._progress = Progress(number=number, n_shards=n_shards, is_over=False)
        threading.Thread(target=self._run, args=(manifest,), name="shards", daemon=True).start()

    def _run(self, manifest: Manifest) -> None:
        refusal = ""
        try:
            refusal = self._check(manifest)
        except Exception as error:  # noqa: BLE001 - whatever it is, the page says it in its place
            refusal = str(error)
        self._progress = replace(self._progress, is_over=True, refusal=refusal, ended_s=time.time())

    def _check(self, manifest: Manifest) -> str:
        from calsweep.datasets.shard import DamagedShard, read_shard
        from calsweep.platform.object_storage.storage import locate

        give_up_s = time.monotonic() + self._within_s
        store = locate(self._address)
        for entry in manifest.all_shards:
            if time.monotonic() > give_up_s:
                return f"{self._within_s:g} s were not enough for all of them."
            now = self._progress
            try:
                read_shard(entry, store=store, thoroughly=True)
            except DamagedShard as error:
                named = (*now.damaged, str(error))[:NAMED]
                now = replace(now, damaged=named, n_damaged=now.n_damaged + 1)
            self._progress = replace(
                now, n_checked=now.n_checked + 1, n_bytes=now.n_bytes + entry.n_bytes
            )
        return ""
