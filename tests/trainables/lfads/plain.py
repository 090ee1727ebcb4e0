"""What hand-written operations of LFADS should give, by torch's own."""

import torch
from torch import Tensor
from torch.nn import functional


def plain_states(
    x_TBX: Tensor,
    weight_GX: Tensor,
    bias_G: Tensor,
    weight_GH: Tensor,
    first_H: Tensor,
    *,
    clip: float,
    reverse: bool,
) -> Tensor:
    """The states of a clipped GRU."""
    h = first_H.expand(x_TBX.shape[1], -1)
    steps = functional.linear(x_TBX, weight_GX, bias_G).unbind(0)
    states = []
    for x in steps[::-1] if reverse else steps:
        h = plain_step(x, h, weight_GH, clip=clip)
        states.append(h)
    return torch.stack(states[::-1] if reverse else states)


def plain_step(x_BG: Tensor, h_BH: Tensor, weight_GH: Tensor, /, *, clip: float) -> Tensor:
    """Give the next state, from input products with their bias."""
    n_hidden = h_BH.shape[1]
    x_rz, x_n = torch.split(x_BG, [2 * n_hidden, n_hidden], dim=1)
    weight_rz, weight_n = torch.split(weight_GH, [2 * n_hidden, n_hidden])
    r, z = torch.sigmoid(x_rz + h_BH @ weight_rz.t()).chunk(2, dim=1)
    n = torch.tanh(x_n + (r * h_BH) @ weight_n.t())
    return torch.lerp(n, h_BH, z).clamp(-clip, clip)


def plain_loop(
    state_BG: Tensor,
    encoded_TBC: Tensor,
    external_TBE: Tensor,
    weights,
    *,
    draws,
    clip: float,
) -> tuple[Tensor, Tensor]:
    """Factors and inferred inputs of the generator's loop."""
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


def _times(x, masks, t):
    return x if masks is None else x * masks[t]
