"""The generator of LFADS and its controller: from an initial condition to factors, bin by bin.

On a CPU the loop runs in place over shared buffers, with a backward pass written by hand
(`calsweep.trainables.lfads.clipped_gru.Steps`); other devices take torch's own operations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from calsweep.trainables.lfads.clipped_gru import Steps, gate_bias, plain_step, projected
from calsweep.trainables.lfads.linear import fan_in_linear

# T bin, B trial, C encoded input, E external input, U inferred input, G generator, K controller,
# F factor, I initial condition, S what gates see


class Course(NamedTuple):
    """What the generator does in each bin.

    Attributes
    ----------
    factors_TBF
        Shape ``(bin, trial, factor)``.
    inputs_TBP
        Mean of each inferred input, then log variance of each.
    """

    factors_TBF: Tensor
    inputs_TBP: Tensor


@dataclass(frozen=True, kw_only=True)
class Draws:
    """Random numbers of one pass through the generator; none where there is nothing to draw.

    Attributes
    ----------
    inputs_TBU
        Standard normal, of the posterior of inferred inputs; none takes its mean.
    factors_TBF
        What factors are multiplied with on the way to the controller.
    states_TBG
        What generator states are multiplied with on the way to factors; the first row is of the
        initial condition, so that there is one more than there are bins.
    """

    inputs_TBU: Tensor | None = None
    factors_TBF: Tensor | None = None
    states_TBG: Tensor | None = None


class Generator(nn.Module):
    """A generator driven by a controller that sees its factors.

    Weights are normal with variance 1 / inputs, or for those from state to state 1 / hidden units;
    biases of gates are 1, others 0. Each factor weighs generator states by a vector of length 1.

    Parameters
    ----------
    n_encoded, n_external
        Inputs of the controller and of the generator, beside factors and inferred inputs.
    n_initial, n_generator, n_controller, n_factors, n_inferred
        Sizes.
    clip
        Bound of the states of both, at least 1.
    """

    def __init__(
        self,
        *,
        n_encoded: int,
        n_external: int,
        n_initial: int,
        n_generator: int,
        n_controller: int,
        n_factors: int,
        n_inferred: int,
        clip: float,
    ) -> None:
        super().__init__()
        self.clip = clip

        def weight(n_rows: int, n_columns: int) -> nn.Parameter:
            return nn.Parameter(n_columns**-0.5 * torch.randn(n_rows, n_columns))

        self.initial = fan_in_linear(n_initial, n_generator)
        self.controller_GX = weight(3 * n_controller, n_encoded + n_factors)
        self.controller_GK = weight(3 * n_controller, n_controller)
        self.controller_bias_G = nn.Parameter(gate_bias(n_controller))
        self.controller_first_K = nn.Parameter(torch.zeros(n_controller))
        self.inferred = fan_in_linear(n_controller, 2 * n_inferred)
        self.generator_GX = weight(3 * n_generator, n_external + n_inferred)
        self.generator_GG = weight(3 * n_generator, n_generator)
        self.generator_bias_G = nn.Parameter(gate_bias(n_generator))
        self.factors_FG = weight(n_factors, n_generator)

    def forward(
        self, initial_BI: Tensor, encoded_TBC: Tensor, external_TBE: Tensor, draws: Draws, /
    ) -> Course:
        """Go through all bins.

        Parameters
        ----------
        initial_BI
            Initial condition of each trial.
        encoded_TBC
            What the controller sees of the data.
        external_TBE
            What else drives the generator; of no columns if nothing does.
        draws
            Random numbers.
        """
        weights = Weights(
            controller_GX=self.controller_GX,
            controller_GK=self.controller_GK,
            controller_bias_G=self.controller_bias_G,
            controller_first_K=self.controller_first_K,
            inferred_PK=self.inferred.weight,
            inferred_bias_P=self.inferred.bias,
            generator_GX=self.generator_GX,
            generator_GG=self.generator_GG,
            generator_bias_G=self.generator_bias_G,
            factors_FG=functional.normalize(self.factors_FG, dim=1),
        )
        given = (self.initial(initial_BI), encoded_TBC, external_TBE)
        if initial_BI.device.type == "cpu":
            course = _Loop.apply(draws, self.clip, *given, *weights)  # type: ignore[no-untyped-call]
        else:
            course = plain_loop(*given, weights, draws=draws, clip=self.clip)
        return Course(*course)


class Weights(NamedTuple):
    """Of the loop; columns of inputs that are given for all bins come first."""

    controller_GX: Tensor
    controller_GK: Tensor
    controller_bias_G: Tensor
    controller_first_K: Tensor
    inferred_PK: Tensor
    inferred_bias_P: Tensor
    generator_GX: Tensor
    generator_GG: Tensor
    generator_bias_G: Tensor
    factors_FG: Tensor


def plain_loop(
    state_BG: Tensor,
    encoded_TBC: Tensor,
    external_TBE: Tensor,
    weights: Weights,
    *,
    draws: Draws,
    clip: float,
) -> tuple[Tensor, Tensor]:
    """Step through the bins by torch's own operations, which go on any device."""
    w = weights
    n_inferred = len(w.inferred_PK) // 2
    controller_BK = w.controller_first_K.expand(len(state_BG), -1)
    factors_BF = _times(state_BG, draws.states_TBG, 0) @ w.factors_FG.t()
    factors, inputs = [], []
    for t, (encoded, external) in enumerate(zip(encoded_TBC, external_TBE, strict=True)):
        seen = torch.cat([encoded, _times(factors_BF, draws.factors_TBF, t)], dim=1)
        x_BG = functional.linear(seen, w.controller_GX, w.controller_bias_G)
        controller_BK = plain_step(x_BG, controller_BK, w.controller_GK, clip=clip)
        input_BP = functional.linear(controller_BK, w.inferred_PK, w.inferred_bias_P)
        u_BU, log_variance = torch.split(input_BP, n_inferred, dim=1)
        if draws.inputs_TBU is not None:
            u_BU = u_BU + (log_variance / 2).exp() * draws.inputs_TBU[t]
        driven = torch.cat([external, u_BU], dim=1)
        x_BG = functional.linear(driven, w.generator_GX, w.generator_bias_G)
        state_BG = plain_step(x_BG, state_BG, w.generator_GG, clip=clip)
        factors_BF = _times(state_BG, draws.states_TBG, t + 1) @ w.factors_FG.t()
        factors.append(factors_BF)
        inputs.append(input_BP)
    return torch.stack(factors), torch.stack(inputs)


