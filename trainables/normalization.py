"""Normalization of window features, and the mixture of three that H calls dynamic."""

from __future__ import annotations

from enum import Enum

import torch
from torch import Tensor, nn
from torch.nn import functional

# B windows, L steps in a window, F features, M normalizations mixed


class Normalization(Enum):
    """How features are normalized; dynamic mixes the other three by learnt weights."""

    BATCH = "batch"
    GROUP = "group"
    LAYER = "layer"
    DYNAMIC = "dynamic"


class BatchNorm(nn.BatchNorm1d):
    """Batch normalization over rows of features that does not fail at a single row.

    One row has no spread of its own, so it is normalized by the running statistics: the last batch
    of an epoch, or a device's share of it, may be a single window.

    In training, statistics are taken over all rows the module sees. Runs that a batch pads to one
    length hold windows of weight 0, which so enter the statistics though not the loss. With
    ``run_length=1`` there are none.
    """

    def forward(self, rows_BF: Tensor) -> Tensor:
        """Normalize each feature over the rows."""
        if self.training and len(rows_BF) == 1:
            return functional.batch_norm(
                rows_BF, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        normal_BF: Tensor = super().forward(rows_BF)
        return normal_BF


class WindowNorm(nn.Module):
    """Normalize the features of windows, shape ``(window, step, feature)``.

    Batch normalization takes statistics of a feature over windows and steps; group normalization of
    a group of features over the steps of a window; layer normalization of all features at a step.

    Examples
    --------
    >>> norm = WindowNorm(16, kind=Normalization.DYNAMIC, n_groups=8)
    >>> norm(torch.randn(4, 32, 16)).shape, norm.shares.tolist()
    (torch.Size([4, 32, 16]), [0.3333333432674408, 0.3333333432674408, 0.3333333432674408])
    """

    def __init__(self, n_features: int, *, kind: Normalization, n_groups: int) -> None:
        super().__init__()
        is_mixed = kind is Normalization.DYNAMIC
        self.norms = nn.ModuleDict()
        if is_mixed or kind is Normalization.BATCH:
            self.norms["batch"] = BatchNorm(n_features)
        if is_mixed or kind is Normalization.GROUP:
            self.norms["group"] = nn.GroupNorm(n_groups, n_features)
        if is_mixed or kind is Normalization.LAYER:
            self.norms["layer"] = nn.LayerNorm(n_features)
        self.mixture_M = nn.Parameter(torch.zeros(3)) if is_mixed else None

    @property
    def shares(self) -> Tensor:
        """How much batch, group and layer normalization count, in this order; one if alone."""
        return torch.ones(1) if self.mixture_M is None else self.mixture_M.softmax(0)

    def forward(self, x_BLF: Tensor) -> Tensor:
        """Normalize, or mix the three."""
        if self.mixture_M is None:
            (kind,) = self.norms
            return self._normal(kind, x_BLF)
        batch, group, layer = self.mixture_M.softmax(0)
        mixed_BLF: Tensor = (
            batch * self._normal("batch", x_BLF)
            + group * self._normal("group", x_BLF)
            + layer * self._normal("layer", x_BLF)
        )
        return mixed_BLF

    def _normal(self, kind: str, x_BLF: Tensor) -> Tensor:
        norm = self.norms[kind]
        if kind == "batch":
            normal_BLF: Tensor = norm(x_BLF.flatten(0, 1)).view(x_BLF.shape)
        elif kind == "group":
            normal_BLF = norm(x_BLF.transpose(1, 2)).transpose(1, 2)
        else:
            normal_BLF = norm(x_BLF)
        return normal_BLF
