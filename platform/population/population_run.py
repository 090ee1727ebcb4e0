"""A population that was begun, of decoders or of models of dynamics, found again by its name."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from calsweep.platform.config import compose_dynamics, settings_of
from calsweep.platform.dynamics.settings import DynamicsSettings
from calsweep.platform.plain import from_plain
from calsweep.platform.population.learner import Learners
from calsweep.platform.record import NoDynamics, dynamics_folder
from calsweep.platform.record_reader import read_sweep
from calsweep.search_spaces.population import Population
from calsweep.search_spaces.suggestion import Tuner


@dataclass(frozen=True, kw_only=True)
class PopulationRun:
    """Where a population lies and what decides what becomes of it.

    Attributes
    ----------
    folder
        Of its lineage.
    population, seed, cpus
        Of the search, and what a member takes.
    learners
        Gives what builds members.
    """

    folder: Path
    population: Population
    seed: int
    cpus: int
    learners: Callable[[], Learners]


def read_dynamics(home: Path, name: str, /) -> DynamicsSettings:
    """Give the settings that a population of models of dynamics was run with.

    Raises
    ------
    NoDynamics
        If there is none of this name.
    """
    settings = find_dynamics(home, name)
    if settings is None:
        folder = dynamics_folder(home)
        known = tuple(sorted(path.parent.name for path in folder.glob("*/sweep.json")))
        raise NoDynamics(name, known)
    return settings


def find_population(home: Path, name: str, /) -> PopulationRun:
    """Find a population by its name.

    Raises
    ------
    SweepNotFound
        If there is no sweep of this name.
    ValueError
        If the sweep is no population.
    """
    dynamics = find_dynamics(home, name)
    if dynamics is not None:
        return _of_dynamics(dynamics)
    sweep = read_sweep(home, name)
    if sweep.settings["tuner"] != Tuner.POPULATION.value:
        raise ValueError(
            f"the sweep {name!r} is no population: interrupt it with Ctrl-C, what is done is kept."
        )
    settings = settings_of(sweep, home=home)

    def learners() -> Learners:
        from calsweep.platform.population.population_sweep import learners_of

        return learners_of(sweep, settings)

    return PopulationRun(
        folder=sweep.folder,
        population=settings.population,
        seed=settings.seed,
        cpus=settings.resources.cpus,
        learners=learners,
    )


def find_dynamics(home: Path, name: str, /) -> DynamicsSettings | None:
    """Give the settings of a population of models of dynamics, if there is one of this name."""
    described = _described(home, name)
    if described is None:
        return None
    overrides, plain = described["overrides"], described["settings"]
    settings = compose_dynamics(overrides) if overrides else from_plain(plain)
    addresses = [str(one["address"]) for one in _datasets(described)]
    return replace(settings.with_addresses(*addresses), home=home, name=name)


def _of_dynamics(settings: DynamicsSettings) -> PopulationRun:
    described = _described(settings.home, settings.name)
    assert described is not None  # noqa: S101 - the settings come from there

    def learners() -> Learners:
        from calsweep.platform.dynamics.sweep import learners_of

        hashes = [str(one["content_hash"]) for one in _datasets(described)]
        return learners_of(settings, hashes=hashes)

    return PopulationRun(
        folder=settings.folder,
        population=settings.population,
        seed=settings.seed,
        cpus=settings.resources.cpus,
        learners=learners,
    )


def _datasets(described: dict[str, Any]) -> list[dict[str, Any]]:
    return [described["dataset"], *described.get("beside", ())]


def _described(home: Path, name: str) -> dict[str, Any] | None:
    path = dynamics_folder(home) / name / "sweep.json"
    if not path.exists():
        return None
    described: dict[str, Any] = json.loads(path.read_text())
    return described
