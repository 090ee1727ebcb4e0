"""What a search may use at most; it ends gracefully where that is used up."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from calsweep.platform.compute import ComputeSpent
from calsweep.platform.record_reader import record_events

STOP_FILE = "stop"
"""A file of this name in a sweep's folder ends its search: now, or with a generation."""

_LOOK_EVERY_S = 1.0


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Hard caps on a search, beside ``n_trials``; a sweep that goes on may be given more.

    Attributes
    ----------
    hours
        Of work on the sweep, those of earlier runs included; ``None`` for no cap.
    device_hours
        Of devices (GPUs, or processes without one) that trained folds, with all that came to
        nothing; ``None`` for no cap.
    """

    hours: float | None = None
    device_hours: float | None = None

    def __post_init__(self) -> None:
        for name in ("hours", "device_hours"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"`{name} > 0` must hold where it is given, but got {value}.")


class BudgetWatch:
    """Says when a budget is used up, or a person asked for the end.

    Parameters
    ----------
    budget
        The caps.
    folder
        Of the sweep; a wish to end that was left there before is forgotten.
    clock
        Seconds that only grow.
    """

    def __init__(
        self, budget: Budget, folder: Path, /, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._budget = budget
        self._folder = folder
        self._clock = clock
        self._spent = ComputeSpent(folder)
        self._begun = self._looked = clock()
        self._before_s = worked_seconds(folder)
        self._why = ""
        (folder / STOP_FILE).unlink(missing_ok=True)

    def why_over(self) -> str:
        """Say why the search is to end; empty while it may go on. Asked at most every second."""
        now = self._clock()
        if not self._why and now - self._looked >= _LOOK_EVERY_S:
            self._looked = now
            self._why = self._look(now)
        return self._why

    def _look(self, now: float) -> str:
        if (self._folder / STOP_FILE).exists():
            return "stopped by hand"
        hours, device_hours = self._budget.hours, self._budget.device_hours
        if hours is not None and self._before_s + now - self._begun >= 3600 * hours:
            return f"budget.hours={hours:g} are used up"
        if device_hours is not None:
            used = self._spent.total().device_seconds / 3600
            if used >= device_hours:
                return f"budget.device_hours={device_hours:g} are used up ({used:.3g})"
        return ""


def worked_seconds(folder: Path, /) -> float:
    """Give for how long processes have worked on a sweep, one after the other."""
    by_token: dict[int, float] = {}
    for line in record_events(folder):
        if "token" in line:
            by_token[line["token"]] = line["worked_s"]
    return sum(by_token.values())
