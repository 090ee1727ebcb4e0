"""The encoders of LFADS: from activity to an initial condition and the controller's input."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from calsweep.trainables.lfads.clipped_gru import ClippedGru, run_together

# T bin, B trial, X what is encoded, H hidden


class BothWays(nn.Module):
    """A GRU from the first bin to the last and one from the last to the first.

    Parameters
    ----------
    n_inputs, n_hidden
        Sizes; hidden units in each direction.
    clip
        Bound of states.
    """

    def __init__(self, n_inputs: int, n_hidden: int, *, clip: float) -> None:
        super().__init__()
        self.onward = ClippedGru(n_inputs, n_hidden, clip=clip)
        self.backward_in_time = ClippedGru(n_inputs, n_hidden, clip=clip, reverse=True)

    @property
    def grus(self) -> tuple[ClippedGru, ClippedGru]:
        """Both."""
        return self.onward, self.backward_in_time


class Encoded(NamedTuple):
    """What encoders make of trials.

    Attributes
    ----------
    initial_BH
        The last state of both directions of the one encoder.
    inputs_TBH
        For each bin, what both directions of the other knew some bins before they came to it; 0
        where there is none.
    """

    initial_BH: Tensor
    inputs_TBH: Tensor


def encode(x_TBX: Tensor, /, *, initial: BothWays, inputs: BothWays, lag: int) -> Encoded:
    """Read trials with the encoders of initial conditions and of the controller's inputs."""
    states = run_together([*initial.grus, *inputs.grus], x_TBX)
    onward, back = states[2:]
    if lag:
        onward = functional.pad(onward[:-lag], (0, 0, 0, 0, lag, 0))
        back = functional.pad(back[lag:], (0, 0, 0, 0, 0, lag))
    return Encoded(
        initial_BH=torch.cat([states[0][-1], states[1][0]], dim=1),
        inputs_TBH=torch.cat([onward, back], dim=2),
    )
