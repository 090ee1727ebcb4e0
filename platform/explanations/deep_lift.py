"""DeepLIFT's rules for what decoders are made of, under which captum's Deep SHAP is complete.

Deep SHAP (Lundberg & Lee 2017) compares an input with windows of the background by DeepLIFT: each
operation hands a share of the difference in its output to its inputs, so that all shares add up to
the difference between the outputs. captum has the rule of elementwise functions for modules like
``nn.Tanh`` that are used once. Recurrent cells, attention and normalization also multiply, divide
and use functions many times; here is a rule for each, those that W's library has for Keras' cells:

- a function of one number hands on its slope between the two points (DeepLIFT's rescale rule);
- of a product, each factor gets the difference in it times the mean of the other (its Shapley
  value), which holds for matrix products too;
- softmax and normalization are taken apart into these;
- a maximum hands on to each entry by how long that is the largest on the way between the points.

An operation so becomes linear in what comes from the input, with the value it has anyway; gradients
of that are DeepLIFT's multipliers. Rows come in pairs, as captum lays them out: first all inputs,
then all references.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional
from torch.overrides import TorchFunctionMode

# B rows: inputs, then references; L steps in a window, H hidden, G gates

_MAXIMUM_STEPS = 64


@dataclass(frozen=True, kw_only=True)
class _Unary:
    """A function of one number, and its slope between two points.

    The slope is a function of both points and of both values; where they lie close together, it
    must not lose its digits.
    """

    function: Callable[[Tensor], Tensor]
    slope: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]

    def __call__(self, x: Tensor) -> Tensor:
        y: Tensor = _Sloped.apply(x, self)  # type: ignore[no-untyped-call]
        return y


class _Sloped(torch.autograd.Function):
    """A function whose gradient is its slope between the two rows of a pair."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, rule: _Unary) -> Tensor:
        y = rule.function(x)
        ctx.save_for_backward(rule.slope(*x.chunk(2), *y.chunk(2)))
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_y: Tensor) -> tuple[Tensor, None]:
        (slope,) = ctx.saved_tensors
        return _weigh(d_y, slope), None


class _Multiplied(torch.autograd.Function):
    """A product of two of one shape, each factor weighed by the mean of the other over the pair."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor) -> Tensor:
        ctx.save_for_backward(_mean(x), _mean(y))
        return x * y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_product: Tensor) -> tuple[Tensor, Tensor]:
        mean_x, mean_y = ctx.saved_tensors
        return _weigh(d_product, mean_y), _weigh(d_product, mean_x)


class _Valued(torch.autograd.Function):
    """A value whose gradient goes on to another tensor as it is."""

    @staticmethod
    def forward(ctx: Any, linear: Tensor, value: Tensor) -> Tensor:  # noqa: ARG004
        return value.view_as(value)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_value: Tensor) -> tuple[Tensor, None]:  # noqa: ARG004
        return d_value, None


def _weigh(rows: Tensor, half: Tensor) -> Tensor:
    """Multiply both rows of each pair by the same."""
    return (rows.view(2, *half.shape) * half).flatten(0, 1)


def _tanh_slope(a: Tensor, b: Tensor, y_a: Tensor, y_b: Tensor) -> Tensor:
    """Give tanh(a - b) / (a - b) times (1 - tanh a tanh b), by the rule of a difference's tanh."""
    difference = a - b
    return torch.where(difference == 0, 1.0, difference.tanh() / difference) * (1 - y_a * y_b)


def _sigmoid_slope(a: Tensor, b: Tensor, y_a: Tensor, y_b: Tensor) -> Tensor:
    """Give that of tanh: the sigmoid of x is half of 1 + tanh(x / 2)."""
    return _tanh_slope(a / 2, b / 2, 2 * y_a - 1, 2 * y_b - 1) / 4


def _exp_slope(a: Tensor, b: Tensor, y_a: Tensor, y_b: Tensor) -> Tensor:  # noqa: ARG001
    difference = a - b
    return torch.where(difference == 0, 1.0, difference.expm1() / difference) * y_b


