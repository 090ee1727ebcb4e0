"""Convolutions over the steps of windows, as matrix products.

Windows are padded with zeros at both ends, as in the papers, so a frame near the end of one window
looks different there than in the middle of the next. What windows do share is the product of each
frame with the kernel's taps: it is computed once a frame, and each window adds up the products that
lie within it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

# R run, T time, N unit, K windows per run, B windows of all runs, L steps in a window, F features,
# J taps of the kernel, C features of all taps and kernels


def convolve_frames(
    kernels: Sequence[nn.Conv1d], frames_RTN: Tensor, /, *, window_length: int
) -> list[Tensor]:
    """Slide kernels over the frames of every window, zeros beyond its ends.

    Parameters
    ----------
    kernels
        Of an odd number of taps each; their own padding is not read.
    frames_RTN
        Runs of frames.
    window_length
        Frames in a window.

    Returns
    -------
    features
        Of each kernel, shape ``(run x window, step, feature)``.

    Examples
    --------
    >>> kernels = [nn.Conv1d(50, 64, 3), nn.Conv1d(50, 256, 1)]
    >>> [f.shape for f in convolve_frames(kernels, torch.zeros(2, 38, 50), window_length=31)]
    [torch.Size([16, 31, 64]), torch.Size([16, 31, 256])]
    """
    taps = [tap for kernel in kernels for tap in kernel.weight.unbind(2)]
    products_RTC = functional.linear(frames_RTN, torch.cat(taps))
    if products_RTC.shape[1] == window_length:
        windows_RKLC = products_RTC[:, None]  # the gradient of unfolding takes longer
    else:
        windows_RKLC = products_RTC.unfold(1, window_length, 1).transpose(2, 3)
    by_tap = iter(torch.split(windows_RKLC, [len(tap) for tap in taps], dim=3))
    features = []
    for kernel in kernels:
        n_taps = kernel.weight.shape[2]
        x_RKLF = _add_up([next(by_tap) for _ in range(n_taps)])
        assert kernel.bias is not None  # noqa: S101 - so our kernels are made
        features.append((x_RKLF + kernel.bias).flatten(0, 1))
    return features


class StepConvolution(nn.Conv1d):
    """A kernel that slides over the steps of windows, shape ``(window, step, feature)``.

    With features last, as all other layers have them, it is one matrix product. Half a kernel of
    zeros lies beyond both ends, whatever `padding` says.

    Examples
    --------
    >>> StepConvolution(64, 128, 3)(torch.zeros(16, 31, 64)).shape
    torch.Size([16, 31, 128])
    """

    def forward(self, x_BLF: Tensor) -> Tensor:
        """Give the features of each step."""
        n_taps, n_steps = self.weight.shape[2], x_BLF.shape[1]
        padded_BLF = functional.pad(x_BLF, (0, 0, n_taps // 2, n_taps // 2))
        neighbors_BLC = torch.cat([padded_BLF[:, j : j + n_steps] for j in range(n_taps)], dim=2)
        return functional.linear(neighbors_BLC, self.weight.transpose(1, 2).flatten(1), self.bias)


def _add_up(products: Sequence[Tensor]) -> Tensor:
    """Add the products of each step's neighbors that lie within the window."""
    n_steps, middle = products[0].shape[2], len(products) // 2
    total_RKLF = products[middle]
    for j, product in enumerate(products):
        shift = j - middle
        if shift and abs(shift) < n_steps:
            within = product[:, :, max(shift, 0) : n_steps + min(shift, 0)]
            beyond = (max(-shift, 0), max(shift, 0))
            total_RKLF = total_RKLF + functional.pad(within, (0, 0, *beyond))
    return total_RKLF
