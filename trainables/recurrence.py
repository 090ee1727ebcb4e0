"""Recurrent cells stepped over the overlapping windows of runs of neighboring frames.

The input product of a frame is computed once and shared by all windows that hold the frame. With
time before run in its columns, the inputs of all windows at one step are neighboring columns, a
view that moves on by ``n_runs`` columns a step. Nothing is copied per window.

Rows are gates and hidden units, so that gates lie one after the other and several go through one
elementwise call. All biases sit in the input product. The backward pass is written by hand: it
reads the gates that the forward pass kept, writes their gradients over them, adds those to the
gradients of the shared input products, and sums the gradient of the recurrent weights in one
batched product. Training the GRU of W so is 1.7 times as fast as ``torch.nn.GRU`` over copied
windows (``tests/benchmarks/RESULTS.md``).

Under `torch.vmap` over models, each step is one batched product: all tensors then have an axis of
models before rows and columns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from itertools import cycle
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from calsweep.trainables.product import add_product, product
from calsweep.trainables.squash import sigmoid_backward, tanh_, tanh_backward
from calsweep.trainables.stack import stacked

Kept = Sequence[Tensor]

# G gate rows, H hidden, C columns: windows x runs, S steps: frames in a window


class Cell(Enum):
    """The kinds of recurrent cell.

    The reset gate of a ``GRU`` multiplies the product of state and weights, as in torch, cuDNN and
    Keras (``reset_after=True``); that of ``GRU_RESET_BEFORE`` multiplies the state, as in the first
    publication (Cho et al., 2014) and Keras' ``reset_after=False``.
    """

    SIMPLE = "simple"
    LSTM = "lstm"
    GRU = "gru"
    GRU_RESET_BEFORE = "gru_reset_before"


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
        hidden units (simple), gates ``i, f, o, g`` (LSTM), ``r``, ``z``, the recurrent bias of
        ``n``, and the input product of ``n`` (GRU), or ``r, z, n`` (GRU with reset before).
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
    inputs = inputs.to(weight_GH.dtype)  # under autocast, products are lower and states are not
    if torch.is_grad_enabled():
        state: Tensor = _Recurrence.apply(  # type: ignore[no-untyped-call]
            inputs, weight_GH, cell, n_runs, window_length, reverse
        )[0]
        return state
    steps = _steps(inputs, n_runs=n_runs, window_length=window_length, reverse=reverse)
    return _FORWARD[cell](steps, weight_GH, n_kept=1)[0]


class _Recurrence(torch.autograd.Function):
    """The last state of every window, with the cell's hand-written backward.

    What the backward reads are outputs too, since a Function that vmap may meet has no other way to
    keep it.
    """

    @staticmethod
    def forward(
        inputs: Tensor,
        weight_GH: Tensor,
        cell: Cell,
        n_runs: int,
        window_length: int,
        reverse: bool,
    ) -> tuple[Tensor, ...]:
        steps = _steps(inputs, n_runs=n_runs, window_length=window_length, reverse=reverse)
        state, kept = _FORWARD[cell](steps, weight_GH, n_kept=window_length)
        return state, *kept

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        products, weight_GH, ctx.cell, n_runs, window_length, reverse = inputs
        ctx.plan = {"n_runs": n_runs, "window_length": window_length, "reverse": reverse}
        ctx.shape = products.shape
        kept = output[1:]
        ctx.mark_non_differentiable(*kept)
        ctx.set_materialize_grads(False)  # of what is kept, they would be as large
        ctx.save_for_backward(weight_GH, *kept)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_state: Tensor, *_: None) -> tuple[Tensor | None, ...]:
        weight_GH, *kept = ctx.saved_tensors
        d_inputs = d_state.new_zeros(ctx.shape)
        steps = _steps(d_inputs, **ctx.plan)
        dh = d_state.clone(memory_format=torch.contiguous_format)
        d_weight = _BACKWARD[ctx.cell](dh, steps, weight_GH, kept)
        return d_inputs, d_weight, None, None, None, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *inputs: Any) -> tuple[Any, Any]:
        products, weight_GH, *plan = stacked(info, in_dims, inputs)
        state, *kept = _Recurrence.apply(  # type: ignore[no-untyped-call]
            products, weight_GH, *plan
        )
        # What is kept has steps before models.
        return (state, *kept), (0, *[1] * len(kept))


def _steps(inputs: Tensor, *, n_runs: int, window_length: int, reverse: bool) -> Sequence[Tensor]:
    """View the columns that all windows see at each step."""
    n_columns = inputs.shape[-1] - (window_length - 1) * n_runs
    steps = inputs.unfold(-1, n_columns, n_runs).unbind(-2)
    return steps[::-1] if reverse else steps


def _room(like: Tensor, *, n: int, n_rows: int) -> Tensor:
    *stack, _, n_columns = like.shape
    return like.new_empty(n, *stack, n_rows, n_columns)


def _states(like: Tensor, *, n_kept: int, n_hidden: int) -> Tensor:
    """Make room for the state before each step and after the last; the first is zero."""
    states = _room(like, n=n_kept + 1, n_rows=n_hidden)
    states[0].zero_()
    return states


def _new(states: Tensor) -> Sequence[Tensor]:
    """Give where the state after each step goes."""
    first, *others = states.unbind(0)
    return *others, first


def _onward(steps: Sequence[Tensor], *rooms: Sequence[Tensor]) -> Iterator[tuple[Tensor, ...]]:
    """Go through steps and their room; where there is room for fewer steps, use it again."""
    return zip(steps, *map(cycle, rooms), strict=False)


def _back(d_steps: Sequence[Tensor], *rooms: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Go back through steps and their room."""
    return zip(d_steps[::-1], *(room.unbind(0)[::-1] for room in rooms), strict=True)


