"""The LSTM with attention of H's published code."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

from torch import Tensor, nn

from calsweep.trainables.attention import PooledAttention
from calsweep.trainables.classifier import TaskClassifier
from calsweep.trainables.decoder import Decoder, Problem
from calsweep.trainables.initialization import initialize
from calsweep.trainables.normalization import BatchNorm
from calsweep.trainables.tasks import Activity, TaskHeads, Tasks

# R run, T time, N unit, K windows per run, B windows of all runs, L steps in a window, H hidden,
# O outputs


@dataclass(frozen=True, kw_only=True)
class AttentionLSTM(TaskClassifier):
    """Layers of LSTM, to whose last state self-attention over the window is added.

    Attributes
    ----------
    n_hidden, n_layers
        Units of each layer of LSTM, and layers.
    n_attention, n_attention_heads
        Features of the attention, and heads that share them.
    attention_dropout
        Share of attention weights left out in training.
    n_connected
        Units of each fully connected layer, with batch normalization.
    n_class_head, n_other_head
        Units of a layer in the head of the classes, and in each other one.
    dropout
        Between layers of LSTM; 0.8, 0.6 and 0.4 of it behind the fully connected layers, and less
        by as much behind further ones, but not below 0.
    head_dropout
        In heads.
    tasks
        What is learnt beside the class.

    References
    ----------
    Code of H (two-photon, footsteps), which its text does not mention.

    Examples
    --------
    >>> import torch
    >>> problem = Problem(frame_shape=(581,), window_length=10, class_shares=(0.8, 0.1, 0.1))
    >>> AttentionLSTM().build(problem)(torch.zeros(2, 12, 581)).shape
    torch.Size([2, 3, 5])
    """

    n_hidden: int = 96
    n_layers: int = 2
    n_attention: int = 48
    n_attention_heads: int = 4
    attention_dropout: float = 0.1
    n_connected: tuple[int, ...] = (80, 56, 40)
    n_class_head: int = 24
    n_other_head: int = 16
    dropout: float = 0.4
    head_dropout: float = 0.2
    tasks: Tasks = field(default_factory=lambda: Tasks(activity=Activity.NONE))

    def __post_init__(self) -> None:
        sizes = (self.n_hidden, self.n_layers, *self.n_connected)
        if min(*sizes, self.n_class_head, self.n_other_head) < 1:
            raise ValueError(f"layers and their units must be at least 1, but got {self}.")
        for name in ("dropout", "attention_dropout", "head_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"`0 <= {name} < 1` must hold, but got {getattr(self, name)}.")
        for name in ("n_attention", "n_attention_heads"):
            if getattr(self, name) < 1:
                raise ValueError(f"`{name} >= 1` must hold, but got {getattr(self, name)}.")
        if self.n_attention % self.n_attention_heads:
            raise ValueError(
                f"`n_attention_heads` must divide the {self.n_attention} features of the "
                f"attention, but got {self.n_attention_heads}."
            )

    def build(self, problem: Problem, /) -> nn.Module:
        """Build the module with fresh weights from torch's random state."""
        module = AttentionLSTMModule(self, problem)
        initialize(module, forget_bias=1.0)
        module.heads.begin_at(problem)
        return module


class AttentionLSTMModule(nn.Module):
    """Windows laid out, through ``torch.nn.LSTM`` and attention."""

    def __init__(self, config: AttentionLSTM, problem: Problem, /) -> None:
        super().__init__()
        self.window_length = problem.window_length
        self.lstm = nn.LSTM(
            problem.n_units,
            config.n_hidden,
            config.n_layers,
            batch_first=True,
            dropout=config.dropout if config.n_layers > 1 else 0.0,
        )
        self.attention = PooledAttention(
            config.n_hidden,
            n_attention=config.n_attention,
            n_heads=config.n_attention_heads,
            output_bias=True,
            dropout=config.attention_dropout,
        )
        self.norm = nn.LayerNorm(config.n_hidden)
        sizes = (config.n_hidden, *config.n_connected)
        layers: list[nn.Module] = []
        for i, (n, m) in enumerate(pairwise(sizes)):
            dropout = config.dropout * max(0.8 - 0.2 * i, 0.0)
            layers += [nn.Linear(n, m), BatchNorm(m), nn.ReLU(), nn.Dropout(dropout)]
        self.connected = nn.Sequential(*layers)

        def class_head(n_outputs: int) -> nn.Sequential:
            return _head(config, sizes[-1], config.n_class_head, n_outputs)

        def other_head(n_outputs: int) -> nn.Sequential:
            return _head(config, sizes[-1], config.n_other_head, n_outputs)

        self.heads = TaskHeads(config.tasks, problem, class_head=class_head, other_head=other_head)

    def forward(self, frames_RTN: Tensor) -> Tensor:
        """Give the outputs of every window, shape ``(run, window, output)``."""
        windows_BLN = frames_RTN.unfold(1, self.window_length, 1).flatten(0, 1).transpose(1, 2)
        states_BLH, _ = self.lstm(windows_BLN)
        attended_BH = self.norm(states_BLH[:, -1] + self.attention(states_BLH))
        outputs_RKO: Tensor = self.heads(self.connected(attended_BH), frames_RTN)
        return outputs_RKO


def _head(config: AttentionLSTM, *sizes: int) -> nn.Sequential:
    n_inputs, n_hidden, n_outputs = sizes
    return nn.Sequential(
        nn.Linear(n_inputs, n_hidden),
        nn.ReLU(),
        nn.Dropout(config.head_dropout),
        nn.Linear(n_hidden, n_outputs),
    )


_: type[Decoder] = AttentionLSTM
