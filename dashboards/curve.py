"""How the figure of merit depends on one searched setting, or two: window length, label shift."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import plotly.graph_objects as go

from calsweep.dashboards.style import (
    BLUE,
    GRAY,
    GREEN,
    PURPLE,
    VERMILLION,
    color_bar,
    figure_title,
    group_name,
    label,
    log_axis,
    styled,
)
from calsweep.platform.arm import figure_name
from calsweep.platform.independence import independent_units
from calsweep.platform.record import SweepRecord, TrialRecord

VALUES_MARKED = 15
LINES_SHOWN = 6
LOG_FROM = 8.0
KEY_CHARACTERS = 80
_LINES = (
    (BLUE, "solid"),
    (PURPLE, "dash"),
    (GREEN, "dashdot"),
    (GRAY, "solid"),
    (BLUE, "dot"),
    (PURPLE, "longdash"),
)
_STROKES = {"solid": "━━", "dash": "╍╍", "longdash": "━ ━", "dashdot": "━ ·", "dot": "┅┅"}
_IN_FRAMES = ("datasets.window.length", "datasets.window.shift")


class Others(Enum):
    """What is done with the other settings that a search varied beside the one on the axis."""

    ALONE = "no other setting varies"
    EACH = "a line for each combination of the others"
    BEST = "at each value the configuration that is best by validation"
    NONE = "each configuration by itself"


@dataclass(frozen=True, kw_only=True)
class Line:
    """Configurations along a setting.

    Attributes
    ----------
    name
        What the others are set to; empty if there is one line.
    trials
        In order of the setting.
    """

    name: str
    trials: tuple[TrialRecord, ...]


def numeric_settings(sweep: SweepRecord, /) -> tuple[str, ...]:
    """Give the searched settings that are numbers and of which several values are finished."""
    values: dict[str, set[Any]] = defaultdict(set)
    for trial in sweep.finished:
        for name, value in trial.values.items():
            values[name].add(value)
    return tuple(
        name
        for name, found in values.items()
        if len(found) > 1 and all(_is_number(value) for value in found)
    )


def lines_along(sweep: SweepRecord, name: str, /) -> tuple[Others, tuple[Line, ...]]:
    """Order a sweep's finished configurations along a setting, and say what the others are.

    Returns
    -------
    others
        Whether the other settings stay, have a line each, or were chosen by validation; where no
        value was tried twice, configurations stand for themselves, as their settings all differ.
    lines
        At least one.

    Raises
    ------
    ValueError
        If fewer than two values of the setting are finished.
    """
    trials = [trial for trial in sweep.finished if _is_number(trial.values.get(name))]
    n_values = len({trial.values[name] for trial in trials})
    if n_values < 2:
        known = ", ".join(numeric_settings(sweep)) or "none"
        raise ValueError(
            f"a curve needs two finished values of a setting that is a number, but {name!r} has "
            f"{n_values} in {sweep.name!r}. There are: {known}."
        )
    groups: dict[str, list[TrialRecord]] = defaultdict(list)
    for trial in trials:
        groups[_others_of(trial, name)].append(trial)
    lines = tuple(Line(name=others, trials=_best(mine, name)) for others, mine in groups.items())
    if len(lines) == 1:
        return Others.ALONE, (Line(name="", trials=lines[0].trials),)
    if len(lines) <= LINES_SHOWN and all(len(line.trials) == n_values for line in lines):
        return Others.EACH, lines
    if n_values < len(trials):
        return Others.BEST, (Line(name="", trials=_best(trials, name)),)
    ordered = sorted(trials, key=lambda trial: float(trial.values[name]))
    return Others.NONE, (Line(name="", trials=tuple(ordered)),)


def setting_curve(sweep: SweepRecord, name: str, /, *, figure: str = "auc") -> go.Figure:
    """Draw the test figure along a searched setting.

    Parameters
    ----------
    sweep
        Its record.
    name
        Dotted name of a setting that is a number; frames are given in seconds too.
    figure
        Which figure of the test part.

    Returns
    -------
    figure
        Mean and SD over the folds, a thin line for each animal (or group that tests) where there
        is one line, and the linear baseline, which keeps its own setting.

    Raises
    ------
    ValueError
        If fewer than two values of the setting are finished.
    """
    others, lines = lines_along(sweep, name)
    drawn = go.Figure()
    animals = (
        _animal_lines(sweep, lines[0], name, figure)
        if others in (Others.ALONE, Others.BEST)
        else []
    )
    drawn.add_traces(animals)
    values = sorted({trial.values[name] for line in lines for trial in line.trials})
    is_joined = others is not Others.NONE
    for line, (color, dash) in zip(lines, _LINES, strict=False):
        drawn.add_trace(_mean_line(line, name, figure, color=color, dash=dash, is_joined=is_joined))
    baseline = [_mean(trial, figure) for trial in sweep.finished if trial.is_baseline]
    for mean in baseline:
        drawn.add_hline(y=mean, line={"color": VERMILLION, "dash": "dash", "width": 1.5})
        drawn.add_annotation(
            x=1, xref="paper", xanchor="right", y=mean, yanchor="bottom",
            text=f"linear baseline {mean:.3f}",
        )  # fmt: skip
    axis = _axis(name, values, rate_hz=float(sweep.dataset["rate_hz"]), marks_values=is_joined)
    drawn.update_xaxes(**axis)
    drawn.update_yaxes(title_text=figure_title(figure))
    reading = _reading(others, animals=bool(animals), baseline=bool(baseline), figure=figure)
    styled(drawn, height_px=460, reading=reading)
    if others is Others.EACH:
        _add_key(drawn, [line.name for line in lines])
    return drawn


def setting_map(sweep: SweepRecord, names: tuple[str, str], /, *, figure: str = "auc") -> go.Figure:
    """Draw the mean test figure of each pair of values of two searched settings.

    Parameters
    ----------
    sweep
        Its record.
    names
        The settings along and up.
    figure
        Which figure of the test part.

    Returns
    -------
    figure
        Where other settings vary too, a cell is the configuration that is best by validation.
    """
    along, up = names
    cells: dict[tuple[float, float], list[TrialRecord]] = defaultdict(list)
    for trial in sweep.finished:
        if _is_number(trial.values.get(along)) and _is_number(trial.values.get(up)):
            cells[trial.values[along], trial.values[up]].append(trial)
    best = {at: _mean(_best(mine, along)[0], figure) for at, mine in cells.items()}
    xs, ys = sorted({x for x, _ in best}), sorted({y for _, y in best})
    drawn = go.Figure(
        go.Heatmap(
            z=[[best.get((x, y)) for x in xs] for y in ys],
            x=list(map(str, xs)),
            y=list(map(str, ys)),
            colorscale="Cividis",
            xgap=2,
            ygap=2,
            texttemplate="%{z:.3f}",
            hoverongaps=False,
            hovertemplate="%{x}, %{y}<br>%{z:.3f}<extra></extra>",
            colorbar=color_bar(f"test {figure_name(figure)}"),
        )
    )
    rate_hz = float(sweep.dataset["rate_hz"])
    for update, name, values in ((drawn.update_xaxes, along, xs), (drawn.update_yaxes, up, ys)):
        texts = [_tick(name, value, rate_hz=rate_hz) for value in values]
        update(
            title_text=_axis_title(name), type="category", tickvals=list(map(str, values)),
            ticktext=texts, showgrid=False,
        )  # fmt: skip
    is_chosen = any(len(mine) > 1 for mine in cells.values())
    chosen = ", where several were tried the one that is best by validation" if is_chosen else ""
    return styled(
        drawn,
        height_px=190 + 44 * len(ys),
        reading=(
            f"A cell is the mean test {figure_name(figure)} over the folds of the "
            f"configuration with the values of its row and column{chosen}; an empty cell was not "
            "tried."
        ),
    )


def maps_worth_drawing(sweep: SweepRecord, /) -> tuple[tuple[str, str], ...]:
    """Give the pairs of numeric settings of which most pairs of values are finished."""
    names = numeric_settings(sweep)
    found = []
    for i, along in enumerate(names):
        for up in names[i + 1 :]:
            both = {
                (trial.values[along], trial.values[up])
                for trial in sweep.finished
                if along in trial.values and up in trial.values
            }
            n_cells = len({x for x, _ in both}) * len({y for _, y in both})
            if len(both) > n_cells / 2 and len(both) > 3:
                found.append((along, up))
    return tuple(found)


def is_worth_drawing(sweep: SweepRecord, name: str, /) -> bool:
    """Say whether a curve along a setting shows something: two dots do not."""
    others, lines = lines_along(sweep, name)
    return others is not Others.NONE or len(lines[0].trials) > 2


def setting_name(name: str, /) -> str:
    """Name a setting as a person reads it.

    Examples
    --------
    >>> setting_name("datasets.window.length"), setting_name("training.learning_rate")
    ('window length', 'learning rate')
    """
    return " ".join(name.split(".")[1:]).replace("_", " ") or name


def setting_title(name: str, /) -> str:
    """Name a setting for an axis, with its unit where it has one.

    Examples
    --------
    >>> setting_title("datasets.window.length"), setting_title("training.learning_rate")
    ('window length (frames)', 'learning rate')
    """
    return f"{setting_name(name)}{' (frames)' if _is_in_frames(name) else ''}"


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _others_of(trial: TrialRecord, name: str) -> str:
    """Write what every other setting of a search was set to."""
    rest = {key: value for key, value in trial.values.items() if key != name}
    return ", ".join(
        f"{key.rpartition('.')[2]}={value:.3g}"
        if isinstance(value, float)
        else f"{key.rpartition('.')[2]}={value}"
        for key, value in sorted(rest.items())
    )


def _best(trials: Sequence[TrialRecord], name: str) -> tuple[TrialRecord, ...]:
    """Give the configuration of each value that is best by validation, in order of the value."""
    of_value: dict[float, TrialRecord] = {}
    for trial in sorted(trials, key=lambda t: (t.mean_validation_auc(), -t.number)):
        of_value[trial.values[name]] = trial
    return tuple(of_value[value] for value in sorted(of_value))


def _mean(trial: TrialRecord, figure: str) -> float:
    return statistics.fmean(_figures(trial, figure))


def _figures(trial: TrialRecord, figure: str) -> list[float]:
    return [float(getattr(fold.test, figure)) for fold in trial.folds]


def _mean_line(
    line: Line, name: str, figure: str, *, color: str, dash: str, is_joined: bool
) -> go.Scatter:
    figures = [_figures(trial, figure) for trial in line.trials]
    spread = [statistics.stdev(values) if len(values) > 1 else 0.0 for values in figures]
    means = [statistics.fmean(values) for values in figures]
    said = f"{line.name}, mean" if line.name else "mean"
    return go.Scatter(
        x=[trial.values[name] for trial in line.trials],
        y=means,
        error_y={"array": spread, "thickness": 1, "width": 3, "color": color},
        name=label(said),
        mode="lines+markers" if is_joined else "markers",
        line={"color": color, "width": 3, "dash": dash},
        marker={"color": color, "size": 8},
        text=[
            f"{label(trial.name)}: {mean:.3f} ± {sd:.3f}"
            for trial, mean, sd in zip(line.trials, means, spread, strict=True)
        ],
        hovertemplate="%{x}<br>%{text}<extra></extra>",
    )


def _add_key(drawn: go.Figure, names: Sequence[str]) -> None:
    """Write the names of several lines above the figure, each beside its color."""
    keys = [
        f"<span style='color:{color}'><b>{_STROKES[dash]}</b></span> {label(name)}"
        for name, (color, dash) in zip(names, _LINES, strict=False)
    ]
    is_short = sum(map(len, names)) < KEY_CHARACTERS
    drawn.add_annotation(
        x=0, y=1, xref="paper", yref="paper", xanchor="left", yanchor="bottom", align="left",
        text=("    " if is_short else "<br>").join(keys),
    )  # fmt: skip
    drawn.update_layout(margin_t=28 + (0 if is_short else 18 * len(keys)))


def _animal_lines(sweep: SweepRecord, line: Line, name: str, figure: str) -> list[go.Scatter]:
    """Give a thin line for each animal or group that tests by itself."""
    units = independent_units(sweep.plan)
    if units is None:
        return []
    columns = [units.means(sweep.plan, _figures(trial, figure)) for trial in line.trials]
    names = _unit_names(sweep, units.of_fold)
    return [
        go.Scatter(
            x=[trial.values[name] for trial in line.trials],
            y=values,
            name=label(said),
            mode="lines",
            line={"color": GRAY, "width": 1},
            opacity=0.6,
            hovertemplate=f"{label(said)}<br>%{{x}}: %{{y:.3f}}<extra></extra>",
        )
        for said, *values in zip(names, *columns, strict=True)
    ]


def _unit_names(sweep: SweepRecord, of_fold: Mapping[int, int]) -> list[str]:
    """Name units by the group that tests, or by their recordings."""
    names: dict[int, str] = {}
    for fold in sweep.plan.folds:
        group = fold.test_group
        recordings = tuple(dict.fromkeys(stretch.recording for stretch in fold.test))
        subjects = recordings if group is None else sweep.plan.groups[group]
        names.setdefault(of_fold[fold.index], group_name(subjects))
    return [names[unit] for unit in sorted(names)]


def _axis(
    name: str, values: Sequence[float], *, rate_hz: float, marks_values: bool
) -> dict[str, Any]:
    is_log = not _is_in_frames(name) and values[0] > 0 and values[-1] / values[0] >= LOG_FROM
    axis: dict[str, Any] = log_axis(values[0], values[-1]) if is_log else {"type": "linear"}
    if not marks_values or len(values) > VALUES_MARKED:
        return {**axis, "title_text": label(setting_title(name))}
    texts = [_tick(name, value, rate_hz=rate_hz) for value in values]
    return {**axis, "title_text": _axis_title(name), "tickvals": values, "ticktext": texts}


def _axis_title(name: str) -> str:
    units = " (frames, seconds below)" if _is_in_frames(name) else ""
    return f"{label(setting_name(name))}{units}"


def _tick(name: str, value: float, *, rate_hz: float) -> str:
    seconds = f"<br>{value / rate_hz:.2f} s" if _is_in_frames(name) else ""
    return f"{value:g}{seconds}"


def _is_in_frames(name: str) -> bool:
    return name in _IN_FRAMES or name.endswith("_frames")


def _reading(others: Others, *, animals: bool, baseline: bool, figure: str) -> str:
    what = {
        Others.ALONE: "A thick line is the mean test {figure} over the folds with its SD",
        Others.EACH: (
            "A line is the mean test {figure} over the folds with its SD, for one setting of all "
            "else that was searched"
        ),
        Others.BEST: (
            "A thick line is the mean test {figure} over the folds with its SD; other settings "
            "were searched too, and at each value the configuration is drawn that is best by "
            "validation, so neighbors may differ in more than this setting"
        ),
        Others.NONE: (
            "A dot is one configuration's mean test {figure} over the folds with its SD; its other "
            "settings differ too, so the dots are not joined"
        ),
    }[others].format(figure=figure_name(figure))
    thin = ", a thin line the mean of the folds that test one animal or group" if animals else ""
    dashed = "; the linear baseline (dashed) keeps its own setting" if baseline else ""
    return f"{what}{thin}{dashed}."
