"""Matrix products of one model, or of a stack of them: with an axis of models before the rows."""

from __future__ import annotations

import torch
from torch import Tensor


def product(a: Tensor, b: Tensor, /, *, out: Tensor | None = None) -> Tensor:
    """Multiply matrices, or stacks of as many.

    Examples
    --------
    >>> product(torch.ones(2, 3), torch.ones(3, 1)).tolist()
    [[3.0], [3.0]]
    >>> product(torch.ones(4, 2, 3), torch.ones(4, 3, 1)).shape
    torch.Size([4, 2, 1])
    """
    if a.ndim == 2:
        return torch.mm(a, b, out=out)
    return torch.bmm(a, b, out=out)


def add_product(addend: Tensor, a: Tensor, b: Tensor, /, *, out: Tensor | None = None) -> Tensor:
    """Add the product of matrices, or of stacks of as many."""
    if a.ndim == 2:
        return torch.addmm(addend, a, b, out=out)
    return torch.baddbmm(addend, a, b, out=out)


def over_bins(x_TBX: Tensor, weight_XY: Tensor, /) -> Tensor:
    """Multiply what each bin and trial has with one matrix, all in one product.

    Examples
    --------
    >>> over_bins(torch.ones(7, 5, 3), torch.ones(3, 2)).shape
    torch.Size([7, 5, 2])
    >>> over_bins(torch.ones(4, 7, 5, 3), torch.ones(4, 3, 2)).shape
    torch.Size([4, 7, 5, 2])
    """
    return torch.unflatten(product(x_TBX.flatten(-3, -2), weight_XY), -2, x_TBX.shape[-3:-1])
