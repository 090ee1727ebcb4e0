"""What a decoder is: typed configuration that builds a module, its loss and its probabilities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

    from calsweep.trainables.losses import Criterion

# R run, T time, K windows per run: T = K + window_length - 1; O outputs, C classes


@dataclass(frozen=True, kw_only=True)
class Problem:
    """What a decoder is asked to solve; the data decides it, not a person.

    Attributes
    ----------
    frame_shape
        Of a frame: ``(unit,)`` for traces, ``(height, width)`` for images.
    window_length
        Frames in a window.
    class_shares
        Share of each class among the training labels, by which a module begins
        (`calsweep.trainables.losses.initial_bias`). One that begins at even shares instead is first
        pushed towards the more frequent class, most where activity is strongest, and so tells
        classes apart even when labels are permuted.

    Examples
    --------
    >>> Problem(frame_shape=(50,), window_length=31).n_outputs
    1
    >>> Problem(frame_shape=(581,), window_length=32, class_shares=(0.8, 0.1, 0.1)).n_outputs
    3
    """

    frame_shape: tuple[int, ...]
    window_length: int
    class_shares: tuple[float, ...] = (0.5, 0.5)

    @property
    def n_classes(self) -> int:
        """How many classes a label may have."""
        return len(self.class_shares)

    @property
    def n_outputs(self) -> int:
        """Logits that tell the classes apart: one for two classes, else one a class."""
        return 1 if self.n_classes == 2 else self.n_classes

    @property
    def n_units(self) -> int:
        """Units in a frame.

        Raises
        ------
        ValueError
            If frames are images.
        """
        if len(self.frame_shape) != 1:
            raise ValueError(
                f"this decoder reads traces of units, but frames are images of {self.frame_shape}: "
                "take a decoder of images (trainables=cnn), or a dataset with traces."
            )
        return self.frame_shape[0]

    @property
    def image_shape(self) -> tuple[int, int]:
        """Height and width of a frame.

        Raises
        ------
        ValueError
            If frames are traces.
        """
        if len(self.frame_shape) != 2:
            raise ValueError(
                f"this decoder reads images, but frames are traces of {self.frame_shape[0]} units: "
                "take a decoder of traces (trainables=gru), or datasets=widefield_images."
            )
        return self.frame_shape[0], self.frame_shape[1]


class Decoder(Protocol):
    """Typed configuration of a decoder: a frozen dataclass with a YAML variant beside it.

    The module it builds maps a run of neighboring frames, of shape ``(run, time, *frame_shape)``,
    to the outputs of every window in it, ``outputs_RKO``. So windows that share frames can share
    work, and none is copied before the module asks for it. The first `Problem.n_outputs` outputs
    are logits of the classes; a decoder with further heads puts theirs behind.

    `calsweep.trainables.classifier` has the loss and the probability of both kinds.
    """

    def build(self, problem: Problem, /) -> nn.Module:
        """Build the module with fresh weights from torch's random state.

        Raises
        ------
        ValueError
            If the decoder cannot solve such a problem.
        """
        ...

    def loss(
        self,
        outputs_RKO: Tensor,
        labels_RK: Tensor,
        weights_RK: Tensor,
        *,
        frames: Tensor,
        criterion: Criterion,
    ) -> Tensor:
        """Sum the loss of windows, each by its weight.

        Parameters
        ----------
        outputs_RKO
            What the module gave.
        labels_RK
            Class of each window.
        weights_RK
            A window of weight 0 does not count.
        frames
            What the module saw, for decoders that also learn to tell something of it.
        criterion
            How errors count.
        """
        ...

    def probability(self, outputs_RKO: Tensor) -> Tensor:
        """Give the probability of each class, shape ``(run, window, class)``."""
        ...


@runtime_checkable
class WithSides(Decoder, Protocol):
    """A decoder that has heads of their own for some classes, each against the rest."""

    def side_probability(self, outputs_RKO: Tensor) -> Mapping[int, Tensor]:
        """Give the probability, by its own head, of each class that has one.

        Returns
        -------
        probability
            Class to shape ``(run, window)``.
        """
        ...


@runtime_checkable
class TwoStep(Decoder, Protocol):
    """A decoder that goes on from another one, trained before on the same fold."""

    @property
    def first(self) -> Decoder:
        """The decoder of the first step."""
        ...

    @property
    def first_window_length(self) -> int:
        """Frames in a window of the first step."""
        ...

    def start_from(self, module: nn.Module, state: Mapping[str, Tensor], /) -> None:
        """Give a fresh module, in place, the weights of the trained first step.

        Raises
        ------
        ValueError
            If a tensor is missing, left over or of another shape.
        """
        ...