def _weight_gradient(d_SGC: Tensor, states: Tensor) -> Tensor:
    return torch.matmul(d_SGC, states[:-1].mT).sum(0)


# Each forward keeps what its backward reads: of all steps, or for a prediction of one, whose room
# the next step takes over. Each backward writes the gradients of gates over the gates; torch
# refuses a second one over the same graph, because what was saved has changed.


def _simple_forward(
    steps: Sequence[Tensor], weight_GH: Tensor, *, n_kept: int
) -> tuple[Tensor, Kept]:
    states = _states(steps[0], n_kept=n_kept, n_hidden=weight_GH.shape[-1])
    h = states[0]
    for x, new in _onward(steps, _new(states)):
        h = tanh_(add_product(x, weight_GH, h, out=new))
    return h.clone(), (states,)


def _simple_backward(
    dh: Tensor, d_steps: Sequence[Tensor], weight_GH: Tensor, kept: Kept
) -> Tensor:
    (states,) = kept
    gates, weight_HG = torch.empty_like(states[1:]), weight_GH.mT
    for d_x, gate, h in _back(d_steps, gates, states[1:]):
        d_x.add_(tanh_backward(dh, h, grad_input=gate))
        product(weight_HG, gate, out=dh)
    return _weight_gradient(gates, states)


def _lstm_forward(
    steps: Sequence[Tensor], weight_GH: Tensor, *, n_kept: int
) -> tuple[Tensor, Kept]:
    n_hidden = weight_GH.shape[-1]
    gates = _room(steps[0], n=n_kept, n_rows=4 * n_hidden)
    squashed = _room(steps[0], n=n_kept, n_rows=n_hidden)
    states, cells = (_states(steps[0], n_kept=n_kept, n_hidden=n_hidden) for _ in range(2))
    rooms = [room.unbind(0) for room in (gates, gates[..., : 3 * n_hidden, :], squashed)]
    parts = [part.unbind(0) for part in gates.chunk(4, dim=-2)]
    h, c = states[0], cells[0]
    for x, gate, ifo, tanh_c, i, f, o, g, new_h, new_c in _onward(
        steps, *rooms, *parts, _new(states), _new(cells)
    ):
        add_product(x, weight_GH, h, out=gate)
        ifo.sigmoid_()
        c = torch.mul(f, c, out=new_c).addcmul_(i, tanh_(g))
        h = torch.mul(o, tanh_(tanh_c.copy_(c)), out=new_h)
    return h.clone(), (gates, squashed, states, cells)


def _lstm_backward(dh: Tensor, d_steps: Sequence[Tensor], weight_GH: Tensor, kept: Kept) -> Tensor:
    gates, squashed, states, cells = kept
    ifos, weight_HG = gates[..., : 3 * dh.shape[-2], :], weight_GH.mT
    dc, d_g, d_ifo = torch.zeros_like(dh), torch.empty_like(dh), torch.empty_like(ifos[0])
    d_i, d_f, d_o = d_ifo.chunk(3, dim=-2)
    for d_x, gate, ifo, i, f, o, g, tanh_c, c in _back(
        d_steps, gates, ifos, *gates.chunk(4, dim=-2), squashed, cells[:-1]
    ):
        torch.mul(dh, tanh_c, out=d_o)
        dc.add_(tanh_backward(dh.mul_(o), tanh_c, grad_input=dh))
        torch.mul(dc, g, out=d_i)
        torch.mul(dc, c, out=d_f)
        torch.mul(dc, i, out=d_g)
        dc.mul_(f)
        tanh_backward(d_g, g, grad_input=g)
        sigmoid_backward(d_ifo, ifo, grad_input=ifo)
        d_x.add_(gate)
        product(weight_HG, gate, out=dh)
    return _weight_gradient(gates, states)


def _gru_forward(steps: Sequence[Tensor], weight_GH: Tensor, *, n_kept: int) -> tuple[Tensor, Kept]:
    n_hidden = weight_GH.shape[-1]
    gates = _room(steps[0], n=n_kept, n_rows=4 * n_hidden)
    states = _states(steps[0], n_kept=n_kept, n_hidden=n_hidden)
    rooms = [gates[..., :n, :].unbind(0) for n in (3 * n_hidden, 2 * n_hidden)]
    parts = [part.unbind(0) for part in gates.chunk(4, dim=-2)]
    h = states[0]
    for x, rzm, rz, r, z, m, n, new in _onward(steps, *rooms, *parts, _new(states)):
        add_product(x[..., : 3 * n_hidden, :], weight_GH, h, out=rzm)
        rz.sigmoid_()
        tanh_(torch.addcmul(x[..., 3 * n_hidden :, :], r, m, out=n))
        h = torch.lerp(n, h, z, out=new)
    return h.clone(), (gates, states)


