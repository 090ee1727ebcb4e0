"""The hybrid of H: convolutions, a bidirectional LSTM and self-attention, and four heads."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

from torch import Tensor, nn

from calsweep.trainables.attention import PooledAttention
from calsweep.trainables.classifier import TaskClassifier
from calsweep.trainables.convolution import StepConvolution, convolve_frames
from calsweep.trainables.decoder import Decoder, Problem
from calsweep.trainables.initialization import initialize
from calsweep.trainables.normalization import Normalization, WindowNorm
from calsweep.trainables.tasks import TaskHeads, Tasks

# R run, T time, N unit, K windows per run, B windows of all runs, L steps in a window, F features,
# H hidden of both directions, O outputs


@dataclass(frozen=True, kw_only=True)
class Hybrid(TaskClassifier):
    """Convolutions over time, a bidirectional LSTM, self-attention, and a head for each task.

    The defaults are what H's text says. Its published code and the description of that code go
    beyond: ``hybrid_published.yaml``.

    Attributes
    ----------
    n_features
        Features of each convolution, of kernels of 3 frames.
    normalization
        Behind each convolution. H's equation is batch normalization; its code mixes three.
    n_groups
        Groups of features in group normalization.
    conv_dropout
        Behind each convolution.
    skip
        Whether a kernel of one frame is added to the last convolution, and the sum normalized by
        groups.
    n_hidden, n_layers
        Units in each direction, and layers, of the LSTM.
    attention
        Whether self-attention follows. Either way its steps are averaged, as in the code; the text
        does not say.
    n_attention_heads
        Heads of the self-attention.
    adaptive_scale
        Whether each attention head learns a factor on its scores. The code's description names it;
        text and code have ``1 / sqrt(d)`` alone.
    n_head_hidden
        Units of a linear layer at the start of each task's head. 0 for none, as in the text; the
        code has 128.
    dropout
        Between layers of the LSTM, and in heads.
    tasks
        What is learnt beside the class.

    References
    ----------
    H (two-photon, footsteps): windows of 32 frames.

    Examples
    --------
    >>> import torch
    >>> problem = Problem(frame_shape=(581,), window_length=32, class_shares=(0.8, 0.1, 0.1))
    >>> Hybrid().build(problem)(torch.zeros(2, 34, 581)).shape
    torch.Size([2, 3, 7])
    """

    n_features: tuple[int, ...] = (64, 128, 256)
    normalization: Normalization = Normalization.BATCH
    n_groups: int = 8
    conv_dropout: float = 0.25
    skip: bool = True
    n_hidden: int = 128
    n_layers: int = 2
    attention: bool = True
    n_attention_heads: int = 8
    adaptive_scale: bool = False
    n_head_hidden: int = 0
    dropout: float = 0.5
    tasks: Tasks = field(default_factory=Tasks)

    def __post_init__(self) -> None:
        if not self.n_features or min(*self.n_features, self.n_hidden, self.n_layers) < 1:
            raise ValueError(f"layers and their units must be at least 1, but got {self}.")
        for name, least in (("n_groups", 1), ("n_attention_heads", 1), ("n_head_hidden", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"`{name} >= {least}` must hold, but got {getattr(self, name)}.")
        for name in ("conv_dropout", "dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"`0 <= {name} < 1` must hold, but got {getattr(self, name)}.")
        if any(n % self.n_groups for n in self.n_features):
            raise ValueError(
                f"`n_groups` must divide each of {list(self.n_features)} features, "
                f"but got {self.n_groups}."
            )
        if 2 * self.n_hidden % self.n_attention_heads:
            raise ValueError(
                f"`n_attention_heads` must divide the {2 * self.n_hidden} units of both "
                f"directions, but got {self.n_attention_heads}."
            )
        if self.adaptive_scale and not self.attention:
            raise ValueError("`adaptive_scale` needs `attention`, which is off.")

    def build(self, problem: Problem, /) -> nn.Module:
        """Build the module with fresh weights from torch's random state."""
        module = HybridModule(self, problem)
        initialize(module)
        module.heads.begin_at(problem)
        return module


class HybridModule(nn.Module):
    """The hybrid over windows laid out; they share what the first convolution makes of a frame."""

    def __init__(self, config: Hybrid, problem: Problem, /) -> None:
        super().__init__()
        self.window_length = problem.window_length
        sizes = (problem.n_units, *config.n_features)
        self.first = nn.Conv1d(sizes[0], sizes[1], 3)
        layers = _activation(config, sizes[1])
        for n, m in pairwise(sizes[1:]):
            layers += [StepConvolution(n, m, 3), *_activation(config, m)]
        self.convolutions = nn.Sequential(*layers)
        self.skip = nn.Conv1d(sizes[0], sizes[-1], 1) if config.skip else None
        self.skip_norm = nn.GroupNorm(config.n_groups, sizes[-1]) if config.skip else None
        self.lstm = nn.LSTM(
            sizes[-1],
            config.n_hidden,
            config.n_layers,
            batch_first=True,
            bidirectional=True,
            dropout=config.dropout if config.n_layers > 1 else 0.0,
        )
        self.attention = None
        if config.attention:
            self.attention = PooledAttention(
                2 * config.n_hidden,
                n_attention=2 * config.n_hidden,
                n_heads=config.n_attention_heads,
                adaptive_scale=config.adaptive_scale,
            )

        def head(n_outputs: int) -> nn.Sequential:
            return _head(config, n_outputs=n_outputs)

        self.heads = TaskHeads(config.tasks, problem, class_head=head, other_head=head)

    def forward(self, frames_RTN: Tensor) -> Tensor:
        """Give the outputs of every window, shape ``(run, window, output)``."""
        states_BLH, _ = self.lstm(self._convolve(frames_RTN))
        pooled_BH = self.attention(states_BLH) if self.attention else states_BLH.mean(1)
        outputs_RKO: Tensor = self.heads(pooled_BH, frames_RTN)
        return outputs_RKO

    def _convolve(self, frames_RTN: Tensor) -> Tensor:
        kernels = [self.first, self.skip] if self.skip else [self.first]
        x_BLF, *skipped = convolve_frames(kernels, frames_RTN, window_length=self.window_length)
        convolved_BLF: Tensor = self.convolutions(x_BLF)
        if self.skip_norm is None:
            return convolved_BLF
        # Group normalization wants the features before the steps.
        sum_BFL = (convolved_BLF + skipped[0]).transpose(1, 2)
        normal_BLF: Tensor = self.skip_norm(sum_BFL).transpose(1, 2)
        return normal_BLF


def _activation(config: Hybrid, n_features: int) -> list[nn.Module]:
    norm = WindowNorm(n_features, kind=config.normalization, n_groups=config.n_groups)
    return [norm, nn.ReLU(), nn.Dropout(config.conv_dropout)]


def _head(config: Hybrid, *, n_outputs: int) -> nn.Sequential:
    """Make a task's head: layer normalization, ReLU and dropout before a linear layer."""
    n_hidden = config.n_head_hidden or 2 * config.n_hidden
    first = [nn.Linear(2 * config.n_hidden, n_hidden)] if config.n_head_hidden else []
    return nn.Sequential(
        *first,
        nn.LayerNorm(n_hidden),
        nn.ReLU(),
        nn.Dropout(config.dropout),
        nn.Linear(n_hidden, n_outputs),
    )


_: type[Decoder] = Hybrid
