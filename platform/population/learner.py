"""What a population trains: a model whose settings may change between generations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import nn

    from calsweep.platform.fold.feed import Shares


class Learner(Protocol):
    """A model in training, with its optimizer and random streams.

    Everything that is random is drawn by the learner's seed and the number of epochs (or steps)
    done, so that training that goes on from a state is the same as training that never stopped.
    """

    def train(self, n: int, /) -> None:
        """Train on for so many epochs."""
        ...

    def validate(self) -> float:
        """Give the validation loss: the lower the better; NaN if it diverged."""
        ...

    def change(self, values: Mapping[str, float], /) -> None:
        """Set searched values, in the live optimizer and modules."""
        ...

    def values(self) -> Mapping[str, float]:
        """Read every value that can be searched back from the live optimizer and modules."""
        ...

    def state(self) -> dict[str, Any]:
        """Give what training goes on from, as tensors and plain values."""
        ...

    def load_state(self, state: dict[str, Any], /) -> None:
        """Go on from a state, with the values that it was trained with."""
        ...


class Learners(Protocol):
    """What builds the learners of a population; it travels to the processes that train."""

    def build(self, *, seed: int) -> Learner:
        """Build a fresh learner, all that is random in it drawn by the seed."""
        ...


class Stack(Protocol):
    """Learners that train as one program, to rounding as each does alone."""

    @property
    def learners(self) -> Sequence[Learner]:
        """Each, whose values and states may be read and set between two calls."""
        ...

    def train(self, n: int, /) -> None:
        """Train all on for so many epochs."""
        ...

    def validate(self) -> list[float]:
        """Give the validation loss of each."""
        ...


@runtime_checkable
class StackableLearners(Learners, Protocol):
    """What can also build learners that train as one program."""

    @property
    def why_alone(self) -> str:
        """Why these cannot be stacked; empty if they can."""
        ...

    def stack(self, seeds: Sequence[int], /) -> Stack:
        """Build fresh learners, one a seed, as one program."""
        ...


@runtime_checkable
class SpreadLearners(Learners, Protocol):
    """What can also build a learner in each of several processes that train it together."""

    def spread(self, shares: Shares, wrap: Callable[[nn.Module], nn.Module], /) -> SpreadLearners:
        """Give what builds learners in one of the processes.

        Parameters
        ----------
        shares
            This process among the others.
        wrap
            Wraps a module to average gradients over them.
        """
        ...
