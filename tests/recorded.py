"""A sweep with its record as `calsweep sweep` leaves it, trained in this process."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from calsweep.datasets.audit import Verdict
from calsweep.datasets.dataset import open_dataset
from calsweep.datasets.fold_protocol import AnimalGroups
from calsweep.datasets.view import plan_folds
from calsweep.platform.fold.fold_run import run_fold
from calsweep.platform.fold.fold_task import FoldTask, fold_seed
from calsweep.platform.fold.training import Training
from calsweep.platform.object_storage.storage import locate
from calsweep.platform.places import cache_folder, open_cache
from calsweep.platform.plain import to_plain
from calsweep.platform.provenance import code_version
from calsweep.platform.record import SweepRecord, TrialState, sweeps_folder
from calsweep.platform.record_reader import read_sweep
from calsweep.platform.record_writer import Record
from calsweep.platform.settings import Settings
from calsweep.trainables.linear import Linear


def record_sweep(
    home: Path, name: str, trials: Mapping[str, Settings], *, n_folds: int | None = None
) -> SweepRecord:
    """Train each configuration on the first folds of the plan and write what a sweep writes."""
    first = next(iter(trials.values())).datasets
    dataset = open_dataset(locate(first.address), cache=open_cache(cache_folder(home)))
    plan = plan_folds(dataset.timeline(first.target), [t.datasets for t in trials.values()])
    manifest = dataset.manifest
    verdict = to_plain(Verdict())
    with Record(sweeps_folder(home) / name) as record:
        record.begin(
            {
                "settings": {"seed": 0, "datasets": to_plain(first)},
                "dataset": {
                    "address": first.address,
                    "content_hash": manifest.content_hash,
                    "target": first.target,
                    "rate_hz": manifest.rate_hz,
                    "n_units": len(manifest.units),
                    "n_frames": manifest.n_frames,
                    "subjects": list(manifest.subjects),
                    "recordings": [entry.name for entry in manifest.recordings],
                },
                "plan": to_plain(plan),
                "plan_hash": plan.content_hash,
                "code_version": code_version(),
                "verdict": verdict,
                "n_planned": len(trials),
            }
        )
        for number, (trial, settings) in enumerate(trials.items(), start=1):
            plain = to_plain(settings)
            shown = {key: value for key, value in plain.items() if key != "_target_"}
            record.begin_trial(number, name=trial, values={}, verdict=verdict, settings=shown)
            for fold in plan.folds[:n_folds]:
                task = FoldTask(
                    settings=plain,
                    fold=fold,
                    seed=fold_seed(0, fold.index),
                    dataset_hash=manifest.content_hash,
                    plan_hash=plan.content_hash,
                    code=code_version(),
                    folder=sweeps_folder(home) / name / "folds",
                    cache=cache_folder(home),
                )
                run_fold(task)
                record.add_fold(number, key=task.key)
            record.end_trial(number, TrialState.DONE)
    return read_sweep(home, name)


def record_weak_and_strong(home: Path, mice) -> Path:
    """Record the sweeps ``weak``, which learns hardly anything, and ``strong``, on six folds."""
    view = replace(mice.view(length=5), folds=AnimalGroups(k_groups=3))
    for name, learning_rate in {"weak": 1e-6, "strong": 1e-2}.items():
        training = Training(epochs=2, learning_rate=learning_rate, batch_size=64)
        settings = Settings(trainables=Linear(), datasets=view, training=training)
        record_sweep(home, name, {f"trial {name}": settings})
    return home
