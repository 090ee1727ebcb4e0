"""Linear maps of LFADS, and how they begin."""

from __future__ import annotations

from torch import nn


def fan_in_linear(n_inputs: int, n_outputs: int, /) -> nn.Linear:
    """Make a linear map with normal weights of variance 1 / inputs, and biases of 0.

    Examples
    --------
    >>> fan_in_linear(4, 2).bias.tolist()
    [0.0, 0.0]
    """
    linear = nn.Linear(n_inputs, n_outputs)
    nn.init.normal_(linear.weight, std=n_inputs**-0.5)
    nn.init.zeros_(linear.bias)
    return linear