def _log_slope(a: Tensor, b: Tensor, y_a: Tensor, y_b: Tensor) -> Tensor:  # noqa: ARG001
    difference = a - b
    return torch.where(difference == 0, 1 / a, (difference / b).log1p() / difference)


def _relu_slope(a: Tensor, b: Tensor, y_a: Tensor, y_b: Tensor) -> Tensor:
    difference = a - b
    return torch.where(difference == 0, (a > 0).to(a.dtype), (y_a - y_b) / difference)


def _silu_slope(a: Tensor, b: Tensor, y_a: Tensor, y_b: Tensor) -> Tensor:  # noqa: ARG001
    """Give that of the product of x and its sigmoid."""
    s_a, s_b = a.sigmoid(), b.sigmoid()
    return (s_a + s_b) / 2 + (a + b) / 2 * _sigmoid_slope(a, b, s_a, s_b)


_EXP = _Unary(function=torch.exp, slope=_exp_slope)
_LOG = _Unary(function=torch.log, slope=_log_slope)
_RECIPROCAL = _Unary(function=torch.reciprocal, slope=lambda _a, _b, y_a, y_b: -y_a * y_b)
_RSQRT = _Unary(function=torch.rsqrt, slope=lambda a, b, y_a, y_b: -y_a * y_b / (a * y_a + b * y_b))
_SIGMOID = _Unary(function=torch.sigmoid, slope=_sigmoid_slope)
_TANH = _Unary(function=torch.tanh, slope=_tanh_slope)
_RELU = _Unary(function=torch.relu, slope=_relu_slope)
_SILU = _Unary(function=functional.silu, slope=_silu_slope)


class PairedRules(TorchFunctionMode):
    """Within this context, torch's operations on rows in pairs follow DeepLIFT's rules.

    What does not depend on the input (does not require a gradient) is left as it is: weights must
    not require one.

    Examples
    --------
    The product of two inputs, compared with a reference of zeros: each factor gets half.

    >>> x = torch.tensor([[3.0, 4.0], [0.0, 0.0]], requires_grad=True)
    >>> with PairedRules():
    ...     y = x[:, 0] * x[:, 1]
    >>> y.tolist(), torch.autograd.grad(y.sum(), x)[0][0].tolist()
    ([12.0, 0.0], [2.0, 1.5])
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Take the rule of an operation by its name, or the operation."""
        rule = _RULES.get(getattr(func, "__name__", ""))
        if rule is None or not torch.is_grad_enabled():
            return func(*args, **(kwargs or {}))
        return rule(func, args, kwargs or {})


Rule = Callable[[Callable[..., Any], tuple[Any, ...], Mapping[str, Any]], Any]
# Give the states of a layer after each step, and its last cell or state.
States = Callable[[Sequence[Tensor], Tensor, Tensor], tuple[list[Tensor], Tensor]]


