"""Our convolutions are torch's over windows that are copied."""

import pytest
import torch
from torch import nn

from calsweep.trainables.convolution import StepConvolution, convolve_frames

FRAMES = torch.randn(3, 12, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def copied(length):
    """Windows of all runs, shape ``(run x window, unit, step)``."""
    return FRAMES.unfold(1, length, 1).flatten(0, 1)


def padded(kernel, x_BFL):
    n_taps = kernel.weight.shape[2]
    y_BFL = nn.functional.conv1d(x_BFL, kernel.weight, kernel.bias, padding=n_taps // 2)
    return y_BFL.transpose(1, 2)


@pytest.mark.parametrize("length", [1, 2, 3, 7, 12])
@pytest.mark.parametrize("n_taps", [1, 3, 7])
def test_of_frames_is_that_of_each_window_alone(length, n_taps):
    kernels = [nn.Conv1d(5, 4, n_taps).double(), nn.Conv1d(5, 6, 1).double()]
    ours = convolve_frames(kernels, FRAMES, window_length=length)
    for kernel, features in zip(kernels, ours, strict=True):
        torch.testing.assert_close(features, padded(kernel, copied(length)))


@pytest.mark.parametrize("length", [1, 2, 7])
@pytest.mark.parametrize("n_taps", [1, 3, 7])
def test_of_steps_is_torchs(length, n_taps):
    kernel, x_BFL = StepConvolution(5, 4, n_taps).double(), copied(length)
    torch.testing.assert_close(kernel(x_BFL.transpose(1, 2)), padded(kernel, x_BFL))


def test_gradients_are_torchs():
    kernels = [nn.Conv1d(5, 4, 3).double(), nn.Conv1d(5, 4, 1).double()]
    parameters = [p for kernel in kernels for p in kernel.parameters()]
    ours = sum(f.sin().sum() for f in convolve_frames(kernels, FRAMES, window_length=7))
    theirs = sum(padded(kernel, copied(7)).sin().sum() for kernel in kernels)
    for gradient, wanted in zip(
        torch.autograd.grad(ours, parameters), torch.autograd.grad(theirs, parameters), strict=True
    ):
        torch.testing.assert_close(gradient, wanted)
