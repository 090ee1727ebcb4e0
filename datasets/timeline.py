"""What of a dataset decides how it can be divided: labels and trials, frame by frame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calsweep.datasets.fold import Fold, PartName, Stretch, WindowDraw, n_classes
from calsweep.datasets.manifest import Manifest
from calsweep.datasets.recording import MISSING_LABEL
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

    @property
    def n_classes(self) -> int:
        """Classes of the behavior."""
        return n_classes(self.manifest, target=self.target)

    def count(self, stretch: Stretch, /) -> tuple[int, ...]:
        """Count the frames of each class in a stretch."""
        label_T = self.labels[stretch.recording][stretch.start_frame : stretch.stop_frame]
        return _count(label_T, n=self.n_classes)


@dataclass(frozen=True, kw_only=True)
class PartWindows:
    """The windows of one part of a fold.

    Attributes
    ----------
    starts
        Name of a recording to the first frame of each of its windows, counted in the recording,
        increasing.
    n_windows
        Windows of each class.
    """

    starts: Mapping[str, NDArray[np.int64]]
    n_windows: tuple[int, ...]


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
    """Check that each part of a fold has windows of the classes it needs.

    Raises
    ------
    ValueError
        If training windows lack a class, or another part has fewer than two.
    """
    for name, windows in fold_windows(fold, timeline, window=window).items():
        recordings = ", ".join(dict.fromkeys(stretch.recording for stretch in fold.part(name)))
        check_windows_of_part(
            windows.n_windows, part=name, target=timeline.target, recordings=recordings
        )


def check_windows_of_part(
    n_windows: tuple[int, ...], /, *, part: PartName, target: str, recordings: str
) -> None:
    """Check that a part has windows of the classes it needs: training of all, the others of two.

    Raises
    ------
    ValueError
        If it has not.
    """
    there = [c for c, n in enumerate(n_windows) if n]
    if len(there) >= (len(n_windows) if part is PartName.TRAIN else 2):
        return
    n_all = sum(n_windows)
    if len(there) > 1:
        missing = ", ".join(str(c) for c, n in enumerate(n_windows) if not n)
        what = f"{target!r} is never {missing} in the {n_all} windows"
    elif there:
        what = f"{target!r} is {there[0]} in all {n_all} windows"
    else:
        what = f"no window of {target!r} fits into the stretches"
    needed = "both classes" if len(n_windows) == 2 else "two classes, the training part all of them"
    raise ValueError(
        f"each part of a fold must have {needed}, but {what} of the {part.value} part "
        f"({recordings}). Choose another target, a shorter window or other folds: "
        "`calsweep data check` says which a dataset allows, and of blocks of time more and shorter "
        "ones may (`datasets.folds.n_blocks`)."
    )


def _starts(
    stretches: tuple[Stretch, ...], timeline: Timeline, window: Window
) -> dict[str, NDArray[np.int64]]:
    found: dict[str, list[NDArray[np.int64]]] = {}
    for stretch in sorted(stretches):
        trial_T = timeline.trials[stretch.recording][stretch.start_frame : stretch.stop_frame]
        starts_W = stretch.start_frame + window_starts(trial_T, window=window)
        label_W = timeline.labels[stretch.recording][starts_W + window.target_offset]
        starts_W = starts_W[label_W != MISSING_LABEL]
        found.setdefault(stretch.recording, []).append(starts_W)
    return {name: np.concatenate(starts) for name, starts in found.items()}


def _classes(
    starts: Mapping[str, NDArray[np.int64]], timeline: Timeline, window: Window
) -> NDArray[np.int64]:
    """Give the class that each window decodes, recording after recording."""
    offset = window.target_offset
    labels = [timeline.labels[name][s + offset] for name, s in starts.items()]
    return np.concatenate(labels).astype(np.int64)


def _count(label_T: NDArray[np.generic], *, n: int) -> tuple[int, ...]:
    known_T = label_T[label_T != MISSING_LABEL].astype(np.int64)
    return tuple(np.bincount(known_T, minlength=n).tolist())


def _counted(
    starts: Mapping[str, NDArray[np.int64]], timeline: Timeline, window: Window
) -> PartWindows:
    class_W = _classes(starts, timeline, window)
    return PartWindows(starts=starts, n_windows=_count(class_W, n=timeline.n_classes))


def _drawn(
    draw: WindowDraw,
    starts: Mapping[str, NDArray[np.int64]],
    timeline: Timeline,
    window: Window,
) -> dict[PartName, PartWindows]:
    """Draw windows without replacement, each class by itself."""
    class_W = _classes(starts, timeline, window)
    rng = np.random.default_rng(draw.seed)
    part_W = np.zeros(len(class_W), dtype=np.int8)  # 0 trains, 1 validates, 2 tests
    for c in range(timeline.n_classes):
        order = rng.permutation(np.flatnonzero(class_W == c))
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
