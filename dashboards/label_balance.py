"""How often each class of a sweep's target is there, recording by recording or animal by animal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import plotly.graph_objects as go

from calsweep.dashboards.style import (
    BLUE,
    GRAY,
    GREEN,
    PURPLE,
    VERMILLION,
    label,
    shortened,
    styled,
)
from calsweep.datasets.manifest import RecordingEntry
from calsweep.datasets.recording import MISSING_LABEL

BARS_AT_MOST = 40
ANIMALS_AT_MOST = 200
_COLORS = (GRAY, BLUE, VERMILLION, GREEN, PURPLE)
_PATTERNS = ("", "/", ".", "x", "-")
_WRITTEN_FROM = 0.08  # of all frames: in a narrower piece of a bar its share has no room


def label_balance(recordings: Sequence[RecordingEntry], /, *, target: str) -> go.Figure:
    """Draw the share of frames of each class as stacked bars.

    Parameters
    ----------
    recordings
        As the manifest has them; of more than 40 the animals are drawn.
    target
        Name of the behavior, which has classes.

    Examples
    --------
    >>> counts = {"run": {0: 75, 1: 25}}
    >>> entry = RecordingEntry(
    ...     subject="m1",
    ...     name="m1_1",
    ...     n_frames=100,
    ...     n_trials=1,
    ...     longest_trial_frames=100,
    ...     label_counts=counts,
    ... )
    >>> [(bar.name, bar.x) for bar in label_balance([entry], target="run").data]
    [('class 0', (75.0,)), ('class 1', (25.0,))]
    """
    by_animal = len(recordings) > BARS_AT_MOST
    counts: dict[str, Counter[int]] = {}
    for entry in recordings:
        whose = entry.subject if by_animal else entry.name
        counts.setdefault(whose, Counter()).update(entry.label_counts[target])
    names = list(counts)[:ANIMALS_AT_MOST]
    classes = sorted({c for of_one in counts.values() for c in of_one} - {MISSING_LABEL})
    if any(of_one[MISSING_LABEL] for of_one in counts.values()):
        classes.append(MISSING_LABEL)
    figure = go.Figure([_bars(c, names, counts) for c in classes])
    what = "animal" if by_animal else "recording"
    figure.update_xaxes(title_text="share of frames (%)", range=[0, 100])
    figure.update_yaxes(
        title_text=what,
        type="category",
        tickvals=list(range(len(names))),
        ticktext=[label(shortened(name)) for name in names],
        range=[len(names) - 0.4, -0.6],
        showgrid=False,
    )
    every = Counter[int]()
    for of_one in counts.values():
        every.update(of_one)
    shares = ", ".join(f"{every[c] / every.total():.1%} {_named(c)}" for c in classes)
    cut = f" The first {len(names)} of {len(counts)} animals." if len(names) < len(counts) else ""
    styled(
        figure,
        height_px=130 + 22 * len(names),
        reading=(
            f"A bar is one {what}, a piece of it the share of its frames in which {target} is of "
            f"that class; bars that differ much say that {what}s do, and a class that is rare "
            f"makes accuracy look better than it is. Of all frames: {shares}.{cut}"
        ),
    )
    return figure.update_layout(
        barmode="stack",
        bargap=0.25,
        showlegend=True,
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.0, "traceorder": "normal"},
    )


def _bars(of_class: int, names: Sequence[str], counts: dict[str, Counter[int]]) -> go.Bar:
    shares = [counts[name][of_class] / max(1, counts[name].total()) for name in names]
    return go.Bar(
        y=list(range(len(names))),
        x=[round(100 * share, 2) for share in shares],
        orientation="h",
        name=_named(of_class),
        text=[f"{share:.0%}" if share >= _WRITTEN_FROM else "" for share in shares],
        textposition="inside",
        insidetextanchor="middle",
        textangle=0,
        customdata=[[label(name), counts[name][of_class]] for name in names],
        hovertemplate="%{customdata[0]}<br>%{x:.1f} % "
        + f"{_named(of_class)}<br>%{{customdata[1]:,}} frames<extra></extra>",
        marker={
            "color": "rgba(128, 134, 144, 0.25)"
            if of_class == MISSING_LABEL
            else _COLORS[of_class % len(_COLORS)],
            "pattern": {"shape": _PATTERNS[of_class // len(_COLORS) % len(_PATTERNS)]},
            "line": {"width": 0},
        },
    )


def _named(of_class: int) -> str:
    return "not known" if of_class == MISSING_LABEL else f"class {of_class}"
