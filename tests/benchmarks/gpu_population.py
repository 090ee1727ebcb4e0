"""What a GPU takes for the full protocol of R at 10 Hz, and for the 20 folds of W at full size.

    python -m tests.benchmarks.gpu_population lfads [--dataset FOLDER]
    python -m tests.benchmarks.gpu_population folds

Both train as populations and trials do on a GPU, all as one program, in this process and without
Ray; ``--small --device cpu`` runs them in a minute or two. ``lfads`` is RADICaL: 20 members,
generations of 50 epochs, until 25 generations bring no better loss; it simulates the recording, or
takes a dataset of ``calsweep simulate lorenz``. ``folds`` is the GRU of W (31 frames, 50 regions,
32 units, batches of 256, 30 epochs) on 64 simulated recordings of 18,000 frames of five mice: each
pair of mice tests and validates once.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import yaml

from calsweep.datasets.cache import Cache
from calsweep.datasets.dataset import open_dataset
from calsweep.datasets.lorenz import Lorenz
from calsweep.datasets.shard_writer import write_dataset
from calsweep.datasets.split import FoldData, Scaling
from calsweep.datasets.store import FolderStore
from calsweep.platform.dynamics.learners import DynamicsLearners
from calsweep.platform.dynamics.lfads_learner import LfadsTraining
from calsweep.platform.dynamics.settings import DynamicsSettings, Trials
from calsweep.platform.fold.feed import Shares
from calsweep.platform.fold.fold_stack import FoldStack
from calsweep.platform.fold.fold_training import FoldTraining
from calsweep.platform.fold.loop import build_module
from calsweep.platform.fold.trainee import Trainee
from calsweep.platform.fold.training import Training
from calsweep.platform.population.member import MemberTask, member_seed
from calsweep.platform.population.stacked_members import StackTask, train_stack
from calsweep.platform.resources import Resources
from calsweep.search_spaces.population import (
    Population,
    Result,
    first_generation,
    next_generation,
    why_over,
)
from calsweep.search_spaces.space import Space
from calsweep.trainables.lfads.model import Lfads
from calsweep.trainables.lfads.observation import ZeroInflatedGamma
from tests.benchmarks.training_speed import GRU, LENGTH, part_of, simulate

ROOT = Path(__file__).parents[2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["lfads", "folds"])
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--small", action="store_true", help="sizes for a CPU")
    parser.add_argument("--dataset", type=Path, help="of lfads; simulated without")
    parser.add_argument("--generations", type=int, default=150, help="of lfads, at most")
    options = parser.parse_args()
    if options.device == "cuda":
        print(torch.cuda.get_device_name())
        torch.backends.cuda.matmul.allow_tf32 = False
    with tempfile.TemporaryDirectory() as scratch:
        {"lfads": lfads, "folds": folds}[options.what](options, Path(scratch))
    if options.device == "cuda":
        print(f"memory of the GPU at most {torch.cuda.max_memory_allocated() / 1e9:.1f} GB")


def lfads(options: argparse.Namespace, scratch: Path) -> None:
    """Train the population of R."""
    small = options.small
    simulator = Lorenz(speed_hz=10)
    if small:
        simulator = Lorenz(speed_hz=10, n_conditions=2, trials_per_condition=8, n_neurons=66)
    folder = options.dataset or scratch / "lorenz"
    if not options.dataset:
        write_dataset(simulator.recordings(), folder=folder)
    cache = scratch / "cache"
    dataset = open_dataset(FolderStore(folder), cache=Cache(cache))
    space = yaml.safe_load((ROOT / "search_spaces/lfads/autolfads.yaml").read_text())
    del space["_target_"]
    settings = DynamicsSettings(
        trainables=Lfads(observation=ZeroInflatedGamma()),
        datasets=Trials(address=str(folder), condition="condition"),
        search_spaces=Space(**space),
        training=LfadsTraining(),
        population=Population(
            size=4 if small else 20,
            generation=2 if small else 50,
            generations=3 if small else options.generations,
            patience=25,
            min_improvement=0.0,
        ),
        resources=Resources(gpus=float(options.device == "cuda")),
    )
    learners = DynamicsLearners(
        settings=settings, dataset_hash=dataset.manifest.content_hash, cache=cache
    )
    begun = time.perf_counter()
    best = evolve(learners, settings, scratch / "members")
    minutes = (time.perf_counter() - begun) / 60
    print(f"{len(best)} generations in {minutes:.1f} minutes, best loss {min(best):.5f}")


def evolve(learners: DynamicsLearners, settings: DynamicsSettings, folder: Path) -> list[float]:
    """Take a population through its generations, and give the best loss of each."""
    population, space, seed = settings.population, settings.search_spaces, settings.seed

    def place(generation: int, member: int) -> Path:
        return folder / f"{generation:04d}-{member:03d}"

    descents = first_generation(space, population, seed=seed)
    best: list[float] = []
    while not why_over(population, best):
        generation = len(best) + 1
        tasks = tuple(
            MemberTask(
                generation=generation,
                member=one.member,
                parent=one.parent,
                values=one.values,
                seed=member_seed(seed, one.member),
                n=population.generation,
                start=place(generation - 1, one.parent) if one.parent else None,
                place=place(generation, one.member),
            )
            for one in descents
        )
        begun = time.perf_counter()
        outcomes = train_stack(learners, StackTask(tasks=tasks))
        seconds = time.perf_counter() - begun
        trained_s = sum(one.train_seconds for one in outcomes)
        results = {
            task.member: Result(values=task.values, score=outcome.score)
            for task, outcome in zip(tasks, outcomes, strict=True)
        }
        best.append(min(one.score for one in results.values() if one.is_alive))
        n_died = sum(not one.is_alive for one in results.values())
        print(
            f"generation {generation}: {seconds:.2f} s, {seconds - trained_s:.2f} s beyond "
            f"training, best loss {best[-1]:.5f}, {n_died} died",
            flush=True,
        )
        for path in folder.glob(f"{generation - 1:04d}-*"):
            path.unlink()
        descents = next_generation(space, population, results, generation=generation + 1, seed=seed)
    return best


def folds(options: argparse.Namespace, scratch: Path) -> None:
    """Train the folds of W."""
    small = options.small
    n_recordings, n_frames = (10, 400) if small else (64, 18_000)
    training = Training(epochs=2 if small else 30)
    data = fold_data(n_recordings=n_recordings, n_frames=n_frames)
    begun = time.perf_counter()
    runs = [begin(one, training, seed=seed, device=options.device) for seed, one in enumerate(data)]
    stack = FoldStack(runs, seeds=range(len(runs)))
    for epoch in range(1, training.epochs + 1):
        epoch_s = time.perf_counter()
        for diverged in stack.train_epoch(epoch).values():
            raise diverged
        losses = [run.curve[-1].validation.loss for run in runs]
        print(
            f"epoch {epoch}: {time.perf_counter() - epoch_s:.1f} s, validation loss "
            f"{statistics.fmean(losses):.4f}",
            flush=True,
        )
    aucs = [run.test().score.auc for run in runs]
    minutes = (time.perf_counter() - begun) / 60
    n_windows = sum(run.n_windows for run in runs)
    print(
        f"{len(runs)} folds in {minutes:.2f} minutes, {n_windows / minutes / 6e4:.0f} thousand "
        f"windows/s, test AUC {statistics.fmean(aucs):.4f}"
    )


def begin(data: FoldData, training: Training, *, seed: int, device: str) -> FoldTraining:
    module = build_module(GRU, data=data, seed=seed).to(device)
    trainee = Trainee(GRU, module=module, data=data, training=training, n_steps=0, shares=Shares())
    return FoldTraining(decoder=GRU, module=module, trainee=trainee, data=data, training=training)


def fold_data(*, n_recordings: int, n_frames: int) -> list[FoldData]:
    """Give each ordered pair of five mice as test and validation, over frames that all share."""
    whole = simulate(seed=0, n_recordings=n_recordings, n_frames=n_frames)
    frames_TN = whole.train.frames
    labels_T = np.zeros(len(frames_TN), np.int64)
    for part in (whole.train, whole.validation, whole.test):
        labels_T[part.targets_W] = part.labels_W
    recordings = np.arange(n_recordings * n_frames).reshape(n_recordings, n_frames)
    mice = [recordings[mouse::5] for mouse in range(5)]
    found = []
    for test in range(5):
        for validation in range(5):
            if test == validation:
                continue
            train = np.concatenate([mice[m] for m in range(5) if m not in {test, validation}])
            seen_TN = frames_TN[train.reshape(-1)]
            found.append(
                FoldData(
                    train=part_of(frames_TN, labels_T, train),
                    validation=part_of(frames_TN, labels_T, mice[validation]),
                    test=part_of(frames_TN, labels_T, mice[test]),
                    scaling=Scaling(offset_N=seen_TN.mean(0), scale_N=1 / seen_TN.std(0)),
                    window_length=LENGTH,
                )
            )
    return found


if __name__ == "__main__":
    main()
