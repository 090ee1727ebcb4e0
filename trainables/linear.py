"""Logistic regression over the window: the baseline of every leaderboard."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from calsweep.trainables.decoder import Decoder
from calsweep.trainables.losses import binary_cross_entropy, log_odds

# R run, T time, N unit, K windows per run


@dataclass(frozen=True, kw_only=True)
class Linear:
    """A weight for each unit at each frame of the window, and a bias.

    Examples
    --------
    >>> module = Linear().build(n_units=50, window_length=31)
    >>> module(torch.zeros(2, 38, 50)).shape
    torch.Size([2, 8])
    """

    def build(
        self, *, n_units: int, window_length: int, n_outputs: int = 1, base_rate: float = 0.5
    ) -> nn.Module:
        """Build the module."""
        return LinearModule(
            n_units=n_units,
            window_length=window_length,
            n_outputs=n_outputs,
            base_rate=base_rate,
        )

    def loss(
        self, logits_RK: Tensor, labels_RK: Tensor, weights_RK: Tensor, *, label_smoothing: float
    ) -> Tensor:
        """Sum the binary cross-entropy of windows, each by its weight."""
        return binary_cross_entropy(
            logits_RK, labels_RK, weights_RK, label_smoothing=label_smoothing
        )

    def probability(self, logits_RK: Tensor) -> Tensor:
        """Give the logistic function of the logits."""
        return torch.sigmoid(logits_RK)


class LinearModule(nn.Module):
    """A window's weights as one kernel that slides over the run.

    Weights begin at zero, the bias at the base rate: the problem is convex, and so the seed decides
    nothing but the order.
    """

    def __init__(
        self, *, n_units: int, window_length: int, n_outputs: int, base_rate: float
    ) -> None:
        super().__init__()
        self.kernel = nn.Conv1d(n_units, n_outputs, window_length)
        nn.init.zeros_(self.kernel.weight)
        if self.kernel.bias is not None:
            nn.init.constant_(self.kernel.bias, log_odds(base_rate))

    def forward(self, frames_RTN: Tensor) -> Tensor:
        """Give the logits of every window, shape ``(run, window)``."""
        logits_RKO: Tensor = self.kernel(frames_RTN.transpose(1, 2)).transpose(1, 2)
        return logits_RKO.squeeze(2)


_: type[Decoder] = Linear
