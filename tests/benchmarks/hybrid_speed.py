"""Speed of a training step of H's hybrid, beside the step its published code takes.

Run with ``python -m tests.benchmarks.hybrid_speed``; one thread. A step is forward, loss, backward,
clipping and AdamW, of 32 windows of 32 frames of 581 units. The published step is written here anew
from torch's own layers: ``Conv1d``, ``BatchNorm1d``, ``LSTM``, ``MultiheadAttention`` over all
steps, four heads, one logit for each class of each head, focal loss. The two take turns, in float32
and under bfloat16 autocast, times are of the process, and medians are printed, because a shared
machine gives more at one minute than at the next.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from calsweep.trainables.decoder import Problem
from calsweep.trainables.hybrid import Hybrid
from calsweep.trainables.losses import Criterion

N_WINDOWS, LENGTH, N_UNITS = 32, 32, 581
PROBLEM = Problem(frame_shape=(N_UNITS,), window_length=LENGTH, class_shares=(0.6, 0.25, 0.15))
FOCAL = Criterion(focal_alpha=2.0, focal_gamma=2.0)

Step = Callable[[bool], Tensor]


class PlainHybrid(nn.Module):
    """The hybrid as its published code lays it out, of the text's sizes."""

    def __init__(self) -> None:
        super().__init__()
        sizes = (N_UNITS, 64, 128, 256)
        self.convolutions = nn.Sequential(
            *(
                nn.Sequential(
                    nn.Conv1d(n, m, 3, padding=1), nn.BatchNorm1d(m), nn.ReLU(), nn.Dropout(0.25)
                )
                for n, m in pairwise(sizes)
            )
        )
        self.skip = nn.Conv1d(N_UNITS, 256, 1)
        self.skip_norm = nn.GroupNorm(8, 256)
        self.lstm = nn.LSTM(256, 128, 2, batch_first=True, bidirectional=True, dropout=0.5)
        self.attention = nn.MultiheadAttention(256, 8, batch_first=True)
        self.heads = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(256), nn.ReLU(), nn.Dropout(0.5), nn.Linear(256, n))
            for n in (3, 2, 2, 1)
        )

    def forward(self, windows_BLN: Tensor) -> list[Tensor]:
        """Give the outputs of each head."""
        x_BNL = windows_BLN.transpose(1, 2)
        h_BFL = self.skip_norm(self.convolutions(x_BNL) + self.skip(x_BNL))
        states_BLH, _ = self.lstm(h_BFL.transpose(1, 2))
        attended_BLH, _ = self.attention(states_BLH, states_BLH, states_BLH)
        pooled_BH = attended_BLH.mean(1)
        return [head(pooled_BH) for head in self.heads]


def plain_loss(outputs: list[Tensor], *, windows_BLN: Tensor, labels_B: Tensor) -> Tensor:
    """Add focal losses and the squared error of activity by the weights of the paper."""
    classes, contralateral, ipsilateral, activity = outputs
    there_B = windows_BLN[:, -1].mean(-1)
    return (
        focal(classes, labels_B)
        + 0.5 * focal(contralateral, (labels_B == 1).long())
        + 0.5 * focal(ipsilateral, (labels_B == 2).long())
        + functional.mse_loss(activity[:, 0], there_B)
    )


def focal(logits: Tensor, labels: Tensor) -> Tensor:
    """Give the mean focal loss, alpha 2 and gamma 2."""
    entropy = functional.cross_entropy(logits, labels, reduction="none")
    return (2 * (1 - (-entropy).exp()).square() * entropy).mean()


def plain_step(windows_BLN: Tensor, labels_B: Tensor) -> Step:
    """Make the step of the published code."""
    module = PlainHybrid().train()

    def loss() -> Tensor:
        return plain_loss(module(windows_BLN), windows_BLN=windows_BLN, labels_B=labels_B)

    return step_of(module, loss)


def our_step(windows_BLN: Tensor, labels_B: Tensor) -> Step:
    """Make the step of calsweep's decoder, of runs of one window each."""
    config = Hybrid()
    module = config.build(PROBLEM).train()
    labels_RK, weights_RK = labels_B[:, None], torch.ones(N_WINDOWS, 1)

    def loss() -> Tensor:
        outputs_RKO = module(windows_BLN)
        total = config.loss(outputs_RKO, labels_RK, weights_RK, frames=windows_BLN, criterion=FOCAL)
        return total / N_WINDOWS

    return step_of(module, loss)


def step_of(module: nn.Module, loss_of: Callable[[], Tensor]) -> Step:
    """Make a step; its argument says whether it runs under bfloat16 autocast."""
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-4, weight_decay=1e-5, fused=True)

    def step(is_bfloat16: bool) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=is_bfloat16):
            loss = loss_of()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimizer.step()
        return loss.detach()

    return step


def milliseconds(step: Step, *, is_bfloat16: bool, n_steps: int) -> float:
    """Give the time of a step, of several in a row."""
    begun = time.process_time()
    for _ in range(n_steps):
        loss = step(is_bfloat16)
    assert loss.isfinite(), loss
    return 1000 * (time.process_time() - begun) / n_steps


def main() -> None:
    """Print the time of a step of each, and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=5, help="in a row")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    windows_BLN = torch.randn(N_WINDOWS, LENGTH, N_UNITS)
    labels_B = torch.randint(0, 3, (N_WINDOWS,))
    steps = {
        "published": plain_step(windows_BLN, labels_B),
        "calsweep": our_step(windows_BLN, labels_B),
    }
    kinds = [(name, is_bfloat16) for is_bfloat16 in (False, True) for name in steps]
    for name, is_bfloat16 in kinds:  # warm up
        milliseconds(steps[name], is_bfloat16=is_bfloat16, n_steps=2)
    times: dict[tuple[str, bool], list[float]] = {kind: [] for kind in kinds}
    for _ in range(asked.rounds):
        for name, is_bfloat16 in kinds:
            times[name, is_bfloat16].append(
                milliseconds(steps[name], is_bfloat16=is_bfloat16, n_steps=asked.steps)
            )
    median = {kind: statistics.median(of_kind) for kind, of_kind in times.items()}
    for (name, is_bfloat16), ms in median.items():
        of_kind = times[name, is_bfloat16]
        precision = "bfloat16" if is_bfloat16 else "float32"
        print(
            f"{name:>9} {precision:>8} {ms:7.1f} ms a step ({min(of_kind):.1f}-{max(of_kind):.1f})"
        )
    plain, ours = median["published", False], median["calsweep", False]
    print(f"float32: {plain / ours:.2f} times as fast as published")
    ours_bfloat16 = median["calsweep", True]
    print(f"bfloat16: {ours / ours_bfloat16:.2f} times as fast as ours in float32")
    print(f"bfloat16: {plain / ours_bfloat16:.2f} times as fast as published in float32")


if __name__ == "__main__":
    main()
