"""A fold plan as a person sees it: which frames train, validate and test in each fold."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from calsweep.datasets.fold import Fold, FoldPlan, PartName
from calsweep.datasets.timeline import PartWindows, Timeline, fold_windows
from calsweep.datasets.window import Window
from calsweep.platform.leaderboard import n_folds

# C cell of a bar

CELLS = 60
NAMED = 5
MARK = {PartName.TRAIN: "·", PartName.VALIDATION: "v", PartName.TEST: "T"}
MIXED, UNUSED = "x", " "
STYLE = {"·": "cyan", "v": "yellow", "T": "bold red", MIXED: "magenta", UNUSED: ""}


def legend() -> str:
    """Say what the marks mean."""
    return (
        "One mark is an even share of all frames, recording after recording: · trains, v validates,"
        " T tests, x several parts, blank is left out."
    )


def fold_table(plan: FoldPlan, timeline: Timeline, /, *, window: Window) -> Table:
    """Draw a plan, one row a fold.

    Parameters
    ----------
    plan
        The folds.
    timeline
        Labels and trials of the dataset.
    window
        Decides which frames are decoded.

    Returns
    -------
    table
        A bar of all frames; how the windows are shared; the share of other classes than 0 in each
        part.
    """
    table = Table(title=escape(f"{plan.name}: {n_folds(plan)}"))
    table.add_column("fold", justify="right")
    if plan.groups:
        table.add_column("tests", justify="right")
        table.add_column("validates", justify="right")
    table.add_column("frames", no_wrap=True)
    table.add_column("train/val/test %", justify="right", no_wrap=True)
    others = "class 1" if timeline.n_classes == 2 else f"classes 1-{timeline.n_classes - 1}"
    table.add_column(f"{others} % of {escape(timeline.target)}", justify="right", no_wrap=True)
    for fold in plan.folds:
        windows = fold_windows(fold, timeline, window=window)
        groups = (str(fold.test_group), str(fold.validation_group)) if plan.groups else ()
        counts = [windows[name].n_windows for name in PartName]
        n_all = sum(map(sum, counts))
        table.add_row(
            str(fold.index),
            *groups,
            _bar(fold, timeline, windows, window=window),
            " / ".join(f"{sum(count) / n_all:.0%}".rstrip("%") for count in counts),
            " / ".join(f"{1 - count[0] / sum(count):.0%}".rstrip("%") for count in counts),
        )
    return table


def group_lines(plan: FoldPlan, /) -> list[str]:
    """Name what each group holds."""
    lines = []
    for i, group in enumerate(plan.groups):
        more = f" and {len(group) - NAMED} more" if len(group) > NAMED else ""
        lines.append(f"group {i}: {', '.join(group[:NAMED])}{more}")
    return lines


def marks(
    fold: Fold, timeline: Timeline, windows: Mapping[PartName, PartWindows], /, *, window: Window
) -> str:
    """Give a fold's bar as text, `CELLS` marks for all frames of the dataset."""
    n_frames = timeline.manifest.n_frames
    of_part = [_cells(fold, timeline, windows[name], name, window=window) for name in PartName]
    names = list(PartName)
    bar = []
    for cell in range(min(CELLS, n_frames)):
        there = [names[i] for i, n_C in enumerate(of_part) if n_C[cell]]
        most = max(there, key=lambda name: of_part[names.index(name)][cell], default=None)
        # A draw of windows mixes parts; a border within a cell does not.
        is_mixed = fold.draw is not None and len(there) > 1
        bar.append(MIXED if is_mixed else MARK[most] if most else UNUSED)
    return "".join(bar)


def _bar(
    fold: Fold, timeline: Timeline, windows: Mapping[PartName, PartWindows], *, window: Window
) -> Text:
    bar = Text()
    for mark in marks(fold, timeline, windows, window=window):
        bar.append(mark, style=STYLE[mark])
    return bar


def _cells(
    fold: Fold, timeline: Timeline, windows: PartWindows, name: PartName, *, window: Window
) -> NDArray[np.int64]:
    """Count a part's frames in each cell: those of its stretches, or that a draw decodes."""
    n_frames = timeline.manifest.n_frames
    n_cells = min(CELLS, n_frames)
    n_C = np.zeros(n_cells, dtype=np.int64)
    start = 0
    for entry in timeline.manifest.recordings:
        if fold.draw is not None:
            frames = start + windows.starts[entry.name] + window.target_offset
            n_C += np.bincount(frames * n_cells // n_frames, minlength=n_cells)
        else:
            for stretch in fold.part(name):
                if stretch.recording == entry.name:
                    frames = np.arange(start + stretch.start_frame, start + stretch.stop_frame)
                    n_C += np.bincount(frames * n_cells // n_frames, minlength=n_cells)
        start += entry.n_frames
    return n_C
