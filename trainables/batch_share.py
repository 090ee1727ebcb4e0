"""Statistics of a batch whose runs several processes share: those of the whole batch, in each.

Without this, each process would normalize its share of a batch by itself, and training on two
devices would not be training on one.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional

# F feature (the second axis of what is normalized)


class BatchShare:
    """What one process has of the batches that a group of processes trains on.

    Attributes
    ----------
    is_counted
        Whether the share at hand holds a window. One that holds none goes along, since all
        processes have to, and counts nothing.
    """

    def __init__(self) -> None:
        self.is_counted = True

    def total(self, of_share: Tensor, /) -> Tensor:
        """Add up a sum over all processes; gradients of all go back to each."""
        total: Tensor = _Total.apply(of_share * float(self.is_counted))  # type: ignore[no-untyped-call]
        return total


class _Total(torch.autograd.Function):
    @staticmethod
    def forward(_: Any, of_share: Tensor) -> Tensor:
        total = of_share.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(_: Any, *gradients: Tensor) -> Tensor:
        gradient = gradients[0].contiguous().clone()
        distributed.all_reduce(gradient)
        return gradient


class BatchStatistics(nn.Module):
    """A module that keeps statistics of the batches it sees in training.

    Attributes
    ----------
    share
        This process's share of them; ``None`` where it has all.
    """

    share: BatchShare | None = None

    def total(self, of_share: Tensor, /) -> Tensor:
        """Give a sum over the whole batch from that over what this process has of it."""
        return of_share if self.share is None else self.share.total(of_share)


class SharedBatchNorm(BatchStatistics):
    """Batch normalization by the statistics of the whole batch.

    torch's own `SyncBatchNorm` does the same on GPUs, but not on CPUs, where this project's tests
    compare it with one process; and it would count a share without windows.

    Parameters
    ----------
    of
        The layer that it stands for, with whose tensors and names it goes on.
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(self, of: nn.BatchNorm1d | nn.BatchNorm2d, /) -> None:
        super().__init__()
        self.eps, self.momentum = of.eps, of.momentum
        self.weight, self.bias = of.weight, of.bias
        for name, buffer in of.named_buffers():
            self.register_buffer(name, buffer)
        self.train(of.training)

    def forward(self, x: Tensor) -> Tensor:
        """Normalize each feature over the batch, and over an image's pixels."""
        if not self.training:
            return functional.batch_norm(
                x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        others = [axis for axis in range(x.ndim) if axis != 1]
        shape = [1 if axis != 1 else -1 for axis in range(x.ndim)]
        values = x.float()
        n_here = values.new_tensor([values.numel() // values.shape[1]])
        sums = self.total(torch.cat([values.sum(others), n_here]))
        n, mean_F = sums[-1].detach(), sums[:-1] / sums[-1].detach()
        centered = values - mean_F.view(shape)
        variance_F = self.total(centered.square().sum(others)) / n
        is_one = n == 1  # which has no spread of its own
        centered = torch.where(is_one, values - self.running_mean.view(shape), centered)
        scale_F = torch.where(is_one, self.running_var, variance_F).add(self.eps).rsqrt()
        self._move_on(mean_F.detach(), variance_F.detach(), n)
        normal = centered * (scale_F * self.weight).view(shape) + self.bias.view(shape)
        return normal.to(x.dtype)

    @torch.no_grad()
    def _move_on(self, mean_F: Tensor, variance_F: Tensor, n: Tensor) -> None:
        momentum = torch.where(n > 1, self.momentum or 0.0, 0.0)
        self.running_mean.lerp_(mean_F, momentum)
        self.running_var.lerp_(variance_F * n / (n - 1).clamp_min(1), momentum)
        self.num_batches_tracked += 1


def share_statistics(module: nn.Module, /) -> BatchShare:
    """Let a module, in place, take its statistics over the batches of all processes.

    Names and tensors stay as they are.

    Parameters
    ----------
    module
        The same in each process.

    Returns
    -------
    share
        What says whether the share at hand counts.

    Examples
    --------
    >>> module = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    >>> names = list(module.state_dict())
    >>> _ = share_statistics(module)
    >>> type(module[1]).__name__, list(module.state_dict()) == names
    ('SharedBatchNorm', True)
    """
    share = BatchShare()
    for parent in list(module.modules()):
        for name, child in parent.named_children():
            if isinstance(child, (nn.BatchNorm1d, nn.BatchNorm2d)):
                parent.register_module(name, SharedBatchNorm(child))
    for one in module.modules():
        if isinstance(one, BatchStatistics):
            one.share = share
    return share
