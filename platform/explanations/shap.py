"""Deep SHAP of a fold's model: how much each unit, at each step of the window, moves its output.

W explains its decoders by ``DeepExplainer`` of the package shap: the input is compared with windows
of the background, and the difference of the outputs is divided among units and steps by DeepLIFT.
The same is done here by captum's ``DeepLiftShap``, under the rules of
`calsweep.platform.explanations.deep_lift` for recurrent cells, attention and normalization, which
captum does not have. W explains the probability of running; here it is the logit, in which
contributions add up without being squashed.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from calsweep.datasets.split import FoldData, Part
from calsweep.platform.explanations.deep_lift import PairedRules
from calsweep.platform.fold.batch import take_frames

# E explained windows, B background windows, L steps in a window, O outputs

METHOD = (
    "Deep SHAP (captum's DeepLiftShap; DeepLIFT's rescale rule for functions of one number, "
    "Shapley values of products for gates, attention and normalization), of the logit"
)
WORST_ERROR = 0.02
# Numbers of the windows that are compared at once: they stay in the processor's cache.
_NUMBERS_AT_ONCE = 2**20


@dataclass(frozen=True, kw_only=True)
class ShapOptions:
    """What is explained, and how finely.

    Attributes
    ----------
    n_frames
        Test windows explained, drawn at random; all if there are fewer.
    n_background
        Training windows that each is compared with, drawn anew for every few test windows.
    class_index
        The class whose logit is explained; of two classes, 1.
    seed
        Of both draws.
    """

    n_frames: int = 10_000
    n_background: int = 20
    class_index: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        is_enough = self.n_frames >= 1 and self.n_background >= 2
        if not is_enough or self.class_index < 0 or self.seed < 0:
            raise ValueError(
                "`--frames` must be at least 1, `--background` at least 2, `--class` and `--seed` "
                f"at least 0, but got {self.n_frames}, {self.n_background}, {self.class_index} and "
                f"{self.seed}."
            )


@dataclass(frozen=True, kw_only=True, eq=False)
class Attribution:
    """What the windows of a fold's test part owe to their units and steps.

    Attributes
    ----------
    importance
        Mean absolute value, shape ``(step, *frame_shape)``.
    direction
        Mean value, of the same shape: positive speaks for the class where activity is high.
    sum_E
        Of each window, the sum of its attributions.
    difference_E
        Of each window, the model's output less its mean output over the background.
    targets_E
        Frame of the dataset that each window decodes.
    """

    importance: NDArray[np.float32]
    direction: NDArray[np.float32]
    sum_E: NDArray[np.float32]
    difference_E: NDArray[np.float32]
    targets_E: NDArray[np.int64]

    @property
    def error(self) -> float:
        """How far attributions are from adding up to the difference: root mean square of both."""
        return relative_error(self.sum_E, self.difference_E)


class Incomplete(ValueError):
    """Attributions do not add up to what they explain."""

    def __init__(self, decoder: str, error: float) -> None:
        super().__init__(decoder, error)
        self.decoder = decoder
        self.error = error

    def __str__(self) -> str:
        return (
            "attributions must add up to the model's output less its mean output (within "
            f"{WORST_ERROR:.0%}), but those of {self.decoder} are {self.error:.1%} off: it does "
            "something that has no rule yet. Give it one in platform/explanations/deep_lift.py."
        )


def relative_error(sum_E: NDArray[np.float32], difference_E: NDArray[np.float32], /) -> float:
    """Give the root mean square of what is missing, over that of the differences.

    Examples
    --------
    >>> relative_error(np.array([1.0, 2.0]), np.array([1.0, 2.0]))
    0.0
    """
    size = float(np.sqrt(np.mean(np.square(difference_E))))
    missing = float(np.sqrt(np.mean(np.square(sum_E - difference_E))))
    return missing / size if size else missing


def attribute(
    module: nn.Module, /, *, data: FoldData, options: ShapOptions, decoder: str = "the decoder"
) -> Attribution:
    """Explain random windows of a fold's test part.

    Parameters
    ----------
    module
        With the fold's trained weights.
    data
        The fold.
    options
        What is explained.
    decoder
        Its name, for messages.

    Raises
    ------
    ValueError
        If there is no such class.
    Incomplete
        If attributions do not add up.
    """
    column = output_of_class(options.class_index, n_classes=data.n_classes)
    rng = np.random.default_rng([options.seed, 11])
    n_windows = len(data.test.starts_W)
    chosen_E = np.sort(rng.permutation(n_windows)[: options.n_frames])
    module = module.eval().requires_grad_(False)
    n_numbers = data.window_length * int(np.prod(data.frame_shape)) * options.n_background
    n_together = max(1, _NUMBERS_AT_ONCE // n_numbers)
    total = np.zeros((2, data.window_length, *data.frame_shape))
    sums, differences = [], []
    for first in range(0, len(chosen_E), n_together):
        windows = windows_at(data, data.test, chosen_E[first : first + n_together])
        drawn_B = rng.integers(len(data.train.starts_W), size=options.n_background)
        background = windows_at(data, data.train, drawn_B)
        shares = explain(module, windows, background=background, column=column)
        total += [shares.abs().sum(0).numpy(), shares.sum(0).numpy()]
        with torch.no_grad():
            difference_E = _output(module, windows)[:, column]
            difference_E -= _output(module, background)[:, column].mean()
        sums.append(shares.flatten(1).sum(1).numpy())
        differences.append(difference_E.numpy())
    importance, direction = (total / len(chosen_E)).astype(np.float32)
    attribution = Attribution(
        importance=importance,
        direction=direction,
        sum_E=np.concatenate(sums),
        difference_E=np.concatenate(differences),
        targets_E=data.test.targets_W[chosen_E],
    )
    if not attribution.error <= WORST_ERROR:
        raise Incomplete(decoder, attribution.error)
    return attribution


def explain(module: nn.Module, windows: Tensor, /, *, background: Tensor, column: int) -> Tensor:
    """Divide the output of windows, less its mean over a background, among what they hold.

    Parameters
    ----------
    module
        In prediction, without gradients of its weights.
    windows
        Shape ``(window, step, *frame_shape)``.
    background
        Windows that they are compared with.
    column
        Number of the output.

    Returns
    -------
    shares
        Of the shape of `windows`.

    Examples
    --------
    >>> from calsweep.trainables.decoder import Problem
    >>> from calsweep.trainables.linear import Linear
    >>> module = Linear().build(Problem(frame_shape=(2,), window_length=1)).requires_grad_(False)
    >>> _ = module.kernel.weight.copy_(torch.tensor([[[3.0], [1.0]]]))
    >>> windows, background = torch.tensor([[[1.0, 1.0]]]), torch.tensor([[[0.0, 1.0]], [[0.0, 1]]])
    >>> explain(module, windows, background=background, column=0).tolist()
    [[[3.0, 0.0]]]
    """
    from captum.attr import DeepLiftShap  # loaded where something is explained only

    with warnings.catch_warnings():  # it says that it sets hooks and takes them away again
        warnings.filterwarnings("ignore", message=".*forward, backward hooks.*")
        method = DeepLiftShap(_Paired(module))
        shares: Tensor = method.attribute(windows, background, target=column)
    return shares.detach()


def output_of_class(class_index: int, /, *, n_classes: int) -> int:
    """Give which output is the logit of a class.

    Raises
    ------
    ValueError
        If none is.

    Examples
    --------
    >>> output_of_class(1, n_classes=2), output_of_class(2, n_classes=3)
    (0, 2)
    """
    if class_index >= n_classes or (n_classes == 2 and class_index != 1):
        known = "1, for the one logit of two" if n_classes == 2 else f"0 to {n_classes - 1}"
        raise ValueError(
            f"the class explained must be {known} classes, but got {class_index}: set `--class`."
        )
    return 0 if n_classes == 2 else class_index


def windows_at(data: FoldData, part: Part, chosen_E: NDArray[np.int64], /) -> Tensor:
    """Give windows of a part as its decoder sees them, shape ``(window, step, *frame_shape)``."""
    starts_E = part.starts_W[chosen_E]
    return take_frames(
        part.frames,
        starts_E,
        np.full(len(starts_E), data.window_length),
        n_frames=data.window_length,
        scaling=data.scaling,
        device=torch.device("cpu"),
    ).contiguous()


def _output(module: nn.Module, windows: Tensor) -> Tensor:
    """Give the outputs of windows, each a run of its own.

    Where there are two ways through a module, the one of torch's own layers: a backward pass that
    is written by hand has gradients, not multipliers.
    """
    forward = getattr(module, "forward_windows", module)
    outputs_EO: Tensor = forward(windows)[:, 0]
    return outputs_EO


class _Paired(nn.Module):
    """A module under DeepLIFT's rules, as captum calls it: inputs, then references."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, pairs: Tensor) -> Tensor:
        """Give the outputs of all rows, shape ``(row, output)``."""
        with PairedRules():
            return _output(self.module, pairs)
