"""The clipped GRU of LFADS, stepped in place with a backward pass written by hand.

The reset gate multiplies the state (`calsweep.trainables.recurrence.Cell.GRU_RESET_BEFORE`), and
there is one bias for each gate row. One buffer holds the input products, then the gates, then their
gradients, so that a run takes no more memory than its gates.

Under `torch.vmap` over models, each step is one batched product: all tensors then have an axis of
models before those that their names tell.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from calsweep.trainables.product import add_product, over_bins, product
from calsweep.trainables.squash import sigmoid_backward, tanh_, tanh_backward
from calsweep.trainables.stack import stacked

# T bin, B trial, X input, H hidden, G gate rows: r, z, n; S what gates see: h, x, r * h


class ClippedGru(nn.Module):
    """A GRU in one direction of time, from a learnt state, its states clipped.

    Weights are normal with variance 1 / (inputs + hidden units), the biases of both gates 1 and
    those of the candidate 0, the first state 0.

    Parameters
    ----------
    n_inputs, n_hidden
        Sizes.
    clip
        Bound of states, at least 1.
    reverse
        Whether it goes from the last bin to the first.

    Examples
    --------
    >>> ClippedGru(5, 4, clip=5.0)(torch.zeros(7, 3, 5)).shape
    torch.Size([7, 3, 4])
    """

    def __init__(self, n_inputs: int, n_hidden: int, *, clip: float, reverse: bool = False) -> None:
        super().__init__()
        spread = (n_inputs + n_hidden) ** -0.5
        self.clip, self.reverse = clip, reverse
        self.weight_GX = nn.Parameter(spread * torch.randn(3 * n_hidden, n_inputs))
        self.weight_GH = nn.Parameter(spread * torch.randn(3 * n_hidden, n_hidden))
        self.bias_G = nn.Parameter(gate_bias(n_hidden))
        self.first_H = nn.Parameter(torch.zeros(n_hidden))

    @property
    def weights(self) -> tuple[nn.Parameter, ...]:
        """Of inputs, biases, of states, and the first state."""
        return self.weight_GX, self.bias_G, self.weight_GH, self.first_H

    def forward(self, x_TBX: Tensor) -> Tensor:
        """Give the state after each bin, shape ``(bin, trial, hidden)``."""
        return run_together([self], x_TBX)[0]


def run_together(grus: Sequence[ClippedGru], x_TBX: Tensor, /) -> tuple[Tensor, ...]:
    """Give the states of several GRUs that see the same, whose inputs are projected in one product.

    Examples
    --------
    >>> grus = [ClippedGru(5, n, clip=5.0) for n in (4, 3)]
    >>> [states.shape for states in run_together(grus, torch.zeros(7, 2, 5))]
    [torch.Size([7, 2, 4]), torch.Size([7, 2, 3])]
    """
    ways = tuple((gru.clip, gru.reverse) for gru in grus)
    weights = [weight for gru in grus for weight in gru.weights]
    given_back: tuple[Tensor, ...] = _Runs.apply(  # type: ignore[no-untyped-call]
        x_TBX, ways, *weights
    )
    return given_back[: len(grus)]


def gate_bias(n_hidden: int, /) -> Tensor:
    """Give the biases a GRU begins with: 1 for both gates, so that states last, and 0."""
    return torch.cat([torch.ones(2 * n_hidden), torch.zeros(n_hidden)])


class Steps:
    """The steps of one GRU over shared buffers, forward and then back.

    Inputs that are given for all bins are projected at once; what the loop itself finds comes
    behind them in the columns of the weights. Only the first step can leave the bounds: a later
    state lies between a clipped one and a candidate below 1.

    Parameters
    ----------
    gates_TBG
        Inputs as `projected`; then gates; then, going back, the gradients of both.
    before_TBS
        Room for what a step sees: its state, further inputs, and the state times the reset gate.
    weight_GX, bias_G, weight_GH
        Of all inputs, of gates, and of the state.
    clip
        Bound of states.
    """

    def __init__(
        self,
        gates_TBG: Tensor,
        before_TBS: Tensor,
        *,
        weight_GX: Tensor,
        bias_G: Tensor,
        weight_GH: Tensor,
        clip: float,
    ) -> None:
        n, n_seen = weight_GH.shape[-1], before_TBS.shape[-1]
        self.n_hidden, self.n_further, self.clip = n, n_seen - 2 * n, clip
        self.gates_TBG, self.before_TBS = gates_TBG, before_TBS
        self._bias_1G = bias_G.unsqueeze(-2)
        self._gates = gates_TBG.unbind(-3)
        further = weight_GX[..., weight_GX.shape[-1] - self.n_further :]
        hidden_rz, hidden_n = torch.split(weight_GH, [2 * n, n], dim=-2)
        further_rz, further_n = torch.split(further, [2 * n, n], dim=-2)
        self.weight_rz = torch.cat([hidden_rz, further_rz], dim=-1)
        self.weight_n = torch.cat([further_n, hidden_n], dim=-1)
        self._rz, self._r, self._z, self._n = (
            gates_TBG[..., a:b].unbind(-3)
            for a, b in ((0, 2 * n), (0, n), (n, 2 * n), (2 * n, 3 * n))
        )
        seen = ((0, n), (n, n_seen - n), (n_seen - n, n_seen), (0, n_seen - n), (n, n_seen))
        self._h, self._x, self._rh, self._hx, self._xrh = (
            before_TBS[..., a:b].unbind(-3) for a, b in seen
        )

    def forward(
        self, t: int, /, *, further: Tensor | None = None, new: Tensor, is_first: bool
    ) -> None:
        """Write the state after bin `t`."""
        rz, n, h = self._rz[t], self._n[t], self._h[t]
        if further is not None:
            self._x[t].copy_(further)
        self._gates[t].add_(self._bias_1G)  # here, while they are in the cache
        add_product(rz, self._hx[t], self.weight_rz.mT, out=rz).sigmoid_()
        torch.mul(self._r[t], h, out=self._rh[t])
        tanh_(add_product(n, self._xrh[t], self.weight_n.mT, out=n))
        torch.lerp(n, h, self._z[t], out=new)
        if is_first:
            new.clamp_(-self.clip, self.clip)

    def backward(self, t: int, d_new: Tensor, /, *, is_first: bool) -> tuple[Tensor, Tensor]:
        """Give the gradients of the state before bin `t`, and of further inputs."""
        rz, r, z, n, h = self._rz[t], self._r[t], self._z[t], self._n[t], self._h[t]
        if is_first:
            d_new = d_new * (torch.lerp(n, h, z).abs() <= self.clip)
        d_rz = torch.empty_like(rz)
        d_r, d_z = d_rz.chunk(2, dim=-1)
        torch.sub(h, n, out=d_z).mul_(d_new)
        d_h = torch.mul(d_new, z)
        tanh_backward(torch.sub(d_new, d_h), n, grad_input=n)
        d_xrh = product(n, self.weight_n)
        d_x, d_rh = d_xrh[..., : self.n_further], d_xrh[..., self.n_further :]
        torch.mul(d_rh, h, out=d_r)
        d_h.addcmul_(d_rh, r)
        sigmoid_backward(d_rz, rz, grad_input=rz)
        d_hx = product(rz, self.weight_rz)
        return d_h.add_(d_hx[..., : self.n_hidden]), d_x.add_(d_hx[..., self.n_hidden :])

    def gradients(self, given_TBX: Tensor, /) -> tuple[Tensor, Tensor, Tensor]:
        """Give those of inputs' weights, biases and states' weights; all steps have gone back."""
        gates_G = self.gates_TBG.flatten(-3, -2)
        d_given_GX = product(gates_G.mT, given_TBX.flatten(-3, -2))
        d_further_GX, d_weight_GH = self._loop_gradients()
        return torch.cat([d_given_GX, d_further_GX], dim=-1), gates_G.sum(-2), d_weight_GH

    def state_gradient(self) -> Tensor:
        """Give that of states' weights; all steps have gone back."""
        return self._loop_gradients()[1]

    def _loop_gradients(self) -> tuple[Tensor, Tensor]:
        """Give those of further inputs' weights and states' weights."""
        n, n_further = self.n_hidden, self.n_further
        gates_G, seen_S = self.gates_TBG.flatten(-3, -2), self.before_TBS.flatten(-3, -2)
        d_rz = product(gates_G[..., : 2 * n].mT, seen_S[..., : n + n_further])
        d_n = product(gates_G[..., 2 * n :].mT, seen_S[..., n:])
        return (
            torch.cat([d_rz[..., n:], d_n[..., :n_further]], dim=-2),
            torch.cat([d_rz[..., :n], d_n[..., n_further:]], dim=-2),
        )

    def given_gradient(self, weight_GX: Tensor, /) -> Tensor:
        """Give that of the inputs given for all bins."""
        n_given = weight_GX.shape[-1] - self.n_further
        return over_bins(self.gates_TBG, weight_GX[..., :n_given])


