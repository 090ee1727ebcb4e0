"""Figures of what decoders read their answer from, one function each (`calsweep explain`)."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from calsweep.dashboards.style import (
    BLUE,
    GRAY,
    GREEN,
    PURPLE,
    VERMILLION,
    color_bar,
    label,
    styled,
)
from calsweep.platform.explanations.explained import Explained
from calsweep.platform.explanations.importance import ALPHA, UnitImportance
from calsweep.platform.explanations.region_map import outline

# F folds, C classes, H heads, L steps in a window, N units, Y X cells of a map

UNITS_DRAWN = 30
POINTS_DRAWN = 1500
_CLASS_COLORS = (BLUE, VERMILLION, GREEN, PURPLE, GRAY)
_CLASS_DASHES = ("solid", "dash", "dot", "dashdot", "longdash")
OUTLINE = "#1A1A1A"  # in both themes: it lies over an image


def importance_map(explained: Explained, /) -> go.Figure:
    """Draw how much each unit matters at each step of the window, mean over folds.

    Parameters
    ----------
    explained
        By Deep SHAP, of traces.
    """
    units = explained.facts["units"]
    stars = {unit.unit: unit.stars for unit in explained.units()}
    starred = "; stars: units that matter more than in models of permuted labels, as tested above"
    beyond = starred if any(stars.values()) else ""
    figure = go.Figure(
        go.Heatmap(
            z=_rounded(explained.mean("importance").T),
            x=_times_s(explained),
            y=[f"{label(unit)} {stars[unit]}".rstrip() for unit in units],
            zmin=0,
            colorscale="Cividis",
            hovertemplate="%{y}, %{x:+.2f} s<br>%{z:.4f}<extra></extra>",
            colorbar=color_bar("mean |attribution| (logit)"),
        )
    )
    if explained.facts["window_length"] > 1:
        figure.add_vline(x=0, line={"color": "white", "dash": "dot", "width": 1})
    figure.update_xaxes(title_text="time from the frame decoded (s)", showgrid=False)
    figure.update_yaxes(title_text="unit", autorange="reversed", showgrid=False)
    return styled(
        figure,
        height_px=min(260 + 9 * len(units), 900),
        reading=(
            "The brighter, the more this unit at this time moves the decoder's output away from "
            f"its mean, either way, in the mean over {_n_folds(explained)} and their test windows; "
            "left of the dotted line is before the frame that is decoded"
            f"{beyond}."
        ),
    )


def unit_bars(explained: Explained, /) -> go.Figure:
    """Draw the units that matter most, with spread over folds, beside models of permuted labels.

    Parameters
    ----------
    explained
        By Deep SHAP, of traces.
    """
    units = sorted(explained.units(), key=lambda unit: -unit.mean)
    shown = units[:UNITS_DRAWN]
    has_null = all(fold.null is not None for fold in explained.folds)
    names = [label(unit.unit) for unit in shown]
    figure = go.Figure(
        go.Bar(
            x=[unit.mean for unit in shown],
            y=names,
            orientation="h",
            marker={"color": [BLUE if unit.stars or not has_null else GRAY for unit in shown]},
            error_x={
                "array": [unit.sd for unit in shown],
                "thickness": 1,
                "width": 2,
                "color": GRAY,
            },
            customdata=[_said(unit) for unit in shown],
            hovertemplate="%{y}: %{x:.4f}%{customdata}<extra></extra>",
            name="decoder",
        )
    )
    if has_null:
        figure.add_trace(
            go.Scatter(
                x=[unit.null_mean for unit in shown],
                y=names,
                mode="markers",
                name="null models",
                marker={"symbol": "diamond", "size": 8, "color": VERMILLION},
                error_x={
                    "array": [unit.null_sd for unit in shown],
                    "thickness": 1,
                    "width": 2,
                    "color": VERMILLION,
                },
                hovertemplate="%{y}: null models %{x:.4f}<extra></extra>",
            )
        )
        for name, unit in zip(names, shown, strict=True):
            if unit.stars:
                figure.add_annotation(
                    x=unit.mean + unit.sd, y=name, text=unit.stars, xanchor="left", xshift=3
                )
    figure.update_xaxes(title_text="mean |attribution| a step (logit)", rangemode="tozero")
    figure.update_yaxes(title_text="unit", autorange="reversed", showgrid=False)
    left_out = len(units) - len(shown)
    return styled(
        figure,
        height_px=130 + 20 * len(shown),
        reading=(
            f"A bar is a unit's importance, mean ± SD over {_n_folds(explained)}"
            f"{_null_reading(explained) if has_null else ''}"
            f"{f'; {left_out} units that matter less are not drawn' if left_out else ''}."
        ),
    )


def completeness(explained: Explained, /) -> go.Figure:
    """Draw whether attributions add up to what they explain, window by window.

    Parameters
    ----------
    explained
        By Deep SHAP.
    """
    folds = [fold.explanation for fold in explained.folds]
    difference_E = np.concatenate([fold.arrays["difference_E"] for fold in folds])
    sum_E = np.concatenate([fold.arrays["sum_E"] for fold in folds])
    drawn = np.linspace(0, len(sum_E) - 1, min(POINTS_DRAWN, len(sum_E))).astype(int)
    low, high = float(difference_E.min()), float(difference_E.max())
    figure = go.Figure(
        go.Scatter(
            x=_rounded(difference_E[drawn]),
            y=_rounded(sum_E[drawn]),
            mode="markers",
            marker={"color": BLUE, "size": 4, "opacity": 0.5},
            hovertemplate="output less mean %{x:.3f}<br>sum %{y:.3f}<extra></extra>",
        )
    )
    figure.add_shape(
        type="line", x0=low, y0=low, x1=high, y1=high, line={"color": GRAY, "dash": "dot"}
    )
    figure.update_xaxes(title_text="output less mean output (logit)", constrain="domain")
    figure.update_yaxes(title_text="sum of attributions (logit)", scaleanchor="x")
    worst = max(float(fold.facts["error"]) for fold in folds)
    return styled(
        figure,
        height_px=420,
        reading=(
            "A dot is a test window: on the dotted line, its attributions add up to the output "
            f"less the mean output over the background; they do within {worst:.1e} of it (root "
            "mean square, worst fold)."
        ),
    )


def image_importance(explained: Explained, /) -> go.Figure:
    """Draw how much each pixel matters, mean over steps and folds.

    Parameters
    ----------
    explained
        By Deep SHAP, of images.
    """
    figure = go.Figure(
        go.Heatmap(
            z=_rounded(explained.mean("importance").mean(axis=0)),
            zmin=0,
            colorscale="Cividis",
            hovertemplate="row %{y}, column %{x}<br>%{z:.2e}<extra></extra>",
            colorbar=color_bar("mean |attribution| (logit)"),
        )
    )
    _as_image(figure)
    return styled(
        figure,
        height_px=520,
        reading=(
            "The brighter, the more this pixel moves the decoder's output away from its mean, "
            f"either way, in the mean over {_n_folds(explained)} and their test windows."
        ),
    )


def attention_curve(explained: Explained, /) -> go.Figure:
    """Draw how much attention reads each step of the window, by the class observed.

    Parameters
    ----------
    explained
        By attention weights.
    """
    times_s = _times_s(explained)
    figure = go.Figure()
    for c, weight_FL in explained.attention().items():
        color = _CLASS_COLORS[c % len(_CLASS_COLORS)]
        dash = _CLASS_DASHES[c % len(_CLASS_DASHES)]
        for weight_L in weight_FL:
            figure.add_trace(
                go.Scatter(
                    x=times_s,
                    y=_rounded(weight_L),
                    mode="lines",
                    line={"color": color, "width": 1},
                    opacity=0.25,
                    hoverinfo="skip",
                )
            )
        mean_L = weight_FL.mean(axis=0)
        figure.add_trace(
            go.Scatter(
                x=times_s,
                y=_rounded(mean_L),
                mode="lines",
                name=f"class {c}",
                line={"color": color, "width": 3, "dash": dash},
                hovertemplate=f"class {c}, %{{x:+.2f}} s<br>%{{y:.4f}}<extra></extra>",
            )
        )
        figure.add_annotation(
            x=times_s[-1],
            y=float(mean_L[-1]),
            text=f"class {c}",
            xanchor="right",
            yshift=10 + 16 * c,
            font={"color": color},
        )
    even = 1 / len(times_s)
    figure.add_hline(y=even, line={"color": GRAY, "dash": "dot", "width": 1})
    figure.update_xaxes(title_text="time from the frame decoded (s)")
    figure.update_yaxes(title_text="share of attention", rangemode="tozero")
    return styled(
        figure,
        height_px=380,
        reading=(
            "A thick line is the share of attention that each step of the window gets, mean over "
            f"heads, queries, the test windows of a class and {_n_folds(explained)} (thin lines); "
            f"on the dotted line ({even:.3f}) all steps would count alike."
        ),
    )


def cut_out_importance(explained: Explained, /) -> go.Figure:
    """Draw what the test AUC loses without each place of the image, over the mean image.

    Parameters
    ----------
    explained
        By cut-outs.
    """
    map_YX = explained.mean("importance_YX")
    side = int(explained.folds[0].explanation.options["stride_px"])
    centre = (side - 1) / 2
    figure = go.Figure()
    image_HW = explained.folds[0].explanation.arrays.get("mean_image_HW")
    if image_HW is not None:
        figure.add_trace(
            go.Heatmap(
                z=_rounded(image_HW), colorscale="Greys_r", showscale=False, hoverinfo="skip"
            )
        )
    most = float(np.abs(map_YX).max()) or 1.0
    figure.add_trace(
        go.Heatmap(
            z=map_YX.round(5).tolist(),
            x=(np.arange(map_YX.shape[1]) * side + centre).tolist(),
            y=(np.arange(map_YX.shape[0]) * side + centre).tolist(),
            zmin=-most,
            zmax=most,
            colorscale="RdBu_r",
            opacity=0.75 if image_HW is not None else 1.0,
            texttemplate="%{z:.3f}",
            textfont={"size": 11},
            hovertemplate="row %{y:.0f}, column %{x:.0f}<br>%{z:+.4f}<extra></extra>",
            colorbar=color_bar("test AUC lost"),
        )
    )
    region_HW = explained.folds[0].explanation.arrays.get("region_HW")
    if region_HW is not None:
        figure.add_trace(_outlines(region_HW))
    _as_image(figure)
    over = ", over the mean image" if image_HW is not None else ""
    over += ", lines are borders of regions" if region_HW is not None else ""
    return styled(
        figure,
        height_px=560,
        reading=(
            "The redder a place, the worse decoders are that do not see it (test AUC lost, mean "
            f"over the squares that hold it and {_n_folds(explained)}){over}; blue is better "
            "without it."
        ),
    )


def _outlines(region_HW: NDArray[np.int32]) -> go.Scatter:
    lines = outline(region_HW)
    return go.Scatter(
        x=[x for (start, _), (end, _) in lines for x in (start, end, None)],
        y=[y for (_, start), (_, end) in lines for y in (start, end, None)],
        mode="lines",
        line={"color": OUTLINE, "width": 1},
        hoverinfo="skip",
    )


def _as_image(figure: go.Figure) -> None:
    figure.update_xaxes(title_text="column (pixels)", showgrid=False, constrain="domain")
    figure.update_yaxes(
        title_text="row (pixels)", autorange="reversed", showgrid=False, scaleanchor="x"
    )


def _times_s(explained: Explained) -> list[float]:
    facts = explained.facts
    steps = np.arange(facts["window_length"]) - facts["target_offset"]
    return [round(float(step) / float(facts["rate_hz"]), 4) for step in steps]


def _n_folds(explained: Explained) -> str:
    n, n_all = len(explained.folds), len(explained.trial.folds)
    return f"{n} of {n_all} folds" if n < n_all else f"{n} fold{'s' if n != 1 else ''}"


def _null_reading(explained: Explained) -> str:
    return (
        ", a diamond that of the same decoder trained on permuted labels; stars: above it by both "
        f"Wilcoxon's rank sum and signed rank over folds, corrected by Holm for "
        f"{len(explained.facts['units'])} units (* p < {ALPHA:g}, ** 0.01, *** 0.001), which takes "
        "folds as independent though they share animals"
    )


def _said(unit: UnitImportance) -> str:
    if np.isnan(unit.rank_sum_p):
        return ""
    return f"<br>p {unit.rank_sum_p:.2g} (rank sum), {unit.signed_rank_p:.2g} (signed rank)"


def _rounded(values: NDArray[np.floating]) -> list[float] | list[list[float]]:
    """Give numbers in as many digits as a figure can show."""
    rounded: list[float] | list[list[float]] = (
        np.array([float(f"{value:.4g}") for value in np.asarray(values, np.float64).ravel()])
        .reshape(np.shape(values))
        .tolist()
    )
    return rounded
