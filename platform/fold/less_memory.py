"""Training once more, with smaller pieces of a batch, where memory did not suffice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch

from calsweep.platform.errors import first_line
from calsweep.platform.fold.loop import TrainedFold
from calsweep.platform.fold.training import Training

_TIMES = 4


def with_less_memory(
    train: Callable[[Training], TrainedFold], training: Training, /
) -> tuple[TrainedFold, tuple[str, ...]]:
    """Train; where memory does not suffice, once more with each batch in more pieces, and say so.

    Parameters
    ----------
    train
        Trains a fold in this process alone.
    training
        How.

    Returns
    -------
    trained, notes
        What came of it, and what a reader must know.
    """
    try:
        return train(training), ()
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        note = (
            f"memory did not suffice ({first_line(error)}); trained again with each batch in "
            f"{_TIMES} times as many pieces"
        )
    give_memory_back()  # outside of the block above: the error holds on to what took it
    return train(replace(training, accumulation=training.accumulation * _TIMES)), (note,)


def give_memory_back() -> None:
    """Let a GPU have what torch keeps and nothing uses any more."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def is_out_of_memory(error: Exception, /) -> bool:
    """Say whether an error means that memory did not suffice.

    Examples
    --------
    >>> is_out_of_memory(MemoryError()), is_out_of_memory(RuntimeError("shapes differ"))
    (True, False)
    """
    # On a CPU torch has no type for it.
    is_of_cpu = "not enough memory" in str(error) or "can't allocate memory" in str(error)
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or is_of_cpu
