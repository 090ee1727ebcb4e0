"""The frames a decoder sees for one target."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calsweep.datasets.recording import trial_borders

# T time, W window


@dataclass(frozen=True, kw_only=True)
class Window:
    """Length and shift of the windows a decoder sees.

    Attributes
    ----------
    length
        Frames in a window.
    shift
        Frames from the window's centre to the frame whose label is decoded; negative is earlier.
        The centre is frame ``length // 2`` of the window.
    """

    length: int = 31
    shift: int = 0

    def __post_init__(self) -> None:
        if self.length < 1:
            raise ValueError(f"`length >= 1` must hold, but got {self.length=}.")

    @property
    def target_offset(self) -> int:
        """Frames from a window's first frame to the frame whose label is decoded."""
        return self.length // 2 + self.shift

    @property
    def reach_frames(self) -> int:
        """Frames that a trial must have to hold one window and its target.

        Examples
        --------
        >>> Window(length=31).reach_frames, Window(length=31, shift=-20).reach_frames
        (31, 36)
        """
        first = min(0, self.target_offset)
        last = max(self.length - 1, self.target_offset)
        return last - first + 1


def window_starts(trial_T: NDArray[np.integer], /, *, window: Window) -> NDArray[np.int64]:
    """Give the first frame of each window of one recording, stride 1.

    A window and the frame whose label it decodes lie in the same trial.

    Parameters
    ----------
    trial_T
        Trial of each frame of one recording, shape ``(time,)``.
    window
        Length and shift.

    Returns
    -------
    starts_W
        Increasing; ``starts_W + window.target_offset`` are the frames that are decoded.

    Examples
    --------
    >>> trials = np.array([0, 0, 0, 0, 1, 1, 1])
    >>> window_starts(trials, window=Window(length=3)).tolist()
    [0, 1, 4]
    >>> window_starts(trials, window=Window(length=3, shift=2)).tolist()
    [0]
    """
    borders = trial_borders(trial_T)
    offset = window.target_offset
    first = borders[:-1] - min(0, offset)
    stop = borders[1:] - max(window.length - 1, offset)
    ranges = [np.arange(a, b, dtype=np.int64) for a, b in zip(first, stop, strict=True) if a < b]
    return np.concatenate(ranges) if ranges else np.empty(0, dtype=np.int64)
