"""Priors of LFADS, and how far posteriors lie from them."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

# T bin, B trial, I initial condition, U inferred input


class InitialPrior(nn.Module):
    """Initial conditions are normal, with a learnt mean that begins at 0 and a fixed variance.

    Examples
    --------
    >>> prior = InitialPrior(2, variance=0.1)
    >>> prior(torch.zeros(3, 2), torch.full((3, 2), 0.1)).item()
    0.0
    """

    def __init__(self, n_initial: int, *, variance: float) -> None:
        super().__init__()
        self.variance = variance
        self.mean_I = nn.Parameter(torch.zeros(n_initial))

    def forward(self, mean_BI: Tensor, variance_BI: Tensor) -> Tensor:
        """Give the divergence of a trial's posterior from the prior in nats, its mean over trials.

        Parameters
        ----------
        mean_BI, variance_BI
            Of the posterior.
        """
        ratio = variance_BI / self.variance
        distance = (mean_BI - self.mean_I).square() / self.variance
        return 0.5 * (ratio + distance - 1 - ratio.log()).sum(1).mean()


class InputPrior(nn.Module):
    """Inferred inputs are autoregressive, each with a learnt time constant and noise.

    ``u[t] = a u[t - 1] + e``, where ``a = exp(-1 / tau)`` and ``e`` is normal; the first bin has
    the variance that the process settles to.

    Parameters
    ----------
    n_inferred
        Inferred inputs.
    tau_bins, noise_variance
        Where both begin.
    """

    def __init__(self, n_inferred: int, *, tau_bins: float, noise_variance: float) -> None:
        super().__init__()
        self.log_tau_U = nn.Parameter(torch.full((n_inferred,), math.log(tau_bins)))
        self.log_noise_U = nn.Parameter(torch.full((n_inferred,), math.log(noise_variance)))

    def forward(self, mean_TBU: Tensor, log_variance_TBU: Tensor) -> Tensor:
        """Give the divergence of a trial's posterior from the prior in nats, its mean over trials.

        It is exact; the published implementations estimate the same from one sample.

        Parameters
        ----------
        mean_TBU, log_variance_TBU
            Of the posterior, whose bins are independent.
        """
        decay_U = torch.exp(-torch.exp(-self.log_tau_U))
        log_settled_U = self.log_noise_U - torch.log1p(-decay_U.square())
        variance_TBU = log_variance_TBU.exp()
        # The expected square of what is left of a bin, once the bin before has foretold it.
        left_TBU = (
            (mean_TBU[1:] - decay_U * mean_TBU[:-1]).square()
            + variance_TBU[1:]
            + decay_U.square() * variance_TBU[:-1]
        )
        first_BU = (mean_TBU[0].square() + variance_TBU[0]) / log_settled_U.exp()
        n_later = len(mean_TBU) - 1
        crossed_BU = (
            first_BU
            + (left_TBU / self.log_noise_U.exp()).sum(0)
            + log_settled_U
            + n_later * self.log_noise_U
        )
        return 0.5 * (crossed_BU - (1 + log_variance_TBU).sum(0)).sum(1).mean()
