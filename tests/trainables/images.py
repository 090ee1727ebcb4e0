"""Small runs of images, and the networks that read them."""

import torch
from torch import nn

from calsweep.trainables.cnn import Cnn
from calsweep.trainables.decoder import Problem
from calsweep.trainables.efficientnet import Convention, ImageFeatures, Size

SIDE, N_RUNS, N_WINDOWS = 32, 2, 4
SMALL = Cnn(width=0.25, depth=0.25)


def problem(*, shares=(0.5, 0.5), shape=(SIDE, SIDE), length=3):
    return Problem(frame_shape=shape, window_length=length, class_shares=shares)


def build(decoder=SMALL, *, seed=0, **kwargs):
    torch.manual_seed(seed)
    return decoder.build(problem(**kwargs))


def frames_of_runs(*, seed=1, n_frames=N_WINDOWS + 2, shape=(SIDE, SIDE)):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(N_RUNS, n_frames, *shape, generator=generator)


def features_of(size=Size.B0, *, convention=Convention.TENSORFLOW, width=1.0, depth=1.0, seed=0):
    torch.manual_seed(seed)
    return ImageFeatures(
        size=size,
        image_shape=(SIDE, SIDE),
        width=width,
        depth=depth,
        stochastic_depth=0.2,
        convention=convention,
        norm_momentum=0.01,
    )


def move_statistics(module, *, seed=5):
    """Give batch normalization running means and variances of its own."""
    generator = torch.Generator().manual_seed(seed)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.copy_(torch.randn(part.running_mean.shape, generator=generator) / 4)
            part.running_var.copy_(torch.rand(part.running_var.shape, generator=generator) + 0.5)
