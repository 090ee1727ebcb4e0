"""Sigmoid and tanh as hand-written recurrences take them: in place, and their gradients."""

from __future__ import annotations

import torch
from torch import Tensor

sigmoid_backward = torch.ops.aten.sigmoid_backward.grad_input
tanh_backward = torch.ops.aten.tanh_backward.grad_input


def tanh_(x: Tensor, /) -> Tensor:
    """Take tanh in place; on a CPU by way of the sigmoid, there the quicker of torch's two.

    Examples
    --------
    >>> tanh_(torch.tensor([0.0, 1.0]))
    tensor([0.0000, 0.7616])
    """
    if x.device.type != "cpu":
        return x.tanh_()
    # Adding to itself, because torch turns the 2 of a product into a tensor first.
    return x.add_(x).sigmoid_().add_(x).sub_(1)
