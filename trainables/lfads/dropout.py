"""Random masks: dropout, and coordinated dropout of values that a model sees or learns from."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

_LEVELS = 2**16


def keep(
    shape: Sequence[int], /, *, rate: float, generator: torch.Generator | None = None
) -> Tensor | None:
    """Draw which values are kept; none if all are.

    Rates are rounded to a 65,536th: four values share one random number, since drawing one each
    would take longer than what is done with them.

    Parameters
    ----------
    shape
        Of the mask.
    rate
        Share that is dropped, ``0 <= rate < 1``.
    generator
        Source of random numbers, on whose device the mask lies.

    Examples
    --------
    >>> mask = keep((100, 100), rate=0.3, generator=torch.Generator().manual_seed(0))
    >>> round(mask.float().mean().item(), 1)
    0.7
    """
    threshold = round(rate * _LEVELS)
    if threshold == 0:
        return None
    n_values = math.prod(shape)
    device = None if generator is None else generator.device
    numbers = torch.empty(-(-n_values // 4), dtype=torch.int64, device=device)
    numbers.random_(-(2**63), None, generator=generator)
    bits = numbers.view(torch.int16)[:n_values].view(*shape)
    return bits >= min(threshold, _LEVELS - 1) - _LEVELS // 2


def multiplier(
    shape: Sequence[int], /, *, rate: float, generator: torch.Generator | None = None
) -> Tensor | None:
    """Draw what dropout multiplies values with: 0, or what keeps their mean; none if all are kept.

    Examples
    --------
    >>> draw = multiplier((100, 100), rate=0.5, generator=torch.Generator().manual_seed(0))
    >>> draw.unique().tolist()
    [0.0, 2.0]
    """
    mask = keep(shape, rate=rate, generator=generator)
    return None if mask is None else mask.float().mul_(1 / (1 - rate))


def apply(x: Tensor, mask: Tensor | None, /, *, rate: float | Tensor) -> Tensor:
    """Set what is not kept to 0 and scale the rest, so that the mean stays.

    Examples
    --------
    >>> apply(torch.tensor([1.0, 2.0]), torch.tensor([True, False]), rate=0.75).tolist()
    [4.0, 0.0]
    """
    if mask is None:
        return x
    return (x * mask).mul_(1 / (1 - rate))
