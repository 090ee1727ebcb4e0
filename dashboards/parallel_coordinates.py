"""Configurations as lines through the settings they were tried with."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from calsweep.dashboards.curve import LOG_FROM, setting_title
from calsweep.dashboards.style import BLUE, GRAY, THIN, label, styled
from calsweep.platform.record import TrialRecord

BEST_SHARE = 10  # the best tenth
TICKS = 4


class NothingToDraw(LookupError):
    """No two configurations that differ in a setting."""


def parallel_coordinates(trials: Sequence[TrialRecord], /) -> go.Figure:
    """Draw each finished configuration as a line, the best tenth by validation AUC set off.

    Parameters
    ----------
    trials
        Finished ones.

    Raises
    ------
    NothingToDraw
        If no setting differs among them.
    """
    tried = [trial for trial in trials if trial.values]
    names = [name for name in _names(tried) if len({str(t.values.get(name)) for t in tried}) > 1]
    if not names:
        raise NothingToDraw("Two finished configurations that differ in a setting are needed.")
    auc = [trial.mean_validation_auc() for trial in tried]
    places = {name: _places([trial.values.get(name) for trial in tried]) for name in names}
    outcome = _places(auc)
    drawn = go.Figure()
    order = sorted(range(len(tried)), key=lambda i: auc[i])
    n_best = max(1, len(tried) // BEST_SHARE)
    axes = [*places.values(), outcome]
    drawn.add_trace(_lines(tried, order[:-n_best], axes, color=GRAY, line=THIN, opacity=0.5))
    drawn.add_trace(_lines(tried, order[-n_best:], axes, color=BLUE, line={"width": 2}))
    _add_ticks(drawn, axes)
    titles = [label(setting_title(name), width=14) for name in names] + ["validation<br>AUC"]
    drawn.update_xaxes(
        tickvals=list(range(len(titles))), ticktext=titles, range=[-0.15, len(titles) - 0.6]
    )
    drawn.update_yaxes(visible=False, range=[-0.06, 1.06])
    return styled(
        drawn,
        height_px=460,
        reading=(
            "A line is a finished configuration and crosses each setting at the value it was tried "
            "with; the best tenth by mean validation AUC is blue: where the blue lines come "
            "together and the gray ones do not, the value matters."
        ),
    )


class _Axis:
    """Where values stand on an axis from 0 to 1, and the ticks to read them by."""

    def __init__(self, place: list[float | None], ticks: list[tuple[float, str]]) -> None:
        self.place = place
        self.ticks = ticks


def _names(trials: Sequence[TrialRecord]) -> list[str]:
    return list(dict.fromkeys(name for trial in trials for name in trial.values))


def _places(values: Sequence[Any]) -> _Axis:
    there = [value for value in values if value is not None]
    if any(isinstance(value, bool) or not isinstance(value, int | float) for value in there):
        names = sorted({str(value) for value in there})
        at = {name: i / max(len(names) - 1, 1) for i, name in enumerate(names)}
        ticks = [(place, label(name, width=14)) for name, place in at.items()]
        return _Axis([None if v is None else at[str(v)] for v in values], ticks)
    low, high = min(there), max(there)
    is_log = low > 0 and high / low > LOG_FROM
    scale = math.log if is_log else float
    span = (scale(high) - scale(low)) or 1.0
    ticks = [((scale(v) - scale(low)) / span, f"{v:.3g}") for v in _named(there, is_log=is_log)]
    return _Axis([None if v is None else (scale(v) - scale(low)) / span for v in values], ticks)


def _named(values: Sequence[float], *, is_log: bool) -> Sequence[float]:
    """Give the values that an axis names: its own where they are few, else evenly along it."""
    own = sorted(set(values))
    if len(own) <= TICKS:
        return own
    along = np.geomspace if is_log else np.linspace
    even: list[float] = along(own[0], own[-1], TICKS).tolist()
    return even


def _lines(
    trials: Sequence[TrialRecord],
    chosen: Sequence[int],
    axes: Sequence[_Axis],
    *,
    color: str,
    line: Mapping[str, object],
    opacity: float = 1.0,
) -> go.Scatter:
    x: list[float | None] = []
    y: list[float | None] = []
    texts: list[str] = []
    for i in chosen:
        trial = trials[i]
        text = f"{label(trial.name)}: {trial.mean_validation_auc():.3f}"
        x += [*range(len(axes)), None]
        y += [*(axis.place[i] for axis in axes), None]
        texts += [text] * (len(axes) + 1)
    return go.Scatter(
        x=x,
        y=y,
        text=texts,
        mode="lines",
        connectgaps=False,
        line={"color": color, **line},
        opacity=opacity,
        hovertemplate="%{text}<extra></extra>",
    )


def _add_ticks(drawn: go.Figure, axes: Sequence[_Axis]) -> None:
    for i, axis in enumerate(axes):
        for place, text in axis.ticks:
            # Left of the first axis there is no room on a phone.
            side = {"xanchor": "right", "xshift": -4} if i else {"xanchor": "left", "xshift": 4}
            drawn.add_annotation(x=i, y=place, text=text, font={"size": 11}, **side)
