"""How every figure looks: colors that color-blind readers can tell apart, on paper and in the dark.

Figures are drawn for a light ground. For a dark one, text, grid and axes take their color from
another template and marks theirs from `DARK_MARKS`; a page may do either after drawing.
"""

from __future__ import annotations

import html
import textwrap
from enum import Enum
from typing import Any

import plotly.graph_objects as go

from calsweep.datasets.fold import FoldPlan, HeldOut
from calsweep.platform.arm import figure_name

# Okabe & Ito (2008), "Color universal design". Each has a contrast of at least 3 on its ground.
BLUE = "#0072B2"
VERMILLION = "#D55E00"
PURPLE = "#B8578C"  # darker than theirs, for lines on white
GREEN = "#00875F"  # darker than theirs, for lines on white
GRAY = "#808690"
SHADE = "rgba(128, 134, 144, 0.30)"
DARK_MARKS = {BLUE: "#56B4E9", VERMILLION: "#E69F00", PURPLE: "#CC79A7", GREEN: "#2FB58C"}

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
MARGIN_PX = {"l": 12, "r": 16, "t": 28, "b": 12}
SUBJECTS_NAMED = 6
POWERS_ALONE_FROM = 100.0
_STANDOFF_PX = 10
_LOST_PX = 32  # by which Plotly takes names at ticks for less deep, beside a bar above a map
# Lines: one of many folds, and their mean.
THIN = {"width": 1}
THICK = {"width": 3}


class Theme(Enum):
    """What a page is read on."""

    LIGHT = "light"
    DARK = "dark"


_INK = {Theme.LIGHT: "#1F2933", Theme.DARK: "#E4E7EB"}
_GRID = {Theme.LIGHT: "#E1E5EA", Theme.DARK: "#2C333D"}
_AXIS = {Theme.LIGHT: "#9AA5B1", Theme.DARK: "#616E7C"}
_PAPER = {Theme.LIGHT: "#FFFFFF", Theme.DARK: "#1B2028"}


def template(theme: Theme, /) -> go.layout.Template:
    """Give text, grid and axes of a theme; the ground is left to the page.

    Examples
    --------
    >>> template(Theme.DARK).layout.font.color
    '#E4E7EB'
    """
    axis = {
        "gridcolor": _GRID[theme],
        "linecolor": _AXIS[theme],
        "tickcolor": _AXIS[theme],
        "zeroline": False,
        "showline": True,
        "ticks": "outside",
        "ticklen": 4,
        "automargin": True,
        "autotickangles": [0, 90],  # a name on the slant reaches beyond the figure at its right
        "title": {"standoff": _STANDOFF_PX},
    }
    ground = "rgba(0,0,0,0)"
    return go.layout.Template(
        layout={
            "font": {"family": FONT, "size": 13, "color": _INK[theme]},
            "paper_bgcolor": ground,
            "plot_bgcolor": ground,
            "xaxis": axis,
            "yaxis": axis,
            "hoverlabel": {"bgcolor": _PAPER[theme], "font": {"color": _INK[theme]}},
            "annotationdefaults": {"showarrow": False, "bgcolor": _PAPER[theme], "opacity": 0.9},
        }
    )


def styled(figure: go.Figure, /, *, height_px: int, reading: str) -> go.Figure:
    """Give a figure the house's look, its height and the sentence that says how to read it.

    Parameters
    ----------
    figure
        Changed in place.
    height_px
        Height; the width is that of the page.
    reading
        One sentence on how to read it, plain text (see `reading`).

    Returns
    -------
    figure
        The same figure.
    """
    figure.update_layout(
        template=template(Theme.LIGHT),
        height=height_px,
        margin=MARGIN_PX,
        showlegend=False,
        dragmode=False,
        meta={"reading": reading},
    )
    if any("colorbar" in trace and trace.colorbar.orientation == "h" for trace in figure.data):
        figure.update_xaxes(title_standoff=_STANDOFF_PX + _LOST_PX)
    return figure


def log_axis(low: float, high: float, /) -> dict[str, Any]:
    """Give an axis of factors that names whole powers of ten, and 2 and 5 between few of them.

    Plotly names every digit between two powers, and 0.0001 as 100 micro.

    Examples
    --------
    >>> log_axis(1e-5, 0.1)["dtick"], log_axis(0.001, 0.02)["dtick"]
    (1, 'D2')
    """
    steps = 1 if high / low > POWERS_ALONE_FROM else "D2"
    return {"type": "log", "dtick": steps, "exponentformat": "power"}


def color_bar(title: str, /, **others: Any) -> dict[str, Any]:
    """Give a bar that lies above a map, where it takes nothing of a narrow page's width.

    Examples
    --------
    >>> color_bar("test AUC")["title"]
    {'text': 'test AUC', 'side': 'top'}
    """
    return {
        "orientation": "h",
        "yanchor": "bottom",
        "y": 1.0,
        "thickness": 10,
        "outlinewidth": 0,
        "title": {"text": title, "side": "top"},
        **others,
    }


def reading(figure: go.Figure, /) -> str:
    """Give the sentence that says how to read a figure.

    Examples
    --------
    >>> reading(styled(go.Figure(), height_px=100, reading="Higher is better."))
    'Higher is better.'
    """
    return str(figure.layout.meta["reading"])


_UNITS = {
    "auc": "0.5 is chance, 1 is perfect",
    "loss": "nats a window",
    "accuracy": "share of windows",
}


def figure_title(figure: str, /) -> str:
    """Name a figure of merit of the test part, for an axis.

    Examples
    --------
    >>> figure_title("auc"), figure_title("precision")
    ('test AUC (0.5 is chance, 1 is perfect)', 'test precision')
    """
    unit = f" ({_UNITS[figure]})" if figure in _UNITS else ""
    return f"test {figure_name(figure)}{unit}"


def group_name(subjects: tuple[str, ...], /) -> str:
    """Name a group by its animals.

    Examples
    --------
    >>> group_name(("m1", "m4"))
    'm1, m4'
    >>> group_name(tuple("abcdefgh"))
    'a, b, c, d, e, f + 2 more'
    """
    named = ", ".join(subjects[:SUBJECTS_NAMED])
    n_others = len(subjects) - SUBJECTS_NAMED
    return f"{named} + {n_others} more" if n_others > 0 else named


def held_out(plan: FoldPlan, /) -> str:
    """Name what the groups of a plan are made of."""
    return (
        "stretches" if plan.holds_out in (HeldOut.FRAMES, HeldOut.NOTHING) else plan.holds_out.value
    )


def shortened(name: str, /, *, most: int = 24) -> str:
    """Write a name in at most some characters: its beginning and its end.

    Examples
    --------
    >>> shortened("m1_2024-03-01"), shortened("mouse12_session1_plane0_2024-03-01")
    ('m1_2024-03-01', 'mouse12_ses…0_2024-03-01')
    """
    if len(name) <= most:
        return name
    end = most // 2
    return f"{name[: most - end - 1]}…{name[-end:]}"


def label(text: str, /, *, width: int = 10_000) -> str:
    """Make any text safe to stand in a figure, in lines of at most some characters.

    Plotly reads some HTML in its texts; what a person named is never meant as such.

    Examples
    --------
    >>> label("<b>m1</b> & m2")
    '&lt;b&gt;m1&lt;/b&gt; &amp; m2'
    >>> label("fly 1, fly 2", width=6)
    'fly 1,<br>fly 2'
    """
    lines = textwrap.wrap(text, width, break_on_hyphens=False) or [""]
    return "<br>".join(html.escape(line, quote=False) for line in lines)
