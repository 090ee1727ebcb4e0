"""What one fold trains, validates and tests on: windows as views over shared frames."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# T frames of the dataset, N units, W windows


@dataclass(frozen=True, kw_only=True)
class Part:
    """The windows of one part of a fold.

    Attributes
    ----------
    frames_TN
        Activity of the whole dataset, shape ``(time, unit)``, float32, C order; all parts share
        it.
    starts_W
        First frame of each window, increasing; neighboring windows start one frame apart.
    targets_W
        Frame whose label each window decodes.
    labels_W
        Class of each window, 0 or 1.
    """

    frames_TN: NDArray[np.float32]
    starts_W: NDArray[np.int64]
    targets_W: NDArray[np.int64]
    labels_W: NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Scaling:
    """An affine map of each unit, ``(frames - offset) * scale``, applied to batches as drawn."""

    offset_N: NDArray[np.float32]
    scale_N: NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class FoldData:
    """The three parts of one fold and the scaling fitted on its training part."""

    train: Part
    validation: Part
    test: Part
    scaling: Scaling
    window_length: int
