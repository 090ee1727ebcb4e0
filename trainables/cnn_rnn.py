"""The two-step image decoder of W: features of the CNN, read by a recurrent network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from calsweep.trainables.classifier import Classifier
from calsweep.trainables.cnn import Cnn
from calsweep.trainables.decoder import Decoder, Problem, TwoStep
from calsweep.trainables.efficientnet import FRAMES_PER_IMAGE
from calsweep.trainables.initialization import begin_at
from calsweep.trainables.pretrained import copy_tensors
from calsweep.trainables.recurrence import Cell
from calsweep.trainables.recurrent_layer import LAYERS

# R run, T time, H height, W width, I images in a run (T - 2), F features, K windows per run,
# L images in a window, O outputs


@dataclass(frozen=True, kw_only=True)
class CnnRnn(Classifier):
    """A recurrent network over the features of neighboring images, read out at its last state.

    Of a window of ``2 k + 3`` frames come ``2 k + 1`` images of three frames each; W compares k of
    2, 5, 10 and 15. It starts from a CNN trained on the same fold.

    Attributes
    ----------
    cell
        Kind of cell.
    cnn
        The CNN of the first step.
    n_hidden
        Units in each layer.
    n_layers
        Layers.
    dropout
        Between layers, in training; of one layer, none.
    freeze_cnn
        Whether the second step leaves the CNN as the first left it, running means included.

    References
    ----------
    W (widefield, mouse-wise run or rest): two layers of 128 units, dropout 0.2.

    Examples
    --------
    >>> problem = Problem(frame_shape=(32, 32), window_length=7)
    >>> module = CnnRnn(cell=Cell.GRU, cnn=Cnn(width=0.25, depth=0.25)).build(problem)
    >>> module(torch.zeros(2, 14, 32, 32)).shape
    torch.Size([2, 8, 1])
    """

    cell: Cell
    cnn: Cnn = field(default_factory=Cnn)
    n_hidden: int = 128
    n_layers: int = 2
    dropout: float = 0.2
    freeze_cnn: bool = False

    def __post_init__(self) -> None:
        for name in ("n_hidden", "n_layers"):
            if getattr(self, name) < 1:
                raise ValueError(f"`{name} >= 1` must hold, but got {getattr(self, name)}.")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"`0 <= dropout < 1` must hold, but got {self.dropout=}.")

    @property
    def note(self) -> str:
        """Say what training starts from and how images are counted, for reports."""
        how = "stays as it is" if self.freeze_cnn else "sees each image of a run once"
        return f"{self.cnn.note} Trained on the fold, it starts the CNN-RNN, where it {how}."

    def build(self, problem: Problem, /) -> nn.Module:
        """Build the module, as if the CNN had not been trained yet.

        Raises
        ------
        ValueError
            If frames are not images, or too small, the window is shorter than an image's three
            frames, or the starting weights do not fit.
        """
        if problem.window_length < FRAMES_PER_IMAGE:
            raise ValueError(
                f"`window.length >= {FRAMES_PER_IMAGE}` must hold for a CNN-RNN, whose images have "
                f"{FRAMES_PER_IMAGE} frames each, but got {problem.window_length}: set "
                "datasets.window.length=13 for 11 images."
            )
        return CnnRnnModule(self, problem)

    @property
    def first(self) -> Decoder:
        """The CNN."""
        return self.cnn

    @property
    def first_window_length(self) -> int:
        """Frames that an image is made of."""
        return FRAMES_PER_IMAGE

    def start_from(self, module: nn.Module, state: Mapping[str, Tensor], /) -> None:
        """Give a fresh module, in place, the weights of the trained CNN but for its head.

        Raises
        ------
        ValueError
            If a tensor is missing, left over or of another shape.
        """
        assert isinstance(module, CnnRnnModule)  # noqa: S101 - `build` gives no other
        copy_tensors(
            {name: f"features.network.{name}" for name in module.cnn.network.state_dict()},
            into=module.cnn,
            tensors={n: t for n, t in state.items() if not n.startswith("head.")},
            source="the fold's CNN",
        )


class CnnRnnModule(nn.Module):
    """The CNN once for every image of a run, and windows of its features to the recurrent layers.

    In training, batch normalization of the CNN so counts an image once, where a copy for every
    window would count it as often as windows hold it.
    """

    def __init__(self, config: CnnRnn, problem: Problem, /) -> None:
        super().__init__()
        self.cell = config.cell
        self.n_images = problem.window_length - FRAMES_PER_IMAGE + 1
        self.cnn = config.cnn.build_features(problem)
        self.frozen = config.freeze_cnn
        self.cnn.requires_grad_(not self.frozen)
        self.rnn = LAYERS[config.cell](
            self.cnn.n_features,
            config.n_hidden,
            num_layers=config.n_layers,
            dropout=config.dropout if config.n_layers > 1 else 0.0,
            batch_first=True,
        )
        self.readout = nn.Linear(config.n_hidden, problem.n_outputs)
        _initialize(self, problem)
        self.train()

    def train(self, mode: bool = True) -> CnnRnnModule:
        """Switch to training or prediction; a frozen CNN always predicts."""
        super().train(mode)
        self.cnn.train(mode and not self.frozen)
        return self

    def forward(self, frames_RTHW: Tensor) -> Tensor:
        """Give the logits of every window, shape ``(run, window, output)``."""
        # Its weights need no gradient then, but images do where they are explained.
        is_needed = not self.frozen or frames_RTHW.requires_grad
        with torch.set_grad_enabled(torch.is_grad_enabled() and is_needed):
            features_RIF = self.cnn(frames_RTHW)
        windows_RKLF = features_RIF.unfold(1, self.n_images, 1).transpose(2, 3)
        # In full precision under autocast too: it costs little beside the CNN, and not every
        # device has recurrent layers of less.
        with torch.autocast(frames_RTHW.device.type, enabled=False):
            _, last = self.rnn(windows_RKLF.flatten(0, 1).to(self.readout.weight.dtype))
            state = last[0] if self.cell is Cell.LSTM else last
            logits: Tensor = self.readout(state[-1])
        return logits.view(*windows_RKLF.shape[:2], -1)


def _initialize(module: CnnRnnModule, problem: Problem) -> None:
    """Begin at the shares of classes: without biases, features of zero leave the state at zero."""
    for name, weights in module.rnn.named_parameters():
        if name.startswith("bias"):
            nn.init.zeros_(weights)
    begin_at(problem.class_shares, layer=module.readout)


_: type[TwoStep] = CnnRnn
