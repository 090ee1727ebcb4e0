"""LFADS in training, as a population trains it or a person by hand."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from calsweep.datasets.trial_view import TrialView
from calsweep.platform.dynamics.on_device import OnDevice
from calsweep.platform.plain import nearest
from calsweep.platform.population.learner import Learner
from calsweep.search_spaces.population import Unit
from calsweep.trainables.lfads.alignment import align, begin_aligned
from calsweep.trainables.lfads.model import Inference, Lfads
from calsweep.trainables.lfads.observation import GammaModule
from calsweep.trainables.lfads.readout import Readout
from calsweep.trainables.lfads.regularization import Regularization
from calsweep.trainables.smoothing import smooth

# R trial, T bin, B trials of a batch, N neuron, E external input, C condition

LEARNING_RATE = "learning_rate"
SIG_PRIOR = "sig_prior"
REGULARIZATION = (
    "dropout",
    "coordinated_dropout",
    "l2_generator",
    "l2_controller",
    "l2_initial_encoder",
    "kl_initial",
    "kl_inputs",
)
_ALIGNED_SD_MS = 30.0


@dataclass(frozen=True, kw_only=True)
class LfadsTraining:
    """How LFADS is trained; the defaults are those of R, where it says.

    Attributes
    ----------
    learning_rate
        Of Adam.
    regularization
        Dropouts and penalties to begin with.
    batch_size
        Trials in a batch, all of one recording.
    ramp_epochs
        Epochs over which penalties grow to their full size.
    loss_scale
        What the loss is multiplied with before gradients are found.
    gradient_norm
        Bound of the norm of the gradient of that.
    beta1, beta2, epsilon
        Of Adam.
    external
        Measures that drive the generator from outside.
    """

    learning_rate: float = 1e-3
    regularization: Regularization = field(default_factory=Regularization)
    batch_size: int = 128
    ramp_epochs: int = 80
    loss_scale: float = 1e4
    gradient_norm: float = 300.0
    beta1: float = 0.9
    beta2: float = 0.99
    epsilon: float = 1e-8
    external: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        positive = (self.learning_rate, self.loss_scale, self.gradient_norm, self.epsilon)
        if not min(positive) > 0 or self.batch_size < 1 or self.ramp_epochs < 0:
            raise ValueError(
                "rate, scale, norm and epsilon must be positive, `batch_size >= 1` and "
                f"`ramp_epochs >= 0`, but got {self!r}."
            )

    def ramp(self, epoch: int, /) -> float:
        """Give the share of penalties that counts in an epoch, from 1.

        Examples
        --------
        >>> [LfadsTraining(ramp_epochs=3).ramp(epoch) for epoch in (1, 4, 5)]
        [0.25, 1.0, 1.0]
        """
        return min(epoch / (self.ramp_epochs + 1), 1.0)


@dataclass(frozen=True, kw_only=True)
class LfadsLearners:
    """What builds the members of a population of LFADS.

    Attributes
    ----------
    config, training, views, device, unit
        As `LfadsLearner` takes them.
    """

    config: Lfads
    training: LfadsTraining
    views: tuple[TrialView, ...]
    device: str = "cpu"
    unit: Unit = Unit.EPOCHS

    def build(self, *, seed: int, beside: LfadsLearner | None = None) -> LfadsLearner:
        """Build a fresh member, which may share the trials of another on the device."""
        return LfadsLearner(
            self.config,
            training=self.training,
            views=self.views,
            seed=seed,
            device=self.device,
            unit=self.unit,
            given=beside.given if beside else None,
        )


class LfadsLearner:
    """LFADS of one or several recordings, with its optimizer.

    Each epoch's batches, dropout and samples are drawn by the seed and the epoch's number.

    Parameters
    ----------
    config
        The model.
    training
        How it is trained.
    views
        The trials of each recording.
    seed
        Of weights and of all that is drawn.
    device
        Where.
    unit
        What `train` counts.
    given
        The trials on the device, where another learner has them there.

    Attributes
    ----------
    is_diverged
        Whether a loss was not finite.

    Raises
    ------
    ValueError
        If activity is not of the kind that the model observes, recordings differ in rate, bins or
        conditions, or a measure that should drive the generator is not there or not known
        everywhere.
    """

    def __init__(
        self,
        config: Lfads,
        /,
        *,
        training: LfadsTraining,
        views: Sequence[TrialView],
        seed: int,
        device: str = "cpu",
        unit: Unit = Unit.EPOCHS,
        given: OnDevice | None = None,
    ) -> None:
        _check(config, views)
        self.views, self.training, self.device = tuple(views), training, device
        self._seed, self._n_epochs, self.is_diverged = seed, 0, False
        self._unit, self._n_steps = unit, 0  # steps of the epoch under way
        self._drawn: torch.Generator | None = None  # for the rest of it
        n_neurons = [len(view.units) for view in views]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.module = config.build(n_neurons, n_external=len(training.external))
        for view, readout in zip(views, self.module.readouts, strict=True):
            assert isinstance(readout, Readout)  # noqa: S101 - the module made it
            readout.begin(torch.from_numpy(view.activity_RTN[view.train_R]).flatten(0, 1))
        if len(views) > 1:
            conditions = _shared_conditions(views)
            averages = [_averages(view, conditions) for view in views]
            begin_aligned(self.module, align(averages, n_aligned=config.n_aligned))
        self.module.to(device)
        self.module.regularization = training.regularization
        self.optimizer = torch.optim.Adam(
            self.module.parameters(),
            lr=training.learning_rate,
            betas=(training.beta1, training.beta2),
            eps=training.epsilon,
            fused=True,
        )
        self.given = given or OnDevice.of(views, training.external, device)
        self._valid_of_activity = [self._of_activity_alone(i) for i in range(len(views))]

    @property
    def n_epochs(self) -> int:
        """Epochs done."""
        return self._n_epochs

    def train(self, n: int, /) -> None:
        """Train on for so many epochs, or steps; nothing is done once the loss was not finite."""
        self.module.train()
        if self._unit is Unit.STEPS:
            self._train_steps(n)
            return
        for _ in range(n):
            if not self.is_diverged:
                self._train_epoch(self._n_epochs + 1)
            self._n_epochs += 1

    def count_epochs(self, n: int, /) -> None:
        """Count epochs that a stack has trained for this learner."""
        self._n_epochs += n

    def validate(self) -> float:
        """Give the negative log-likelihood of validation trials in nats a sampled value.

        Posteriors are sampled, each time alike. The mean is over recordings; NaN after divergence.
        """
        if self.is_diverged:
            return math.nan
        self.module.eval()
        return self.loss_of([self._valid_nll(i) for i in range(len(self.views))])

    def loss_of(self, nlls: Sequence[float], /) -> float:
        """Give the validation loss from what the model decides of that of each recording."""
        whole = [nll + fixed for nll, fixed in zip(nlls, self._valid_of_activity, strict=True)]
        return sum(whole) / len(whole)

    def change(self, values: Mapping[str, float], /) -> None:
        """Set searched values, in the live optimizer and modules.

        Raises
        ------
        ValueError
            If a name is not known, or a value cannot be.
        """
        known = tuple(self.values())
        for name in values:
            if name not in known:
                raise ValueError(f"`{name}` cannot be changed. {nearest(name, known)}")
        if not values.get(LEARNING_RATE, 1.0) > 0 or not values.get(SIG_PRIOR, 1.0) > 0:
            raise ValueError(f"rates and priors must be positive, but got {dict(values)}.")
        regularization = {name: float(values[name]) for name in REGULARIZATION if name in values}
        self.module.regularization = replace(self.module.regularization, **regularization)
        for group in self.optimizer.param_groups:
            group["lr"] = float(values.get(LEARNING_RATE, group["lr"]))
        for gamma in self._gammas():
            gamma.sig_prior = float(values.get(SIG_PRIOR, gamma.sig_prior))

    def values(self) -> Mapping[str, float]:
        """Read every value that can be searched back from the live optimizer and modules."""
        live = {name: getattr(self.module.regularization, name) for name in REGULARIZATION}
        values = {LEARNING_RATE: self.optimizer.param_groups[0]["lr"], **live}
        gammas = self._gammas()
        return {**values, SIG_PRIOR: gammas[0].sig_prior} if gammas else values

    def state(self) -> dict[str, Any]:
        """Give what training goes on from, as tensors and plain values."""
        return copy.deepcopy(
            {
                "module": dict(self.module.state_dict()),
                "optimizer": self.optimizer.state_dict(),
                "n_epochs": self._n_epochs,
                "n_steps": self._n_steps,
                "drawn": self._drawn.get_state() if self._drawn else None,
                "is_diverged": self.is_diverged,
                "values": dict(self.values()),
            }
        )

    def load_state(self, state: dict[str, Any], /) -> None:
        """Go on from a state, with the values that it was trained with."""
        self.module.load_state_dict(state["module"])
        self.optimizer.load_state_dict(copy.deepcopy(state["optimizer"]))
        self._n_epochs, self.is_diverged = state["n_epochs"], state["is_diverged"]
        self._n_steps, self._drawn = state.get("n_steps", 0), None
        if state.get("drawn") is not None:
            self._drawn = torch.Generator(self.device)
            self._drawn.set_state(state["drawn"].cpu())
        self.change(state["values"])

    def samples(
        self, i: int, trials_B: NDArray[np.int64], /, *, n_samples: int
    ) -> Iterator[Inference]:
        """Give what is inferred of some trials from one sample of posteriors after the other.

        Parameters
        ----------
        i, trials_B
            As `infer` takes them.
        n_samples
            Drawn by the seed and the first trial.
        """
        at_B = torch.from_numpy(trials_B).to(self.device)
        activity_TBN, external_TBE = self.given.trials(i, at_B)
        draws = self.draws(0, int(trials_B[0]))
        self.module.eval()
        for _ in range(n_samples):
            with torch.no_grad():
                yield self.module(activity_TBN, external_TBE=external_TBE, recording=i, draws=draws)

    @torch.no_grad()
    def infer(self, i: int, trials_B: NDArray[np.int64], /, *, n_samples: int) -> Inference:
        """Infer rates, factors and inputs of some trials, their mean over samples of posteriors.

        Parameters
        ----------
        i
            Which recording.
        trials_B
            Which of its trials, of either part.
        n_samples
            Samples, drawn by the seed and the first trial; 0 takes the means of posteriors.
        """
        if not n_samples:
            self.module.eval()
            activity_TBN, external_TBE = self.given.trials(
                i, torch.from_numpy(trials_B).to(self.device)
            )
            means: Inference = self.module(activity_TBN, external_TBE=external_TBE, recording=i)
            return means
        samples = self.samples(i, trials_B, n_samples=n_samples)
        total = [*next(samples)]
        for sample in samples:
            for part, of_sample in zip(total, sample, strict=True):
                part += of_sample
        return Inference(*(part / n_samples for part in total))

    def _train_epoch(self, epoch: int) -> None:
        draws = self.draws(epoch)
        ramp = self.training.ramp(epoch)
        losses = [self._step(i, at_B, ramp, draws) for i, at_B in self.batches(epoch)]
        self.is_diverged = not bool(torch.stack(losses).isfinite().all())

    def _train_steps(self, n: int) -> None:
        """Train on for so many steps, which lie end to end over epochs."""
        n_left = n
        while n_left and not self.is_diverged:
            epoch = self._n_epochs + 1
            batches = self.batches(epoch)
            self._drawn = self._drawn or self.draws(epoch)
            taken = batches[self._n_steps : self._n_steps + n_left]
            ramp = self.training.ramp(epoch)
            losses = [self._step(i, at_B, ramp, self._drawn) for i, at_B in taken]
            self.is_diverged = not bool(torch.stack(losses).isfinite().all())
            n_left -= len(taken)
            self._n_steps += len(taken)
            if self._n_steps == len(batches):
                self._n_epochs, self._n_steps, self._drawn = epoch, 0, None

    def _step(self, i: int, at_B: Tensor, ramp: float, draws: torch.Generator) -> Tensor:
        activity_TBN, external_TBE = self.given.trials(i, at_B)
        losses = self.module.loss(
            activity_TBN, external_TBE=external_TBE, recording=i, ramp=ramp, draws=draws
        )
        self.optimizer.zero_grad()
        scaled = self.training.loss_scale * losses.total
        scaled.backward()  # type: ignore[no-untyped-call]
        parameters = self.module.parameters()
        torch.nn.utils.clip_grad_norm_(parameters, self.training.gradient_norm)
        self.optimizer.step()
        return losses.total.detach()

    def batches(self, epoch: int, /) -> list[tuple[int, Tensor]]:
        """Draw the batches of an epoch: a recording and some of its trials."""
        order = np.random.default_rng([self._seed, epoch])
        batches = [
            (i, torch.from_numpy(at_B).to(self.device))
            for i, view in enumerate(self.views)
            for at_B in _cut(order.permutation(view.train_R), self.training.batch_size)
        ]
        return [batches[i] for i in order.permutation(len(batches))]

    def valid_batches(self, i: int, /) -> list[Tensor]:
        """Give the trials of a recording that validate, some at a time."""
        parts = _cut(self.views[i].valid_R, self.training.batch_size)
        return [torch.from_numpy(at_B).to(self.device) for at_B in parts]

    @torch.no_grad()
    def _valid_nll(self, i: int) -> float:
        draws, total, n_sampled = self.draws(0), 0.0, 0
        for at_B in self.valid_batches(i):
            activity_TBN, external_TBE = self.given.trials(i, at_B)
            losses = self.module.loss(
                activity_TBN, external_TBE=external_TBE, recording=i, draws=draws
            )
            n_of_batch = int(torch.count_nonzero(activity_TBN.isnan().logical_not_()))
            total += float(losses.nll) * n_of_batch
            n_sampled += n_of_batch
        return total / n_sampled

    def _of_activity_alone(self, i: int) -> float:
        """Give the part of the validation figure that no model changes."""
        valid = torch.from_numpy(self.views[i].activity_RTN[self.views[i].valid_R])
        valid = valid[~valid.isnan()]
        if not valid.numel():
            raise ValueError(f"{self.views[i].recording}: nothing was sampled to validate with.")
        readout = self.module.readouts[i]
        assert isinstance(readout, Readout)  # noqa: S101 - the module made it
        return float(readout.observation.nll_of_activity(valid).double().mean())

    def draws(self, epoch: int, /, *more: int) -> torch.Generator:
        """Give the random numbers of an epoch; 0 is of what does not train."""
        entropy = [self._seed, 1, epoch, *more]
        seed = np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0]
        return torch.Generator(self.device).manual_seed(int(seed >> np.uint64(1)))

    def _gammas(self) -> list[GammaModule]:
        return [module for module in self.module.modules() if isinstance(module, GammaModule)]


def _check(config: Lfads, views: Sequence[TrialView]) -> None:
    if len({(view.rate_hz, view.activity_RTN.shape[1]) for view in views}) != 1:
        made = ", ".join(f"{v.recording} {v.activity_RTN.shape[1]} of {v.rate_hz:g}" for v in views)
        raise ValueError(f"recordings must have bins of one number and rate (Hz), but have {made}.")
    for view in views:
        try:
            config.observation.check(view.activity_RTN)
        except ValueError as error:
            raise ValueError(f"{view.recording}: {error}") from error


def _cut(trials_R: NDArray[np.int64], batch_size: int) -> list[NDArray[np.int64]]:
    return [trials_R[i : i + batch_size] for i in range(0, len(trials_R), batch_size)]


def _shared_conditions(views: Sequence[TrialView]) -> NDArray[np.int64]:
    """Give the conditions of trials to learn from, which must be those of each recording."""
    first, *others = (
        np.unique(view.condition_R[view.train_R][view.condition_R[view.train_R] >= 0])
        for view in views
    )
    for view, found in zip(views[1:], others, strict=True):
        if not np.array_equal(first, found) or not len(first):
            raise ValueError(
                "recordings that share a generator must have trials of the same conditions to "
                f"learn from, by which their read-ins are aligned, but {views[0].recording} has "
                f"{first.tolist()} and {view.recording} has {found.tolist()}: name another "
                "`datasets.condition`, or none, or leave one out."
            )
    return first


def _averages(view: TrialView, conditions: NDArray[np.int64]) -> NDArray[np.float64]:
    """Give the mean of smoothed training trials of each condition; gaps are at neurons' means."""
    smoothed_RTN = smooth(
        view.activity_RTN[view.train_R], rate_hz=view.rate_hz, sd_ms=_ALIGNED_SD_MS
    )
    mean_N = np.nanmean(smoothed_RTN, axis=(0, 1))
    filled_RTN = np.where(np.isnan(smoothed_RTN), mean_N, smoothed_RTN)
    condition_R = view.condition_R[view.train_R]
    return np.stack([filled_RTN[condition_R == c].mean(axis=0) for c in conditions])


_: type[Learner] = LfadsLearner
