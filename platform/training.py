"""How a decoder is trained: the typed settings of the training loop."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Training:
    """How a decoder is trained.

    Attributes
    ----------
    epochs
        Epochs, each followed by a validation.
    batch_size
        Windows in a batch, over all devices; fewer where runs end short at a border.
    learning_rate
        Of Adam.
    weight_decay
        Decoupled from the gradient (AdamW); 0 is plain Adam.
    label_smoothing
        Of the training loss; validation and test losses are without.
    run_length
        Neighboring windows drawn together. Longer runs share more work, and make the windows of a
        batch more alike. With 8, six in seven input products are saved (31 frames), and the AUC
        after equal epochs is that of single windows; with 32, there is little left to save
        (``tests/benchmarks/RESULTS.md``).
    epoch_fraction
        Share of the training windows drawn in an epoch; the next epoch goes on where it ended.
    """

    epochs: int = 30
    batch_size: int = 256
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    label_smoothing: float = 0.01
    run_length: int = 8
    epoch_fraction: float = 1.0

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise ValueError(f"`epochs >= 1` must hold, but got {self.epochs=}.")
        if self.run_length < 1 or self.batch_size < 1 or self.batch_size % self.run_length:
            raise ValueError(
                "`batch_size` must be a positive multiple of `run_length`, "
                f"but got {self.batch_size=}, {self.run_length=}."
            )
        if not 0 < self.learning_rate < math.inf:
            raise ValueError(f"`learning_rate > 0` must hold, but got {self.learning_rate=}.")
        if not 0 <= self.weight_decay < math.inf:
            raise ValueError(f"`weight_decay >= 0` must hold, but got {self.weight_decay=}.")
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(
                f"`0 <= label_smoothing < 1` must hold, but got {self.label_smoothing=}."
            )
        if not 0 < self.epoch_fraction <= 1:
            raise ValueError(
                f"`0 < epoch_fraction <= 1` must hold, but got {self.epoch_fraction=}."
            )
