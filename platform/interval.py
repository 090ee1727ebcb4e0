"""Frame by frame decisions as intervals: first and last frame of each stretch of one class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# W windows of one recording, in order of time


@dataclass(frozen=True, kw_only=True, order=True)
class Interval:
    """A stretch of frames of one class.

    Attributes
    ----------
    first_frame, last_frame
        Both belong to it.
    label
        Its class.
    """

    first_frame: int
    last_frame: int
    label: int

    @property
    def n_frames(self) -> int:
        """Its length."""
        return self.last_frame - self.first_frame + 1

    def shared_frames(self, other: Interval, /) -> int:
        """Count the frames of both."""
        first = max(self.first_frame, other.first_frame)
        return max(0, min(self.last_frame, other.last_frame) - first + 1)


def intervals(
    frame_W: NDArray[np.int64], label_W: NDArray[np.int64], /, *, min_frames: int = 1
) -> tuple[Interval, ...]:
    """Give the stretches of equal labels other than 0, as H turns decoded frames into footsteps.

    Parameters
    ----------
    frame_W
        Frame of each window, increasing. Where frames are missing, an interval ends.
    label_W
        Class of each.
    min_frames
        Shorter stretches are left out.

    Raises
    ------
    ValueError
        If `min_frames` is below 1.

    Examples
    --------
    >>> found = intervals(np.arange(10, 17), np.array([0, 1, 1, 2, 0, 0, 1]))
    >>> [(i.first_frame, i.last_frame, i.label) for i in found]
    [(11, 12, 1), (13, 13, 2), (16, 16, 1)]
    """
    if min_frames < 1:
        raise ValueError(f"`min_frames >= 1` must hold, but got {min_frames=}.")
    if len(label_W) == 0:
        return ()
    begins_W = np.flatnonzero(
        (np.diff(label_W, prepend=-1) != 0) | (np.diff(frame_W, prepend=-2) != 1)
    )
    ends_W = np.append(begins_W[1:], len(label_W)) - 1
    found = (
        Interval(
            first_frame=int(frame_W[begin]),
            last_frame=int(frame_W[end]),
            label=int(label_W[begin]),
        )
        for begin, end in zip(begins_W, ends_W, strict=True)
        if label_W[begin] != 0
    )
    return tuple(interval for interval in found if interval.n_frames >= min_frames)


@dataclass(frozen=True, kw_only=True)
class IntervalFigures:
    """How many intervals were found.

    Attributes
    ----------
    n_true, n_decoded
        Intervals that are, and that were decoded.
    n_matched
        Pairs of one of each, of the same class, that share enough frames.
    """

    n_true: int
    n_decoded: int
    n_matched: int

    @property
    def precision(self) -> float:
        """Of those decoded, the share that is; 0 where none was."""
        return self.n_matched / self.n_decoded if self.n_decoded else 0.0

    @property
    def recall(self) -> float:
        """Of those that are, the share decoded; 0 where there are none."""
        return self.n_matched / self.n_true if self.n_true else 0.0

    def __add__(self, other: IntervalFigures) -> IntervalFigures:
        return IntervalFigures(
            n_true=self.n_true + other.n_true,
            n_decoded=self.n_decoded + other.n_decoded,
            n_matched=self.n_matched + other.n_matched,
        )


def interval_figures(
    true: Sequence[Interval], decoded: Sequence[Interval], /, *, min_overlap: float = 0.5
) -> dict[int, IntervalFigures]:
    """Compare decoded intervals with those that are, class by class.

    Parameters
    ----------
    true, decoded
        Of one recording.
    min_overlap
        Share of the frames of either (intersection over union) that a pair must have in common.
        From one half on, an interval cannot match two; below, the pair with most in common counts.

    Returns
    -------
    figures
        Class to its figures, for each class that has an interval.

    Raises
    ------
    ValueError
        If `min_overlap` is not above 0 and at most 1.

    Examples
    --------
    >>> true = [Interval(first_frame=0, last_frame=9, label=1)]
    >>> decoded = [Interval(first_frame=2, last_frame=9, label=1)]
    >>> interval_figures(true, decoded)[1].recall
    1.0
    """
    if not 0 < min_overlap <= 1:
        raise ValueError(f"`0 < min_overlap <= 1` must hold, but got {min_overlap=}.")
    figures = {}
    for label in sorted({interval.label for interval in (*true, *decoded)}):
        ours = [i for i in true if i.label == label]
        theirs = [i for i in decoded if i.label == label]
        figures[label] = IntervalFigures(
            n_true=len(ours),
            n_decoded=len(theirs),
            n_matched=_n_matched(ours, theirs, min_overlap=min_overlap),
        )
    return figures


def total(figures: Sequence[Mapping[int, IntervalFigures]], /) -> dict[int, IntervalFigures]:
    """Add up the figures of several recordings, class by class."""
    none = IntervalFigures(n_true=0, n_decoded=0, n_matched=0)
    labels = sorted({label for of_one in figures for label in of_one})
    return {
        label: sum((of_one.get(label, none) for of_one in figures), start=none) for label in labels
    }


def _n_matched(true: Sequence[Interval], decoded: Sequence[Interval], *, min_overlap: float) -> int:
    """Count pairs, each interval in one at most, those that share most first."""
    pairs = []
    for i, one in enumerate(true):
        for k, other in enumerate(decoded):
            shared = one.shared_frames(other)
            overlap = shared / (one.n_frames + other.n_frames - shared)
            if shared and overlap >= min_overlap:
                pairs.append((-overlap, i, k))
    taken: set[int] = set()
    given: set[int] = set()
    for _, i, k in sorted(pairs):
        if i not in taken and k not in given:
            taken.add(i)
            given.add(k)
    return len(taken)