def _gru_backward(dh: Tensor, d_steps: Sequence[Tensor], weight_GH: Tensor, kept: Kept) -> Tensor:
    gates, states = kept
    n_hidden, weight_HG = dh.shape[-2], weight_GH.mT
    rzms, rzs = (gates[..., : n * n_hidden, :] for n in (3, 2))
    d_rz, d_n, passed = torch.empty_like(rzs[0]), torch.empty_like(dh), torch.empty_like(dh)
    d_r, d_z = d_rz.chunk(2, dim=-2)
    for d_x, gate, rzm, rz, r, z, m, n, h in _back(
        d_steps, gates, rzms, rzs, *gates.chunk(4, dim=-2), states[:-1]
    ):
        torch.sub(h, n, out=d_z).mul_(dh)
        torch.mul(dh, z, out=passed)
        tanh_backward(torch.sub(dh, passed, out=d_n), n, grad_input=n)
        torch.mul(n, m, out=d_r)
        torch.mul(n, r, out=m)
        sigmoid_backward(d_rz, rz, grad_input=rz)
        d_x.add_(gate)
        add_product(passed, weight_HG, rzm, out=dh)
    return _weight_gradient(rzms, states)


def _gru_reset_before_forward(
    steps: Sequence[Tensor], weight_GH: Tensor, *, n_kept: int
) -> tuple[Tensor, Kept]:
    n_hidden = weight_GH.shape[-1]
    weight_rz, weight_n = torch.split(weight_GH, [2 * n_hidden, n_hidden], dim=-2)
    gates = _room(steps[0], n=n_kept, n_rows=3 * n_hidden)
    resets = _room(steps[0], n=n_kept, n_rows=n_hidden)
    states = _states(steps[0], n_kept=n_kept, n_hidden=n_hidden)
    rooms = [room.unbind(0) for room in (gates[..., : 2 * n_hidden, :], resets)]
    parts = [part.unbind(0) for part in gates.chunk(3, dim=-2)]
    h = states[0]
    for x, rz, reset, r, z, n, new in _onward(steps, *rooms, *parts, _new(states)):
        add_product(x[..., : 2 * n_hidden, :], weight_rz, h, out=rz).sigmoid_()
        torch.mul(r, h, out=reset)
        tanh_(add_product(x[..., 2 * n_hidden :, :], weight_n, reset, out=n))
        h = torch.lerp(n, h, z, out=new)
    return h.clone(), (gates, resets, states)


def _gru_reset_before_backward(
    dh: Tensor, d_steps: Sequence[Tensor], weight_GH: Tensor, kept: Kept
) -> Tensor:
    gates, resets, states = kept
    n_hidden = dh.shape[-2]
    sizes = [2 * n_hidden, n_hidden]
    rzs = gates[..., : 2 * n_hidden, :]
    weight_rz, weight_n = (part.mT for part in torch.split(weight_GH, sizes, dim=-2))
    d_rz, d_n, d_reset = torch.empty_like(rzs[0]), torch.empty_like(dh), torch.empty_like(dh)
    d_r, d_z = d_rz.chunk(2, dim=-2)
    for d_x, gate, rz, r, z, n, h in _back(
        d_steps, gates, rzs, *gates.chunk(3, dim=-2), states[:-1]
    ):
        torch.sub(h, n, out=d_z).mul_(dh)
        passed = dh.mul(z)
        tanh_backward(torch.sub(dh, passed, out=d_n), n, grad_input=n)
        product(weight_n, n, out=d_reset)
        torch.mul(d_reset, h, out=d_r)
        passed.addcmul_(d_reset, r)
        sigmoid_backward(d_rz, rz, grad_input=rz)
        d_x.add_(gate)
        add_product(passed, weight_rz, rz, out=dh)
    d_rzs, d_ns = torch.split(gates, sizes, dim=-2)
    d_weight_n = torch.matmul(d_ns, resets.mT).sum(0)
    return torch.cat([_weight_gradient(d_rzs, states), d_weight_n], dim=-2)


_FORWARD: dict[Cell, Callable[..., tuple[Tensor, Kept]]] = {
    Cell.SIMPLE: _simple_forward,
    Cell.LSTM: _lstm_forward,
    Cell.GRU: _gru_forward,
    Cell.GRU_RESET_BEFORE: _gru_reset_before_forward,
}
_BACKWARD: dict[Cell, Callable[..., Tensor]] = {
    Cell.SIMPLE: _simple_backward,
    Cell.LSTM: _lstm_backward,
    Cell.GRU: _gru_backward,
    Cell.GRU_RESET_BEFORE: _gru_reset_before_backward,
}
