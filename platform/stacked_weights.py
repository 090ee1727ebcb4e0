"""The weights of several models of one shape as one tensor, and a step of AdamW for all of them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

# M models, P weights of one

_ALIGNED = 64  # numbers: kernels read in wide words what begins at such a place


class StackedWeights:
    """Weights and moments of models and of their optimizers, side by side.

    Modules and optimizers are as they were until `write_back`.

    Parameters
    ----------
    modules
        Of one class and shape, without buffers.
    optimizers
        Of each: Adam or AdamW of all its weights that are trained, in one group.

    Raises
    ------
    ValueError
        If a module has buffers, as those of a batch norm, which each model would need of its own.
    """

    def __init__(
        self, modules: Sequence[nn.Module], optimizers: Sequence[torch.optim.Optimizer]
    ) -> None:
        check_stackable(modules[0])
        self._optimizers = tuple(optimizers)
        named = [(name, p) for name, p in modules[0].named_parameters() if p.requires_grad]
        self._names = [name for name, _ in named]
        self._shapes = [p.shape for _, p in named]
        self._sizes = [-(-p.numel() // _ALIGNED) * _ALIGNED for _, p in named]
        self._parameters = [[p for p in m.parameters() if p.requires_grad] for m in modules]
        states = [optimizer.state for optimizer in optimizers]
        with torch.no_grad():
            self.flat_MP = self._flat(self._parameters).requires_grad_()
            self._mean_MP, self._square_MP = (
                self._flat(
                    [
                        [state[p][key] if p in state else torch.zeros_like(p) for p in parameters]
                        for state, parameters in zip(states, self._parameters, strict=True)
                    ]
                )
                for key in ("exp_avg", "exp_avg_sq")
            )
        n_steps = [float(state[p[0]]["step"]) if p[0] in state else 0.0
                   for state, p in zip(states, self._parameters, strict=True)]  # fmt: skip
        self._n_steps_M1 = self.flat_MP.new_tensor(n_steps)[:, None]
        groups = [optimizer.param_groups[0] for optimizer in optimizers]
        self._rate_M1, self._decay_M1 = (
            self.flat_MP.new_tensor([float(group[key]) for group in groups])[:, None]
            for key in ("lr", "weight_decay")
        )
        self._betas, self._epsilon = groups[0]["betas"], groups[0]["eps"]

    def __len__(self) -> int:
        return len(self._optimizers)

    def named(self, models: Sequence[int] | None = None, /) -> dict[str, Tensor]:
        """Give the weights by name, an axis of models first: of all models, or of some."""
        flat = self.flat_MP
        if models is not None and len(models) < len(self):
            flat = flat.index_select(0, torch.tensor(models, device=flat.device))
        parts = torch.split(flat, self._sizes, dim=1)
        return {
            name: part[:, : shape.numel()].view(len(part), *shape)
            for name, part, shape in zip(self._names, parts, self._shapes, strict=True)
        }

    def step(self, loss: Tensor, /, *, bound_M: Tensor, is_active_M: Tensor | None = None) -> None:
        """Find gradients and take a step of AdamW with each.

        Parameters
        ----------
        loss
            Sum over the models: none changes the gradient of another.
        bound_M
            Of the norm of a model's gradient; infinite for none.
        is_active_M
            Which models take the step; all, if it is not given.
        """
        (gradient,) = torch.autograd.grad(loss, [self.flat_MP])
        self._apply(gradient, bound_M, is_active_M)

    @torch.no_grad()
    def _apply(self, gradient_MP: Tensor, bound_M: Tensor, is_active_M: Tensor | None) -> None:
        weights = self.flat_MP
        norm_M1 = torch.linalg.vector_norm(gradient_MP, dim=1, keepdim=True)
        gradient_MP = gradient_MP * (bound_M[:, None] / (norm_M1 + 1e-6)).clamp(max=1.0)
        active = torch.ones_like(norm_M1)
        if is_active_M is not None:
            active = is_active_M[:, None].to(active.dtype)
        beta1, beta2 = self._betas
        self._n_steps_M1 += active
        self._mean_MP.lerp_(gradient_MP, (1 - beta1) * active)
        self._square_MP.lerp_(gradient_MP.square(), (1 - beta2) * active)
        n = self._n_steps_M1.double().clamp(min=1)
        rate_M1 = active * self._rate_M1
        size_M1 = (rate_M1 / (1 - beta1**n)).to(weights.dtype)
        root_M1 = (1 - beta2**n).sqrt().to(weights.dtype)
        weights *= 1 - rate_M1 * self._decay_M1
        weights -= size_M1 * self._mean_MP / (self._square_MP.sqrt() / root_M1 + self._epsilon)

    @torch.no_grad()
    def write_back(self) -> None:
        """Give modules and optimizers what the stack has come to."""
        flats = (self.flat_MP, self._mean_MP, self._square_MP)
        for m, (optimizer, parameters) in enumerate(
            zip(self._optimizers, self._parameters, strict=True)
        ):
            rows = [torch.split(flat[m], self._sizes) for flat in flats]
            for p, weight, mean, square in zip(parameters, *rows, strict=True):
                n = p.numel()
                p.copy_(weight[:n].view_as(p))
                if self._n_steps_M1[m] > 0:
                    optimizer.state[p] = {
                        "step": self._n_steps_M1[m, 0].float().clone(),
                        "exp_avg": mean[:n].view_as(p).clone(),
                        "exp_avg_sq": square[:n].view_as(p).clone(),
                    }

    def _flat(self, tensors: Sequence[Sequence[Tensor]]) -> Tensor:
        first = tensors[0][0]
        flat = first.new_zeros(len(tensors), sum(self._sizes))
        for row, of_model in zip(flat, tensors, strict=True):
            for part, tensor in zip(torch.split(row, self._sizes), of_model, strict=True):
                part[: tensor.numel()] = tensor.reshape(-1)
        return flat


def check_stackable(module: nn.Module, /) -> None:
    """Check that models of such a module can be stacked.

    Raises
    ------
    ValueError
        If it has buffers.

    Examples
    --------
    >>> check_stackable(nn.BatchNorm1d(2))
    Traceback (most recent call last):
    ValueError: ...buffers, each model would need its own: running_mean, running_var, ...
    """
    buffers = [name for name, _ in module.named_buffers()]
    if buffers:
        raise ValueError(
            "models cannot be stacked whose modules have buffers, each model would need its own: "
            f"{', '.join(buffers)}. Take population.program=alone."
        )


NO_BOUND = math.inf
"""Bound of a gradient's norm that leaves it as it is."""
