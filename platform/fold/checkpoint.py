"""Where the training of a fold stands, on disk, so that a killed one goes on where it was."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from calsweep.datasets.cache import beside
from calsweep.platform.score import Epoch, Score


@dataclass(frozen=True, kw_only=True)
class Progress:
    """What has come of a fold's training so far.

    Attributes
    ----------
    curve
        One row an epoch.
    n_windows
        Training windows seen.
    best
        Weights of the epoch of lowest validation loss.
    trainee
        State of module, optimizer and schedule.
    losses_S
        Loss of each step of the epoch that is under way; empty between two.
    """

    curve: tuple[Epoch, ...]
    n_windows: int
    best: Mapping[str, Tensor]
    trainee: Mapping[str, Any]
    losses_S: Tensor

    @classmethod
    def from_state(cls, state: Mapping[str, Any], /) -> Progress:
        """Read what `state` gave."""
        return cls(
            curve=tuple(_epoch(row) for row in state["curve"]),
            n_windows=state["n_windows"],
            best=state["best"],
            trainee=state["trainee"],
            losses_S=state["losses"],
        )

    def state(self) -> dict[str, Any]:
        """Give it as tensors and plain values."""
        return {
            "curve": [dataclasses.asdict(row) for row in self.curve],
            "n_windows": self.n_windows,
            "best": dict(self.best),
            "trainee": dict(self.trainee),
            "losses": self.losses_S,
        }


@dataclass(kw_only=True)
class Checkpoint:
    """The file of a fold in training.

    Attributes
    ----------
    path
        Where it lies while the fold trains.
    every_s
        Seconds between two; writing one costs about what reading the weights does.
    """

    path: Path
    every_s: float = 30.0
    _last_s: float = field(default_factory=time.monotonic, init=False)

    def read(self) -> Progress | None:
        """Give what an earlier process left; ``None`` where there is nothing, or nothing whole."""
        try:
            return Progress.from_state(torch.load(self.path, map_location="cpu", weights_only=True))
        except FileNotFoundError:
            return None
        except Exception:  # noqa: BLE001 - whatever is wrong with it, training from the start is right
            return None

    def is_due(self) -> bool:
        """Say whether the last one is old enough."""
        return time.monotonic() - self._last_s >= self.every_s

    def write(self, progress: Progress, /) -> None:
        """Replace what is there; a kill at any moment leaves the old or the new."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with beside(self.path) as partial:
            torch.save(progress.state(), partial)
        self._last_s = time.monotonic()

    def remove(self) -> None:
        """Remove it: the fold is done."""
        self.path.unlink(missing_ok=True)


def _epoch(row: Mapping[str, Any]) -> Epoch:
    return Epoch(**{**row, "validation": Score(**row["validation"])})
