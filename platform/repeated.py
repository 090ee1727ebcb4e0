"""A step over the same tensors again and again: on a GPU recorded once, and then replayed."""

from __future__ import annotations

import logging
from collections.abc import Callable

import torch

_LOG = logging.getLogger(__name__)
_N_WARM = 3


class Repeated:
    """Does a step each time it is called.

    A step of hundreds of small operations costs a GPU less time than the processor needs to start
    them. So after some calls, in which libraries set themselves up, its operations are recorded as
    a CUDA graph and started as one. Where that fails, the step goes on as it was.

    Parameters
    ----------
    step
        Reads and writes tensors that stay where they are, and never waits for the device.
    device
        On which they lie.

    Examples
    --------
    >>> at = torch.zeros(())
    >>> add = Repeated(lambda: at.add_(1), device=at.device)
    >>> for _ in range(5):
    ...     add()
    >>> at
    tensor(5.)
    """

    def __init__(self, step: Callable[[], object], /, *, device: torch.device) -> None:
        self._step = step
        self._graph: torch.cuda.CUDAGraph | None = None
        self._n_warm = _N_WARM
        self._records = device.type == "cuda"

    def __call__(self) -> None:
        """Do the step once."""
        if self._graph is not None:
            self._graph.replay()
        elif not self._records:
            self._step()
        elif self._n_warm:
            self._n_warm -= 1
            self._beside()
        else:
            self._record()
            self()

    def _beside(self) -> None:
        """Do it on a stream of its own, as what is to be recorded has to be warmed up."""
        stream = torch.cuda.current_stream()
        own = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        own.wait_stream(stream)
        with torch.cuda.stream(own):
            self._step()
        stream.wait_stream(own)

    def _record(self) -> None:
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):
                self._step()
        except RuntimeError as error:
            _LOG.warning("a step could not be recorded: %s", str(error).splitlines()[0])
            self._records = False
        else:
            self._graph = graph
