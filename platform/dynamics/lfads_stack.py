"""Several models of LFADS trained as one program: the same modules over stacked weights.

Each member draws its batches, dropout and samples from its own streams, as it does alone; what they
decide is found for all members together, in batched products (`torch.vmap`; the recurrences, whose
backward is written by hand, step the whole stack at once). So results agree with those of members
that train alone to rounding, and a GPU that is far too large for one member is filled by many.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from calsweep.platform.dynamics.lfads_learner import LfadsLearner
from calsweep.platform.stacked_weights import StackedWeights
from calsweep.trainables.lfads.model import Factors, LfadsModule, Losses, Noise
from calsweep.trainables.lfads.observation import ObservationModule

# M member, T bin, B trial, N neuron

SEVERAL_RECORDINGS = (
    "several recordings take turns, and at a step of one the weights of the others have to rest"
)


class LfadsStack:
    """Members of a population that train and validate together.

    Parameters
    ----------
    learners
        Of one configuration and the same trials, after the same number of epochs.

    Raises
    ------
    ValueError
        If they are not, or have several recordings.
    """

    def __init__(self, learners: Sequence[LfadsLearner], /) -> None:
        first = learners[0]
        if len(first.views) > 1:
            raise ValueError(f"members cannot be stacked: {SEVERAL_RECORDINGS}.")
        if any(
            one.given is not first.given or one.module.config != first.module.config
            for one in learners
        ):
            raise ValueError("members of a stack must have the same model and share their trials.")
        self.learners = tuple(learners)
        self._loss = _Loss(first.module)
        observations = [m for m in self._loss.modules() if isinstance(m, ObservationModule)]
        for observation in observations:
            observation.is_stacked = True

    def train(self, n: int, /) -> None:
        """Train on for so many epochs; a member whose loss was not finite has come to nothing."""
        epochs = {one.n_epochs for one in self.learners}
        if len(epochs) > 1:
            raise ValueError(f"members of a stack must be equally far, but are at {epochs}.")
        for one in self.learners:
            one.module.train()
        weights = self._weights()
        (n_done,) = epochs
        is_finite_M = torch.ones(len(weights), dtype=torch.bool, device=weights.flat_MP.device)
        for epoch in range(n_done + 1, n_done + n + 1):
            is_finite_M &= self._train_epoch(epoch, weights)
        weights.write_back()
        for one, is_finite in zip(self.learners, is_finite_M.tolist(), strict=True):
            one.is_diverged |= not is_finite
            one.count_epochs(n)

    @torch.no_grad()
    def validate(self) -> list[float]:
        """Give the validation loss of each member; NaN where it diverged."""
        for one in self.learners:
            one.module.eval()
        nlls_IM = [self._valid_nlls(i) for i in range(len(self.learners[0].views))]
        losses = [one.loss_of(nlls) for one, *nlls in zip(self.learners, *nlls_IM, strict=True)]
        return [
            math.nan if one.is_diverged else loss
            for one, loss in zip(self.learners, losses, strict=True)
        ]

    def _train_epoch(self, epoch: int, weights: StackedWeights) -> Tensor:
        """Take the steps of an epoch, and say whose losses were finite."""
        training = self.learners[0].training
        batches_M = [one.batches(epoch) for one in self.learners]
        draws_M = [one.draws(epoch) for one in self.learners]
        bound_M = weights.flat_MP.new_full((len(weights),), training.gradient_norm)
        ramp = training.ramp(epoch)
        is_finite_M = torch.ones_like(bound_M, dtype=torch.bool)
        for step in zip(*batches_M, strict=True):
            # Orders differ, so at a step some may see a shorter batch, or another recording.
            together: dict[tuple[int, int], list[int]] = {}
            for m, (i, at_B) in enumerate(step):
                together.setdefault((i, len(at_B)), []).append(m)
            loss = torch.zeros((), device=bound_M.device)
            for (i, _), models in together.items():
                at_MB = torch.stack([step[m][1] for m in models])
                losses = self._losses(weights.named(models), models, i, at_MB, draws_M, ramp=ramp)
                loss = loss + losses.total.sum()
                is_finite_M[models] &= losses.total.detach().isfinite()
            weights.step(training.loss_scale * loss, bound_M=bound_M)
        return is_finite_M

    def _losses(
        self,
        weights: dict[str, Tensor],
        models: Sequence[int],
        i: int,
        at_MB: Tensor,
        draws_M: Sequence[torch.Generator],
        *,
        ramp: float = 1.0,
    ) -> Losses:
        """Give the losses of some members, each of its own trials of a recording."""
        given: dict[str, Tensor] = {}
        parts = self.learners[0].given.trials(i, at_MB.flatten())
        for name, part in zip(("activity_TBN", "external_TBE"), parts, strict=True):
            if part is not None:
                given[name] = torch.unflatten(part, 1, at_MB.shape).movedim(1, 0).contiguous()
        shape = given["activity_TBN"].shape[1:]
        modules = [self.learners[m].module for m in models]
        noise = [
            module.noise(shape, draws=draws_M[m]) for m, module in zip(models, modules, strict=True)
        ]
        like = next(iter(weights.values()))
        factors = like.new_tensor([list(module.factors) for module in modules])
        numbers = dict(zip(Factors._fields, factors.unbind(1), strict=True))

        def losses_of(
            weights: dict[str, Tensor],
            given: dict[str, Tensor],
            noise: dict[str, Tensor],
            numbers: dict[str, Tensor],
        ) -> Losses:
            arguments = {**given, "noise": Noise(**noise), "factors": Factors(**numbers)}
            losses: Losses = functional_call(
                self._loss, weights, kwargs={**arguments, "recording": i, "ramp": ramp}
            )
            return losses

        weights = {f"module.{name}": weight for name, weight in weights.items()}
        found: Losses = torch.vmap(losses_of)(weights, given, _stacked(noise), numbers)
        return found

    def _valid_nlls(self, i: int) -> list[float]:
        draws_M = [one.draws(0) for one in self.learners]
        models = range(len(self.learners))
        weights = self._weights().named()
        total_M, n_sampled = torch.zeros(len(models), dtype=torch.float64), 0
        for at_B in self.learners[0].valid_batches(i):
            at_MB = at_B.expand(len(models), -1)
            losses = self._losses(weights, models, i, at_MB, draws_M)
            activity_TBN, _ = self.learners[0].given.trials(i, at_B)
            n_of_batch = int(torch.count_nonzero(activity_TBN.isnan().logical_not_()))
            total_M += losses.nll.double().cpu() * n_of_batch
            n_sampled += n_of_batch
        return [float(total) / n_sampled for total in total_M]

    def _weights(self) -> StackedWeights:
        return StackedWeights(
            [one.module for one in self.learners], [one.optimizer for one in self.learners]
        )


class _Loss(nn.Module):
    """`LfadsModule.loss_of` as a module's call, which `functional_call` needs."""

    def __init__(self, module: LfadsModule, /) -> None:
        super().__init__()
        self.module = copy.deepcopy(module)

    def forward(self, **arguments: Any) -> Losses:
        return self.module.loss_of(
            arguments.pop("activity_TBN"),
            arguments.pop("noise"),
            arguments.pop("factors"),
            **arguments,
        )


def _stacked(noise: Sequence[Noise]) -> dict[str, Tensor]:
    """Stack what members drew; where one draws nothing and another does, it keeps all."""
    stacked = {}
    for name, of_members in zip(Noise._fields, zip(*noise, strict=True), strict=True):
        like = next((x for x in of_members if x is not None), None)
        if like is not None:
            whole = [torch.ones_like(like) if x is None else x for x in of_members]
            stacked[name] = torch.stack(whole)
    return stacked
