"""How weights begin: logits at the shares of classes, and the layers of H's decoders."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from calsweep.trainables.losses import initial_bias


def begin_at(class_shares: Sequence[float], /, *, layer: nn.Linear | nn.Conv1d) -> None:
    """Set the biases of a layer of logits, in place, to stand for the shares of classes.

    Examples
    --------
    >>> layer = nn.Linear(3, 1)
    >>> begin_at([0.2, 0.8], layer=layer)
    >>> layer.bias
    Parameter containing:
    tensor([1.3863], requires_grad=True)
    """
    assert layer.bias is not None  # noqa: S101 - torch's default
    with torch.no_grad():
        layer.bias.copy_(initial_bias(class_shares))


def initialize(module: nn.Module, /, *, forget_bias: float = 0.0) -> None:
    """Draw the weights of a module's layers from torch's random state.

    H names Xavier and orthogonal weights, by layer: orthogonal ones for LSTMs, Xavier-uniform ones
    for linear layers. Kernels, of which it says nothing, are Kaiming-normal, as in its code.
    Biases are zero.

    Parameters
    ----------
    module
        What to initialize, with all it holds.
    forget_bias
        Bias of the forget gates of LSTMs.

    Examples
    --------
    >>> layer = nn.LSTM(3, 2)
    >>> initialize(layer, forget_bias=1.0)
    >>> layer.bias_hh_l0.tolist()
    [0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0]
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv1d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
        elif isinstance(layer, nn.LSTM):
            _initialize_lstm(layer, forget_bias=forget_bias)
        if isinstance(layer, nn.Conv1d | nn.Linear) and layer.bias is not None:
            nn.init.zeros_(layer.bias)


def _initialize_lstm(layer: nn.LSTM, *, forget_bias: float) -> None:
    for name, weights in layer.named_parameters():
        if name.startswith("weight"):
            nn.init.orthogonal_(weights)
        else:
            nn.init.zeros_(weights)
        if name.startswith("bias_hh"):
            nn.init.constant_(weights.detach().chunk(4)[1], forget_bias)
