"""The generator of LFADS and its controller: from an initial condition to factors, bin by bin.

The loop runs in place over shared buffers, with a backward pass written by hand, for one model or
for a stack of them (`calsweep.trainables.lfads.clipped_gru`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from calsweep.trainables.lfads.clipped_gru import Steps, gate_bias, projected
from calsweep.trainables.lfads.linear import fan_in_linear
from calsweep.trainables.product import add_product, product
from calsweep.trainables.stack import stacked

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


class Draws(NamedTuple):
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
        course = _Loop.apply(  # type: ignore[no-untyped-call]
            self.clip, *draws, *given, *weights
        )
        return Course(*course[:2])


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


def _times(x: Tensor, masks: Tensor | None, t: int) -> Tensor:
    return x if masks is None else x * masks.select(-3, t)


class _Both:
    """Controller and generator over shared buffers: gates, and room for what gates see."""

    def __init__(
        self, weights: Weights, gates: Sequence[Tensor], rooms: Sequence[Tensor], clip: float
    ) -> None:
        w = weights
        n_bins = gates[0].shape[-3]
        self.controller = Steps(
            gates[0],
            rooms[0].narrow(-3, 0, n_bins),
            weight_GX=w.controller_GX,
            bias_G=w.controller_bias_G,
            weight_GH=w.controller_GK,
            clip=clip,
        )
        self.generator = Steps(
            gates[1],
            rooms[1].narrow(-3, 0, n_bins),
            weight_GX=w.generator_GX,
            bias_G=w.generator_bias_G,
            weight_GH=w.generator_GG,
            clip=clip,
        )
        self.controller_TBK = rooms[0][..., : self.controller.n_hidden]
        self.generator_TBG = rooms[1][..., : self.generator.n_hidden]
        self.controller_BK = self.controller_TBK.unbind(-3)
        self.generator_BG = self.generator_TBG.unbind(-3)


class _Loop(torch.autograd.Function):
    """From initial conditions to factors and inferred inputs, with the backward written by hand.

    What the backward goes on from are outputs too, since a Function that vmap may meet has no other
    way to keep it.
    """

    @staticmethod
    def forward(
        clip: float,
        draw_TBU: Tensor | None,
        factor_mask_TBF: Tensor | None,
        state_mask_TBG: Tensor | None,
        state_BG: Tensor,
        encoded_TBC: Tensor,
        external_TBE: Tensor,
        *weights: Tensor,
    ) -> tuple[Tensor, ...]:
        w = Weights(*weights)
        *stack, n_bins, n_trials, _ = encoded_TBC.shape
        n_factors, n_inferred = w.factors_FG.shape[-2], w.inferred_PK.shape[-2] // 2
        new = state_BG.new_empty
        gates = [
            projected(encoded_TBC, w.controller_GX),
            projected(external_TBE, w.generator_GX),
        ]
        # One slot more than there are steps: a step writes the state where the next one sees it.
        rooms = [
            new(*stack, n_bins + 1, n_trials, 2 * w.controller_GK.shape[-1] + n_factors),
            new(*stack, n_bins + 1, n_trials, 2 * w.generator_GG.shape[-1] + n_inferred),
        ]
        factors_TBF = new(*stack, n_bins, n_trials, n_factors)
        inputs_TBP = new(*stack, n_bins, n_trials, 2 * n_inferred)
        noise_TBU = state_BG.new_zeros(*stack, n_bins, n_trials, n_inferred)  # deviation x draw
        both = _Both(w, gates, rooms, clip)
        first_BK = both.controller_BK[0]
        first_BK.copy_(w.controller_first_K.unsqueeze(-2).expand_as(first_BK))
        both.generator_BG[0].copy_(state_BG)
        to_factors, to_inputs = w.factors_FG.mT, w.inferred_PK.mT
        bias_1P = w.inferred_bias_P.unsqueeze(-2)
        f_BF = product(_times(state_BG, state_mask_TBG, 0), to_factors)
        of_bins = (factors_TBF.unbind(-3), inputs_TBP.unbind(-3), noise_TBU.unbind(-3))
        for t, (factors, p_BP, noise) in enumerate(zip(*of_bins, strict=True)):
            k_BK, g_BG = both.controller_BK[t + 1], both.generator_BG[t + 1]
            seen = _times(f_BF, factor_mask_TBF, t)
            both.controller.forward(t, further=seen, new=k_BK, is_first=t == 0)
            add_product(bias_1P, k_BK, to_inputs, out=p_BP)
            if draw_TBU is not None:
                deviation = torch.div(p_BP[..., n_inferred:], 2, out=noise).exp_()
                deviation.mul_(draw_TBU.select(-3, t))
            u_BU = p_BP[..., :n_inferred] + noise
            both.generator.forward(t, further=u_BU, new=g_BG, is_first=t == 0)
            f_BF = product(_times(g_BG, state_mask_TBG, t + 1), to_factors, out=factors)
        return factors_TBF, inputs_TBP, noise_TBU, *gates, *rooms

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        ctx.clip, _, factor_mask_TBF, state_mask_TBG, _, *given = inputs
        ctx.mark_non_differentiable(*output[2:])
        ctx.set_materialize_grads(False)  # of what is kept, they would be as large
        ctx.save_for_backward(factor_mask_TBF, state_mask_TBG, *output[2:], *given)

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, d_factors_TBF: Tensor | None, d_inputs_TBP: Tensor | None, *_: None
    ) -> tuple[Tensor | None, ...]:
        factor_mask_TBF, state_mask_TBG, noise_TBU, *kept = ctx.saved_tensors
        gates, rooms, (encoded_TBC, external_TBE) = kept[:2], kept[2:4], kept[4:6]
        w = Weights(*kept[6:])
        both = _Both(w, gates, rooms, ctx.clip)
        *stack, n_bins, n_trials, _ = encoded_TBC.shape
        n_factors = w.factors_FG.shape[-2]
        new_zeros = noise_TBU.new_zeros
        if d_factors_TBF is None:
            d_factors_TBF = new_zeros(*stack, n_bins, n_trials, n_factors)
        if d_inputs_TBP is None:
            d_p_TBP = new_zeros(*stack, n_bins, n_trials, w.inferred_PK.shape[-2])
        else:
            d_p_TBP = d_inputs_TBP.clone()
        d_f_TBF = noise_TBU.new_empty(*stack, n_bins + 1, n_trials, n_factors)
        d_mean, d_log_variance = (part.unbind(-3) for part in d_p_TBP.chunk(2, dim=-1))
        d_f, d_p, noise = d_f_TBF.unbind(-3), d_p_TBP.unbind(-3), noise_TBU.unbind(-3)
        d_factors = d_factors_TBF.unbind(-3)
        d_seen = torch.zeros_like(d_f[0])
        d_k, d_g = (torch.zeros_like(h[0]) for h in (both.controller_BK, both.generator_BG))
        for t in range(n_bins)[::-1]:
            torch.add(d_factors[t], d_seen, out=d_f[t + 1])
            d_g = d_g + _times(product(d_f[t + 1], w.factors_FG), state_mask_TBG, t + 1)
            d_g, d_u = both.generator.backward(t, d_g, is_first=t == 0)
            d_mean[t].add_(d_u)
            d_log_variance[t].addcmul_(d_u, noise[t], value=0.5)
            d_k, d_seen = both.controller.backward(
                t, add_product(d_k, d_p[t], w.inferred_PK), is_first=t == 0
            )
            d_seen = _times(d_seen, factor_mask_TBF, t)
        d_f[0].copy_(d_seen)
        d_g = d_g + _times(product(d_seen, w.factors_FG), state_mask_TBG, 0)
        states_TBK = both.controller_TBK.narrow(-3, 1, n_bins)
        d_inferred_PK = product(d_p_TBP.flatten(-3, -2).mT, states_TBK.flatten(-3, -2))
        shown_TBG = both.generator_TBG
        if state_mask_TBG is not None:
            shown_TBG = shown_TBG * state_mask_TBG
        needs_encoded, needs_external = ctx.needs_input_grad[5:7]
        controller, generator = both.controller, both.generator
        d_controller_GX, d_controller_bias_G, d_controller_GK = controller.gradients(encoded_TBC)
        d_generator_GX, d_generator_bias_G, d_generator_GG = generator.gradients(external_TBE)
        return (
            *(None, None, None, None),
            d_g,
            controller.given_gradient(w.controller_GX) if needs_encoded else None,
            generator.given_gradient(w.generator_GX) if needs_external else None,
            *(d_controller_GX, d_controller_GK, d_controller_bias_G, d_k.sum(-2)),
            *(d_inferred_PK, d_p_TBP.sum((-3, -2))),
            *(d_generator_GX, d_generator_GG, d_generator_bias_G),
            product(d_f_TBF.flatten(-3, -2).mT, shown_TBG.flatten(-3, -2)),
        )

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *inputs: Any) -> tuple[Any, Any]:
        outputs = _Loop.apply(*stacked(info, in_dims, inputs))  # type: ignore[no-untyped-call]
        return outputs, (0,) * len(outputs)
