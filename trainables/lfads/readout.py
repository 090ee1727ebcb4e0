"""From factors to the likelihood of activity, a few bins at a time.

What a neuron does in a bin is never held for all bins at once: the likelihood of some bins and its
gradients are found together, while they are in the cache.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from calsweep.trainables.lfads.linear import fan_in_linear
from calsweep.trainables.lfads.observation import ObservationModule

# T bin, B trial, N neuron, F factor

_BINS_AT_ONCE = 8


class Target(NamedTuple):
    """What factors are to explain.

    Attributes
    ----------
    activity_TBN
        Any finite value where a neuron was not sampled.
    is_counted_TBN
        Which values count; selective backpropagation through time leaves out what was not sampled.
        None if all do.
    is_learnt_TBN
        Which values are learnt from; none if all that count.
    """

    activity_TBN: Tensor
    is_counted_TBN: Tensor | None = None
    is_learnt_TBN: Tensor | None = None


class Readout(nn.Module):
    """A linear map of factors to the parameters of an observation model.

    Parameters
    ----------
    n_factors, n_neurons
        Sizes.
    n_parameters
        Of a neuron in each bin.
    observation
        The model.
    """

    def __init__(
        self, n_factors: int, n_neurons: int, n_parameters: int, observation: ObservationModule
    ) -> None:
        super().__init__()
        self.linear = fan_in_linear(n_factors, n_parameters * n_neurons)
        self.observation = observation

    def forward(self, factors: Tensor) -> Tensor:
        """Give the expected activity in each bin, shape ``(..., neuron)``."""
        return self.observation.rate(self.linear(factors))

    def begin(self, activity_XN: Tensor, /) -> None:
        """Begin with what each neuron does on average, so that factors need not tell it first.

        Parameters
        ----------
        activity_XN
            Of all bins to learn from, NaN where a neuron was not sampled.
        """
        with torch.no_grad():
            self.linear.bias.copy_(self.observation.at_rest(activity_XN))

    def nll(self, factors_TBF: Tensor, target: Target, /) -> Tensor:
        """Give the mean negative log-likelihood of values that count.

        `ObservationModule.nll_of_activity` is left out. The gradient is that of values that are
        learnt from; what is not sampled or not learnt from has none.
        """
        weights = (self.linear.weight, self.linear.bias, *self.observation.parameters())
        is_alone = factors_TBF.device.type == "cpu" and not self.observation.is_stacked
        if is_alone and torch.is_grad_enabled():
            mean: Tensor = _Fused.apply(  # type: ignore[no-untyped-call]
                self.observation, target, factors_TBF, *weights
            )
            return mean
        return self._nll(factors_TBF, target)

    def _nll(self, factors_TBF: Tensor, target: Target) -> Tensor:
        nll = self.observation.nll(self.linear(factors_TBF), target.activity_TBN)
        if target.is_learnt_TBN is not None:
            nll = torch.where(target.is_learnt_TBN, nll, nll.detach())
        if target.is_counted_TBN is None:
            return nll.mean()
        total = torch.where(target.is_counted_TBN, nll, 0).sum()
        return total / target.is_counted_TBN.sum()


class _Fused(torch.autograd.Function):
    """`Readout._nll` with gradients found on the way, some bins at a time."""

    @staticmethod
    def forward(
        ctx: Any,
        observation: ObservationModule,
        target: Target,
        factors_TBF: Tensor,
        weight: Tensor,
        bias: Tensor,
        *_: Tensor,
    ) -> Tensor:
        counted, learnt = target.is_counted_TBN, target.is_learnt_TBN
        n_counted = (
            target.activity_TBN.numel() if counted is None else int(torch.count_nonzero(counted))
        )
        total = factors_TBF.new_zeros(())
        d_factors_TBF = torch.empty_like(factors_TBF)
        leaves = [weight.detach().requires_grad_(), bias.detach().requires_grad_()]
        leaves += observation.parameters()
        gradients = [torch.zeros_like(leaf) for leaf in leaves]
        for start in range(0, len(factors_TBF), _BINS_AT_ONCE):
            bins = slice(start, start + _BINS_AT_ONCE)
            factors = factors_TBF[bins].detach().requires_grad_()
            with torch.enable_grad():
                outputs = functional.linear(factors, leaves[0], leaves[1])
                nll = observation.nll(outputs, target.activity_TBN[bins])
            known = nll.detach()
            total += (known if counted is None else known * counted[bins]).sum()
            found = torch.autograd.grad(
                nll, [factors, *leaves], _weights(nll, bins, counted, learnt)
            )
            d_factors_TBF[bins] = found[0]
            for gradient, of_bins in zip(gradients, found[1:], strict=True):
                gradient += of_bins
        ctx.gradients = [x.div_(n_counted) for x in (d_factors_TBF, *gradients)]
        return total / n_counted

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_mean: Tensor) -> tuple[Tensor | None, ...]:
        return None, None, *(gradient * d_mean for gradient in ctx.gradients)


def _weights(like: Tensor, bins: slice, counted: Tensor | None, learnt: Tensor | None) -> Tensor:
    masks = [mask[bins] for mask in (counted, learnt) if mask is not None]
    if not masks:
        return torch.ones_like(like)
    both = masks[0] & masks[1] if len(masks) == 2 else masks[0]
    return both.to(like.dtype)
