"""Steps from recorded activity to what a decoder sees.

A step over a whole recording (`Detrend`, a scaling over `Scope.RECORDING`) is computed once a
dataset and kept in the cache. A scaling over `Scope.TRAINING` is fitted on the training part of a
fold and applied to batches as they are drawn, so that no fold copies frames.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from calsweep.datasets.fold import PartName
from calsweep.datasets.split import Scaling

# T time, N unit


class Scope(Enum):
    """The frames that a scaling is fitted on.

    ``TRAINING``: those of a fold's training part, one scaling for all recordings.
    ``RECORDING``: all frames of the recording that is scaled. It takes out differences between
    recordings, but a frame's value then depends on later frames, of test recordings too
    (transductive): such a decoder cannot run while an animal is recorded.
    """

    TRAINING = "training"
    RECORDING = "recording"


@dataclass(frozen=True, kw_only=True)
class Look:
    """How many frames around a frame its value depends on after a step.

    Attributes
    ----------
    before_frames, after_frames
        Infinite for a step over a whole recording.

    Examples
    --------
    >>> Look(before_frames=2) + Look(before_frames=1, after_frames=5)
    Look(before_frames=3, after_frames=5)
    """

    before_frames: float = 0
    after_frames: float = 0

    def __add__(self, other: Look) -> Look:
        return Look(
            before_frames=self.before_frames + other.before_frames,
            after_frames=self.after_frames + other.after_frames,
        )


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """Something fitted to data, and to whose.

    Attributes
    ----------
    what
        Name of what is fitted.
    on
        The parts of a fold whose frames it is fitted on.
    """

    what: str
    on: tuple[PartName, ...]


@dataclass(frozen=True, kw_only=True)
class Detrend:
    """Subtract a centred moving average from each unit, recording by recording.

    A frame's value depends on up to ``length_frames / 2`` frames after it (not causal).

    Attributes
    ----------
    length_frames
        Frames in the average; near the ends of a recording the window shrinks.
    """

    length_frames: int = 1000

    def __post_init__(self) -> None:
        if self.length_frames < 1:
            raise ValueError(f"`length_frames >= 1` must hold, but got {self.length_frames=}.")

    @property
    def look(self) -> Look:
        """How far it looks around a frame."""
        return Look(
            before_frames=self.length_frames // 2, after_frames=(self.length_frames - 1) // 2
        )

    @property
    def fitted_on(self) -> tuple[PartName, ...]:
        """The parts of a fold that it is fitted on: none."""
        return ()

    def note(self) -> str:
        """Say what this step does that a reader of results should know."""
        return (
            f"detrended by a centred moving average of {self.length_frames} frames within each "
            "recording: it uses frames after the window (not causal)"
        )


@dataclass(frozen=True, kw_only=True)
class MinMax:
    """Scale each unit so that the frames it is fitted on reach from 0 to 1.

    Attributes
    ----------
    over
        Which frames these are.
    """

    over: Scope = Scope.TRAINING

    @property
    def look(self) -> Look:
        """How far it looks around a frame."""
        return _look(self.over)

    @property
    def fitted_on(self) -> tuple[PartName, ...]:
        """The parts of a fold that it is fitted on."""
        return _fitted_on(self.over)

    def fit(self, parts: Sequence[NDArray[np.float32]], /) -> Scaling:
        """Fit on frames, given as arrays of shape ``(time, unit)``."""
        low = np.min([part.min(axis=0) for part in parts], axis=0)
        high = np.max([part.max(axis=0) for part in parts], axis=0)
        return _scaling(low, high.astype(np.float64) - low)

    def note(self) -> str:
        """Say what this step does that a reader of results should know; may be nothing."""
        return _scope_note("min-max scaled", self.over)


@dataclass(frozen=True, kw_only=True)
class ZScore:
    """Scale each unit so that the frames it is fitted on have mean 0 and SD 1.

    Attributes
    ----------
    over
        Which frames these are.
    """

    over: Scope = Scope.TRAINING

    @property
    def look(self) -> Look:
        """How far it looks around a frame."""
        return _look(self.over)

    @property
    def fitted_on(self) -> tuple[PartName, ...]:
        """The parts of a fold that it is fitted on."""
        return _fitted_on(self.over)

    def fit(self, parts: Sequence[NDArray[np.float32]], /) -> Scaling:
        """Fit on frames, given as arrays of shape ``(time, unit)``."""
        n_frames = sum(len(part) for part in parts)
        mean = sum(part.sum(axis=0, dtype=np.float64) for part in parts) / n_frames
        square = sum(((part - mean) ** 2).sum(axis=0) for part in parts) / n_frames
        return _scaling(mean, np.sqrt(square))

    def note(self) -> str:
        """Say what this step does that a reader of results should know; may be nothing."""
        return _scope_note("z-scored", self.over)


@dataclass(frozen=True, kw_only=True)
class PixelScale:
    """Subtract the mean image and divide by the spread of all pixels, as W does with images.

    Attributes
    ----------
    over
        Which frames mean and spread are of. Over the training part, what a mouse's cortex looks
        like stays in its images.
    """

    over: Scope = Scope.TRAINING

    @property
    def look(self) -> Look:
        """How far it looks around a frame."""
        return _look(self.over)

    @property
    def fitted_on(self) -> tuple[PartName, ...]:
        """The parts of a fold that it is fitted on."""
        return _fitted_on(self.over)

    def fit(self, parts: Sequence[NDArray[np.float32]], /) -> Scaling:  # noqa: ARG002
        """Refuse: traces have no pixels."""
        raise ValueError(
            "images are scaled by their pixels, but traces are decoded here: scale units with "
            "MinMax or ZScore (`datasets.transforms.scaling._target_`)."
        )

    def note(self) -> str:
        """Say what this step does that a reader of results should know; may be nothing."""
        return _scope_note("mean image subtracted", self.over)


@dataclass(frozen=True, kw_only=True)
class Transforms:
    """The steps from recorded activity to what a decoder sees, in this order.

    Each has a name of its own, so that a search space or the command line can reach into it
    (``datasets.transforms.detrend.length_frames``) or leave it out
    (``datasets.transforms.detrend=null``).

    Attributes
    ----------
    detrend
        Removes slow drift; ``None`` leaves it.
    scaling
        Brings units, or pixels, to one scale; ``None`` leaves them.

    Examples
    --------
    >>> Transforms(detrend=Detrend(length_frames=3)).notes()
    ('detrended by a centred moving average of 3 frames within each recording: it uses frames \
after the window (not causal)',)
    """

    detrend: Detrend | None = None
    scaling: MinMax | ZScore | PixelScale | None = None

    def __iter__(self) -> Iterator[Detrend | MinMax | ZScore | PixelScale]:
        return iter([step for step in (self.detrend, self.scaling) if step is not None])

    @property
    def recorded(self) -> Transforms:
        """Those steps that need one recording and nothing else."""
        fitted = self.scaling is not None and self.scaling.over is Scope.TRAINING
        return Transforms(detrend=self.detrend, scaling=None if fitted else self.scaling)

    def apply(self, activity_TN: NDArray[np.float32], /) -> NDArray[np.float32]:
        """Apply the steps that need one recording to it; a fitted scaling is not among them.

        Parameters
        ----------
        activity_TN
            One whole recording, shape ``(time, unit)``.
        """
        steps = self.recorded
        if steps.detrend is not None:
            activity_TN = detrended(activity_TN, length_frames=steps.detrend.length_frames)
        if steps.scaling is not None:
            scaling = steps.scaling.fit([activity_TN])
            activity_TN = (activity_TN - scaling.offset_N) * scaling.scale_N
        return activity_TN

    def fit(self, parts: Sequence[NDArray[np.float32]], /) -> Scaling:
        """Fit the scaling on stretches of the training part, other steps already applied.

        Parameters
        ----------
        parts
            Arrays of shape ``(time, unit)``.

        Returns
        -------
        scaling
            One that changes nothing where no step is fitted.
        """
        if self.scaling is not None and self.scaling.over is Scope.TRAINING:
            return self.scaling.fit(parts)
        n_units = parts[0].shape[1]
        return Scaling(
            offset_N=np.zeros(n_units, dtype=np.float32),
            scale_N=np.ones(n_units, dtype=np.float32),
        )

    @property
    def look(self) -> Look:
        """How far all steps together look around a frame."""
        return sum((step.look for step in self), start=Look())

    @property
    def fitted(self) -> tuple[Fitted, ...]:
        """What is fitted to a fold, and on which of its parts."""
        return tuple(
            Fitted(what=type(step).__name__, on=step.fitted_on) for step in self if step.fitted_on
        )

    @property
    def fitted_on(self) -> tuple[PartName, ...]:
        """The parts of a fold that anything is fitted on, the training part at least."""
        found = {part for fitted in self.fitted for part in fitted.on} | {PartName.TRAIN}
        return tuple(part for part in PartName if part in found)

    def notes(self) -> tuple[str, ...]:
        """Name the steps that use more than the past and the training part."""
        return tuple(note for step in self if (note := step.note()))


def detrended(activity_TN: NDArray[np.float32], /, *, length_frames: int) -> NDArray[np.float32]:
    """Subtract a centred moving average, in time linear in the frames.

    Parameters
    ----------
    activity_TN
        One recording, shape ``(time, unit)``.
    length_frames
        Frames in the average. An even number takes one frame more before than after the centre, and
        at the ends the window shrinks, as MATLAB's ``movmean`` does both.

    Examples
    --------
    >>> activity_TN = np.array([[0], [3], [6], [0]], dtype=np.float32)
    >>> detrended(activity_TN, length_frames=3).ravel().tolist()
    [-1.5, 0.0, 3.0, -3.0]
    """
    mean_TN = moving_average(activity_TN, length_frames=length_frames)
    result_TN: NDArray[np.float32] = (activity_TN - mean_TN).astype(np.float32)
    return result_TN


def moving_average(
    activity_TN: NDArray[np.float32], /, *, length_frames: int
) -> NDArray[np.float64]:
    """Give the mean of the frames around each frame, in time linear in the frames.

    Parameters
    ----------
    activity_TN
        One recording, shape ``(time, unit)``.
    length_frames
        Frames in the average, placed and cut at the ends as `detrended` says.

    Examples
    --------
    >>> activity_TN = np.array([[0], [3], [6], [0]], dtype=np.float32)
    >>> moving_average(activity_TN, length_frames=3).ravel().tolist()
    [1.5, 3.0, 3.0, 3.0]
    """
    n_frames, n_units = activity_TN.shape
    # Sums in float64: in float32 the difference of two long sums loses the activity.
    sums_TN = np.zeros((n_frames + 1, n_units))
    np.cumsum(activity_TN, axis=0, dtype=np.float64, out=sums_TN[1:])
    frames = np.arange(n_frames)
    first = np.maximum(frames - length_frames // 2, 0)
    stop = np.minimum(frames + (length_frames - 1) // 2 + 1, n_frames)
    mean_TN: NDArray[np.float64] = (sums_TN[stop] - sums_TN[first]) / (stop - first)[:, None]
    return mean_TN


def _scaling(offset_N: NDArray[np.floating], spread_N: NDArray[np.floating]) -> Scaling:
    """Divide by the spread; a unit without any becomes 0 everywhere."""
    with np.errstate(divide="ignore"):
        scale_N = np.where(spread_N > 0, 1.0 / spread_N, 0.0)
    return Scaling(offset_N=offset_N.astype(np.float32), scale_N=scale_N.astype(np.float32))


def _look(over: Scope) -> Look:
    if over is Scope.TRAINING:
        return Look()
    return Look(before_frames=math.inf, after_frames=math.inf)


def _fitted_on(over: Scope) -> tuple[PartName, ...]:
    return (PartName.TRAIN,) if over is Scope.TRAINING else ()


def _scope_note(what: str, over: Scope) -> str:
    if over is Scope.TRAINING:
        return ""
    return (
        f"{what} over each whole recording, those of the test part too: "
        "it uses frames after the window (transductive)"
    )
