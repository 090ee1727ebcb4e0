"""How the activity of neurons comes from factors: Poisson, zero-inflated gamma, Gaussian."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

# N neuron, P parameters of all neurons: of one kind after the other


class ObservationModule(nn.Module, ABC):
    """What a neuron does, given a linear map of the factors.

    Attributes
    ----------
    is_stacked
        Whether one call works on a stack of models (`torch.vmap`): no shape may then hang on what
        the data are.
    """

    is_stacked = False

    @abstractmethod
    def nll(self, outputs: Tensor, activity: Tensor, /) -> Tensor:
        """Give the negative log-likelihood of each value, but for `nll_of_activity`.

        Parameters
        ----------
        outputs
            Shape ``(..., n_parameters x neuron)``.
        activity
            Shape ``(..., neuron)``.
        """

    def nll_of_activity(self, activity: Tensor, /) -> Tensor:
        """Give the part of the negative log-likelihood that the activity alone decides."""
        return torch.zeros_like(activity)

    @abstractmethod
    def rate(self, outputs: Tensor, /) -> Tensor:
        """Give the expected activity of each neuron in a bin, shape ``(..., neuron)``."""

    @abstractmethod
    def at_rest(self, activity_XN: Tensor, /) -> Tensor:
        """Give outputs by which each neuron does in every bin what it does on average.

        Parameters
        ----------
        activity_XN
            Of all bins, NaN where a neuron was not sampled.

        Returns
        -------
        outputs
            Shape ``(n_parameters x neuron,)``.
        """

    def penalty(self, prior: float | Tensor, /) -> Tensor | float:  # noqa: ARG002 - it may have none
        """Give what keeps the module's own weights in bounds, drawn towards a prior."""
        return 0.0


