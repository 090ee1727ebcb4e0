"""Whether explanations find what was planted in simulated mice, and what they cost.

Run with ``python -m tests.benchmarks.explanations FOLDER``; everything is kept in the folder, and a
second run goes on from there. Two threads.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from calsweep.datasets.shard_writer import write_dataset
from calsweep.datasets.simulation import CARRIERS, REGION_WEIGHT, Simulation
from calsweep.platform.config import compose_settings
from calsweep.platform.explanations.explain import Null, explain_shap
from calsweep.platform.explanations.explained import Explained
from calsweep.platform.explanations.shap import ShapOptions
from calsweep.platform.places import cache_folder
from tests.recorded import record_sweep

PLANTED = {f"region{i}" for i in CARRIERS}
LIMBS = {f"region{i}" for i, weight in REGION_WEIGHT.items() if weight >= 0.5}


def main() -> None:
    """Train, explain, compare with the truth."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=0, help="Of the simulation.")
    parser.add_argument("--frames", type=int, default=10_000)
    parser.add_argument("--background", type=int, default=20)
    parser.add_argument("--folds", type=int, default=20)
    parser.add_argument("--recordings", type=int, default=1, help="Of each mouse.")
    parser.add_argument("--epochs", type=int, default=30, help="As many as W, by default.")
    parser.add_argument("--learning-rate", type=float, default=1e-3, help="That of W, by default.")
    parser.add_argument("--spread", type=float, default=1.0, help="Of the simulation.")
    parser.add_argument("--null", default="auto", choices=[null.value for null in Null])
    given = parser.parse_args()
    home = given.folder.resolve()
    name = f"planted-{given.seed}-{given.recordings}-{given.spread:g}"
    mice = home / name
    if not mice.exists():
        simulation = Simulation(
            seed=given.seed, recordings_per_mouse=given.recordings, spread=given.spread
        )
        write_dataset(simulation.recordings(), folder=mice)
    settings = compose_settings(
        [
            f"datasets.address={mice}",
            f"training.epochs={given.epochs}",
            f"training.learning_rate={given.learning_rate}",
        ]
    )
    begun = time.monotonic()
    sweep = record_sweep(home, name, {"gru": settings.start}, n_folds=given.folds)
    (trial,) = sweep.trials
    auc = [fold.test.auc for fold in trial.folds]
    print(f"{len(auc)} folds trained in {time.monotonic() - begun:.0f} s: AUC {np.mean(auc):.3f}")
    begun = time.monotonic()
    explained = explain_shap(
        sweep,
        trial,
        folds=trial.folds,
        options=ShapOptions(n_frames=given.frames, n_background=given.background),
        null=Null(given.null),
        cache=cache_folder(home),
    )
    print(f"explained in {time.monotonic() - begun:.0f} s")
    tell(explained)


def tell(explained: Explained) -> None:
    """Say how often the planted regions are on top, and how sure the tests are."""
    names = np.array(explained.facts["units"])
    hits, limbs, first_eight = [], [], []
    for fold in explained.folds:
        by_unit = fold.explanation.arrays["importance"].mean(axis=0)
        top = names[np.argsort(-by_unit)]
        hits.append(len(PLANTED & set(top[:4])))
        limbs.append(len(LIMBS & set(top[:4])))
        first_eight.append(set(top[:8]) >= PLANTED)
        print(
            f"fold {fold.record.fold}: {hits[-1]} of 4, AUC {fold.record.test.auc:.3f}, {top[:6]}"
        )
    errors = [fold.explanation.facts["error"] for fold in explained.folds]
    print(
        f"all four on top in {hits.count(4)} of {len(hits)} folds, completeness {max(errors):.1e}"
    )
    units = sorted(explained.units(), key=lambda unit: -unit.mean)
    for unit in units[:12]:
        print(
            f"{unit.unit}: {unit.mean:.4f} ± {unit.sd:.4f}, null {unit.null_mean:.4f}, "
            f"p {unit.rank_sum_p:.2g} {unit.signed_rank_p:.2g} {unit.stars}"
        )
    print(f"{sum(bool(unit.stars) for unit in units)} of {len(units)} units above the null models")


if __name__ == "__main__":
    main()
