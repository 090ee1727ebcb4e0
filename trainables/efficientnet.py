"""EfficientNet as features of images made of three neighboring frames."""

from __future__ import annotations

from enum import Enum
from typing import Any

import torch
from torch import Tensor, nn

# R run, T time, H height, W width, I images in a run (T - 2), C channels (3), F features

FRAMES_PER_IMAGE = 3
# Stride of the whole network: a smaller side is halved to less than a pixel.
SMALLEST_SIDE = 32
# A prediction takes so many images at once: enough to keep processors busy, little memory.
PREDICTED_AT_ONCE = 64


class Size(Enum):
    """The published sizes of EfficientNet, from 1,280 to 2,560 features."""

    B0 = "b0"
    B1 = "b1"
    B2 = "b2"
    B3 = "b3"
    B4 = "b4"
    B5 = "b5"
    B6 = "b6"
    B7 = "b7"


class Convention(Enum):
    """Whose padding and normalization the network has: that its weights were trained with.

    ``tensorflow`` is the original: where padding is odd, the pixel more is behind, and 1e-3 is
    added to variances. So were the weights of EfficientNet-PyTorch trained, which W took, and those
    that timm calls ``tf_efficientnet``. ``torchvision`` pads both sides alike and adds 1e-5 (from
    B5 on 1e-3): so were torchvision's, and to B4 those that timm calls ``efficientnet``. Weights
    give other features under the other convention, and nothing else would tell.
    """

    TENSORFLOW = "tensorflow"
    TORCHVISION = "torchvision"


class ImageFeatures(nn.Module):
    """The pooled features of every image in runs of frames.

    The image at frame ``t`` has the frames ``t - 1``, ``t`` and ``t + 1`` as its channels. Images
    are laid out when the network asks for them. Each is computed once, and so batch normalization
    counts each image of a run once, however many windows it is in.

    Parameters
    ----------
    size
        Which of the published sizes.
    image_shape
        Height and width.
    width, depth
        Factors on the size's channels and repeated blocks.
    stochastic_depth
        Probability of leaving out the last block in training; those before it in proportion.
    convention
        Padding and normalization.
    norm_momentum
        Share of a batch in the running means of batch normalization.
    """

    def __init__(
        self,
        *,
        size: Size,
        image_shape: tuple[int, int],
        width: float,
        depth: float,
        stochastic_depth: float,
        convention: Convention,
        norm_momentum: float,
    ) -> None:
        super().__init__()
        # Here, because MONAI brings its whole package along: seconds, where nothing else has
        # loaded pandas, scikit-learn and MLflow before.
        from monai.networks.nets.efficientnet import EfficientNet, efficientnet_params

        of_width, of_depth, *_ = efficientnet_params[f"efficientnet-{size.value}"]
        self.convention = convention
        self.network = EfficientNet(
            blocks_args_str=list(_BLOCKS),
            width_coefficient=of_width * width,
            depth_coefficient=of_depth * depth,
            drop_connect_rate=stochastic_depth,
            norm=("batch", {"eps": _epsilon(convention, size), "momentum": norm_momentum}),
        )
        self.n_features: int = self.network._fc.in_features
        self.network._dropout = nn.Identity()
        self.network._fc = nn.Identity()
        _pad(self.network, image_shape, convention)

    def forward(self, frames_RTHW: Tensor) -> Tensor:
        """Give the features of every image, shape ``(run, image, feature)``."""
        images_RIHWC = frames_RTHW.unfold(1, FRAMES_PER_IMAGE, 1)
        if self.training or torch.is_grad_enabled():
            return self._features(images_RIHWC)
        # Without batch statistics an image's features are its own, whatever goes along with it.
        return torch.cat(
            [
                torch.cat([self._features(part) for part in _along_time(runs)], dim=1)
                for runs in torch.split(images_RIHWC, PREDICTED_AT_ONCE)
            ]
        )

    def _features(self, images_RIHWC: Tensor) -> Tensor:
        # Flattening lays the images out with channels last, as convolutions read them best.
        images = images_RIHWC.flatten(0, 1).contiguous().permute(0, 3, 1, 2)
        features: Tensor = self.network(images)
        return features.view(*images_RIHWC.shape[:2], -1)


# The published blocks of B0: repeats, kernel, stride, expansion, channels in and out, squeezing.
_BLOCKS = (
    "r1_k3_s11_e1_i32_o16_se0.25",
    "r2_k3_s22_e6_i16_o24_se0.25",
    "r2_k5_s22_e6_i24_o40_se0.25",
    "r3_k3_s22_e6_i40_o80_se0.25",
    "r3_k5_s11_e6_i80_o112_se0.25",
    "r4_k5_s22_e6_i112_o192_se0.25",
    "r1_k3_s11_e6_i192_o320_se0.25",
)


def _along_time(images_RIHWC: Tensor) -> tuple[Tensor, ...]:
    return torch.split(images_RIHWC, max(PREDICTED_AT_ONCE // len(images_RIHWC), 1), dim=1)


def _epsilon(convention: Convention, size: Size) -> float:
    if convention is Convention.TENSORFLOW or size in {Size.B5, Size.B6, Size.B7}:
        return 1e-3
    return 1e-5


def _pad(network: Any, image_shape: tuple[int, int], convention: Convention) -> None:
    """Pad for images of this shape; MONAI pads square ones of the size that it is told."""
    shape = _pad_convolution(network, "_conv_stem", image_shape, convention)
    for stack in network._blocks:
        for block in stack:
            shape = _pad_convolution(block, "_depthwise_conv", shape, convention)


def _pad_convolution(
    owner: nn.Module, name: str, shape: tuple[int, int], convention: Convention
) -> tuple[int, int]:
    """Pad one convolution, and give the shape of what it makes."""
    convolution = getattr(owner, name)
    (kernel, _), (stride, _) = convolution.kernel_size, convolution.stride
    height, width = (-(-side // stride) for side in shape)
    if convention is Convention.TORCHVISION:
        top = bottom = left = right = (kernel - 1) // 2
    else:
        top, bottom = _halves((height - 1) * stride + kernel - shape[0])
        left, right = _halves((width - 1) * stride + kernel - shape[1])
    if (top, left) == (bottom, right):  # then the convolution pads by itself, without a copy
        convolution.padding = (top, left)
        setattr(owner, f"{name}_padding", nn.Identity())
    else:
        setattr(owner, f"{name}_padding", nn.ZeroPad2d((left, right, top, bottom)))
    return height, width


def _halves(total: int) -> tuple[int, int]:
    before = max(total, 0) // 2
    return before, max(total, 0) - before
