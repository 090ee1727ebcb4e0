"""What MLflow is told of a population of models of dynamics, as plain data."""

from __future__ import annotations

import hashlib
import json
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from calsweep.platform.ownership.standing import BEST
from calsweep.platform.population.lineage import Lineage
from calsweep.platform.record import dynamics_folder
from calsweep.platform.tracking import tracked
from calsweep.platform.tracking.tracked import Figure

KEY = "population"
LINEAGE = "lineage.json"
_SHOWN = "mlflow.loggedArtifacts"  # tables that MLflow's page draws


@dataclass(frozen=True, kw_only=True)
class PopulationRecord:
    """What a population of models of dynamics did so far, as read from its folder.

    Attributes
    ----------
    name, folder
        Of the population.
    described
        What its ``sweep.json`` holds.
    lineage
        Of its members.
    best
        The best member of the last generation; ``None`` before all is done.
    """

    name: str
    folder: Path
    described: Mapping[str, Any]
    lineage: Lineage
    best: Mapping[str, Any] | None

    @property
    def settings(self) -> Mapping[str, Any]:
        """Those it was run with."""
        settings: Mapping[str, Any] = self.described["settings"]
        return settings

    @property
    def n_whole(self) -> int:
        """Generations that every member has come through, or has died in."""
        last = self.lineage.n_generations
        is_whole = len(self.lineage.generation(last)) >= self.settings["population"]["size"]
        return last if is_whole or self.lineage.end else max(last - 1, 0)

    @property
    def result(self) -> str:
        """Tell one outcome from another; empty while there is none."""
        if self.best is None:
            return ""
        whole = [self.lineage.end, self.n_whole, self.best]
        return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def state_of_best(self) -> Path:
        """Where the best member's weights and optimizer lie, once all is done."""
        assert self.best is not None  # noqa: S101 - asked for of one that is over
        return self.lineage.place(generation=self.best["generation"], member=self.best["member"])

    def begun_ms(self) -> int:
        """Give when its first member was done, less what that took, in ms since 1970."""
        first = self.lineage.generation(1).values()
        if not first:
            return round(1000 * (self.folder / "sweep.json").stat().st_mtime)
        return self.done_ms(1) - round(1000 * max(life.seconds for life in first))

    def done_ms(self, generation: int, /) -> int:
        """Give when a generation was done, in ms since 1970.

        It comes from the record, so that what is written twice is the same.
        """
        return round(1000 * self.lineage.done_at.get(generation, 0.0))


def read_population(home: Path, name: str, /) -> PopulationRecord:
    """Read what a population did.

    Raises
    ------
    FileNotFoundError
        If there is none of this name.
    """
    folder = dynamics_folder(home) / name
    best = folder / BEST
    return PopulationRecord(
        name=name,
        folder=folder,
        described=json.loads((folder / "sweep.json").read_text()),
        lineage=Lineage(folder),
        best=json.loads(best.read_text()) if best.exists() else None,
    )


def run_tags(population: PopulationRecord, /) -> dict[str, str]:
    """Give the tags of a new run."""
    described = population.described
    datasets = [described["dataset"], *described.get("beside", ())]
    return {
        tracked.KIND: "population",
        "mlflow.user": tracked.user_name(),
        "mlflow.source.name": "calsweep",
        _SHOWN: json.dumps([{"path": LINEAGE, "type": "table"}]),
        "calsweep.sweep": population.name,
        "calsweep.dataset": ", ".join(str(dataset["address"]) for dataset in datasets),
        "calsweep.dataset_hash": ", ".join(str(dataset["content_hash"]) for dataset in datasets),
        "calsweep.code_version": str(described["code_version"]),
        "calsweep.seed": str(population.settings["seed"]),
    }


def generation_figures(population: PopulationRecord, generation: int, /) -> list[Figure]:
    """Give the scores of a generation, whose step is its number."""
    lives = population.lineage.generation(generation).values()
    losses = [life.score for life in lives if life.result.is_alive]
    figures = {
        "best_loss": min(losses),
        "mean_loss": statistics.fmean(losses),
        "n_alive": float(len(losses)),
        "n_took_over": float(sum(life.parent not in {None, life.member} for life in lives)),
        "train_seconds": sum(life.train_seconds for life in lives),
    }
    return [
        Figure(name=name, value=value, step=generation)
        for name, value in figures.items()
    ]  # fmt: skip


def lineage_table(population: PopulationRecord, /) -> dict[str, Any]:
    """Give the lineage of generations that are whole, in the form of MLflow's tables."""
    lives = [
        life
        for generation in range(1, population.n_whole + 1)
        for life in population.lineage.generation(generation).values()
    ]
    values = sorted({name for life in lives for name in life.values})
    first = ("generation", "member", "parent", "loss", "train_seconds", "error")
    return {
        "columns": [*first, *values],
        "data": [
            [
                life.generation,
                life.member,
                life.parent,
                life.score if life.result.is_alive else None,
                life.train_seconds,
                life.error,
                *(life.values.get(name) for name in values),
            ]
            for life in lives
        ],
    }