class Observation(Protocol):
    """Typed configuration of an observation model: a frozen dataclass."""

    @property
    def n_parameters(self) -> int:
        """How many a neuron has in each bin."""
        ...

    def build(self, n_neurons: int, /) -> ObservationModule:
        """Build the module."""
        ...

    def check(self, activity: NDArray[np.float32], /) -> None:
        """Refuse activity that such a model never gives; NaN is what was not sampled.

        Raises
        ------
        ValueError
            If there is any.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Poisson:
    """Counts, whose rate is the exponential of a linear map.

    Examples
    --------
    >>> module = Poisson().build(1)
    >>> module.rate(torch.zeros(1)), module.nll(torch.zeros(1), torch.ones(1))
    (tensor([1.]), tensor([1.]))
    """

    @property
    def n_parameters(self) -> int:
        """One: the log rate."""
        return 1

    def build(self, n_neurons: int, /) -> ObservationModule:  # noqa: ARG002 - needs no weights
        """Build the module."""
        return _PoissonModule()

    def check(self, activity: NDArray[np.float32], /) -> None:
        """Refuse what is no count."""
        _refuse_negative(activity, "Poisson")
        n_broken = np.count_nonzero(activity % 1 > 0)
        if n_broken:
            raise ValueError(
                f"a Poisson observation counts events, but {n_broken} values are no whole numbers: "
                "make counts of them (`calsweep.datasets.trial_view.counts`), or take the "
                "zero-inflated gamma (radical)."
            )


class _PoissonModule(ObservationModule):
    def nll(self, outputs: Tensor, activity: Tensor, /) -> Tensor:
        return torch.exp(outputs) - activity * outputs

    def nll_of_activity(self, activity: Tensor, /) -> Tensor:
        return torch.lgamma(activity + 1)

    def rate(self, outputs: Tensor, /) -> Tensor:
        return outputs.exp()

    def at_rest(self, activity_XN: Tensor, /) -> Tensor:
        return _mean(activity_XN, prior=0.5).log()


@dataclass(frozen=True, kw_only=True)
class ZeroInflatedGamma:
    """Events that are 0 or, with probability q, gamma-distributed above the smallest event.

    Shape and scale are sigmoids of linear maps times a factor of the neuron, ``sig``, which is
    learnt and drawn towards a prior; q is the sigmoid alone.

    Attributes
    ----------
    s_min
        The smallest event, where the gamma distribution begins. Events that exceed it by less than
        a hundredth of it are taken to exceed it by that much, since the density may have a pole.
    sig_start, sig_prior, sig_penalty
        Where the factors of shape and scale begin, what they are drawn towards, and how strongly.

    References
    ----------
    Wei et al. (2020), *Neurons Behav. Data Anal. Theory* 2; R (RADICaL).

    Examples
    --------
    >>> module = ZeroInflatedGamma(s_min=0.1).build(1)
    >>> module.rate(torch.zeros(3))  # 0.5 x (0.5 x 0.5 + 0.1)
    tensor([0.1750], grad_fn=<MulBackward0>)
    """

    s_min: float = 0.1
    sig_start: float = 1.0
    sig_prior: float = 1.0
    sig_penalty: float = 1e-4

    def __post_init__(self) -> None:
        if not min(self.s_min, self.sig_start, self.sig_prior) > 0 or not self.sig_penalty >= 0:
            raise ValueError(
                "`s_min`, `sig_start` and `sig_prior` must be positive and `sig_penalty >= 0`, "
                f"but got {self!r}."
            )

    @property
    def n_parameters(self) -> int:
        """Three: q, shape and scale, before their sigmoids."""
        return 3

    def build(self, n_neurons: int, /) -> ObservationModule:
        """Build the module."""
        return GammaModule(self, n_neurons)

    def check(self, activity: NDArray[np.float32], /) -> None:
        """Refuse negative events, and those between 0 and the smallest."""
        _refuse_negative(activity, "zero-inflated gamma")
        is_small = (activity > 0) & (activity < 0.99 * self.s_min)
        if is_small.any():
            raise ValueError(
                f"events must be 0 or at least `s_min` = {self.s_min:g}, but "
                f"{np.count_nonzero(is_small)} are smaller (the smallest: "
                f"{activity[is_small].min():g}): give the `s_min` they were deconvolved with."
            )


_LEAST_SHARE = 1e-5  # of `sig`: neither shape nor scale may be 0


class GammaModule(ObservationModule):
    """The zero-inflated gamma of some neurons.

    Attributes
    ----------
    sig_prior
        What the factors are drawn towards; it may be changed while training.
    """

    def __init__(self, config: ZeroInflatedGamma, n_neurons: int, /) -> None:
        super().__init__()
        self.s_min, self.sig_prior = config.s_min, config.sig_prior
        self.sig_penalty = config.sig_penalty
        # As logarithms, since a factor must stay positive.
        self.log_sig_2N = nn.Parameter(torch.full((2, n_neurons), math.log(config.sig_start)))

    def nll(self, outputs: Tensor, activity: Tensor, /) -> Tensor:
        """Give the whole negative log-likelihood of each value."""
        q, shape, scale = outputs.chunk(3, dim=-1)
        is_event = activity > 0
        nll = functional.softplus(torch.where(is_event, -q, q))
        log_sig_shape, log_sig_scale = self.log_sig_2N
        if self.is_stacked or outputs.device.type != "cpu":  # at every value
            nll_event = self._gamma_nll(shape, scale, log_sig_shape, log_sig_scale, activity)
            return nll + torch.where(is_event, nll_event, 0)
        # Events are few, and the gamma function is slow.
        at = is_event.nonzero(as_tuple=True)
        neuron = at[-1]
        nll_event = self._gamma_nll(
            shape[at], scale[at], log_sig_shape[neuron], log_sig_scale[neuron], activity[at]
        )
        return nll.index_put(at, nll_event, accumulate=True)

    def rate(self, outputs: Tensor, /) -> Tensor:
        """Give ``q (k a + s_min)``."""
        q, shape, scale = outputs.chunk(3, dim=-1)
        k, a = (
            torch.sigmoid(x).clamp_min(_LEAST_SHARE) * sig
            for x, sig in zip((shape, scale), self.log_sig_2N.exp(), strict=True)
        )
        rate: Tensor = torch.sigmoid(q) * (k * a + self.s_min)
        return rate

    def at_rest(self, activity_XN: Tensor, /) -> Tensor:
        """Give the share of events, the shape in the middle of its range, and the scale to it."""
        is_event = (activity_XN > 0).where(activity_XN.isfinite(), torch.nan)
        q_N = _mean(is_event, prior=0.5)
        above_XN = (activity_XN - self.s_min).where(activity_XN > 0, torch.nan)
        sig_shape_N, sig_scale_N = self.log_sig_2N.detach().cpu().exp()
        scale_N = _mean(above_XN, prior=self.s_min) / (0.5 * sig_shape_N)
        share_N = (scale_N / sig_scale_N).clamp(0.01, 0.9)
        return torch.cat([q_N.logit(), torch.zeros_like(q_N), share_N.logit()])

    def penalty(self, prior: float | Tensor, /) -> Tensor:
        """Give what draws the factors of shape and scale towards a prior."""
        distance = (self.log_sig_2N.exp() - prior).square().sum()
        return 0.5 * self.sig_penalty * distance

    def _gamma_nll(
        self, shape: Tensor, scale: Tensor, log_sig_shape: Tensor, log_sig_scale: Tensor, x: Tensor
    ) -> Tensor:
        least = math.log(_LEAST_SHARE)
        log_k = functional.logsigmoid(shape).clamp_min(least) + log_sig_shape
        log_a = functional.logsigmoid(scale).clamp_min(least) + log_sig_scale
        k = log_k.exp()
        above = (x - self.s_min).clamp_min(0.01 * self.s_min)
        return torch.lgamma(k) + k * log_a - (k - 1) * above.log() + above * torch.exp(-log_a)


@dataclass(frozen=True, kw_only=True)
class Gaussian:
    """Measures, as fluorescence, whose mean and log variance are linear maps."""

    @property
    def n_parameters(self) -> int:
        """Two: mean and log variance."""
        return 2

    def build(self, n_neurons: int, /) -> ObservationModule:  # noqa: ARG002 - needs no weights
        """Build the module."""
        return _GaussianModule()

    def check(self, activity: NDArray[np.float32], /) -> None:
        """Refuse what is infinite."""
        if np.isinf(activity).any():
            raise ValueError(f"activity must be finite, but {np.isinf(activity).sum()} are not.")


class _GaussianModule(ObservationModule):
    def nll(self, outputs: Tensor, activity: Tensor, /) -> Tensor:
        mean, log_variance = outputs.chunk(2, dim=-1)
        distance = (activity - mean).square() * torch.exp(-log_variance)
        return 0.5 * (distance + log_variance)

    def nll_of_activity(self, activity: Tensor, /) -> Tensor:
        return torch.full_like(activity, 0.5 * math.log(2 * math.pi))

    def rate(self, outputs: Tensor, /) -> Tensor:
        return outputs.chunk(2, dim=-1)[0]

    def at_rest(self, activity_XN: Tensor, /) -> Tensor:
        mean_N = _mean(activity_XN, prior=0.0)
        variance_N = _mean((activity_XN - mean_N).square(), prior=1.0)
        return torch.cat([mean_N, variance_N.log()])


def _mean(values_XN: Tensor, *, prior: float) -> Tensor:
    """Give the mean of what was sampled and of one value more, so that none has a mean of 0."""
    n_N = values_XN.isfinite().sum(dim=0)
    return (values_XN.nan_to_num().sum(dim=0) + prior) / (n_N + 1)


def _refuse_negative(activity: NDArray[np.float32], name: str) -> None:
    is_negative = activity < 0
    if is_negative.any():
        neuron = int(np.argmax(is_negative.reshape(-1, activity.shape[-1]).any(axis=0)))
        raise ValueError(
            f"a {name} observation has no negative values, but {np.count_nonzero(is_negative)} "
            f"are (first neuron: {neuron}): deconvolve the traces, or take a Gaussian."
        )


_: tuple[type[Observation], ...] = (Poisson, ZeroInflatedGamma, Gaussian)
