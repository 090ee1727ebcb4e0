"""Speed, AUC and memory of training the GRU of W, beside a plain loop over copied windows.

Run with ``python -m tests.benchmarks.training_speed``; one thread. Both loops train the 31-frame,
50-unit, 32-hidden GRU with the same initialization, loss, batch size and number of epochs, validate
after each epoch, keep the best weights and score the test part. They take turns, speeds are per
second of processor time, and medians over the rounds are printed, because a shared machine gives
more at one minute than at the next.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from scipy.signal import lfilter
from sklearn.metrics import roc_auc_score
from torch.nn import functional

from calsweep.datasets.split import FoldData, Part, Scaling
from calsweep.platform.fold.loop import build_module, train_fold
from calsweep.platform.fold.training import Training
from calsweep.trainables.recurrence import Cell
from calsweep.trainables.recurrent import Recurrent, RecurrentModule

LENGTH, N_UNITS = 31, 50
GRU = Recurrent(cell=Cell.GRU, n_hidden=32)


@dataclass(frozen=True, kw_only=True)
class Round:
    """One training: windows per second and AUC of the test part."""

    windows_per_s: float
    auc: float


def simulate(*, seed: int, n_recordings: int, n_frames: int) -> FoldData:
    """Bouts of running that drive some units through a calcium kernel, in slow noise."""
    rng = np.random.default_rng(seed)
    labels = np.cumsum(rng.random((n_recordings, n_frames)) < 1 / 60, axis=1) % 2
    drive = labels[..., None] * rng.normal(size=N_UNITS) * 0.12
    drive += rng.normal(size=(n_recordings, n_frames, N_UNITS))
    activity = lfilter([0.1], [1, -0.9], drive, axis=1)
    frames_TN = activity.reshape(-1, N_UNITS).astype(np.float32)
    labels_T = labels.reshape(-1).astype(np.int64)
    recordings = np.arange(n_recordings * n_frames).reshape(n_recordings, n_frames)
    train, validation, test = recordings[:-3], recordings[-3:-2], recordings[-2:]
    seen_TN = frames_TN[train.reshape(-1)]
    return FoldData(
        train=part_of(frames_TN, labels_T, train),
        validation=part_of(frames_TN, labels_T, validation),
        test=part_of(frames_TN, labels_T, test),
        scaling=Scaling(offset_N=seen_TN.mean(0), scale_N=1 / seen_TN.std(0)),
        window_length=LENGTH,
    )


def part_of(frames_TN: np.ndarray, labels_T: np.ndarray, recordings: np.ndarray) -> Part:
    """All windows of recordings, each given by its frames."""
    starts_W = recordings[:, : 1 - LENGTH].reshape(-1)
    targets_W = starts_W + LENGTH // 2
    return Part(
        frames=frames_TN, starts_W=starts_W, targets_W=targets_W, labels_W=labels_T[targets_W]
    )


def train_shared(data: FoldData, *, training: Training, seed: int) -> Round:
    """Train as calsweep does."""
    begun = time.process_time()
    trained = train_fold(GRU, data=data, training=training, seed=seed)
    seconds = time.process_time() - begun
    return Round(windows_per_s=trained.n_windows_trained / seconds, auc=trained.test.auc)


def train_copied(data: FoldData, *, training: Training, seed: int) -> Round:
    """Train ``torch.nn.GRU`` over copied windows; copying them is not timed."""
    parts = [copied(data, part) for part in (data.train, data.validation, data.test)]
    (train, labels), (validation, validation_labels), (test, test_labels) = parts
    begun = time.process_time()
    module = build_module(GRU, data=data, seed=seed)
    optimizer = torch.optim.AdamW(
        module.parameters(), lr=training.learning_rate, weight_decay=0.0, fused=True
    )
    generator = torch.Generator().manual_seed(seed)
    best = np.inf
    for _ in range(training.epochs):
        for rows in torch.randperm(len(train), generator=generator).split(training.batch_size):
            targets = labels[rows] * (1 - training.label_smoothing) + training.label_smoothing / 2
            loss = functional.binary_cross_entropy_with_logits(plain(module, train[rows]), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        logits = score(module, validation)
        loss = functional.binary_cross_entropy_with_logits(logits, validation_labels).item()
        if loss < best:
            best, weights = loss, {k: v.clone() for k, v in module.state_dict().items()}
    module.load_state_dict(weights)
    auc = float(roc_auc_score(test_labels, score(module, test)))
    seconds = time.process_time() - begun
    return Round(windows_per_s=training.epochs * len(train) / seconds, auc=auc)


def plain(module: RecurrentModule, windows: torch.Tensor) -> torch.Tensor:
    """Put copied windows through ``torch.nn.GRU`` and the readout."""
    _, last = module.layer(windows)
    return module.readout(last[0])[:, 0]


def score(module: RecurrentModule, windows: torch.Tensor) -> torch.Tensor:
    """Give the logits of copied windows."""
    with torch.inference_mode():
        return torch.cat([plain(module, some) for some in windows.split(1024)])


def copied(data: FoldData, part: Part) -> tuple[torch.Tensor, torch.Tensor]:
    """Copy every window of a part, scaled, with its label."""
    scaled_TN = (part.frames - data.scaling.offset_N) * data.scaling.scale_N
    windows = scaled_TN[part.starts_W[:, None] + np.arange(LENGTH)]
    return torch.from_numpy(windows), torch.from_numpy(part.labels_W).float()


def compare(*, n_rounds: int, training: Training) -> None:
    """Print speed and AUC of both loops."""
    shared, plain_rounds = [], []
    for seed in range(n_rounds):
        data = simulate(seed=seed, n_recordings=9, n_frames=6000)
        plain_rounds.append(train_copied(data, training=training, seed=seed))
        shared.append(train_shared(data, training=training, seed=seed))
        show(f"round {seed + 1}: copied windows", plain_rounds[-1:])
        show(f"round {seed + 1}: shared frames", shared[-1:])
    show("median: copied windows", plain_rounds)
    show("median: shared frames", shared)
    ratios = [s.windows_per_s / p.windows_per_s for s, p in zip(shared, plain_rounds, strict=True)]
    print(f"ratio of speeds: median {statistics.median(ratios):.2f}, lowest {min(ratios):.2f}")


def compare_run_lengths(run_lengths: list[int], *, n_rounds: int, training: Training) -> None:
    """Print speed and AUC by the number of neighbors drawn together."""
    for run_length in run_lengths:
        rounds = [
            train_shared(
                simulate(seed=seed, n_recordings=9, n_frames=6000),
                training=replace(training, run_length=run_length),
                seed=seed,
            )
            for seed in range(n_rounds)
        ]
        show(f"run length {run_length}", rounds)


def show(name: str, rounds: list[Round]) -> None:
    """Print medians over rounds."""
    speed = statistics.median(r.windows_per_s for r in rounds)
    auc = statistics.median(r.auc for r in rounds)
    print(f"{name:28} {speed / 1000:6.1f} thousand windows/s   AUC {auc:.4f}", flush=True)


def peak_bytes() -> int:
    """Give the most memory this process has held; ``ru_maxrss`` would hold its parent's, too."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


