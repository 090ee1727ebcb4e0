"""A trained module asked for every window of a part: outputs, probabilities, figures."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from calsweep.datasets.split import FoldData, FrameArray, Part, Scaling
from calsweep.platform.fold.batch import Runs, cut_runs, segment_lengths, take_frames
from calsweep.platform.score import Score
from calsweep.trainables.decoder import Decoder, WithSides
from calsweep.trainables.losses import Criterion
from calsweep.trainables.metrics import accuracy, auc, class_figures, decide

# T time, W windows, R runs of neighboring windows, K windows per run, O outputs, C classes

# A prediction steps over up to this many windows at once: enough that starting an operation costs
# little, few enough that a step stays in the processor's cache.
PREDICTED_AT_ONCE = 1024
# A GPU is not filled by so few.
_PREDICTED_AT_ONCE_ON_GPU = 16 * PREDICTED_AT_ONCE
# Images are larger than anything that is made of them, so what is taken at once is bounded too.
_NUMBERS_AT_ONCE = 2**24


@dataclass(frozen=True, kw_only=True)
class Scored:
    """Figures of a part, and what was said of each of its windows.

    Attributes
    ----------
    score
        Figures.
    probability_WC
        Probability of each class.
    sides
        Class to its probability by a head of its own, shape ``(window,)``, where it has one.
    """

    score: Score
    probability_WC: NDArray[np.float32]
    sides: Mapping[int, NDArray[np.float32]] = field(default_factory=dict)


@torch.inference_mode()
def predict(
    module: nn.Module,
    /,
    *,
    frames: FrameArray,
    starts_W: NDArray[np.int64],
    scaling: Scaling,
    window_length: int,
    probability: Callable[[Tensor], Tensor],
) -> NDArray[np.float32]:
    """Give a decoder's probabilities for each window.

    Parameters
    ----------
    module
        What `Decoder.build` gives.
    frames
        Before scaling, shape ``(time, *frame_shape)``.
    starts_W
        First frame of each window, increasing.
    scaling
        As fitted on the training part.
    window_length
        Frames in a window.
    probability
        `Decoder.probability`.

    Returns
    -------
    probability_WC
        Shape ``(window, class)``.

    Raises
    ------
    ValueError
        If a window does not lie within the frames.

    Examples
    --------
    >>> from calsweep.trainables.decoder import Problem
    >>> from calsweep.trainables.linear import Linear
    >>> predict(
    ...     Linear().build(Problem(frame_shape=(2,), window_length=3)),
    ...     frames=np.zeros((5, 2), np.float32),
    ...     starts_W=np.array([0, 1, 2]),
    ...     scaling=Scaling(offset_N=np.zeros(2, np.float32), scale_N=np.ones(2, np.float32)),
    ...     window_length=3,
    ...     probability=Linear().probability,
    ... )[:, 1].tolist()
    [0.5, 0.5, 0.5]
    """
    check_within(starts_W, n_frames=len(frames), window_length=window_length)
    pieces = [
        probability(outputs_RKO).cpu()[torch.from_numpy(is_real_RK)]
        for outputs_RKO, _, _, is_real_RK in _outputs(
            module,
            frames=frames,
            starts_W=starts_W,
            scaling=scaling,
            window_length=window_length,
        )
    ]
    return np.asarray(torch.cat(pieces).numpy())


@torch.inference_mode()
def score(module: nn.Module, /, *, decoder: Decoder, data: FoldData, part: Part) -> Scored:
    """Give a decoder's figures over all windows of a part.

    Where the loss is not finite it is infinite, and the other figures are NaN.
    """
    loss = 0.0
    n_windows = len(part.starts_W)
    probability_WC = np.empty((n_windows, data.n_classes), np.float32)
    sides: dict[int, NDArray[np.float32]] = {}
    for outputs_RKO, frames, runs, is_real_RK in _outputs(
        module,
        frames=part.frames,
        starts_W=part.starts_W,
        scaling=data.scaling,
        window_length=data.window_length,
    ):
        is_real = torch.from_numpy(is_real_RK).to(outputs_RKO.device)
        begin = int(runs.first_R[0])
        labels_RK = torch.zeros(is_real_RK.shape, dtype=torch.int64)
        labels_RK[is_real_RK] = torch.from_numpy(part.labels_W[begin : begin + runs.n_windows])
        loss += decoder.loss(
            outputs_RKO.double(),
            labels_RK.to(outputs_RKO.device),
            is_real,
            frames=frames,
            criterion=Criterion(),
        ).item()
        here = slice(begin, begin + runs.n_windows)
        probability_WC[here] = decoder.probability(outputs_RKO)[is_real].cpu().numpy()
        if isinstance(decoder, WithSides):
            for c, side_RK in decoder.side_probability(outputs_RKO).items():
                side_W = sides.setdefault(c, np.empty(n_windows, np.float32))
                side_W[here] = side_RK[is_real].cpu().numpy()
    if not math.isfinite(loss):  # the caller refuses it
        nan = math.nan
        return Scored(
            score=Score(loss=math.inf, auc=nan, accuracy=nan, precision=nan, recall=nan, f1=nan),
            probability_WC=probability_WC,
        )
    figures = class_figures(part.labels_W, decide(probability_WC), n_classes=data.n_classes)
    return Scored(
        score=Score(
            loss=loss / len(part.labels_W),
            auc=auc(part.labels_W, probability_WC),
            accuracy=accuracy(part.labels_W, probability_WC),
            precision=figures.of_interest(figures.precision_C),
            recall=figures.of_interest(figures.recall_C),
            f1=figures.of_interest(figures.f1_C),
        ),
        probability_WC=probability_WC,
        sides=sides,
    )


def check_within(starts_W: NDArray[np.int64], /, *, n_frames: int, window_length: int) -> None:
    """Check that windows lie within frames.

    Raises
    ------
    ValueError
        If one does not, or there is none.
    """
    if len(starts_W) == 0:
        raise ValueError("at least one window is needed, but got none: shorten the window.")
    if starts_W[0] < 0 or starts_W[-1] + window_length > n_frames:
        raise ValueError(
            f"windows of {window_length} frames must lie within the {n_frames} frames, "
            f"but they reach from frame {starts_W[0]} to {starts_W[-1] + window_length - 1}."
        )


def _outputs(
    module: nn.Module,
    *,
    frames: FrameArray,
    starts_W: NDArray[np.int64],
    scaling: Scaling,
    window_length: int,
) -> Iterator[tuple[Tensor, Tensor, Runs, NDArray[np.bool_]]]:
    """Give outputs, frames and runs by pieces, in order, and which of their windows are real.

    Runs are as long as the segments allow.
    """
    device = next(module.parameters()).device
    at_once = _at_once(frames, window_length=window_length, device=device)
    run_length = min(int(segment_lengths(starts_W).max()), at_once)
    runs = cut_runs(starts_W, run_length=run_length)
    n_together = at_once // run_length
    module.eval()
    for first in range(0, len(runs), n_together):
        together = runs[first : first + n_together]
        taken = take_frames(
            frames,
            starts_W[together.first_R],
            together.n_windows_R + window_length - 1,
            n_frames=run_length + window_length - 1,
            scaling=scaling,
            device=device,
        )
        is_real_RK = np.arange(run_length) < together.n_windows_R[:, None]
        yield module(taken), taken, together, is_real_RK


def _at_once(frames: FrameArray, *, window_length: int, device: torch.device) -> int:
    """Give how many windows to predict at once."""
    if frames.ndim == 2:
        return PREDICTED_AT_ONCE if device.type == "cpu" else _PREDICTED_AT_ONCE_ON_GPU
    fit = _NUMBERS_AT_ONCE // int(np.prod(frames.shape[1:])) - window_length
    return min(max(fit, 1), PREDICTED_AT_ONCE)
