"""The LSTM of H: stacked layers, and the last state through fully connected layers."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor, nn

from calsweep.trainables.classifier import Classifier
from calsweep.trainables.decoder import Decoder, Problem
from calsweep.trainables.initialization import begin_at, initialize
from calsweep.trainables.normalization import BatchNorm

# R run, T time, N unit, K windows per run, B windows of all runs, L steps in a window, O outputs


@dataclass(frozen=True, kw_only=True)
class StackedLSTM(Classifier):
    """Layers of LSTM, batch normalization of the last state, and fully connected layers.

    Attributes
    ----------
    n_hidden
        Units of each layer of LSTM.
    n_layers
        Layers of LSTM.
    n_connected
        Units of each fully connected layer before the last.
    dropout
        Between layers of LSTM, and behind each fully connected one.

    References
    ----------
    H (two-photon, footsteps): windows of 10 frames, 2 layers of 64, then 64 and 32, dropout 0.5.

    Examples
    --------
    >>> import torch
    >>> problem = Problem(frame_shape=(581,), window_length=10, class_shares=(0.8, 0.1, 0.1))
    >>> StackedLSTM().build(problem)(torch.zeros(2, 12, 581)).shape
    torch.Size([2, 3, 3])
    """

    n_hidden: int = 64
    n_layers: int = 2
    n_connected: tuple[int, ...] = (64, 32)
    dropout: float = 0.5

    def __post_init__(self) -> None:
        for n in (self.n_hidden, self.n_layers, *self.n_connected):
            if n < 1:
                raise ValueError(f"layers and their units must be at least 1, but got {self}.")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"`0 <= dropout < 1` must hold, but got {self.dropout=}.")

    def build(self, problem: Problem, /) -> nn.Module:
        """Build the module with fresh weights from torch's random state."""
        module = StackedLSTMModule(self, problem)
        initialize(module)
        begin_at(problem.class_shares, layer=module.readout)
        return module


class StackedLSTMModule(nn.Module):
    """Windows laid out, through ``torch.nn.LSTM``."""

    def __init__(self, config: StackedLSTM, problem: Problem, /) -> None:
        super().__init__()
        self.window_length = problem.window_length
        self.layers = nn.LSTM(
            problem.n_units,
            config.n_hidden,
            config.n_layers,
            batch_first=True,
            dropout=config.dropout if config.n_layers > 1 else 0.0,
        )
        self.norm = BatchNorm(config.n_hidden)
        sizes = (config.n_hidden, *config.n_connected)
        self.connected = nn.Sequential(
            *(
                nn.Sequential(nn.Linear(n, m), nn.ReLU(), nn.Dropout(config.dropout))
                for n, m in pairwise(sizes)
            )
        )
        self.readout = nn.Linear(sizes[-1], problem.n_outputs)

    def forward(self, frames_RTN: Tensor) -> Tensor:
        """Give the logits of every window, shape ``(run, window, output)``."""
        windows_BLN = frames_RTN.unfold(1, self.window_length, 1).flatten(0, 1).transpose(1, 2)
        states_BLH, _ = self.layers(windows_BLN)
        logits_BO: Tensor = self.readout(self.connected(self.norm(states_BLH[:, -1])))
        return logits_BO.view(len(frames_RTN), -1, logits_BO.shape[1])


_: type[Decoder] = StackedLSTM
