"""The image decoder of W: EfficientNet over three neighboring frames, pooled features to logits."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from calsweep.trainables.classifier import Classifier
from calsweep.trainables.decoder import Decoder, Problem
from calsweep.trainables.efficientnet import (
    FRAMES_PER_IMAGE,
    SMALLEST_SIDE,
    Convention,
    ImageFeatures,
    Size,
)
from calsweep.trainables.initialization import begin_at
from calsweep.trainables.pretrained import load_weights

# R run, T time, H height, W width, K windows per run, O outputs


@dataclass(frozen=True, kw_only=True)
class Cnn(Classifier):
    """EfficientNet, whose channels are the frame that is decoded and its two neighbors.

    Attributes
    ----------
    size
        Which of the published sizes.
    weights
        File of starting weights (`calsweep.trainables.pretrained`): W's were trained on ImageNet.
        Without one, weights begin at random.
    convention
        Padding and normalization, which must be those that `weights` were trained with.
    dropout
        Of features, in training. Published: 0.2 for B0 and B1, 0.1 more with every second size.
    stochastic_depth
        Probability of leaving out the last block in training; those before it in proportion.
    width, depth
        Factors on the size's channels and repeated blocks: below 1 for small machines.
    norm_momentum
        Share of a batch in the running means that predictions use. Published weights were trained
        with 0.01, which takes some hundred batches to follow: raise it where epochs are shorter.

    References
    ----------
    Tan & Le (2019), *ICML*: EfficientNet. W (widefield, mouse-wise run or rest): B0.

    Examples
    --------
    >>> import torch
    >>> problem = Problem(frame_shape=(32, 32), window_length=3)
    >>> module = Cnn(width=0.25, depth=0.25).build(problem)
    >>> module(torch.zeros(2, 10, 32, 32)).shape
    torch.Size([2, 8, 1])
    """

    size: Size = Size.B0
    weights: str = ""
    convention: Convention = Convention.TENSORFLOW
    dropout: float = 0.2
    stochastic_depth: float = 0.2
    width: float = 1.0
    depth: float = 1.0
    norm_momentum: float = 0.01

    def __post_init__(self) -> None:
        for name in ("dropout", "stochastic_depth"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"`0 <= {name} < 1` must hold, but got {getattr(self, name)}.")
        for name in ("width", "depth"):
            if not getattr(self, name) > 0:
                raise ValueError(f"`{name} > 0` must hold, but got {getattr(self, name)}.")
        if not 0 < self.norm_momentum <= 1:
            raise ValueError(f"`0 < norm_momentum <= 1` must hold, but got {self.norm_momentum=}.")

    @property
    def note(self) -> str:
        """Say what training starts from, for reports."""
        if not self.weights:
            return "The CNN starts from random weights."
        return f"The CNN starts from the weights in {self.weights}."

    def build(self, problem: Problem, /) -> nn.Module:
        """Build the module, with the starting weights or fresh ones from torch's random state.

        Raises
        ------
        ValueError
            If frames are not images, or too small, the window is not of three frames, or the
            starting weights do not fit.
        """
        if problem.window_length != FRAMES_PER_IMAGE:
            raise ValueError(
                f"`window.length == {FRAMES_PER_IMAGE}` must hold for a CNN, which sees a frame "
                f"and the two beside it, but got {problem.window_length}: set "
                f"datasets.window.length={FRAMES_PER_IMAGE}, or take trainables=cnn_gru for more."
            )
        return CnnModule(self, problem)

    def build_features(self, problem: Problem, /) -> ImageFeatures:
        """Build the network without its head, for decoders that go on from its features.

        Raises
        ------
        ValueError
            If frames are not images, or too small, or the starting weights do not fit.
        """
        if min(problem.image_shape) < SMALLEST_SIDE:
            raise ValueError(
                f"an image must have at least {SMALLEST_SIDE} x {SMALLEST_SIDE} pixels for "
                f"EfficientNet, which halves it five times, but got {problem.image_shape[0]} x "
                f"{problem.image_shape[1]}: ingest images with more pixels."
            )
        features = ImageFeatures(
            size=self.size,
            image_shape=problem.image_shape,
            width=self.width,
            depth=self.depth,
            stochastic_depth=self.stochastic_depth,
            convention=self.convention,
            norm_momentum=self.norm_momentum,
        )
        if self.weights:
            load_weights(features, self.weights)
        return features


class CnnModule(nn.Module):
    """Features of each image, to logits."""

    def __init__(self, config: Cnn, problem: Problem, /) -> None:
        super().__init__()
        self.features = config.build_features(problem)
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(self.features.n_features, problem.n_outputs)
        begin_at(problem.class_shares, layer=self.head)

    def forward(self, frames_RTHW: Tensor) -> Tensor:
        """Give the logits of every window, shape ``(run, window, output)``."""
        logits_RKO: Tensor = self.head(self.dropout(self.features(frames_RTHW)))
        return logits_RKO


_: type[Decoder] = Cnn
