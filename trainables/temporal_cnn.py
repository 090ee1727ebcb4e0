"""The plain CNN of H's published code: convolutions over time, pooled over the window."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import torch
from torch import Tensor, nn

from calsweep.trainables.classifier import TaskClassifier
from calsweep.trainables.convolution import StepConvolution, convolve_frames
from calsweep.trainables.decoder import Decoder, Problem
from calsweep.trainables.initialization import initialize
from calsweep.trainables.normalization import Normalization, WindowNorm
from calsweep.trainables.tasks import Activity, TaskHeads, Tasks

# R run, T time, N unit, K windows per run, B windows of all runs, L steps in a window, F features,
# O outputs


@dataclass(frozen=True, kw_only=True)
class TemporalCNN(TaskClassifier):
    """Convolutions over the time of a window; mean and maximum over it are read out.

    Attributes
    ----------
    n_features
        Features of each convolution.
    n_taps
        Frames that the kernel of each convolution spans, odd.
    n_connected
        Units of each fully connected layer behind the pooling.
    dropout
        Behind each layer.
    tasks
        What is learnt beside the class.

    References
    ----------
    Code of H (two-photon, footsteps), which its text does not mention.

    Examples
    --------
    >>> problem = Problem(frame_shape=(581,), window_length=32, class_shares=(0.8, 0.1, 0.1))
    >>> TemporalCNN().build(problem)(torch.zeros(2, 34, 581)).shape
    torch.Size([2, 3, 5])
    """

    n_features: tuple[int, ...] = (64, 128, 256, 256)
    n_taps: tuple[int, ...] = (3, 5, 7, 5)
    n_connected: tuple[int, ...] = (128, 64)
    dropout: float = 0.3
    tasks: Tasks = field(default_factory=lambda: Tasks(activity=Activity.NONE))

    def __post_init__(self) -> None:
        if len(self.n_taps) != len(self.n_features) or not self.n_features:
            raise ValueError(
                f"`n_taps` must have one number for each convolution, "
                f"but got {list(self.n_taps)} and {list(self.n_features)}."
            )
        if min(*self.n_features, *self.n_taps, *self.n_connected) < 1:
            raise ValueError(f"layers and their units must be at least 1, but got {self}.")
        if any(n % 2 == 0 for n in self.n_taps):
            raise ValueError(f"`n_taps` must be odd, but got {list(self.n_taps)}.")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"`0 <= dropout < 1` must hold, but got {self.dropout=}.")

    def build(self, problem: Problem, /) -> nn.Module:
        """Build the module with fresh weights from torch's random state."""
        module = TemporalCNNModule(self, problem)
        initialize(module)
        module.heads.begin_at(problem)
        return module


class TemporalCNNModule(nn.Module):
    """The CNN over windows laid out; they share what the first convolution makes of a frame."""

    def __init__(self, config: TemporalCNN, problem: Problem, /) -> None:
        super().__init__()
        self.window_length = problem.window_length
        n_features, n_taps = config.n_features, config.n_taps
        self.first = nn.Conv1d(problem.n_units, n_features[0], n_taps[0])
        layers = _activation(config, n_features[0])
        for (n, m), n_of_layer in zip(pairwise(n_features), n_taps[1:], strict=True):
            layers += [StepConvolution(n, m, n_of_layer), *_activation(config, m)]
        self.convolutions = nn.Sequential(*layers)
        sizes = (2 * n_features[-1], *config.n_connected)
        self.connected = nn.Sequential(
            *(
                nn.Sequential(nn.Linear(n, m), nn.ReLU(), nn.Dropout(config.dropout))
                for n, m in pairwise(sizes)
            )
        )

        def head(n_outputs: int) -> nn.Sequential:
            return nn.Sequential(nn.Linear(sizes[-1], n_outputs))

        self.heads = TaskHeads(config.tasks, problem, class_head=head, other_head=head)

    def forward(self, frames_RTN: Tensor) -> Tensor:
        """Give the outputs of every window, shape ``(run, window, output)``."""
        (x_BLF,) = convolve_frames([self.first], frames_RTN, window_length=self.window_length)
        x_BLF = self.convolutions(x_BLF)
        pooled_BF = self.connected(torch.cat([x_BLF.mean(1), x_BLF.amax(1)], dim=1))
        outputs_RKO: Tensor = self.heads(pooled_BF, frames_RTN)
        return outputs_RKO


def _activation(config: TemporalCNN, n_features: int) -> list[nn.Module]:
    norm = WindowNorm(n_features, kind=Normalization.BATCH, n_groups=1)
    return [norm, nn.ReLU(), nn.Dropout(config.dropout)]


_: type[Decoder] = TemporalCNN
