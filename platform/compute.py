"""What training takes of machines: of one attempt at a fold, and of a whole sweep.

An attempt that comes to its end leaves what it took with its fold; one that does not leaves a small
file in its place, renewed while it trains, so nothing that was spent is lost from the count.
"""

from __future__ import annotations

import contextlib
import json
import resource
import time
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from calsweep.datasets.cache import beside

_EVERY_S = 1.0
_SUFFIX = ".attempt"


@dataclass(frozen=True, kw_only=True)
class Compute:
    """What attempts took.

    Attributes
    ----------
    device_seconds
        Seconds of each device: of a GPU, or of a process that trains without one.
    cpu_seconds
        Of all cores, user and system; of processes that train together, those of the first.
    bytes_read
        From files, by calls that read; frames that are mapped, or come over a network, are not
        counted. 0 where the system does not tell.
    n_attempts
        How many.
    """

    device_seconds: float = 0.0
    cpu_seconds: float = 0.0
    bytes_read: int = 0
    n_attempts: int = 0

    def __add__(self, other: Compute) -> Compute:
        return Compute(
            device_seconds=self.device_seconds + other.device_seconds,
            cpu_seconds=self.cpu_seconds + other.cpu_seconds,
            bytes_read=self.bytes_read + other.bytes_read,
            n_attempts=self.n_attempts + other.n_attempts,
        )


def total(computes: Iterable[Compute], /) -> Compute:
    """Add up what attempts took."""
    return sum(computes, start=Compute())


@dataclass(kw_only=True)
class Attempt:
    """One attempt at a fold, from when this is made.

    Attributes
    ----------
    folder
        Of the sweep's folds.
    key
        Of the fold.
    n_devices
        That train it together; a share of one counts as such.
    """

    folder: Path
    key: str
    n_devices: float = 1.0
    _begun_s: float = field(default_factory=time.monotonic, init=False)
    _cpu_begun_s: float = field(default_factory=lambda: _cpu_seconds(), init=False)
    _bytes_begun: int = field(default_factory=lambda: _bytes_read(), init=False)

    def __post_init__(self) -> None:
        self._told_s = self._begun_s
        self._path = self.folder / f".{self.key}.{uuid.uuid4().hex[:8]}{_SUFFIX}"

    def spent(self) -> Compute:
        """Give what it took so far."""
        return Compute(
            device_seconds=(time.monotonic() - self._begun_s) * self.n_devices,
            cpu_seconds=_cpu_seconds() - self._cpu_begun_s,
            bytes_read=_bytes_read() - self._bytes_begun,
            n_attempts=1,
        )

    def tell(self, *, is_last: bool = False) -> None:
        """Leave what it took so far, unless that was just done."""
        now = time.monotonic()
        if now - self._told_s < _EVERY_S and not is_last:
            return
        self._told_s = now
        self.folder.mkdir(parents=True, exist_ok=True)
        with beside(self._path) as partial:
            partial.write_text(json.dumps({"key": self.key, **asdict(self.spent())}))

    def forget(self) -> None:
        """Leave nothing: what it took stands with its fold."""
        self._path.unlink(missing_ok=True)


class ComputeSpent:
    """All that a sweep's attempts took, read anew where something came since.

    Parameters
    ----------
    folder
        Of the sweep.
    known
        Key of a fold to what it took, of those that are known already.
    """

    def __init__(self, folder: Path, /, *, known: Mapping[str, Compute] | None = None) -> None:
        self._folder = folder / "folds"
        self._trained = dict(known or {})

    def trained(self) -> dict[str, Compute]:
        """Give what each trained fold took, by key, whether a trial counts it or not."""
        if self._folder.is_dir():
            for path in self._folder.iterdir():
                if not path.name.startswith(".") and path.name not in self._trained:
                    self._trained[path.name] = _of_fold(path)
        return self._trained

    def unfinished(self) -> dict[str, Compute]:
        """Give what attempts took that did not come to their end, or have not yet, by fold."""
        found: dict[str, Compute] = {}
        for path in self._folder.glob(f".*{_SUFFIX}"):
            with contextlib.suppress(OSError, ValueError, TypeError):  # it may end in between
                plain = json.loads(path.read_text())
                key = plain.pop("key")
                found[key] = found.get(key, Compute()) + Compute(**plain)
        return found

    def total(self) -> Compute:
        """Give all of it."""
        return total([*self.trained().values(), *self.unfinished().values()])


def _of_fold(folder: Path) -> Compute:
    with contextlib.suppress(OSError, ValueError):
        plain = json.loads((folder / "fold.json").read_text())
        if plain.get("compute"):
            return Compute(**plain["compute"])
        return Compute(device_seconds=plain["train_seconds"], n_attempts=1)  # of an older version
    return Compute()


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _bytes_read() -> int:
    try:
        line = Path("/proc/self/io").read_text().splitlines()[0]
    except OSError:
        return 0
    return int(line.partition(":")[2])
