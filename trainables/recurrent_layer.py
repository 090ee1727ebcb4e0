"""Recurrent layers of torch, and the one that torch does not have."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from calsweep.trainables.recurrence import Cell

# B batch, L steps, H hidden


class ResetBeforeGru(nn.GRU):
    """A layer of GRU cells whose reset gate multiplies the state.

    It has the parameters of ``torch.nn.GRU``, whose two biases add up, and steps in plain torch: no
    library has a fused kernel of it.

    Examples
    --------
    >>> states, last = ResetBeforeGru(5, 4, batch_first=True)(torch.zeros(2, 3, 5))
    >>> states.shape, last.shape
    (torch.Size([2, 3, 4]), torch.Size([1, 2, 4]))
    """

    def forward(  # type: ignore[override]
        self,
        inputs: Tensor,
        hx: None = None,  # noqa: ARG002 - torch's signature
    ) -> tuple[Tensor, Tensor]:
        """Give the states of the last layer at all steps, and the last of each layer and way."""
        lasts = []
        for layer in range(self.num_layers):
            if layer > 0:
                inputs = functional.dropout(inputs, self.dropout, training=self.training)
            states = [self._states(inputs, f"l{layer}")]
            lasts.append(states[0][:, -1])
            if self.bidirectional:
                states.append(self._states(inputs.flip(1), f"l{layer}_reverse").flip(1))
                lasts.append(states[1][:, 0])
            inputs = torch.cat(states, dim=2)
        return inputs, torch.stack(lasts)

    def _states(self, inputs: Tensor, suffix: str) -> Tensor:
        kinds = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        w_ih, w_hh, b_ih, b_hh = (getattr(self, f"{kind}_{suffix}") for kind in kinds)
        sizes = [2 * self.hidden_size, self.hidden_size]
        w_rz, w_n = torch.split(w_hh, sizes)
        h, states = inputs.new_zeros(len(inputs), self.hidden_size), []
        for x in functional.linear(inputs, w_ih, b_ih + b_hh).unbind(1):
            x_rz, x_n = torch.split(x, sizes, dim=1)
            r, z = torch.sigmoid(x_rz + functional.linear(h, w_rz)).chunk(2, dim=1)
            n = torch.tanh(x_n + functional.linear(r * h, w_n))
            h = n + z * (h - n)
            states.append(h)
        return torch.stack(states, dim=1)


LAYERS: dict[Cell, Callable[..., nn.RNNBase]] = {
    Cell.SIMPLE: nn.RNN,
    Cell.LSTM: nn.LSTM,
    Cell.GRU: nn.GRU,
    Cell.GRU_RESET_BEFORE: ResetBeforeGru,
}
"""The layer of each kind of cell."""