def noise_of_the_size_of_w(scaling: Scaling) -> FoldData:
    """Give 64 recordings of 18,000 frames of noise."""
    n_recordings, n_frames = 64, 18_000
    frames_TN = np.empty((n_recordings * n_frames, N_UNITS), np.float32)
    rng = np.random.default_rng(0)
    for recording in np.split(frames_TN, n_recordings):
        rng.standard_normal(dtype=np.float32, out=recording)
    labels_T = np.arange(len(frames_TN)) // 60 % 2
    recordings = np.arange(len(frames_TN)).reshape(n_recordings, n_frames)
    train, validation, test = np.split(recordings, [38, 50])
    return FoldData(
        train=part_of(frames_TN, labels_T, train),
        validation=part_of(frames_TN, labels_T, validation),
        test=part_of(frames_TN, labels_T, test),
        scaling=scaling,
        window_length=LENGTH,
    )


def measure_memory() -> None:
    """Print how much memory training takes, beside that of the frames."""
    torch.set_num_threads(1)
    tiny = simulate(seed=0, n_recordings=4, n_frames=2000)
    train_fold(GRU, data=tiny, training=Training(epochs=1), seed=0)  # what the libraries take
    before = peak_bytes()
    data = noise_of_the_size_of_w(tiny.scaling)
    train_fold(GRU, data=data, training=Training(epochs=1, epoch_fraction=0.02), seed=0)
    taken, n_bytes = peak_bytes() - before, data.train.frames.nbytes
    print(
        f"memory of a fold: {taken / 1e6:.0f} MB for {n_bytes / 1e6:.0f} MB of frames, "
        f"windows and labels included: {taken / n_bytes:.2f} times"
    )


def product_rate(n: int) -> float:
    """Measure a square matrix product, in GFLOP/s."""
    a, b = torch.randn(n, n), torch.randn(n, n)
    a @ b
    begun = time.perf_counter()
    for _ in range(20):
        a @ b
    return 20 * 2 * n**3 / (time.perf_counter() - begun) / 1e9


def main() -> None:
    """Print all figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--run-lengths", type=int, nargs="*", default=[])
    options = parser.parse_args()
    torch.set_num_threads(1)
    training = Training(epochs=options.epochs)
    print(f"matrix product of 1,024: {product_rate(1024):.0f} GFLOP/s (one thread)")
    train_shared(  # the first optimizer of a process imports much
        simulate(seed=0, n_recordings=4, n_frames=2000), training=Training(epochs=1), seed=0
    )
    compare(n_rounds=options.rounds, training=training)
    compare_run_lengths(options.run_lengths, n_rounds=options.rounds, training=training)
    child = multiprocessing.get_context("spawn").Process(target=measure_memory)
    child.start()
    child.join()
    print(f"matrix product of 1,024: {product_rate(1024):.0f} GFLOP/s (one thread)")


if __name__ == "__main__":
    main()
