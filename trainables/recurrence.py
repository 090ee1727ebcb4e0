"""Recurrent cells stepped over the overlapping windows of runs of neighboring frames.

The input product of a frame is computed once and shared by all windows that hold the frame. With
time before run in its columns, the inputs of all windows at one step are neighboring columns, a
view that moves on by ``n_runs`` columns a step. Nothing is copied per window.

Rows are gates and hidden units, so that gates lie one after the other and several go through one
elementwise call. All biases sit in the input product. The backward pass is written by hand: it
keeps the gates, reuses its buffers, and sums the gradient of the recurrent weights in one batched
product.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

# G gate rows, H hidden, C columns: windows x runs, S steps: frames in a window

_sigmoid_backward = torch.ops.aten.sigmoid_backward.grad_input
_tanh_backward = torch.ops.aten.tanh_backward.grad_input


class Cell(Enum):
    """The kinds of recurrent cell."""

    SIMPLE = "simple"
    LSTM = "lstm"
    GRU = "gru"


def last_state(
    cell: Cell,
    /,
    *,
    inputs: Tensor,
    weight_GH: Tensor,
    n_runs: int,
    window_length: int,
    reverse: bool = False,
) -> Tensor:
    """Step a cell through every window and give its last hidden state.

    Parameters
    ----------
    inputs
        Input products with all biases, shape ``(rows, time x run)``, time the slower. Rows are
        hidden units (simple), gates ``i, f, o, g`` (LSTM), or ``r``, ``z``, the recurrent bias of
        ``n``, and the input product of ``n`` (GRU).
    weight_GH
        Recurrent weights, rows as those of `inputs` that have any.
    n_runs
        Runs side by side.
    window_length
        Frames in a window.
    reverse
        Whether to step from the window's last frame to its first.

    Returns
    -------
    state
        Shape ``(hidden, window x run)``, window the slower.

    Examples
    --------
    >>> inputs, weight_GH = torch.zeros(4, 10), torch.eye(4)  # two runs of five frames
    >>> last_state(
    ...     Cell.SIMPLE, inputs=inputs, weight_GH=weight_GH, n_runs=2, window_length=3
    ... ).shape
    torch.Size([4, 6])
    """
    if torch.is_grad_enabled():
        state: Tensor = _Recurrence.apply(  # type: ignore[no-untyped-call]
            inputs, weight_GH, cell, n_runs, window_length, reverse
        )
        return state
    steps = _steps(inputs, n_runs=n_runs, window_length=window_length, reverse=reverse)
    return _FORWARD[cell](steps, weight_GH, n_kept=1)[0]


class _Recurrence(torch.autograd.Function):
    """The last state of every window, with the cell's hand-written backward."""

    @staticmethod
    def forward(
        ctx: Any,
        inputs: Tensor,
        weight_GH: Tensor,
        cell: Cell,
        n_runs: int,
        window_length: int,
        reverse: bool,
    ) -> Tensor:
        ctx.cell = cell
        ctx.plan = {"n_runs": n_runs, "window_length": window_length, "reverse": reverse}
        ctx.shape = inputs.shape
        steps = _steps(inputs, **ctx.plan)
        state, kept = _FORWARD[cell](steps, weight_GH, n_kept=window_length)
        ctx.save_for_backward(weight_GH, *kept)
        return state

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_state: Tensor) -> tuple[Tensor | None, ...]:
        weight_GH, *kept = ctx.saved_tensors
        d_inputs = d_state.new_zeros(ctx.shape)
        steps = _steps(d_inputs, **ctx.plan)
        d_weight = _BACKWARD[ctx.cell](d_state.clone(), steps, weight_GH, kept)
        return d_inputs, d_weight, None, None, None, None


def _steps(inputs: Tensor, *, n_runs: int, window_length: int, reverse: bool) -> Sequence[Tensor]:
    """View the columns that all windows see at each step."""
    n_columns = inputs.shape[1] - (window_length - 1) * n_runs
    steps = inputs.unfold(1, n_columns, n_runs).unbind(1)
    return steps[::-1] if reverse else steps


