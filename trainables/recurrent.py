"""The recurrent decoders of W: one layer, and its last state to one logit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from calsweep.trainables.classifier import Classifier
from calsweep.trainables.decoder import Decoder, Problem
from calsweep.trainables.initialization import begin_at
from calsweep.trainables.recurrence import Cell, last_state
from calsweep.trainables.recurrent_layer import LAYERS

# R run, T time, N unit, K windows per run, L window length, G gate rows, H hidden, O outputs


@dataclass(frozen=True, kw_only=True)
class Recurrent(Classifier):
    """A recurrent layer read out at the end of the window.

    Attributes
    ----------
    cell
        Kind of cell.
    bidirectional
        Whether a second layer reads the window from its end, as Keras' ``Bidirectional`` does: both
        last states, one after the other, are read out.
    n_hidden
        Units in each direction.

    References
    ----------
    W (widefield, mouse-wise run or rest): 32 units, tanh.

    Examples
    --------
    >>> module = Recurrent(cell=Cell.GRU).build(Problem(frame_shape=(50,), window_length=31))
    >>> module(torch.zeros(2, 38, 50)).shape
    torch.Size([2, 8, 1])
    """

    is_stackable: ClassVar[bool] = True  # see `calsweep.platform.fold.fold_stack`

    cell: Cell
    bidirectional: bool = False
    n_hidden: int = 32

    def __post_init__(self) -> None:
        if self.n_hidden < 1:
            raise ValueError(f"`n_hidden >= 1` must hold, but got {self.n_hidden=}.")

    def build(self, problem: Problem, /) -> nn.Module:
        """Build the module with fresh weights from torch's random state."""
        module = RecurrentModule(self, problem)
        begin_at(problem.class_shares, layer=module.readout)
        return module


class RecurrentModule(nn.Module):
    """A recurrent layer with the parameters of ``torch.nn.RNN``, ``LSTM`` or ``GRU``.

    On a CPU, windows share the input products of their frames (`calsweep.trainables.recurrence`).
    On other devices the windows are laid out and go through torch's own layer: cuDNN fuses all
    steps into one call, which saves more there than the shared product would. Of a cell that it
    does not have, windows share there too.
    """

    def __init__(self, config: Recurrent, problem: Problem, /) -> None:
        super().__init__()
        self.cell = config.cell
        self.window_length = problem.window_length
        self.layer = LAYERS[config.cell](
            problem.n_units, config.n_hidden, batch_first=True, bidirectional=config.bidirectional
        )
        self.readout = nn.Linear(config.n_hidden * (1 + config.bidirectional), problem.n_outputs)
        _initialize(self)

    def forward(self, frames_RTN: Tensor) -> Tensor:
        """Give the logits of every window, shape ``(run, window, output)``."""
        if frames_RTN.device.type == "cpu" or self.cell is Cell.GRU_RESET_BEFORE:
            return self.forward_shared(frames_RTN)
        return self.forward_windows(frames_RTN)

    def forward_shared(self, frames_RTN: Tensor) -> Tensor:
        """Project each frame once and step over views of the products."""
        n_runs = frames_RTN.shape[0]
        frames = frames_RTN.transpose(0, 1).flatten(0, 1).t()  # (unit, time x run)
        states = [self._direction(frames, n_runs, suffix) for suffix in self._suffixes]
        state_HC = torch.cat(states) if len(states) > 1 else states[0]
        logits_OC = torch.addmm(self.readout.bias[:, None], self.readout.weight, state_HC)
        return logits_OC.view(len(logits_OC), -1, n_runs).permute(2, 1, 0)

    def forward_windows(self, frames_RTN: Tensor) -> Tensor:
        """Lay the windows out and give them to torch's layer."""
        windows_RKNL = frames_RTN.unfold(1, self.window_length, 1)
        _, last = self.layer(windows_RKNL.flatten(0, 1).transpose(1, 2))
        state = last[0] if self.cell is Cell.LSTM else last
        logits: Tensor = self.readout(state.transpose(0, 1).flatten(1))
        return logits.view(*windows_RKNL.shape[:2], -1)

    @property
    def _suffixes(self) -> tuple[str, ...]:
        return ("l0", "l0_reverse") if self.layer.bidirectional else ("l0",)

    def _direction(self, frames: Tensor, n_runs: int, suffix: str) -> Tensor:
        kinds = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        weights = [getattr(self.layer, f"{kind}_{suffix}") for kind in kinds]
        weight_GN, weight_GH, bias_G = _ARRANGE[self.cell](*weights)
        return last_state(
            self.cell,
            inputs=torch.addmm(bias_G[:, None], weight_GN, frames),
            weight_GH=weight_GH,
            n_runs=n_runs,
            window_length=self.window_length,
            reverse=suffix.endswith("reverse"),
        )


# How torch's weights become those that `last_state` asks for: (input, recurrent, bias).
Weights = tuple[Tensor, Tensor, Tensor]


def _arrange_as_they_are(w_ih: Tensor, w_hh: Tensor, b_ih: Tensor, b_hh: Tensor) -> Weights:
    return w_ih, w_hh, b_ih + b_hh


def _arrange_lstm(w_ih: Tensor, w_hh: Tensor, b_ih: Tensor, b_hh: Tensor) -> Weights:
    """Bring torch's gates i, f, g, o into the order i, f, o, g."""

    def order(rows: Tensor) -> Tensor:
        i, f, g, o = rows.chunk(4)
        return torch.cat([i, f, o, g])

    return order(w_ih), order(w_hh), order(b_ih + b_hh)


def _arrange_gru(w_ih: Tensor, w_hh: Tensor, b_ih: Tensor, b_hh: Tensor) -> Weights:
    """Add rows for the recurrent bias of n, which the reset gate multiplies."""
    w_r, w_z, w_n = w_ih.chunk(3)
    (b_r, b_z, b_n), (c_r, c_z, c_n) = b_ih.chunk(3), b_hh.chunk(3)
    weight_GN = torch.cat([w_r, w_z, torch.zeros_like(w_n), w_n])
    return weight_GN, w_hh, torch.cat([b_r + c_r, b_z + c_z, c_n, b_n])


_ARRANGE = {
    Cell.SIMPLE: _arrange_as_they_are,
    Cell.LSTM: _arrange_lstm,
    Cell.GRU: _arrange_gru,
    Cell.GRU_RESET_BEFORE: _arrange_as_they_are,
}


def _initialize(module: RecurrentModule) -> None:
    """Draw weights as Keras does, in which W was trained.

    Glorot-uniform input weights, orthogonal recurrent weights (a state neither fades nor grows over
    the 31 steps at first), zero biases but 1 for the LSTM's forget gate.
    """
    for name, weights in module.layer.named_parameters():
        if name.startswith("weight_ih"):
            nn.init.xavier_uniform_(weights)
        elif name.startswith("weight_hh"):
            nn.init.orthogonal_(weights)
        else:
            nn.init.zeros_(weights)
            if module.cell is Cell.LSTM and name.startswith("bias_ih"):
                nn.init.ones_(weights.detach().chunk(4)[1])
    nn.init.xavier_uniform_(module.readout.weight)
    nn.init.zeros_(module.readout.bias)


_: type[Decoder] = Recurrent
