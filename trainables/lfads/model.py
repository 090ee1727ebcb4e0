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
from calsweep.trainables.lfads.observation import GammaModule, Observation, Poisson
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


class Noise(NamedTuple):
    """All that is drawn at random for one loss or inference; none where there is nothing to draw.

    Attributes
    ----------
    is_seen_TBN, is_learnt_TBN
        Values of activity that are seen; the others alone are learnt from.
    is_kept_TBA
        Values of what the encoders read that are kept.
    last_BH, encoded_TBH, external_TBE
        What the encoders' last states, the controller's and the external inputs are multiplied
        with.
    initial_BI
        Standard normal, of the posterior of initial conditions.
    inputs_TBU, factors_TBF, states_TBG
        Of the generator (`calsweep.trainables.lfads.generator.Draws`).
    """

    is_seen_TBN: Tensor | None = None
    is_learnt_TBN: Tensor | None = None
    is_kept_TBA: Tensor | None = None
    last_BH: Tensor | None = None
    initial_BI: Tensor | None = None
    encoded_TBH: Tensor | None = None
    external_TBE: Tensor | None = None
    inputs_TBU: Tensor | None = None
    factors_TBF: Tensor | None = None
    states_TBG: Tensor | None = None


class Factors(NamedTuple):
    """What parts of the loss are weighed with, as numbers; of a stack of models, as tensors.

    Attributes
    ----------
    dropout, coordinated_dropout
        Rates that masks were drawn with.
    l2_generator, l2_controller, l2_initial_encoder
        Of the sums of squared weights.
    kl_initial, kl_inputs
        Of the divergences.
    sig_prior
        What a gamma's factors are drawn towards; 1 where there is none.
    """

    dropout: float | Tensor
    coordinated_dropout: float | Tensor
    l2_generator: float | Tensor
    l2_controller: float | Tensor
    l2_initial_encoder: float | Tensor
    kl_initial: float | Tensor
    kl_inputs: float | Tensor
    sig_prior: float | Tensor


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
        noise = Noise()
        if draws is not None:
            noise = self._noise(activity_TBN.shape, draws, dropped=Regularization())
        seen_TBN = torch.nan_to_num(activity_TBN)
        passed = self._pass(seen_TBN, external_TBE, recording, noise, dropout=0.0)
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
        return self.loss_of(
            activity_TBN,
            self.noise(activity_TBN.shape, draws=draws),
            self.factors,
            external_TBE=external_TBE,
            recording=recording,
            ramp=ramp,
        )

    def noise(self, shape: Sequence[int], /, *, draws: torch.Generator) -> Noise:
        """Draw what the loss of trials needs, with dropout while the module is in training.

        Parameters
        ----------
        shape
            Of the activity.
        draws
            Source of dropout and of samples of posteriors.
        """
        return self._noise(shape, draws, dropped=self._dropped)

    @property
    def factors(self) -> Factors:
        """What parts of the loss are weighed with just now."""
        w, dropped = self.regularization, self._dropped
        factors = (w.l2_generator, w.l2_controller, w.l2_initial_encoder, w.l2_initial_encoder)
        # As a share of how many weights are penalized.
        n_penalized = sum(
            weights.numel()
            for factor, weights in zip(factors, self._from_state_to_state, strict=True)
            if factor
        )
        half = 0.5 / (n_penalized or 1)
        observation = self.readouts[0].observation
        return Factors(
            dropout=dropped.dropout,
            coordinated_dropout=dropped.coordinated_dropout,
            l2_generator=half * w.l2_generator,
            l2_controller=half * w.l2_controller,
            l2_initial_encoder=half * w.l2_initial_encoder,
            kl_initial=w.kl_initial,
            kl_inputs=w.kl_inputs,
            sig_prior=observation.sig_prior if isinstance(observation, GammaModule) else 1.0,
        )

    def loss_of(
        self,
        activity_TBN: Tensor,
        noise: Noise,
        factors: Factors,
        *,
        external_TBE: Tensor | None = None,
        recording: int = 0,
        ramp: float = 1.0,
    ) -> Losses:
        """Give the loss of trials from all that it hangs on; nothing is drawn.

        Parameters
        ----------
        activity_TBN, external_TBE, recording, ramp
            As `loss` takes them.
        noise, factors
            As `noise` and `factors` give them.
        """
        w = factors
        is_sampled = activity_TBN.isnan().logical_not_()
        activity_TBN = torch.nan_to_num(activity_TBN)
        seen_TBN = apply(activity_TBN, noise.is_seen_TBN, rate=w.coordinated_dropout)
        passed = self._pass(seen_TBN, external_TBE, recording, noise, dropout=w.dropout)
        readout = self.readouts[recording]
        assert isinstance(readout, Readout)  # noqa: S101 - the constructor made it
        target = Target(activity_TBN, is_sampled, noise.is_learnt_TBN)
        nll = readout.nll(passed.factors_TBF, target)
        kl_initial = self.initial_prior(passed.mean_BI, passed.variance_BI)
        kl_inputs = self.input_prior(*passed.inputs_TBP.chunk(2, dim=2))
        l2_factors = (w.l2_generator, w.l2_controller, w.l2_initial_encoder, w.l2_initial_encoder)
        squares = [
            factor * weights.square().sum()
            for factor, weights in zip(l2_factors, self._from_state_to_state, strict=True)
        ]
        l2 = torch.stack(squares).sum() + readout.observation.penalty(w.sig_prior)
        penalties = l2 + w.kl_initial * kl_initial + w.kl_inputs * kl_inputs
        return Losses(nll + ramp * penalties, nll, kl_initial, kl_inputs, l2)

    @property
    def _dropped(self) -> Regularization:
        return self.regularization if self.training else Regularization()

    @property
    def _from_state_to_state(self) -> tuple[Tensor, ...]:
        """Weights that are penalized, in the order of their factors; two share the last."""
        generator, encoder = self.generator, self.initial_encoder
        return (
            generator.generator_GG,
            generator.controller_GK,
            encoder.onward.weight_GH,
            encoder.backward_in_time.weight_GH,
        )

    def _noise(
        self,
        shape: Sequence[int],
        draws: torch.Generator,
        *,
        dropped: Regularization,
    ) -> Noise:
        """Draw in an order of its own, by which the same seed gives the same."""
        config, rate = self.config, dropped.dropout
        n_bins, n_trials, n_neurons = shape
        n_aligned = config.n_aligned or n_neurons

        def multiply(*sizes: int) -> Tensor | None:
            return multiplier(sizes, rate=rate, generator=draws)

        is_seen_TBN = keep(shape, rate=dropped.coordinated_dropout, generator=draws)
        return Noise(
            is_seen_TBN=is_seen_TBN,
            is_learnt_TBN=None if is_seen_TBN is None else is_seen_TBN.logical_not(),
            is_kept_TBA=keep((n_bins, n_trials, n_aligned), rate=rate, generator=draws),
            last_BH=multiply(n_trials, 2 * config.n_initial_encoder),
            initial_BI=_normal((n_trials, config.n_initial), draws),
            encoded_TBH=multiply(n_bins, n_trials, 2 * config.n_input_encoder),
            external_TBE=multiply(n_bins, n_trials, self.n_external),
            inputs_TBU=_normal((n_bins, n_trials, config.n_inferred), draws),
            factors_TBF=multiply(n_bins, n_trials, config.n_factors),
            states_TBG=multiply(n_bins + 1, n_trials, config.n_generator),
        )

    def _pass(
        self,
        seen_TBN: Tensor,
        external_TBE: Tensor | None,
        recording: int,
        noise: Noise,
        *,
        dropout: float | Tensor,
    ) -> _Passed:
        (n_bins, n_trials, _), config = seen_TBN.shape, self.config
        aligned_TBA = self.read_ins[recording](seen_TBN)
        aligned_TBA = apply(aligned_TBA, noise.is_kept_TBA, rate=dropout)
        encoded = encode(
            aligned_TBA,
            initial=self.initial_encoder,
            inputs=self.input_encoder,
            lag=config.input_lag,
        )
        last_BH = _times(encoded.initial_BH, noise.last_BH)
        mean_BI, log_variance_BI = self.posterior(last_BH).chunk(2, dim=1)
        variance_BI = log_variance_BI.exp() + config.least_variance
        initial_BI = mean_BI
        if noise.initial_BI is not None:
            initial_BI = mean_BI + variance_BI.sqrt() * noise.initial_BI
        if external_TBE is None:
            external_TBE = seen_TBN.new_empty(n_bins, n_trials, 0)
        course = self.generator(
            initial_BI,
            _times(encoded.inputs_TBH, noise.encoded_TBH),
            _times(external_TBE, noise.external_TBE),
            Draws(noise.inputs_TBU, noise.factors_TBF, noise.states_TBG),
        )
        return _Passed(course.factors_TBF, course.inputs_TBP, mean_BI, variance_BI)


def _normal(shape: Sequence[int], draws: torch.Generator) -> Tensor:
    return torch.randn(*shape, generator=draws, device=draws.device)


def _times(x: Tensor, multipliers: Tensor | None) -> Tensor:
    return x if multipliers is None else x * multipliers