def _room(like: Tensor, *, n: int, n_rows: int) -> Tensor:
    return like.new_empty(n, n_rows, like.shape[1])


def _states(like: Tensor, *, n_kept: int, n_hidden: int) -> Tensor:
    """Make room for the state before each step and after the last; the first is zero."""
    states = _room(like, n=n_kept + 1, n_rows=n_hidden)
    states[0].zero_()
    return states


def _weight_gradient(d_SGC: Tensor, states: Tensor) -> Tensor:
    return torch.bmm(d_SGC, states[:-1].transpose(1, 2)).sum(0)


# Each forward keeps what its backward reads of `n_kept` steps: of all, or for a prediction of one,
# whose room the next step takes over.


def _simple_forward(
    steps: Sequence[Tensor], weight_GH: Tensor, *, n_kept: int
) -> tuple[Tensor, tuple[Tensor, ...]]:
    states = _states(steps[0], n_kept=n_kept, n_hidden=weight_GH.shape[1])
    h = states.unbind(0)
    for s, x in enumerate(steps):
        now, then = s % len(h), (s + 1) % len(h)
        torch.addmm(x, weight_GH, h[now], out=h[then]).tanh_()
    return h[len(steps) % len(h)].clone(), (states,)


def _simple_backward(
    dh: Tensor, d_steps: Sequence[Tensor], weight_GH: Tensor, kept: Sequence[Tensor]
) -> Tensor:
    (states,) = kept
    d_SGC = torch.empty_like(states[1:])
    weight_HG = weight_GH.t()
    for d, h_new, d_x in _backwards(d_SGC.unbind(0), states[1:].unbind(0), d_steps):
        _tanh_backward(dh, h_new, grad_input=d)
        torch.mm(weight_HG, d, out=dh)
        d_x.add_(d)
    return _weight_gradient(d_SGC, states)


def _lstm_forward(
    steps: Sequence[Tensor], weight_GH: Tensor, *, n_kept: int
) -> tuple[Tensor, tuple[Tensor, ...]]:
    n_hidden = weight_GH.shape[1]
    gates = _room(steps[0], n=n_kept, n_rows=4 * n_hidden)
    squashed = _room(steps[0], n=n_kept, n_rows=n_hidden)
    states = _states(steps[0], n_kept=n_kept, n_hidden=n_hidden)
    cells = _states(steps[0], n_kept=n_kept, n_hidden=n_hidden)
    h, c = states.unbind(0), cells.unbind(0)
    rooms = list(zip(gates.unbind(0), squashed.unbind(0), strict=True))
    for s, x in enumerate(steps):
        now, then = s % len(h), (s + 1) % len(h)
        gate, tanh_c = rooms[s % n_kept]
        torch.addmm(x, weight_GH, h[now], out=gate)
        gate[: 3 * n_hidden].sigmoid_()
        i, f, o, g = gate.chunk(4)
        torch.mul(f, c[now], out=c[then]).addcmul_(i, g.tanh_())
        torch.mul(o, torch.tanh(c[then], out=tanh_c), out=h[then])
    return h[len(steps) % len(h)].clone(), (gates, squashed, states, cells)


def _lstm_backward(
    dh: Tensor, d_steps: Sequence[Tensor], weight_GH: Tensor, kept: Sequence[Tensor]
) -> Tensor:
    gates, squashed, states, cells = kept
    n_hidden = weight_GH.shape[1]
    weight_HG = weight_GH.t()
    d_SGC = torch.empty_like(gates)
    dc, d_ifo = torch.zeros_like(dh), torch.empty_like(gates[0, : 3 * n_hidden])
    d_i, d_f, d_o = d_ifo.chunk(3)
    for d, gate, tanh_c, c, d_x in _backwards(
        d_SGC.unbind(0), gates.unbind(0), squashed.unbind(0), cells[:-1].unbind(0), d_steps
    ):
        i, f, o, g = gate.chunk(4)
        torch.mul(dh, tanh_c, out=d_o)
        dc.add_(_tanh_backward(dh.mul_(o), tanh_c, grad_input=dh))
        torch.mul(dc, g, out=d_i)
        torch.mul(dc, c, out=d_f)
        _sigmoid_backward(d_ifo, gate[: 3 * n_hidden], grad_input=d[: 3 * n_hidden])
        _tanh_backward(torch.mul(dc, i, out=d_i), g, grad_input=d[3 * n_hidden :])
        dc.mul_(f)
        torch.mm(weight_HG, d, out=dh)
        d_x.add_(d)
    return _weight_gradient(d_SGC, states)


