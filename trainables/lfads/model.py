"""LFADS: the sequential autoencoder of R, one or several recordings around one generator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import NamedTuple

import torch
from torch import Tensor, nn

from calsweep.trainables.lfads.dropout import apply, keep, multiplier
from calsweep.trainables.lfads.encoder import BothWays, encode
from calsweep.trainables.lfads.generator import Draws, Generator
from calsweep.trainables.lfads.linear import fan_in_linear
from calsweep.trainables.lfads.observation import Observation, Poisson
from calsweep.trainables.lfads.prior import InitialPrior, InputPrior
from calsweep.trainables.lfads.readout import Readout, Target
from calsweep.trainables.lfads.regularization import Regularization

# T bin, B trial, N neuron, A aligned, E external input, I initial condition, U inferred input


@dataclass(frozen=True, kw_only=True)
class Lfads:
    """Sizes and priors of LFADS; the defaults are those of R.

    Encoders in both directions read a trial. One gives the posterior of the initial condition of a
    generator, the other what a controller sees beside the generator's factors; the controller gives
    posteriors of inputs to the generator. Factors, a linear map of the generator's state, give each
    neuron's distribution of activity by `observation`.

    Trials may have neurons that were not sampled in a bin. They are seen as 0 and left out of loss
    and validation: selective backpropagation through time (SBTT). This technique is named in a
    provisional US patent application, 63/262,704; whoever means to use it should know of that.

    Attributes
    ----------
    observation
        How activity comes from factors.
    n_initial_encoder, n_input_encoder
        Units of each direction of the two encoders.
    n_controller, n_generator, n_initial, n_inferred, n_factors
        Units of controller and generator, dimensions of the initial condition, inferred inputs,
        factors.
    n_aligned
        Dimensions that each recording's own read-in leads to; 0 for none, of one recording.
    clip
        Bound of the states of all GRUs.
    initial_variance, least_variance
        Prior variance of initial conditions, and what is added to their posterior variance.
    tau_bins, noise_variance
        Where the prior of inferred inputs begins.
    input_lag
        By how many bins the controller sees less of what comes towards the bin it is in.

    References
    ----------
    Pandarinath et al. (2018), *Nat. Methods* 15: 805-815; Zhu et al. (2022), *Nat. Neurosci.* 25:
    1724-1734 (R); Zhu et al. (2021), *NeurIPS* 34: 2331-2345 (SBTT).

    Examples
    --------
    >>> module = Lfads().build([30])
    >>> rates_TBN = module(torch.zeros(12, 4, 30)).rates_TBN
    >>> rates_TBN.shape
    torch.Size([12, 4, 30])
    """

    observation: Observation = field(default_factory=Poisson)
    n_initial_encoder: int = 64
    n_input_encoder: int = 64
    n_controller: int = 64
    n_generator: int = 100
    n_initial: int = 64
    n_inferred: int = 2
    n_factors: int = 100
    n_aligned: int = 0
    clip: float = 5.0
    initial_variance: float = 0.1
    least_variance: float = 1e-4
    tau_bins: float = 10.0
    noise_variance: float = 0.1
    input_lag: int = 1

    def __post_init__(self) -> None:
        sizes = [f.name for f in fields(self) if f.name.startswith("n_") and f.name != "n_aligned"]
        for name in sizes:
            if getattr(self, name) < 1:
                raise ValueError(f"`{name} >= 1` must hold, but got {getattr(self, name)}.")
        if self.n_aligned < 0 or self.input_lag < 0 or not self.clip >= 1:
            raise ValueError(
                "`n_aligned >= 0`, `input_lag >= 0` and `clip >= 1` must hold, but got "
                f"{self.n_aligned=}, {self.input_lag=}, {self.clip=}."
            )
        variances = (self.initial_variance, self.least_variance, self.noise_variance)
        if not min(*variances, self.tau_bins) > 0:
            raise ValueError(f"variances and `tau_bins` must be positive, but got {self!r}.")

    def build(self, n_neurons: Sequence[int], /, *, n_external: int = 0) -> LfadsModule:
        """Build the module with fresh weights from torch's random state.

        Parameters
        ----------
        n_neurons
            Of each recording.
        n_external
            External inputs of the generator.

        Raises
        ------
        ValueError
            If there are several recordings and no read-in.
        """
        return LfadsModule(self, n_neurons, n_external=n_external)


class Inference(NamedTuple):
    """What LFADS makes of trials.

    Attributes
    ----------
    rates_TBN
        Expected activity in each bin.
    factors_TBF, inputs_TBU
        Factors, and means of inferred inputs.
    initial_BI
        Means of initial conditions.
    """

    rates_TBN: Tensor
    factors_TBF: Tensor
    inputs_TBU: Tensor
    initial_BI: Tensor


class Losses(NamedTuple):
    """Parts of the loss: ``total`` is what is minimized.

    Attributes
    ----------
    total
        Of all parts, penalties ramped.
    nll
        Mean over sampled values, in nats.
    kl_initial, kl_inputs
        Divergences of a trial in nats.
    l2
        Penalty of weights, by their factors.
    """

    total: Tensor
    nll: Tensor
    kl_initial: Tensor
    kl_inputs: Tensor
    l2: Tensor


class _Passed(NamedTuple):
    factors_TBF: Tensor
    inputs_TBP: Tensor
    mean_BI: Tensor
    variance_BI: Tensor


class LfadsModule(nn.Module):
    """The modules of LFADS; time comes first and trials second in all that they see and give.

    Attributes
    ----------
    regularization
        May be replaced while training; `loss` reads it each time.
    """

    def __init__(self, config: Lfads, n_neurons: Sequence[int], *, n_external: int = 0) -> None:
        super().__init__()
        if not n_neurons or (len(n_neurons) > 1 and not config.n_aligned):
            raise ValueError(
                f"there are {len(n_neurons)} recordings: several share a generator by read-ins of "
                "their own, whose dimensions `n_aligned` must give, and none cannot be learnt from."
            )
        self.config, self.n_external = config, n_external
        self.regularization = Regularization()
        n_encoded = config.n_aligned or n_neurons[0]
        self.read_ins = nn.ModuleList(
            fan_in_linear(n, config.n_aligned) if config.n_aligned else nn.Identity()
            for n in n_neurons
        )
        self.initial_encoder = BothWays(n_encoded, config.n_initial_encoder, clip=config.clip)
        self.input_encoder = BothWays(n_encoded, config.n_input_encoder, clip=config.clip)
        self.posterior = fan_in_linear(2 * config.n_initial_encoder, 2 * config.n_initial)
        self.generator = Generator(
            n_encoded=2 * config.n_input_encoder,
            n_external=n_external,
            n_initial=config.n_initial,
            n_generator=config.n_generator,
            n_controller=config.n_controller,
            n_factors=config.n_factors,
            n_inferred=config.n_inferred,
            clip=config.clip,
        )
        observation = config.observation
        self.readouts = nn.ModuleList(
            Readout(config.n_factors, n, observation.n_parameters, observation.build(n))
            for n in n_neurons
        )
        self.initial_prior = InitialPrior(config.n_initial, variance=config.initial_variance)
        self.input_prior = InputPrior(
            config.n_inferred, tau_bins=config.tau_bins, noise_variance=config.noise_variance
        )

    def forward(
        self,
        activity_TBN: Tensor,
        *,
        external_TBE: Tensor | None = None,
        recording: int = 0,
        draws: torch.Generator | None = None,
    ) -> Inference:
        """Infer rates, factors and inputs.

        Parameters
        ----------
        activity_TBN
            NaN where a neuron was not sampled.
        external_TBE
            External inputs, if there are any.
        recording
            Of which these trials are.
        draws
            Samples posteriors; none takes their means.
        """
        passed = self._pass(
            torch.nan_to_num(activity_TBN), external_TBE, recording, draws, dropout=0.0
        )
        return Inference(
            rates_TBN=self.readouts[recording](passed.factors_TBF),
            factors_TBF=passed.factors_TBF,
            inputs_TBU=passed.inputs_TBP[:, :, : self.config.n_inferred],
            initial_BI=passed.mean_BI,
        )

    def loss(
        self,
        activity_TBN: Tensor,
        *,
        external_TBE: Tensor | None = None,
        recording: int = 0,
        ramp: float = 1.0,
        draws: torch.Generator,
    ) -> Losses:
        """Give the loss of trials, with dropout while the module is in training.

        Parameters
        ----------
        activity_TBN
            NaN where a neuron was not sampled: seen as 0, and without a part in the loss.
        external_TBE
            External inputs, if there are any.
        recording
            Of which these trials are.
        ramp
            Share of penalties that counts so far.
        draws
            Source of dropout and of samples of posteriors.
        """
        r = self.regularization if self.training else Regularization()
        is_sampled = activity_TBN.isnan().logical_not_()
        is_seen = keep(activity_TBN.shape, rate=r.coordinated_dropout, generator=draws)
        activity_TBN = torch.nan_to_num(activity_TBN)
        seen_TBN = apply(activity_TBN, is_seen, rate=r.coordinated_dropout)
        passed = self._pass(seen_TBN, external_TBE, recording, draws, dropout=r.dropout)
        readout = self.readouts[recording]
        assert isinstance(readout, Readout)  # noqa: S101 - the constructor made it
        is_learnt = None if is_seen is None else is_seen.logical_not_()
        nll = readout.nll(passed.factors_TBF, Target(activity_TBN, is_sampled, is_learnt))
        kl_initial = self.initial_prior(passed.mean_BI, passed.variance_BI)
        kl_inputs = self.input_prior(*passed.inputs_TBP.chunk(2, dim=2))
        l2 = self._l2() + readout.observation.penalty()
        w = self.regularization
        penalties = l2 + w.kl_initial * kl_initial + w.kl_inputs * kl_inputs
        return Losses(nll + ramp * penalties, nll, kl_initial, kl_inputs, l2)

    def _pass(
        self,
        seen_TBN: Tensor,
        external_TBE: Tensor | None,
        recording: int,
        draws: torch.Generator | None,
        *,
        dropout: float,
    ) -> _Passed:
        (n_bins, n_trials, _), config = seen_TBN.shape, self.config
        aligned_TBA = self.read_ins[recording](seen_TBN)
        mask = keep(aligned_TBA.shape, rate=dropout, generator=draws)
        aligned_TBA = apply(aligned_TBA, mask, rate=dropout)
        encoded = encode(
            aligned_TBA,
            initial=self.initial_encoder,
            inputs=self.input_encoder,
            lag=config.input_lag,
        )
        last_BH = _dropped(encoded.initial_BH, dropout, draws)
        mean_BI, log_variance_BI = self.posterior(last_BH).chunk(2, dim=1)
        variance_BI = log_variance_BI.exp() + config.least_variance
        initial_BI = mean_BI
        if draws is not None:
            initial_BI = mean_BI + variance_BI.sqrt() * _normal(mean_BI.shape, draws)
        if external_TBE is None:
            external_TBE = seen_TBN.new_empty(n_bins, n_trials, 0)
        course = self.generator(
            initial_BI,
            _dropped(encoded.inputs_TBH, dropout, draws),
            _dropped(external_TBE, dropout, draws),
            self._draws(n_bins, n_trials, draws, dropout=dropout),
        )
        return _Passed(course.factors_TBF, course.inputs_TBP, mean_BI, variance_BI)

    def _draws(
        self, n_bins: int, n_trials: int, draws: torch.Generator | None, *, dropout: float
    ) -> Draws:
        if draws is None:
            return Draws()
        config, shape = self.config, (n_bins, n_trials)
        return Draws(
            inputs_TBU=_normal((*shape, config.n_inferred), draws),
            factors_TBF=multiplier((*shape, config.n_factors), rate=dropout, generator=draws),
            states_TBG=multiplier(
                (n_bins + 1, n_trials, config.n_generator), rate=dropout, generator=draws
            ),
        )

    def _l2(self) -> Tensor:
        """Sum squares of weights from state to state, as a share of how many are penalized."""
        w, generator, encoder = self.regularization, self.generator, self.initial_encoder
        penalized = [
            (w.l2_generator, generator.generator_GG),
            (w.l2_controller, generator.controller_GK),
            (w.l2_initial_encoder, encoder.onward.weight_GH),
            (w.l2_initial_encoder, encoder.backward_in_time.weight_GH),
        ]
        n_penalized = sum(weights.numel() for factor, weights in penalized if factor) or 1
        squares = [0.5 * factor * weights.square().sum() for factor, weights in penalized]
        return torch.stack(squares).sum() / n_penalized


def _normal(shape: Sequence[int], draws: torch.Generator) -> Tensor:
    return torch.randn(*shape, generator=draws, device=draws.device)


def _dropped(x: Tensor, rate: float, draws: torch.Generator | None) -> Tensor:
    mask = multiplier(x.shape, rate=rate, generator=draws)
    return x if mask is None else x * mask
