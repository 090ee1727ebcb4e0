"""Arms of a comparison side by side: boxes with the lines of each fold, differences, mean ROC."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from calsweep.dashboards.figure import fold_name
from calsweep.dashboards.prediction import RocCurve, read_predictions, roc
from calsweep.dashboards.roc import add_mean_roc, roc_axes
from calsweep.dashboards.style import (
    BLUE,
    GRAY,
    GREEN,
    PURPLE,
    VERMILLION,
    color_bar,
    figure_title,
    label,
    styled,
)
from calsweep.platform.arm import Arm, figure_name
from calsweep.platform.comparison import Comparison, Method, Pair

NAME_WIDTH = 18
PAGE_CHARACTERS = 150
LEAST_FOR_SETTINGS = 24
ROCS_SHOWN = 4
# Purple to orange (ColorBrewer's PuOr), as far as dark text can be read on it.
_PALE = ["#B2ABD2", "#DDDAEB", "#F7F7F7", "#FDE3BF", "#FDB863"]
INK_ON_PALE = "#1F2933"
# Beside the linear baseline's vermillion; told apart by dashes too.
_LINES = ((BLUE, "solid"), (GREEN, "longdash"), (PURPLE, "dashdot"), (GRAY, "solid"))


@dataclass(frozen=True, kw_only=True)
class ArmRocs:
    """The ROC curves of an arm, one a fold."""

    arm: Arm
    curves: Sequence[RocCurve]


def arm_boxes(comparison: Comparison, /) -> go.Figure:
    """Draw a box for each arm over its folds, and a line for each fold through the arms.

    Parameters
    ----------
    comparison
        Its arms are drawn in order; those with the same fold plan are joined by lines.

    Returns
    -------
    figure
        Boxes are median and quartiles, whiskers 1.5 quartile ranges, circles what lies outside,
        diamonds means.
    """
    figure = go.Figure()
    has_lines = False
    for plan_hash in dict.fromkeys(arm.sweep.plan_hash for arm in comparison.arms):
        joined = [arm for arm in comparison.arms if arm.sweep.plan_hash == plan_hash]
        has_lines |= len(joined) > 1
        for line in _fold_lines(comparison, joined):
            figure.add_trace(line)
    for i, arm in enumerate(comparison.arms):
        figure.add_trace(_box(comparison, arm, is_first=i == 0))
    names = [_tick(comparison, arm) for arm in comparison.arms]
    places = list(range(len(names)))
    figure.add_trace(_means(comparison))
    figure.update_xaxes(tickvals=places, ticktext=names, showgrid=False, tickangle=0)
    figure.update_yaxes(title_text=figure_title(comparison.figure))
    n_lines = 1 + max(name.count("<br>") for name in names)
    return styled(
        figure,
        height_px=400 + 14 * n_lines,
        reading=(
            "A box is the median and quartiles of an arm's folds (whiskers: 1.5 quartile ranges, "
            "circles beyond), a diamond the mean"
            f"{', and a gray line one fold through the arms' if has_lines else ''}"
            f"{': where all lines rise or fall together, arms differ' if has_lines else ''}."
        ),
    )


def difference_matrix(comparison: Comparison, /, *, method: Method) -> go.Figure:
    """Draw the mean difference of every two arms, and the p of one test in the cells.

    Parameters
    ----------
    comparison
        Of all pairs.
    method
        Whose p, corrected by Holm, stands in the cells; a pair that it does not apply to has none.
    """
    place = {arm.name: i for i, arm in enumerate(comparison.arms)}
    n = len(place)
    differences: list[list[float | None]] = [[None] * n for _ in range(n)]
    texts = [[""] * n for _ in range(n)]
    for pair in comparison.pairs:
        row, column = place[pair.arm.name], place[pair.reference.name]
        for i, j, sign in ((row, column, 1), (column, row, -1)):
            differences[i][j] = sign * pair.mean_difference
            texts[i][j] = (
                f"{sign * pair.mean_difference:+.3f}{_p_line(pair, method, alpha=comparison.alpha)}"
            )
    largest = max((abs(pair.mean_difference) for pair in comparison.pairs), default=0.0) or 1.0
    figure = go.Figure(
        go.Heatmap(
            z=differences,
            zmin=-largest,
            zmax=largest,
            colorscale=_PALE,
            xgap=2,
            ygap=2,
            text=texts,
            texttemplate="%{text}",
            textfont={"size": 12 if n <= 6 else 10, "color": INK_ON_PALE},
            hoverongaps=False,
            hovertemplate="%{y}<br>less %{x}<br>%{text}<extra></extra>",
            colorbar=color_bar(f"difference of test {figure_name(comparison.figure)}"),
        )
    )
    names = [label(comparison.name(arm), width=NAME_WIDTH) for arm in comparison.arms]
    ticks = {"tickvals": list(range(n)), "ticktext": names, "showgrid": False}
    figure.update_xaxes(title_text="less this arm", tickangle=0, **ticks)
    figure.update_yaxes(title_text="this arm", autorange="reversed", **ticks)
    n_pairs = len(comparison.pairs)
    return styled(
        figure,
        height_px=190 + 52 * n,
        reading=(
            f"A cell is the mean test {figure_name(comparison.figure)} of its row less that of "
            f"its column, over p of the {method.value} test after Holm's correction for {n_pairs} "
            f"pairs (* at most {comparison.alpha:g}); orange is higher, purple lower."
        ),
    )


def arm_rocs(comparison: Comparison, /, *, rocs: Sequence[ArmRocs]) -> go.Figure:
    """Draw the mean ROC curve of each arm over its folds.

    Parameters
    ----------
    comparison
        Names the arms.
    rocs
        At most four beside the linear baseline (`rocs_shown`).
    """
    figure = go.Figure()
    others = [one for one in rocs if not one.arm.trial.is_baseline]
    styles: Mapping[str, tuple[str, str]] = {
        one.arm.name: style for one, style in zip(others, _LINES, strict=False)
    }
    for i, one in enumerate(reversed(rocs)):
        color, dash = styles.get(one.arm.name, (VERMILLION, "dash"))
        name = label(comparison.name(one.arm))
        add_mean_roc(figure, one.curves, name, color, dash=dash, y=0.05 + 0.11 * i)
    roc_axes(figure)
    return styled(
        figure,
        height_px=520,
        reading=(
            "A line is the mean ROC curve of an arm over its folds, with the mean and SD of their "
            "areas beside its name; the nearer to the upper left corner, the better."
        ),
    )


def read_arm_rocs(comparison: Comparison, /) -> list[ArmRocs]:
    """Read the ROC curves of the arms that can be told apart, whose behavior has two classes.

    Raises
    ------
    FileNotFoundError
        If predictions of a fold are missing.
    """
    rocs = []
    for arm in rocs_shown(comparison):
        folds = [read_predictions(arm.sweep.fold_folder(fold)) for fold in arm.trial.folds]
        rocs.append(ArmRocs(arm=arm, curves=[roc(f.label_W, f.probability) for f in folds]))
    return rocs


def rocs_shown(comparison: Comparison, /) -> tuple[Arm, ...]:
    """Give the arms whose ROC curves can be told apart: the first four and the baselines."""
    others = [arm for arm in comparison.arms if not arm.trial.is_baseline][:ROCS_SHOWN]
    return tuple(arm for arm in comparison.arms if arm in others or arm.trial.is_baseline)


def _fold_lines(comparison: Comparison, arms: Sequence[Arm]) -> list[go.Scatter]:
    """Give a line for each fold through arms of one plan."""
    if len(arms) < 2:
        return []
    places = [comparison.arms.index(arm) for arm in arms]
    figures = [arm.figures_of_test(comparison.figure) for arm in arms]
    plan = arms[0].sweep.plan
    return [
        go.Scatter(
            x=places,
            y=values,
            name=label(fold_name(fold, plan=plan)),
            mode="lines",
            line={"color": GRAY, "width": 1},
            opacity=0.4,
            hovertemplate=f"{label(fold_name(fold, plan=plan))}<br>%{{y:.3f}}<extra></extra>",
        )
        for fold, *values in zip(arms[0].trial.folds, *figures, strict=True)
    ]


def _box(comparison: Comparison, arm: Arm, *, is_first: bool) -> go.Box:
    color = VERMILLION if arm.trial.is_baseline else BLUE if is_first else GRAY
    figures = arm.figures_of_test(comparison.figure)
    return go.Box(
        x=[comparison.arms.index(arm)] * len(figures),
        y=figures,
        name=label(comparison.name(arm)),
        boxpoints="outliers",
        width=0.5,
        line={"color": color, "width": 1.5},
        fillcolor="rgba(128, 134, 144, 0.12)",
        marker={"color": color, "size": 6, "symbol": "circle-open"},
        hoverinfo="skip",
    )


def _means(comparison: Comparison) -> go.Scatter:
    summaries = comparison.summaries
    return go.Scatter(
        x=list(range(len(summaries))),
        y=[summary.mean for summary in summaries],
        name="mean",
        mode="markers",
        marker={"symbol": "diamond", "size": 9, "color": PURPLE},
        text=[f"{summary.mean:.3f} ± {summary.sd:.3f}" for summary in summaries],
        hovertemplate="mean %{text}<extra></extra>",
    )


def _tick(comparison: Comparison, arm: Arm) -> str:
    """Name an arm under its box, with its settings where there is room."""
    width = PAGE_CHARACTERS // len(comparison.arms)
    leaky = "<br><b>leaky folds</b>" if arm.trial.verdict.leaks else ""
    name = f"<b>{label(comparison.name(arm), width=width)}</b>{leaky}"
    if width < LEAST_FOR_SETTINGS:
        return name
    what = label(arm.trial.decoder, width=width)
    return f"{name}<br><span style='font-size:10px'>{what}</span>"


def _p_line(pair: Pair, method: Method, *, alpha: float) -> str:
    if method not in pair.p:
        return ""
    p = pair.p[method].holm
    said = f"p {p:.3f}" if p >= 0.001 else "p &lt; 0.001"
    return f"<br>{said}{'*' if p <= alpha else ''}"
