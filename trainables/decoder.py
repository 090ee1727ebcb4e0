"""What a decoder is: typed configuration that builds a module, its loss and its probability."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import Tensor, nn

# R run, T time, N unit, K windows per run: T = K + window_length - 1


class Decoder(Protocol):
    """Typed configuration of a decoder: a frozen dataclass with a YAML variant beside it.

    The module it builds maps a run of neighboring frames, ``frames_RTN``, to the logit of every
    window in it, ``logits_RK``. So windows that share frames can share work, and none is copied
    before the module asks for it.
    """

    def build(
        self, *, n_units: int, window_length: int, n_outputs: int = 1, base_rate: float = 0.5
    ) -> nn.Module:
        """Build the module with fresh weights from torch's random state.

        Parameters
        ----------
        n_units
            Units in a frame.
        window_length
            Frames in a window.
        n_outputs
            Logits per window; with 1 the logits have no axis for it.
        base_rate
            Share of class 1 in the training labels, which the module gives where it sees nothing
            (`calsweep.trainables.losses.log_odds`). A module that begins at 0.5 instead is first
            pushed towards the more frequent class, most where activity is strongest, and so tells
            classes apart even when labels are permuted.
        """
        ...

    def loss(
        self, logits_RK: Tensor, labels_RK: Tensor, weights_RK: Tensor, *, label_smoothing: float
    ) -> Tensor:
        """Sum the loss of windows, each by its weight."""
        ...

    def probability(self, logits_RK: Tensor) -> Tensor:
        """Turn logits into probabilities of class 1."""
        ...
