"""Speed of the CNN-RNN of W, beside a CNN that is run for every window.

Run with ``python -m tests.benchmarks.cnn_rnn_speed``; one thread. Both have the same weights, take
turns, and are timed in processor time. A batch of W's 32 windows is made of runs of neighbors; the
other loop gets some windows of it, for its work is in proportion to their number.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from calsweep.trainables.cnn import Cnn
from calsweep.trainables.cnn_rnn import CnnRnn, CnnRnnModule
from calsweep.trainables.decoder import Problem
from calsweep.trainables.losses import Criterion
from calsweep.trainables.recurrence import Cell

BATCH = 32


def seconds_of(step: Callable[[], object]) -> float:
    """Give the processor time of a step."""
    begun = time.process_time()
    step()
    return time.process_time() - begun


def train(decoder: CnnRnn, module: CnnRnnModule, frames: Tensor, *, n_windows: int) -> None:
    """Run forward and backward over a batch."""
    module.train()
    labels = torch.zeros(len(frames), n_windows, dtype=torch.int64)
    weights = torch.ones(labels.shape)
    outputs = module(frames)
    loss = decoder.loss(outputs, labels, weights, frames=frames, criterion=Criterion())
    loss.backward()


@torch.no_grad()
def predict(module: CnnRnnModule, frames: Tensor) -> Tensor:
    """Run forward without a graph."""
    outputs: Tensor = module.eval()(frames)
    return outputs


def megabytes_kept(
    decoder: CnnRnn, module: CnnRnnModule, frames: Tensor, *, n_windows: int
) -> float:
    """Give what the forward pass keeps for the backward pass, weights included."""
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        train(decoder, module, frames, n_windows=n_windows)
    return sum(kept.values()) / 2**20


def compare(*, n_images: int, run_length: int, side: int, n_copied: int, rounds: int) -> None:
    """Print windows per second of both, and their ratio."""
    torch.manual_seed(0)
    length = n_images + 2
    decoder = CnnRnn(cell=Cell.GRU, cnn=Cnn())
    module = decoder.build(Problem(frame_shape=(side, side), window_length=length))
    assert isinstance(module, CnnRnnModule)
    runs = torch.randn(BATCH // run_length, run_length + length - 1, side, side)
    copied = torch.cat([runs[:1, k : k + length] for k in range(n_copied)])
    torch.testing.assert_close(
        predict(module, runs)[0, :n_copied], predict(module, copied)[:, 0], rtol=1e-4, atol=1e-5
    )
    train(decoder, module, copied[:1], n_windows=1)
    rates: dict[str, list[tuple[float, float]]] = {"training": [], "prediction": []}
    for _ in range(rounds):
        for name, shared, single in (
            (
                "training",
                lambda: train(decoder, module, runs, n_windows=run_length),
                lambda: train(decoder, module, copied, n_windows=1),
            ),
            ("prediction", lambda: predict(module, runs), lambda: predict(module, copied)),
        ):
            rates[name].append((BATCH / seconds_of(shared), n_copied / seconds_of(single)))
    for name, pairs in rates.items():
        ours, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
        ratios = [one / other for one, other in pairs]
        print(
            f"| {n_images} | {run_length} | {name} | {theirs:.2f} | {ours:.2f} | "
            f"{statistics.median(ratios):.1f} ({min(ratios):.1f}) |",
            flush=True,
        )
    megabytes = megabytes_kept(decoder, module, runs, n_windows=run_length)
    n_distinct = len(runs) * (runs.shape[1] - 2)
    print(f"({n_distinct} images a batch; {megabytes / n_distinct:.0f} MB kept for each to train)")


def main() -> None:
    """Compare for each number of images in a window and length of runs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, nargs="+", default=[11, 31])
    parser.add_argument("--run-lengths", type=int, nargs="+", default=[16, 32])
    parser.add_argument("--side", type=int, default=128)
    parser.add_argument("--copied", type=int, default=4, help="windows of the other loop")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(1)
    print(
        "| images in a window | run | | CNN for each window, windows/s | shared | ratio (lowest) |"
    )
    print("|---|---|---|---|---|---|")
    for n_images in args.images:
        for run_length in args.run_lengths:
            compare(
                n_images=n_images,
                run_length=run_length,
                side=args.side,
                n_copied=args.copied,
                rounds=args.rounds,
            )


if __name__ == "__main__":
    main()
