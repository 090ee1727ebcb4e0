"""Members of a population of decoders, all their folds trained as one program."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from calsweep.platform.fold.fold_stack import FoldStack

if TYPE_CHECKING:
    from calsweep.platform.population.decoder_learner import DecoderLearner


class DecoderStack:
    """Members of a population of decoders whose folds train as one program.

    Parameters
    ----------
    learners
        Of one decoder and the same folds, after the same number of epochs.
    """

    def __init__(self, learners: Sequence[DecoderLearner], /) -> None:
        self.learners = tuple(learners)
        runs = [each for learner in learners for each in learner.runs]
        self._n_folds = len(learners[0].runs)
        self._stack = FoldStack([run for run, _ in runs], seeds=[seed for _, seed in runs])

    def train(self, n: int, /) -> None:
        """Train on for so many epochs."""
        (n_done,) = {learner.n_done for learner in self.learners}
        diverged: set[int] = set()
        for epoch in range(n_done + 1, n_done + n + 1):
            diverged |= {f // self._n_folds for f in self._stack.train_epoch(epoch)}
        for number, learner in enumerate(self.learners):
            learner.count_epochs(n, is_diverged=number in diverged)

    def validate(self) -> list[float]:
        """Give the mean over the folds of the validation loss of each member."""
        return [learner.validate() for learner in self.learners]