def _unary(rule: _Unary) -> Rule:
    def of(func: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        x = args[0]
        return rule(x) if x.requires_grad else func(*args, **kwargs)

    return of


def _multiplied(func: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    return _bilinear(torch.mul, args, kwargs) if len(args) == 2 else func(*args, **kwargs)


def _bilinear(func: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    x, y = args[:2]
    if not (_depends(x) and _depends(y)):
        return func(*args, **kwargs)
    return _product(x, y, func)


def _product(x: Tensor, y: Tensor, func: Callable[..., Any] = torch.mul) -> Tensor:
    """Multiply, each factor weighed by the mean of the other over the pair."""
    if not (x.requires_grad and y.requires_grad):
        of_one: Tensor = func(x, y)
        return of_one
    if func is torch.mul and x.shape == y.shape:
        product: Tensor = _Multiplied.apply(x, y)  # type: ignore[no-untyped-call]
        return product
    with torch.no_grad():
        value = func(x, y)
        mean_x, mean_y = _mean(x).repeat(2, *_ones(x)), _mean(y).repeat(2, *_ones(y))
    return _with_value(func(x, mean_y) + func(mean_x, y), value)


def _softmax(func: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    x = args[0]
    dim = args[1] if len(args) > 1 else kwargs["dim"]
    if not x.requires_grad:
        return func(*args, **kwargs)
    with torch.no_grad():  # a pair has one shift: it would count as a part of the difference
        largest = x.amax(dim, keepdim=True)
        shift = torch.maximum(*largest.chunk(2)).repeat(2, *_ones(x))
    # As exp(x - log(sum(exp(x)))) it is made of functions of one number alone.
    shifted = x - shift
    return _EXP(shifted - _LOG(_EXP(shifted).sum(dim, keepdim=True)))


def _layer_norm(func: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    x = args[0]
    if not x.requires_grad:
        return func(*args, **kwargs)
    given = dict(zip(("normalized_shape", "weight", "bias", "eps"), args[1:], strict=False))
    given |= kwargs
    dims = tuple(range(-len(given["normalized_shape"]), 0))
    normal = _normalized(x, dims=dims, eps=given.get("eps", 1e-5))
    return _affine(normal, given.get("weight"), given.get("bias"))


def _group_norm(func: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    x = args[0]
    if not x.requires_grad:
        return func(*args, **kwargs)
    given = dict(zip(("num_groups", "weight", "bias", "eps"), args[1:], strict=False)) | dict(
        kwargs
    )
    groups = x.reshape(len(x), given["num_groups"], -1)
    normal = _normalized(groups, dims=(-1,), eps=given.get("eps", 1e-5)).view(x.shape)
    shape = (-1, *(1,) * (x.ndim - 2))
    weight, bias = given.get("weight"), given.get("bias")
    return _affine(
        normal,
        None if weight is None else weight.view(shape),
        None if bias is None else bias.view(shape),
    )


def _normalized(x: Tensor, *, dims: tuple[int, ...], eps: float) -> Tensor:
    centered = x - x.mean(dims, keepdim=True)
    variance = _product(centered, centered).mean(dims, keepdim=True)
    return _product(centered, _RSQRT(variance + eps))


def _affine(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    x = x if weight is None else x * weight
    return x if bias is None else x + bias


def _amax(func: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    x = args[0]
    if not x.requires_grad:
        return func(*args, **kwargs)
    given = dict(zip(("dim", "keepdim"), args[1:], strict=False)) | dict(kwargs)
    dim = given["dim"]
    with torch.no_grad():
        value = func(*args, **kwargs)
        one, other = x.chunk(2)
        share = torch.zeros_like(one)
        for step in range(_MAXIMUM_STEPS):
            at = torch.lerp(other, one, (step + 0.5) / _MAXIMUM_STEPS)
            largest = at.argmax(dim, keepdim=True)
            share.scatter_add_(dim, largest, torch.ones_like(largest, dtype=x.dtype))
        share /= _MAXIMUM_STEPS
        # What the steps on the way leave over goes to the entries by what they have already.
        parts = share * (one - other)
        left = one.amax(dim, keepdim=True) - other.amax(dim, keepdim=True)
        left = left - parts.sum(dim, keepdim=True)
        size = parts.abs().sum(dim, keepdim=True)
        more = torch.where(size > 0, left / size, 0.0) * parts.sign()
        share = (share * (1 + more)).repeat(2, *_ones(x))
    return _with_value((share * x).sum(dim, keepdim=given.get("keepdim", False)), value)


def _recurrent(cell: States) -> Rule:
    def of(func: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        x, _, weights, _, n_layers, _, _, is_both_ways, is_batch_first = args
        assert is_batch_first  # noqa: S101 - so our layers are made
        if not x.requires_grad:
            return func(*args, **kwargs)
        output, last, cells = _layers(
            x, weights, n_layers=n_layers, is_both_ways=is_both_ways, cell=cell
        )
        return (output, last, cells) if cell is _lstm_states else (output, last)

    return of


def _layers(
    x_BLN: Tensor, weights: Sequence[Tensor], *, n_layers: int, is_both_ways: bool, cell: States
) -> tuple[Tensor, Tensor, Tensor]:
    """Step through recurrent layers as torch does: states of the last layer, last states, cells."""
    lasts, cells = [], []
    given = iter(weights)
    for _ in range(n_layers):
        outputs = []
        for is_reverse in (False, True)[: 1 + is_both_ways]:
            w_ih, w_hh, b_ih, b_hh = (next(given) for _ in range(4))
            steps = functional.linear(x_BLN, w_ih, b_ih).unbind(1)
            states, last_cell = cell(steps[::-1] if is_reverse else steps, w_hh, b_hh)
            lasts.append(states[-1])
            cells.append(last_cell)
            outputs.append(torch.stack(states[::-1] if is_reverse else states, dim=1))
        x_BLN = torch.cat(outputs, dim=2)
    return x_BLN, torch.stack(lasts), torch.stack(cells)


def _simple_states(
    steps: Sequence[Tensor], w_hh: Tensor, b_hh: Tensor
) -> tuple[list[Tensor], Tensor]:
    states: list[Tensor] = []
    h = steps[0].new_zeros(len(steps[0]), w_hh.shape[1])
    for x in steps:
        h = _TANH(x + functional.linear(h, w_hh, b_hh))
        states.append(h)
    return states, h


def _gru_states(steps: Sequence[Tensor], w_hh: Tensor, b_hh: Tensor) -> tuple[list[Tensor], Tensor]:
    states: list[Tensor] = []
    n_hidden = w_hh.shape[1]
    h = steps[0].new_zeros(len(steps[0]), n_hidden)
    for x in steps:
        recurrent = functional.linear(h, w_hh, b_hh)
        x_rz, x_n = torch.split(x, [2 * n_hidden, n_hidden], dim=1)
        h_rz, h_n = torch.split(recurrent, [2 * n_hidden, n_hidden], dim=1)
        r, z = _SIGMOID(x_rz + h_rz).chunk(2, dim=1)
        n = _TANH(x_n + _product(r, h_n))
        h = n + _product(z, h - n)
        states.append(h)
    return states, h


def _lstm_states(
    steps: Sequence[Tensor], w_hh: Tensor, b_hh: Tensor
) -> tuple[list[Tensor], Tensor]:
    states: list[Tensor] = []
    n_hidden = w_hh.shape[1]
    h = c = steps[0].new_zeros(len(steps[0]), n_hidden)
    for x in steps:
        gates = x + functional.linear(h, w_hh, b_hh)
        gate_if, gate_g, gate_o = torch.split(gates, [2 * n_hidden, n_hidden, n_hidden], dim=1)
        i, f = _SIGMOID(gate_if).chunk(2, dim=1)
        c = _product(f, c) + _product(i, _TANH(gate_g))
        h = _product(_SIGMOID(gate_o), _TANH(c))
        states.append(h)
    return states, c


def _depends(x: object) -> bool:
    return isinstance(x, Tensor) and x.requires_grad


def _mean(x: Tensor) -> Tensor:
    one, other = x.chunk(2)
    return (one + other) / 2


def _ones(x: Tensor) -> tuple[int, ...]:
    return (1,) * (x.ndim - 1)


def _with_value(linear: Tensor, value: Tensor) -> Tensor:
    """Give a value with the gradients of something linear."""
    valued: Tensor = _Valued.apply(linear, value)  # type: ignore[no-untyped-call]
    return valued


_RULES: dict[str, Rule] = {
    **dict.fromkeys(("sigmoid", "sigmoid_"), _unary(_SIGMOID)),
    **dict.fromkeys(("tanh", "tanh_"), _unary(_TANH)),
    **dict.fromkeys(("relu", "relu_"), _unary(_RELU)),
    **dict.fromkeys(("silu", "silu_"), _unary(_SILU)),
    "exp": _unary(_EXP),
    "log": _unary(_LOG),
    "reciprocal": _unary(_RECIPROCAL),
    "rsqrt": _unary(_RSQRT),
    **dict.fromkeys(("mul", "__mul__", "__rmul__"), _multiplied),
    **dict.fromkeys(("matmul", "__matmul__", "bmm"), _bilinear),
    "softmax": _softmax,
    "layer_norm": _layer_norm,
    "group_norm": _group_norm,
    "amax": _amax,
    "lstm": _recurrent(_lstm_states),
    "gru": _recurrent(_gru_states),
    "rnn_tanh": _recurrent(_simple_states),
}
