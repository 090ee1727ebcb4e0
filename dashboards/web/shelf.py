"""Records as the page reads them: again when they have grown, and not before.

What was drawn of a record is kept with it, and is forgotten as soon as the record is another.
"""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from calsweep.dashboards.web.sweep_list import sweep_names
from calsweep.platform.leaderboard import Row, leaderboard
from calsweep.platform.population.lineage import Lineage
from calsweep.platform.record import SweepNotFound, SweepRecord, sweeps_folder
from calsweep.platform.record_reader import RecordReader

SWEEPS_HELD = 3
DRAWN_HELD = 40

_Drawn = TypeVar("_Drawn")


@dataclass(eq=False, kw_only=True)
class Reading:
    """A sweep's record as it was at a moment.

    Attributes
    ----------
    sweep
        The record.
    version
        Differs where the record differs.
    held
        What goes on while the record grows, by key: what was asked of the sweep's dataset.
    """

    sweep: SweepRecord
    version: str
    held: dict[Hashable, Any] = field(default_factory=dict)
    _kept: OrderedDict[Hashable, Any] = field(default_factory=OrderedDict)
    _making: dict[Hashable, threading.RLock] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        """The leaderboard, best first."""
        return leaderboard(self.sweep)

    def keep(self, key: Hashable, make: Callable[[], _Drawn], /) -> _Drawn:
        """Give what was made under a key before, or make it; the oldest are let go.

        What takes long to make, or waits, holds up no other key.
        """
        with self._lock:
            making = self._making.setdefault(key, threading.RLock())
        with making:
            with self._lock:
                if key in self._kept:
                    self._kept.move_to_end(key)
                    found: _Drawn = self._kept[key]
                    return found
            made = make()
            with self._lock:
                self._kept[key] = made
                while len(self._kept) > DRAWN_HELD:
                    oldest, _ = self._kept.popitem(last=False)
                    self._making.pop(oldest, None)
            return made

    @property
    def lineage(self) -> Lineage:
        """Of its population; of none where it is no population.

        Raises
        ------
        OSError, ValueError, KeyError, TypeError
            If it cannot be read.
        """
        return self.keep("lineage", lambda: Lineage(self.sweep.folder))

    def hold(self, key: Hashable, make: Callable[[], _Drawn], /) -> _Drawn:
        """Give what is held under a key, or make it; later readings of the sweep have it too."""
        with self._lock:
            if key not in self.held:
                self.held[key] = make()
            found: _Drawn = self.held[key]
            return found


class Shelf:
    """The sweeps of a home, those looked at last held in memory.

    Parameters
    ----------
    home
        Folder of sweeps, models and cache.
    """

    def __init__(self, home: Path, /) -> None:
        self.home = home
        self._lock = threading.Lock()
        self._readings: OrderedDict[str, Reading] = OrderedDict()
        self._readers: dict[str, RecordReader] = {}  # of the same sweeps

    def version(self, name: str, /) -> str:
        """Say which state a sweep's record is in, without reading it.

        Raises
        ------
        SweepNotFound
            If there is none of this name.
        """
        known = sweep_names(self.home)
        if name not in known:  # only what was found may be opened, whatever an address says
            raise SweepNotFound(name, tuple(sorted(known)))
        folder = sweeps_folder(self.home) / name
        paths = [folder / file for file in ("sweep.json", "record.jsonl", "lineage.jsonl")]
        stats = [path.stat() for path in paths if path.exists()]
        return "-".join(f"{stat.st_size:x}.{stat.st_mtime_ns:x}" for stat in stats)

    def read(self, name: str, /) -> Reading:
        """Read a sweep, or give what was read if its record is still the same.

        Raises
        ------
        SweepNotFound
            If there is none of this name.
        OSError, ValueError, KeyError, TypeError
            If its record cannot be read at all.
        """
        version = self.version(name)
        with self._lock:
            reading = self._readings.get(name)
            if reading is None or reading.version != version:
                held = reading.held if reading else {}
                reader = self._readers.setdefault(name, RecordReader(self.home, name))
                reading = Reading(sweep=reader.read(), version=version, held=held)
            self._readings[name] = reading
            self._readings.move_to_end(name)
            while len(self._readings) > SWEEPS_HELD:
                oldest, _ = self._readings.popitem(last=False)
                del self._readers[oldest]
            return reading

    def read_ahead(self) -> None:
        """Read the latest sweep, which is what a reader most often opens first."""
        for name in sweep_names(self.home)[:1]:
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError, LookupError):
                self.read(name)  # what is wrong with it is told where it is opened
