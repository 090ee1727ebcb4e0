"""What of a dataset decides how it can be divided: labels and trials, frame by frame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calsweep.datasets.fold import Fold, PartName, Stretch, WindowDraw
from calsweep.datasets.manifest import Manifest
from calsweep.datasets.window import Window, window_starts

# T time, W window


@dataclass(frozen=True, kw_only=True, eq=False)
class Timeline:
    """Labels of one behavior, and trials, of every recording.

    Attributes
    ----------
    manifest
        Of the dataset.
    target
        Name of the behavior.
    labels
        Name of a recording to its classes, shape ``(time,)``.
    trials
        Name of a recording to the trial of each frame, shape ``(time,)``.
    """

    manifest: Manifest
    target: str
    labels: Mapping[str, NDArray[np.generic]]
    trials: Mapping[str, NDArray[np.int32]]

    def count(self, stretch: Stretch, /) -> tuple[int, int]:
        """Count the frames of class 0 and of class 1 in a stretch."""
        label_T = self.labels[stretch.recording][stretch.start_frame : stretch.stop_frame]
        n_ones = int(np.count_nonzero(label_T))
        return len(label_T) - n_ones, n_ones


@dataclass(frozen=True, kw_only=True)
class PartWindows:
    """The windows of one part of a fold.

    Attributes
    ----------
    starts
        Name of a recording to the first frame of each of its windows, counted in the recording,
        increasing.
    n_windows
        Windows of class 0 and of class 1.
    """

    starts: Mapping[str, NDArray[np.int64]]
    n_windows: tuple[int, int]


def fold_windows(
    fold: Fold, timeline: Timeline, /, *, window: Window
) -> dict[PartName, PartWindows]:
    """Give the windows of each part of a fold: what is trained on is what is audited.

    Parameters
    ----------
    fold
        Which stretches each part has.
    timeline
        Of the dataset.
    window
        Length and shift.
    """
    if fold.draw is not None:
        starts = _starts(fold.train, timeline, window)
        return _drawn(fold.draw, starts, timeline, window)
    return {
        name: _counted(_starts(fold.part(name), timeline, window), timeline, window)
        for name in PartName
    }


def check_parts(fold: Fold, timeline: Timeline, /, *, window: Window) -> None:
    """Check that each part of a fold has windows of both classes.

    Raises
    ------
    ValueError
        If one has no window, or windows of one class.
    """
    for name, windows in fold_windows(fold, timeline, window=window).items():
        recordings = ", ".join(dict.fromkeys(stretch.recording for stretch in fold.part(name)))
        check_windows_of_part(
            windows.n_windows, part=name, target=timeline.target, recordings=recordings
        )


def check_windows_of_part(
    n_windows: tuple[int, int], /, *, part: PartName, target: str, recordings: str
) -> None:
    """Check that a part has windows of both classes.

    Raises
    ------
    ValueError
        If it has not.
    """
    if min(n_windows) > 0:
        return
    n_all = sum(n_windows)
    what = (
        f"{target!r} is {int(n_windows[1] > 0)} in all {n_all} windows"
        if n_all
        else f"no window of {target!r} fits into the stretches"
    )
    raise ValueError(
        f"each part of a fold must have both classes, but {what} of the {part.value} part "
        f"({recordings}). Choose another target, a shorter window or other folds: "
        "`calsweep data check` says which a dataset allows."
    )


def _starts(
    stretches: tuple[Stretch, ...], timeline: Timeline, window: Window
) -> dict[str, NDArray[np.int64]]:
    found: dict[str, list[NDArray[np.int64]]] = {}
    for stretch in sorted(stretches):
        trial_T = timeline.trials[stretch.recording][stretch.start_frame : stretch.stop_frame]
        starts_W = stretch.start_frame + window_starts(trial_T, window=window)
        found.setdefault(stretch.recording, []).append(starts_W)
    return {name: np.concatenate(starts) for name, starts in found.items()}


def _classes(
    starts: Mapping[str, NDArray[np.int64]], timeline: Timeline, window: Window
) -> NDArray[np.bool_]:
    """Give whether each window decodes class 1, recording after recording."""
    offset = window.target_offset
    return np.concatenate([timeline.labels[name][s + offset] != 0 for name, s in starts.items()])


def _counted(
    starts: Mapping[str, NDArray[np.int64]], timeline: Timeline, window: Window
) -> PartWindows:
    is_one_W = _classes(starts, timeline, window)
    n_ones = int(np.count_nonzero(is_one_W))
    return PartWindows(starts=starts, n_windows=(len(is_one_W) - n_ones, n_ones))


def _drawn(
    draw: WindowDraw,
    starts: Mapping[str, NDArray[np.int64]],
    timeline: Timeline,
    window: Window,
) -> dict[PartName, PartWindows]:
    """Draw windows without replacement, each class by itself."""
    is_one_W = _classes(starts, timeline, window)
    rng = np.random.default_rng(draw.seed)
    part_W = np.zeros(len(is_one_W), dtype=np.int8)  # 0 trains, 1 validates, 2 tests
    for of_class_W in (~is_one_W, is_one_W):
        order = rng.permutation(np.flatnonzero(of_class_W))
        n_test = round(draw.test_share * len(order))
        n_validation = round(draw.validation_share * len(order))
        part_W[order[:n_test]] = 2
        part_W[order[n_test : n_test + n_validation]] = 1
    borders = np.cumsum([len(starts_W) for starts_W in starts.values()])[:-1]
    parts = dict(zip(starts, np.split(part_W, borders), strict=True))
    return {
        name: _counted({r: s[parts[r] == i] for r, s in starts.items()}, timeline, window)
        for i, name in enumerate(PartName)
    }
