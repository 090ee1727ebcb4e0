"""Which steps of the window a decoder's attention reads, by the class that was observed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from calsweep.datasets.split import FoldData
from calsweep.platform.explanations.shap import windows_at
from calsweep.trainables.attention import PooledAttention

# E windows, C classes, H heads, L steps in a window

_AT_ONCE = 512


@dataclass(frozen=True, kw_only=True, eq=False)
class AttentionWeights:
    """Mean attention of a fold's test windows.

    Attributes
    ----------
    weight_CHL
        How much each step counts in each head, the mean over queries and windows of a class; adds
        up to 1 over steps. NaN for a class without windows.
    n_windows_C
        Windows of each class.
    """

    weight_CHL: NDArray[np.float32]
    n_windows_C: NDArray[np.int64]


class NoAttention(ValueError):
    """A decoder has no attention to look at."""

    def __init__(self, decoder: str) -> None:
        super().__init__(decoder)
        self.decoder = decoder

    def __str__(self) -> str:
        return (
            f"a decoder must have self-attention to show its weights, but {self.decoder} has none: "
            "name a trial with one (`--trial`), or take `calsweep explain shap`."
        )


@torch.no_grad()
def attention_weights(
    module: nn.Module,
    /,
    *,
    data: FoldData,
    n_frames: int,
    seed: int,
    decoder: str = "the decoder",
) -> AttentionWeights:
    """Average the attention of random windows of a fold's test part.

    The module runs as it always does; its attention is looked at while it passes.

    Parameters
    ----------
    module
        With the fold's trained weights.
    data
        The fold.
    n_frames
        How many windows; all if there are fewer.
    seed
        Of the draw.
    decoder
        Its name, for messages.

    Raises
    ------
    NoAttention
        If there is none.
    """
    layers = [layer for layer in module.modules() if isinstance(layer, PooledAttention)]
    if not layers:
        raise NoAttention(decoder)
    rng = np.random.default_rng([seed, 12])
    chosen_E = np.sort(rng.permutation(len(data.test.starts_W))[:n_frames])
    seen: list[Tensor] = []

    def look(layer: PooledAttention, inputs: tuple[Tensor, ...]) -> None:
        seen.append(layer.weights(inputs[0]))

    handle = layers[-1].register_forward_pre_hook(look)
    try:
        module.eval()
        for first in range(0, len(chosen_E), _AT_ONCE):
            module(windows_at(data, data.test, chosen_E[first : first + _AT_ONCE]))
    finally:
        handle.remove()
    weight_EHL = torch.cat(seen).numpy()
    labels_E = data.test.labels_W[chosen_E]
    of_class = [weight_EHL[labels_E == c] for c in range(data.n_classes)]
    none_HL = np.full(weight_EHL.shape[1:], np.nan, np.float32)
    return AttentionWeights(
        weight_CHL=np.stack([w.mean(0) if len(w) else none_HL for w in of_class]),
        n_windows_C=np.array([len(w) for w in of_class]),
    )