def _times(x: Tensor, masks: Tensor | None, t: int) -> Tensor:
    return x if masks is None else x * masks[t]


class _Both:
    """Controller and generator over shared buffers: gates, and room for what gates see."""

    def __init__(self, weights: Weights, gates: list[Tensor], rooms: list[Tensor], clip: float):
        w = weights
        self.controller = Steps(
            gates[0],
            rooms[0][:-1],
            weight_GX=w.controller_GX,
            bias_G=w.controller_bias_G,
            weight_GH=w.controller_GK,
            clip=clip,
        )
        self.generator = Steps(
            gates[1],
            rooms[1][:-1],
            weight_GX=w.generator_GX,
            bias_G=w.generator_bias_G,
            weight_GH=w.generator_GG,
            clip=clip,
        )
        self.controller_TBK = rooms[0][:, :, : self.controller.n_hidden]
        self.generator_TBG = rooms[1][:, :, : self.generator.n_hidden]
        self.controller_BK = self.controller_TBK.unbind(0)
        self.generator_BG = self.generator_TBG.unbind(0)


class _Loop(torch.autograd.Function):
    """`plain_loop` with the backward written by hand."""

    @staticmethod
    def forward(
        ctx: Any,
        draws: Draws,
        clip: float,
        state_BG: Tensor,
        encoded_TBC: Tensor,
        external_TBE: Tensor,
        *weights: Tensor,
    ) -> tuple[Tensor, Tensor]:
        w = Weights(*weights)
        n_bins, n_trials, _ = encoded_TBC.shape
        n_factors, n_inferred = len(w.factors_FG), len(w.inferred_PK) // 2
        new = state_BG.new_empty
        gates = [
            projected(encoded_TBC, w.controller_GX),
            projected(external_TBE, w.generator_GX),
        ]
        # One slot more than there are steps: a step writes the state where the next one sees it.
        rooms = [
            new(n_bins + 1, n_trials, 2 * w.controller_GK.shape[1] + n_factors),
            new(n_bins + 1, n_trials, 2 * w.generator_GG.shape[1] + n_inferred),
        ]
        factors_TBF = new(n_bins, n_trials, n_factors)
        inputs_TBP = new(n_bins, n_trials, 2 * n_inferred)
        noise_TBU = state_BG.new_zeros(n_bins, n_trials, n_inferred)  # standard deviation x draw
        both = _Both(w, gates, rooms, clip)
        both.controller_BK[0].copy_(w.controller_first_K.expand(n_trials, -1))
        both.generator_BG[0].copy_(state_BG)
        to_factors, to_inputs = w.factors_FG.t(), w.inferred_PK.t()
        f_BF = _times(state_BG, draws.states_TBG, 0) @ to_factors
        for t, (factors, p_BP, noise) in enumerate(
            zip(factors_TBF.unbind(0), inputs_TBP.unbind(0), noise_TBU.unbind(0), strict=True)
        ):
            k_BK, g_BG = both.controller_BK[t + 1], both.generator_BG[t + 1]
            seen = _times(f_BF, draws.factors_TBF, t)
            both.controller.forward(t, further=seen, new=k_BK, is_first=t == 0)
            torch.addmm(w.inferred_bias_P, k_BK, to_inputs, out=p_BP)
            if draws.inputs_TBU is not None:
                torch.div(p_BP[:, n_inferred:], 2, out=noise).exp_().mul_(draws.inputs_TBU[t])
            u_BU = p_BP[:, :n_inferred] + noise
            both.generator.forward(t, further=u_BU, new=g_BG, is_first=t == 0)
            f_BF = torch.mm(_times(g_BG, draws.states_TBG, t + 1), to_factors, out=factors)
        ctx.draws, ctx.clip = draws, clip
        ctx.save_for_backward(encoded_TBC, external_TBE, noise_TBU, *gates, *rooms, *weights)
        return factors_TBF, inputs_TBP

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, d_factors_TBF: Tensor, d_inputs_TBP: Tensor
    ) -> tuple[Tensor | None, ...]:
        encoded_TBC, external_TBE, noise_TBU, *kept = ctx.saved_tensors
        w, draws = Weights(*kept[4:]), ctx.draws
        both = _Both(w, kept[:2], kept[2:4], ctx.clip)
        n_bins, n_trials, n_factors = d_factors_TBF.shape
        d_f_TBF = d_factors_TBF.new_empty(n_bins + 1, n_trials, n_factors)
        d_p_TBP = d_inputs_TBP.clone()
        d_mean, d_log_variance = (part.unbind(0) for part in d_p_TBP.chunk(2, dim=2))
        d_f, d_p, noise = d_f_TBF.unbind(0), d_p_TBP.unbind(0), noise_TBU.unbind(0)
        d_seen = torch.zeros_like(d_f[0])
        d_k, d_g = (torch.zeros_like(h[0]) for h in (both.controller_BK, both.generator_BG))
        for t in range(n_bins)[::-1]:
            torch.add(d_factors_TBF[t], d_seen, out=d_f[t + 1])
            d_g = d_g + _times(d_f[t + 1] @ w.factors_FG, draws.states_TBG, t + 1)
            d_g, d_u = both.generator.backward(t, d_g, is_first=t == 0)
            d_mean[t].add_(d_u)
            d_log_variance[t].addcmul_(d_u, noise[t], value=0.5)
            d_k, d_seen = both.controller.backward(
                t, torch.addmm(d_k, d_p[t], w.inferred_PK), is_first=t == 0
            )
            d_seen = _times(d_seen, draws.factors_TBF, t)
        d_f[0].copy_(d_seen)
        d_g = d_g + _times(d_seen @ w.factors_FG, draws.states_TBG, 0)
        d_inferred_PK = d_p_TBP.flatten(0, 1).t() @ both.controller_TBK[1:].flatten(0, 1)
        shown_TBG = both.generator_TBG
        if draws.states_TBG is not None:
            shown_TBG = shown_TBG * draws.states_TBG
        needs_encoded, needs_external = ctx.needs_input_grad[3:5]
        controller, generator = both.controller, both.generator
        d_controller_GX, d_controller_bias_G, d_controller_GK = controller.gradients(encoded_TBC)
        d_generator_GX, d_generator_bias_G, d_generator_GG = generator.gradients(external_TBE)
        return (
            None,
            None,
            d_g,
            controller.given_gradient(w.controller_GX) if needs_encoded else None,
            generator.given_gradient(w.generator_GX) if needs_external else None,
            *(d_controller_GX, d_controller_GK, d_controller_bias_G, d_k.sum(0)),
            *(d_inferred_PK, d_p_TBP.sum((0, 1))),
            *(d_generator_GX, d_generator_GG, d_generator_bias_G),
            d_f_TBF.flatten(0, 1).t() @ shown_TBG.flatten(0, 1),
        )