def _gru_forward(
    steps: Sequence[Tensor], weight_GH: Tensor, *, n_kept: int
) -> tuple[Tensor, tuple[Tensor, ...]]:
    n_hidden = weight_GH.shape[1]
    gates = _room(steps[0], n=n_kept, n_rows=3 * n_hidden)
    candidates = _room(steps[0], n=n_kept, n_rows=n_hidden)
    states = _states(steps[0], n_kept=n_kept, n_hidden=n_hidden)
    h = states.unbind(0)
    rooms = list(zip(gates.unbind(0), candidates.unbind(0), strict=True))
    for s, x in enumerate(steps):
        now, then = s % len(h), (s + 1) % len(h)
        gate, n = rooms[s % n_kept]
        torch.addmm(x[: 3 * n_hidden], weight_GH, h[now], out=gate)
        gate[: 2 * n_hidden].sigmoid_()
        r, z, m = gate.chunk(3)
        torch.addcmul(x[3 * n_hidden :], r, m, out=n).tanh_()
        torch.lerp(n, h[now], z, out=h[then])
    return h[len(steps) % len(h)].clone(), (gates, candidates, states)


def _gru_backward(
    dh: Tensor, d_steps: Sequence[Tensor], weight_GH: Tensor, kept: Sequence[Tensor]
) -> Tensor:
    gates, candidates, states = kept
    n_hidden = weight_GH.shape[1]
    weight_HG = weight_GH.t()
    d_SGC = torch.empty_like(gates)
    d_rz, d_n = torch.empty_like(gates[0, : 2 * n_hidden]), torch.empty_like(dh)
    d_r, d_z = d_rz.chunk(2)
    for d, gate, n, h, d_x in _backwards(
        d_SGC.unbind(0), gates.unbind(0), candidates.unbind(0), states[:-1].unbind(0), d_steps
    ):
        r, z, m = gate.chunk(3)
        torch.mul(torch.sub(h, n, out=d_z), dh, out=d_z)
        torch.mul(dh, z, out=d_r)
        _tanh_backward(torch.sub(dh, d_r, out=d_n), n, grad_input=d_n)
        dh.copy_(d_r)
        torch.mul(d_n, m, out=d_r)
        _sigmoid_backward(d_rz, gate[: 2 * n_hidden], grad_input=d[: 2 * n_hidden])
        torch.mul(d_n, r, out=d[2 * n_hidden :])
        dh.addmm_(weight_HG, d)
        d_x[: 3 * n_hidden].add_(d)
        d_x[3 * n_hidden :].add_(d_n)
    return _weight_gradient(d_SGC, states)


def _backwards(*steps: Sequence[Tensor]) -> Iterator[tuple[Tensor, ...]]:
    return zip(*(each[::-1] for each in steps), strict=True)


_FORWARD: dict[Cell, Callable[..., tuple[Tensor, tuple[Tensor, ...]]]] = {
    Cell.SIMPLE: _simple_forward,
    Cell.LSTM: _lstm_forward,
    Cell.GRU: _gru_forward,
}
_BACKWARD: dict[Cell, Callable[..., Tensor]] = {
    Cell.SIMPLE: _simple_backward,
    Cell.LSTM: _lstm_backward,
    Cell.GRU: _gru_backward,
}
