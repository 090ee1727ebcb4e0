"""The encoders of LFADS: from activity to an initial condition and the controller's input."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from calsweep.trainables.lfads.clipped_gru import ClippedGru

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

    def last(self, x_TBX: Tensor, /) -> Tensor:
        """Give the last state of both, shape ``(trial, 2 x hidden)``."""
        return torch.cat([self.onward(x_TBX)[-1], self.backward_in_time(x_TBX)[0]], dim=1)

    def lagged(self, x_TBX: Tensor, /, *, lag: int) -> Tensor:
        """Give for each bin what both knew some bins before they came to it.

        Shape ``(bin, trial, 2 x hidden)``; 0 where there is none.
        """
        onward, back = self.onward(x_TBX), self.backward_in_time(x_TBX)
        if lag:
            onward = functional.pad(onward[:-lag], (0, 0, 0, 0, lag, 0))
            back = functional.pad(back[lag:], (0, 0, 0, 0, 0, lag))
        return torch.cat([onward, back], dim=2)
