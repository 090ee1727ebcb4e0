"""What hand-written operations need to work on a stack of models under `torch.vmap`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor


def stacked(info: Any, in_dims: Sequence[Any], inputs: Sequence[Any], /) -> list[Any]:
    """Give tensors with the axis of the stack first; what all share is repeated, and not copied.

    Parameters
    ----------
    info
        As torch gives it to the ``vmap`` of a Function: how many models there are.
    in_dims
        Axis of the stack in each input; ``None`` where there is none.
    inputs
        Of the Function; what is no tensor stays as it is.

    Examples
    --------
    >>> import torch
    >>> from types import SimpleNamespace
    >>> one, other = torch.zeros(2, 5), torch.zeros(3)
    >>> both = stacked(SimpleNamespace(batch_size=5), (1, None), (one, other))
    >>> [tuple(x.shape) for x in both]
    [(5, 2), (5, 3)]
    """

    def with_axis(x: Any, dim: int | None) -> Any:
        if not isinstance(x, Tensor):
            return x
        return x.expand(info.batch_size, *x.shape) if dim is None else x.movedim(dim, 0)

    # Of a tuple, `in_dims` has as many; it is of no tensors.
    return [
        with_axis(x, dim) if not isinstance(x, tuple) else x
        for x, dim in zip(inputs, in_dims, strict=True)
    ]
