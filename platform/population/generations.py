"""How far a population is, from its lineage alone."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from calsweep.platform.population.lineage import Lineage
from calsweep.platform.progress import minutes


@dataclass(frozen=True, kw_only=True)
class Generations:
    """How far a population is.

    Attributes
    ----------
    n_done
        Generations that some member has come through.
    n_planned
        Of them at most: it may end before, by its patience or by hand.
    best_loss
        Lowest validation loss of the last generation; ``None`` if none came through it.
    left_s
        Seconds that the rest takes at most, as those before took; ``None`` if not known.
    end
        Why it was ended; empty while it goes on.
    """

    n_done: int
    n_planned: int
    best_loss: float | None
    left_s: float | None
    end: str

    @property
    def line(self) -> str:
        """How far it is, in one line.

        Examples
        --------
        >>> Generations(n_done=3, n_planned=8, best_loss=0.25, left_s=75.0, end="").line
        'generation 3/8 · best loss 0.25 · at most about 1:15 left'
        """
        parts = [
            f"generation {self.n_done}/{self.n_planned}",
            "" if self.best_loss is None else f"best loss {self.best_loss:.4g}",
            "" if self.left_s is None else f"at most about {minutes(self.left_s)} left",
        ]
        return " · ".join(part for part in parts if part)


def read_generations(folder: Path, settings: dict[str, Any], /) -> Generations:
    """Give how far the population in a folder is.

    Parameters
    ----------
    folder
        With its lineage.
    settings
        As its ``sweep.json`` holds them.
    """
    lineage = Lineage(folder)
    n_done, n_planned = lineage.n_generations, int(settings["population"]["generations"])
    took_s = [
        max(life.seconds for life in lineage.generation(number).values())
        for number in range(1, n_done + 1)
    ]
    lives = lineage.generation(n_done).values()
    is_known = took_s and not lineage.end
    return Generations(
        n_done=n_done,
        n_planned=n_planned,
        best_loss=min((life.score for life in lives if life.result.is_alive), default=None),
        left_s=statistics.fmean(took_s) * (n_planned - n_done) if is_known else None,
        end=lineage.end,
    )
