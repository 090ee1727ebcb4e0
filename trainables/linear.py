"""Logistic regression over the window: the baseline of every leaderboard."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from calsweep.trainables.decoder import Decoder, Problem
from calsweep.trainables.losses import (
    Criterion,
    class_probability,
    cross_entropy,
    initial_bias,
)

# R run, T time, N unit, K windows per run, O outputs


@dataclass(frozen=True, kw_only=True)
class Linear:
    """A weight for each unit, or pixel, at each frame of the window, and a bias.

    Examples
    --------
    >>> module = Linear().build(Problem(frame_shape=(50,), window_length=31))
    >>> module(torch.zeros(2, 38, 50)).shape
    torch.Size([2, 8, 1])
    """

    def build(self, problem: Problem, /) -> nn.Module:
        """Build the module."""
        return LinearModule(problem)

    def loss(
        self,
        outputs_RKO: Tensor,
        labels_RK: Tensor,
        weights_RK: Tensor,
        *,
        frames: Tensor,  # noqa: ARG002 - the protocol's
        criterion: Criterion,
    ) -> Tensor:
        """Sum the cross-entropy of windows, each by its weight."""
        return cross_entropy(outputs_RKO, labels_RK, weights_RK, criterion=criterion)

    def probability(self, outputs_RKO: Tensor) -> Tensor:
        """Give the probability of each class."""
        return class_probability(outputs_RKO)


class LinearModule(nn.Module):
    """A window's weights as one kernel that slides over the run.

    Weights begin at zero, biases at the shares of classes: the problem is convex, and so the seed
    decides nothing but the order.
    """

    def __init__(self, problem: Problem, /) -> None:
        super().__init__()
        n_inputs = math.prod(problem.frame_shape)
        self.kernel = nn.Conv1d(n_inputs, problem.n_outputs, problem.window_length)
        nn.init.zeros_(self.kernel.weight)
        with torch.no_grad():
            assert self.kernel.bias is not None  # noqa: S101 - it is asked for by default
            self.kernel.bias.copy_(initial_bias(problem.class_shares))

    def forward(self, frames: Tensor) -> Tensor:
        """Give the logits of every window, shape ``(run, window, output)``."""
        frames_RTN = frames.flatten(2)
        logits_RKO: Tensor = self.kernel(frames_RTN.transpose(1, 2)).transpose(1, 2)
        return logits_RKO


_: type[Decoder] = Linear
