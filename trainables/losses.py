"""Losses of decoders, summed over weighted windows."""

from __future__ import annotations

import math

from torch import Tensor
from torch.nn import functional

# R run, K windows per run


def log_odds(base_rate: float, /) -> float:
    """Give the logit of a share of class 1, within what a finite logit can say.

    Examples
    --------
    >>> log_odds(0.5), round(log_odds(0.8), 3)
    (0.0, 1.386)
    """
    share = min(max(base_rate, 1e-6), 1 - 1e-6)
    return math.log(share / (1 - share))


def binary_cross_entropy(
    logits_RK: Tensor, labels_RK: Tensor, weights_RK: Tensor, *, label_smoothing: float = 0.0
) -> Tensor:
    """Sum the binary cross-entropy of windows, each by its weight.

    A sum and not a mean, because only the caller knows the weight of the whole batch, of which
    these windows may be one device's share.

    Parameters
    ----------
    logits_RK, labels_RK, weights_RK
        Of equal shape; labels are 0 or 1. A window of weight 0 does not count.
    label_smoothing
        ``s`` moves labels from 0 and 1 to ``s / 2`` and ``1 - s / 2``, as Keras does.

    Returns
    -------
    loss
        A scalar, in nats.

    Examples
    --------
    >>> import torch
    >>> logits, labels = torch.zeros(1, 2), torch.tensor([[0, 1]])
    >>> binary_cross_entropy(logits, labels, torch.tensor([[1.0, 1.0]])).item()  # 2 ln 2
    1.3862943649291992
    """
    targets_RK = labels_RK.to(logits_RK.dtype) * (1.0 - label_smoothing) + label_smoothing / 2
    return functional.binary_cross_entropy_with_logits(
        logits_RK, targets_RK, weights_RK.to(logits_RK.dtype), reduction="sum"
    )