def projected(given_TBX: Tensor, weight_GX: Tensor, /) -> Tensor:
    """Give the products of inputs in a buffer of their own, all bins at once, without bias."""
    return over_bins(given_TBX, weight_GX[..., : given_TBX.shape[-1]].mT)


class _Runs(torch.autograd.Function):
    """The states of several GRUs, with the backward written by hand.

    What the backward goes on from are outputs too, since a Function that vmap may meet has no other
    way to keep it.
    """

    @staticmethod
    def forward(
        x_TBX: Tensor, ways: tuple[tuple[float, bool], ...], *weights: Tensor
    ) -> tuple[Tensor, ...]:
        *stack, n_bins, n_trials, _ = x_TBX.shape
        weights_GX, firsts_H = weights[::4], weights[3::4]
        gates_TBG = projected(x_TBX, torch.cat(weights_GX, dim=-2))
        # One slot more than there are steps: a step writes the state where the next one sees it.
        rooms = [
            x_TBX.new_empty(*stack, n_bins + 1, n_trials, 2 * first.shape[-1]) for first in firsts_H
        ]
        states = []
        for run, first_H in zip(_runs(ways, weights, gates_TBG, rooms), firsts_H, strict=True):
            order, n = run.order, first_H.shape[-1]
            first_BH = run.steps.before_TBS[..., :n].select(-3, order[0])
            first_BH.copy_(first_H.unsqueeze(-2).expand_as(first_BH))
            news = run.after_TBS[..., :n].unbind(-3)
            for t in order:
                run.steps.forward(t, new=news[t], is_first=t == order[0])
            states.append(run.after_TBS[..., :n].clone())
        return *states, gates_TBG, *rooms

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        x_TBX, ctx.ways, *weights = inputs
        kept = output[len(ctx.ways) :]
        ctx.mark_non_differentiable(*kept)
        ctx.set_materialize_grads(False)  # of what is kept, they would be as large
        ctx.save_for_backward(x_TBX, *kept, *weights)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *d_outputs: Tensor | None) -> tuple[Tensor | None, ...]:
        x_TBX, gates_TBG, *kept = ctx.saved_tensors
        n_runs = len(ctx.ways)
        rooms, weights = kept[:n_runs], kept[n_runs:]
        d_firsts, d_weights_GH = [], []
        runs = _runs(ctx.ways, weights, gates_TBG, rooms)
        for run, d_states_TBH in zip(runs, d_outputs[:n_runs], strict=True):
            if d_states_TBH is None:
                d_states_TBH = torch.zeros_like(run.after_TBS[..., : run.steps.n_hidden])
            of_bins = d_states_TBH.unbind(-3)
            d_h = torch.zeros_like(of_bins[0])
            for t in run.order[::-1]:
                d_h, _ = run.steps.backward(t, d_h.add_(of_bins[t]), is_first=t == run.order[0])
            d_firsts.append(d_h.sum(-2))
            d_weights_GH.append(run.steps.state_gradient())
        weights_GX = weights[::4]
        sizes = [weight.shape[-2] for weight in weights_GX]
        d_gates = gates_TBG.flatten(-3, -2)
        d_weights_GX = torch.split(product(d_gates.mT, x_TBX.flatten(-3, -2)), sizes, dim=-2)
        ones = d_gates.new_ones(*d_gates.shape[:-1], 1)
        d_biases_G = torch.split(product(d_gates.mT, ones).squeeze(-1), sizes, dim=-1)
        d_x = None
        if ctx.needs_input_grad[0]:
            d_x = over_bins(gates_TBG, torch.cat(weights_GX, dim=-2))
        parts = zip(d_weights_GX, d_biases_G, d_weights_GH, d_firsts, strict=True)
        return d_x, None, *(gradient for of_run in parts for gradient in of_run)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *inputs: Any) -> tuple[Any, Any]:
        outputs = _Runs.apply(*stacked(info, in_dims, inputs))  # type: ignore[no-untyped-call]
        return outputs, (0,) * len(outputs)


class _OneRun(NamedTuple):
    """The steps of a GRU, where each writes, and their order."""

    steps: Steps
    after_TBS: Tensor
    order: range


def _runs(
    ways: Sequence[tuple[float, bool]],
    weights: Sequence[Tensor],
    gates_TBG: Tensor,
    rooms: Sequence[Tensor],
) -> Iterator[_OneRun]:
    sizes = [weight.shape[-2] for weight in weights[::4]]
    parts = torch.split(gates_TBG, sizes, dim=-1)
    of_runs = zip(ways, weights[1::4], weights[2::4], parts, rooms, strict=True)
    for (clip, reverse), bias_G, weight_GH, part, room in of_runs:
        n_bins = part.shape[-3]
        first, later = room.narrow(-3, 0, n_bins), room.narrow(-3, 1, n_bins)
        before, after = (later, first) if reverse else (first, later)
        none = weight_GH[..., :0]  # all inputs are given
        steps = Steps(part, before, weight_GX=none, bias_G=bias_G, weight_GH=weight_GH, clip=clip)
        bins = range(n_bins)
        yield _OneRun(steps, after, bins[::-1] if reverse else bins)
