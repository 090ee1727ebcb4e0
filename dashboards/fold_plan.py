"""A fold plan drawn: which recordings train, validate and test, and when, where time is divided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from calsweep.dashboards.style import (
    BLUE,
    GRAY,
    PURPLE,
    VERMILLION,
    label,
    shortened,
    styled,
)
from calsweep.datasets.fold import Fold, FoldPlan, PartName, Stretch

FOLDS_DRAWN = 40
STRETCHES_DRAWN = 1500
SEVERAL = "several parts"
# Most cells train: a letter in each would take a browser a second for 64 recordings.
MARKS = {PartName.TRAIN.value: "", PartName.VALIDATION.value: "v", PartName.TEST.value: "T"}
_VERBS = {
    PartName.TRAIN.value: "trains",
    PartName.VALIDATION.value: "validates",
    PartName.TEST.value: "tests",
}
# By number: left out, training, validation, test, several parts.
_LEVELS = ["", *MARKS, SEVERAL]
_LEVEL_MARKS = ["", *MARKS.values(), "x"]
_COLORS = ["rgba(0, 0, 0, 0)", GRAY, BLUE, VERMILLION, PURPLE]
_PATTERNS = {PartName.TRAIN: "", PartName.VALIDATION: "/", PartName.TEST: "x"}
_PART_COLORS = {PartName.TRAIN: GRAY, PartName.VALIDATION: BLUE, PartName.TEST: VERMILLION}


def divides_time(plan: FoldPlan, /) -> bool:
    """Say whether some recording is in several parts of a fold."""
    return any(
        len(set.union(*parts)) < sum(map(len, parts))
        for fold in plan.folds
        for parts in [[{s.recording for s in fold.part(name)} for name in PartName]]
    )


def plan_matrix(folds: Sequence[Fold], recordings: Sequence[str], /) -> go.Figure:
    """Draw what each recording does in each fold, as color and letter.

    Parameters
    ----------
    folds
        The columns.
    recordings
        The rows, in this order.
    """
    found = [_parts_of(fold) for fold in folds]
    rows = [[_level(parts.get(name, {})) for parts in found] for name in recordings]
    n_levels = len(_LEVELS)
    figure = go.Figure(
        go.Heatmap(
            z=rows,
            x=list(range(len(folds))),
            y=list(range(len(recordings))),
            zmin=-0.5,
            zmax=n_levels - 0.5,
            colorscale=[
                [at / n_levels, color]
                for level, color in enumerate(_COLORS)
                for at in (level, level + 1)
            ],
            showscale=False,
            text=[[_LEVEL_MARKS[level] for level in row] for row in rows],
            texttemplate="%{text}",
            customdata=[
                [
                    _said(name, fold, parts.get(name, {}))
                    for fold, parts in zip(folds, found, strict=True)
                ]
                for name in recordings
            ],
            hovertemplate="%{customdata}<extra></extra>",
            xgap=1,
            ygap=1,
        )
    )
    numbers = [str(fold.index) for fold in folds]
    every = max(1, len(folds) // 20)
    figure.update_xaxes(
        title_text="fold",
        tickvals=list(range(0, len(folds), every)),
        ticktext=numbers[::every],
        tickangle=0,
        showgrid=False,
    )
    figure.update_yaxes(
        title_text="recording",
        tickvals=list(range(len(recordings))),
        ticktext=[label(shortened(name)) for name in recordings],
        range=[len(recordings) - 0.5, -0.5],
        showgrid=False,
    )
    is_divided = any(_LEVELS[level] == SEVERAL for row in rows for level in row)
    return styled(
        figure,
        height_px=130 + 20 * len(recordings),
        reading=(
            "A column is a fold, a row a recording: gray trains, v (blue) validates, T "
            "(vermillion) tests, x (purple) is divided between several of them, and one without a "
            "color is left out."
            + (
                ""
                if is_divided
                else " No recording has two letters in a column, so none tests what it trained."
            )
        ),
    )


def fold_in_time(fold: Fold, recordings: Sequence[str], /, *, rate_hz: float) -> go.Figure:
    """Draw which stretches of each recording train, validate and test in one fold.

    Parameters
    ----------
    fold
        Of a plan that divides time.
    recordings
        The rows, in this order.
    rate_hz
        Frames per second.
    """
    row_of = {name: row for row, name in enumerate(recordings)}
    figure = go.Figure()
    n_found = n_drawn = 0
    for name in (PartName.TRAIN,) if fold.draw else PartName:
        stretches = joined([s for s in fold.part(name) if s.recording in row_of])
        n_found += len(stretches)
        stretches = stretches[: max(0, STRETCHES_DRAWN - n_drawn)]
        n_drawn += len(stretches)
        figure.add_trace(
            go.Bar(
                x=[round(s.n_frames / rate_hz, 4) for s in stretches],
                base=[round(s.start_frame / rate_hz, 4) for s in stretches],
                y=[row_of[s.recording] for s in stretches],
                orientation="h",
                width=0.7,
                name=SEVERAL if fold.draw else name.value,
                customdata=[label(s.recording) for s in stretches],
                hovertemplate="%{customdata}<br>"
                + (SEVERAL if fold.draw else name.value)
                + "<br>from %{base:.1f} s for %{x:.1f} s<extra></extra>",
                marker={
                    "color": PURPLE if fold.draw else _PART_COLORS[name],
                    "pattern": {"shape": "." if fold.draw else _PATTERNS[name]},
                    "line": {"width": 0},
                },
            )
        )
    figure.update_xaxes(title_text="time in the recording (s)", showgrid=False)
    figure.update_yaxes(
        title_text="recording",
        tickvals=list(range(len(recordings))),
        ticktext=[label(shortened(name)) for name in recordings],
        range=[len(recordings) - 0.5, -0.5],
        showgrid=False,
    )
    cut = f" The first {n_drawn:,} of {n_found:,} stretches." if n_drawn < n_found else ""
    said = (
        f"Fold {fold.index} draws single windows at random out of these stretches for all three "
        "parts, so neighboring windows of different parts share frames."
        if fold.draw
        else f"Which stretches of each recording train (plain), validate (striped) and test "
        f"(crossed) in fold {fold.index}; what is left blank between two of them is a gap, so that "
        "no window reaches from one part into another."
    )
    styled(figure, height_px=150 + 22 * len(recordings), reading=f"{said}{cut}")
    return figure.update_layout(
        barmode="overlay",
        showlegend=True,
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.0},
    )


def joined(stretches: Sequence[Stretch], /) -> list[Stretch]:
    """Join stretches that follow each other without a gap, as whole trials do.

    Examples
    --------
    >>> one = Stretch(recording="m1", start_frame=0, stop_frame=10)
    >>> two = Stretch(recording="m1", start_frame=10, stop_frame=30)
    >>> joined([two, one])
    [Stretch(recording='m1', start_frame=0, stop_frame=30)]
    """
    found: list[Stretch] = []
    for stretch in sorted(stretches):
        last = found[-1] if found else None
        if last and (last.recording, last.stop_frame) == (stretch.recording, stretch.start_frame):
            found[-1] = Stretch(
                recording=last.recording,
                start_frame=last.start_frame,
                stop_frame=stretch.stop_frame,
            )
        else:
            found.append(stretch)
    return found


def _parts_of(fold: Fold) -> dict[str, dict[str, int]]:
    """Give each recording's frames in each part."""
    found: dict[str, dict[str, int]] = {}
    for name in PartName:
        for stretch in fold.part(name):
            parts = found.setdefault(stretch.recording, {})
            parts[name.value] = parts.get(name.value, 0) + stretch.n_frames
    return found


def _level(parts: Mapping[str, int]) -> int:
    if not parts:
        return 0
    return _LEVELS.index(SEVERAL if len(parts) > 1 else next(iter(parts)))


def _said(recording: str, fold: Fold, parts: Mapping[str, int]) -> str:
    lines = [f"{n:,} frames: {_VERBS[part]}" for part, n in parts.items()] or ["left out"]
    return "<br>".join([label(recording), f"fold {fold.index}", *lines])
