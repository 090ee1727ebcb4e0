"""A population of models of dynamics from its settings to the rates that its best member infers.

    <home>/dynamics/<name>/sweep.json        settings, dataset, code
    <home>/dynamics/<name>/lineage.jsonl     who trained from whom, with which values, to which loss
    <home>/dynamics/<name>/members/          states that the population goes on from
    <home>/dynamics/<name>/best.json         the best member of the last generation
    <home>/dynamics/<name>/RECORDING.parquet rates, factors and inferred inputs of that member
    <home>/dynamics/<name>/RECORDING.samples.parquet  the same of each sample, if asked for

What is there is done: a run that was killed goes on at the generation it was in.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from calsweep.datasets.cache import beside
from calsweep.datasets.dataset import Dataset
from calsweep.platform.cluster import check_home, cluster
from calsweep.platform.dynamics.learners import DynamicsLearners, check_searched
from calsweep.platform.dynamics.settings import DynamicsSettings, datasets_of
from calsweep.platform.errors import without_logins
from calsweep.platform.interruption import Interruption
from calsweep.platform.metrics.sweep_metrics import SweepMetrics
from calsweep.platform.object_storage.address import is_remote
from calsweep.platform.ownership.standing import BEST
from calsweep.platform.places import cache_folder, default_home, tracking_uri
from calsweep.platform.population.evolution import Evolution
from calsweep.platform.population.lineage import Life, Lineage
from calsweep.platform.population.member import member_seed, read_member
from calsweep.platform.provenance import code_version
from calsweep.platform.record_writer import Record
from calsweep.platform.tracking.address import keep_tracking_uri

if TYPE_CHECKING:
    from calsweep.platform.tracking.tracking_thread import TrackingThread


@dataclass(frozen=True, kw_only=True)
class Inferred:
    """What a population came to.

    Attributes
    ----------
    folder
        Where it lies.
    best
        The best member of the last generation.
    files
        Name of each recording to the Parquet file of what was inferred of it.
    """

    folder: Path
    best: Life
    files: dict[str, Path]


def run_dynamics(settings: DynamicsSettings, /, *, say: Callable[[str], None] = print) -> Inferred:
    """Train a population of models of dynamics and write what its best member infers.

    Parameters
    ----------
    settings
        What to do.
    say
        Told of progress.

    Raises
    ------
    ValueError
        If settings, dataset or cluster do not allow it; nothing is begun.
    SweepTaken
        If the name belongs to other settings, or another process runs it.
    NoMemberLeft
        If more members died than may be replaced.
    """
    check_home(settings.home)
    check_searched(settings)
    settings = _with_whole_address(settings)
    datasets = datasets_of(settings)
    names = tuple(settings.datasets.sources(datasets))
    learners = learners_of(settings, hashes=[one.manifest.content_hash for one in datasets])
    learners.build(seed=0)  # what does not suit is told before anything begins
    with Record(settings.folder) as record, Interruption() as interruption:
        record.begin(_description(settings, datasets))
        record.append({"event": "begin"})
        keep_tracking_uri(settings.folder, settings.tracking_uri)
        with _tracking(settings) as tracking:
            lineage = _train(settings, learners, record, interruption, say=say)
            best = best_life(lineage)
            files = _infer(settings, learners, lineage, best, names=names, say=say)
            with beside(settings.folder / BEST) as partial:
                partial.write_text(json.dumps(_plain(best), indent=1))
            _catch_up(settings, tracking, say=say)
    return Inferred(folder=settings.folder, best=best, files=files)


def _train(
    settings: DynamicsSettings,
    learners: DynamicsLearners,
    record: Record,
    interruption: Interruption,
    *,
    say: Callable[[str], None],
) -> Lineage:
    """Take the population to its end, unless it is there."""
    lineage = Lineage(settings.folder)
    if lineage.end:
        return lineage

    def check() -> None:
        interruption.check()
        record.check()

    with cluster(settings.resources) as n_parallel, _metrics(settings):
        say(
            f"{settings.run_name}: {settings.population.size} members, "
            f"{n_parallel} at a time, in generations of {settings.population.generation} "
            f"{settings.population.unit.value}."
        )
        return Evolution(
            learners=learners,
            space=settings.search_spaces,
            population=settings.population,
            seed=settings.seed,
            folder=settings.folder,
            resources=settings.resources,
            say=say,
            on_wait=check,
            writing=record.writing,
        ).run()


def _infer(
    settings: DynamicsSettings,
    learners: DynamicsLearners,
    lineage: Lineage,
    best: Life,
    *,
    names: Sequence[str],
    say: Callable[[str], None],
) -> dict[str, Path]:
    """Write what the best member infers of each recording, as far as it is not there."""
    from calsweep.platform.dynamics.inferred import write_inferred, write_samples

    files = {name: settings.file_of(name) for name in names}
    writes = [(name, write_inferred, file) for name, file in files.items()]
    if settings.keep_samples:
        writes += [(name, write_samples, settings.samples_of(name)) for name in names]
    missing = [write for write in writes if not write[2].exists()]
    if missing:
        say(f"Inferring rates with member {best.member} ...")
        model = learners.model(seed=member_seed(settings.seed, best.member))
        place = lineage.place(generation=best.generation, member=best.member)
        model.load_state(read_member(place)["state"])
        for name, write, file in missing:
            write(model, file, recording=name, n_samples=settings.n_samples)
    return files


def _tracking(settings: DynamicsSettings) -> TrackingThread:
    # MLflow takes seconds to import, in which the processes that train can start.
    from calsweep.platform.tracking.population_tracker import PopulationTrackingThread

    uri = tracking_uri(settings.home, settings.tracking_uri)
    return PopulationTrackingThread(
        uri, home=settings.home, sweep=settings.run_name, is_running=True
    )


def _catch_up(
    settings: DynamicsSettings, tracking: TrackingThread, *, say: Callable[[str], None]
) -> None:
    error = tracking.close()
    if error:
        home = f" --home {settings.home}" if settings.home != default_home() else ""
        say(
            f"MLflow does not have all of it yet ({error}); the folder has: "
            f"`calsweep track {settings.run_name}{home}` catches up."
        )


def _metrics(settings: DynamicsSettings) -> SweepMetrics:
    return SweepMetrics(settings.folder, n_devices=settings.resources.n_devices)


def learners_of(settings: DynamicsSettings, /, *, hashes: Sequence[str]) -> DynamicsLearners:
    """Give what builds the members of a population.

    Parameters
    ----------
    settings
        Of the population.
    hashes
        Content hash of each dataset that it began with.
    """
    return DynamicsLearners(
        # Ray keeps what it is given: an address may hold a password.
        settings=replace(settings, tracking_uri="", overrides=()),
        hashes=tuple(hashes),
        cache=cache_folder(settings.home),
    )


def best_life(lineage: Lineage, /) -> Life:
    """Give the member of the last generation with the lowest loss; of equals, the first."""
    alive = [
        life for life in lineage.generation(lineage.n_generations).values() if life.result.is_alive
    ]
    return min(alive, key=lambda life: life.score)


def _with_whole_address(settings: DynamicsSettings) -> DynamicsSettings:
    """Name folders from their root: members may be trained in another folder than this one."""
    whole = (
        address if is_remote(address) else str(Path(address).expanduser().resolve())
        for address in settings.datasets.addresses
    )
    return settings.with_addresses(*whole)


def _description(settings: DynamicsSettings, datasets: Sequence[Dataset]) -> dict[str, Any]:
    first, *beside = (
        {"address": address, "content_hash": dataset.manifest.content_hash}
        for address, dataset in zip(settings.datasets.addresses, datasets, strict=True)
    )
    return {
        "settings": settings.intent,
        "overrides": without_logins(settings.overrides),
        "dataset": first,
        **({"beside": beside} if beside else {}),
        "code_version": code_version(),
    }


def _plain(best: Life) -> dict[str, Any]:
    return {
        "member": best.member,
        "generation": best.generation,
        "loss": best.score,
        "values": dict(best.values),
    }
