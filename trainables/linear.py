"""Logistic regression over the window: the baseline of every leaderboard."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor, nn

from calsweep.trainables.classifier import Classifier
from calsweep.trainables.decoder import Decoder, Problem
from calsweep.trainables.initialization import begin_at

# R run, T time, N unit, K windows per run, O outputs


@dataclass(frozen=True, kw_only=True)
class Linear(Classifier):
    """A weight for each unit, or pixel, at each frame of the window, and a bias.

    Examples
    --------
    >>> import torch
    >>> module = Linear().build(Problem(frame_shape=(50,), window_length=31))
    >>> module(torch.zeros(2, 38, 50)).shape
    torch.Size([2, 8, 1])
    """

    def build(self, problem: Problem, /) -> nn.Module:
        """Build the module."""
        return LinearModule(problem)


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
        begin_at(problem.class_shares, layer=self.kernel)

    def forward(self, frames: Tensor) -> Tensor:
        """Give the logits of every window, shape ``(run, window, output)``."""
        frames_RTN = frames.flatten(2)
        logits_RKO: Tensor = self.kernel(frames_RTN.transpose(1, 2)).transpose(1, 2)
        return logits_RKO


_: type[Decoder] = Linear
