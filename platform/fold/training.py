"""How a decoder is trained: the typed settings of the training loop."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import Enum

from calsweep.trainables.losses import Criterion, inverse_frequency


class Schedule(Enum):
    """How the learning rate goes.

    ``ONE_CYCLE`` rises to it over the warm-up and falls to nothing (Smith & Topin, 2018), by
    torch's `OneCycleLR`; ``COSINE`` falls to nothing; ``PLATEAU`` halves it whenever the validation
    loss has not fallen for five epochs.
    """

    CONSTANT = "constant"
    ONE_CYCLE = "one_cycle"
    COSINE = "cosine"
    PLATEAU = "plateau"


class Precision(Enum):
    """What training computes in; weights, validation and test are float32 always."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"


class ClassWeights(Enum):
    """How much a window counts by its class."""

    NONE = "none"
    INVERSE_FREQUENCY = "inverse_frequency"


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
        Of Adam; the highest where a schedule changes it.
    schedule
        How the learning rate goes.
    warmup
        Share of all steps in which a one-cycle schedule rises.
    weight_decay
        Decoupled from the gradient (AdamW); 0 is plain Adam.
    clip_norm
        Highest norm of a step's gradient; 0 leaves it as it is.
    patience
        Epochs without a lower validation loss after which training ends; 0 trains all epochs.
    label_smoothing
        Of the training loss; validation and test losses are without.
    class_weights
        How much a window of the training loss counts by its class.
    focal_gamma, focal_alpha
        Exponent and factor of the focal loss; with exponent 0 it is the cross-entropy.
    mixup
        Both parameters of the beta distribution by which two runs of a batch are mixed, frames and
        losses alike (Zhang et al., 2018); 0 mixes none.
    precision
        What the forward pass of training computes in.
    accumulation
        Pieces that a batch is worked through in, to need less memory; their gradients add up.
    compile
        Whether `torch.compile` is tried. Where it fails, training goes on without.
    deterministic
        Whether a GPU must give the same bits each time, at some cost. A CPU does so anyway.
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
    schedule: Schedule = Schedule.CONSTANT
    warmup: float = 0.3
    weight_decay: float = 0.0
    clip_norm: float = 0.0
    patience: int = 0
    label_smoothing: float = 0.01
    class_weights: ClassWeights = ClassWeights.NONE
    focal_gamma: float = 0.0
    focal_alpha: float = 1.0
    mixup: float = 0.0
    precision: Precision = Precision.FLOAT32
    accumulation: int = 1
    compile: bool = False
    deterministic: bool = False
    run_length: int = 8
    epoch_fraction: float = 1.0

    def __post_init__(self) -> None:
        value = asdict(self)
        for name in ("epochs", "accumulation"):
            if value[name] < 1:
                raise ValueError(f"`{name} >= 1` must hold, but got {name}={value[name]}.")
        if self.run_length < 1 or self.batch_size < 1 or self.batch_size % self.run_length:
            raise ValueError(
                "`batch_size` must be a positive multiple of `run_length`, "
                f"but got {self.batch_size=}, {self.run_length=}."
            )
        for name in ("learning_rate", "focal_alpha"):
            if not 0 < value[name] < math.inf:
                raise ValueError(f"`{name} > 0` must hold, but got {name}={value[name]}.")
        for name in ("weight_decay", "clip_norm", "patience", "focal_gamma", "mixup"):
            if not 0 <= value[name] < math.inf:
                raise ValueError(f"`{name} >= 0` must hold, but got {name}={value[name]}.")
        for name in ("label_smoothing", "warmup"):
            if not 0 <= value[name] < 1:
                raise ValueError(f"`0 <= {name} < 1` must hold, but got {name}={value[name]}.")
        if not 0 < self.epoch_fraction <= 1:
            raise ValueError(
                f"`0 < epoch_fraction <= 1` must hold, but got {self.epoch_fraction=}."
            )

    def criterion(self, class_shares: Sequence[float], /) -> Criterion:
        """Give the training loss for labels whose classes have these shares."""
        weighs = self.class_weights is ClassWeights.INVERSE_FREQUENCY
        return Criterion(
            label_smoothing=self.label_smoothing,
            class_weights=inverse_frequency(class_shares) if weighs else (),
            focal_gamma=self.focal_gamma,
            focal_alpha=self.focal_alpha,
        )
