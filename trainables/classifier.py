"""What decoders of the same kind of outputs share: their loss and their probabilities.

A decoder is a frozen dataclass that inherits one of these and writes `Decoder.build`; one with
outputs of another kind inherits neither and writes `Decoder.loss` and `Decoder.probability` too.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from calsweep.trainables.losses import Criterion, class_probability, cross_entropy
from calsweep.trainables.tasks import Tasks

# R run, K windows per run, O outputs


class Classifier:
    """A decoder whose outputs are the logits of the classes and nothing else."""

    def loss(
        self,
        outputs_RKO: Tensor,
        labels_RK: Tensor,
        weights_RK: Tensor,
        *,
        frames: Tensor,  # noqa: ARG002 - the protocol's
        criterion: Criterion,
    ) -> Tensor:
        """Sum the cross-entropy of windows, each by its weight."""
        return cross_entropy(outputs_RKO, labels_RK, weights_RK, criterion=criterion)

    def probability(self, outputs_RKO: Tensor) -> Tensor:
        """Give the probability of each class."""
        return class_probability(outputs_RKO)


class TaskClassifier:
    """A decoder that also learns tasks beside the class; its module ends in `TaskHeads`.

    Attributes
    ----------
    tasks
        What is learnt beside the class; a field of the decoder, which has its default and place.
    """

    tasks: Tasks

    def loss(
        self,
        outputs_RKO: Tensor,
        labels_RK: Tensor,
        weights_RK: Tensor,
        *,
        frames: Tensor,  # noqa: ARG002 - the module puts what it saw into its outputs
        criterion: Criterion,
    ) -> Tensor:
        """Sum the loss of windows over all tasks, each by its weight."""
        return self.tasks.loss(outputs_RKO, labels_RK, weights_RK, criterion=criterion)

    def probability(self, outputs_RKO: Tensor) -> Tensor:
        """Give the probability of each class."""
        return self.tasks.probability(outputs_RKO)

    def side_probability(self, outputs_RKO: Tensor) -> Mapping[int, Tensor]:
        """Give the probability, by its own head, of each class that has one."""
        return self.tasks.side_probability(outputs_RKO)
