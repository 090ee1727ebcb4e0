"""A page of figures as one HTML file that needs nothing but itself."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import plotly.graph_objects as go
from markupsafe import Markup

from calsweep.dashboards.style import DARK_MARKS, Theme, reading, template
from calsweep.datasets.cache import beside


@dataclass(frozen=True, kw_only=True)
class Plate:
    """A figure as the page holds it: its place, title, data, and how to read it.

    ``of_one`` says whether it is of the configuration that is shown, not of several.
    """

    name: str
    title: str
    data: Markup
    reading: str
    of_one: bool


def plate_of(name: str, title: str, drawn: go.Figure, /, *, of_one: bool = False) -> Plate:
    """Put a figure on a page.

    Parameters
    ----------
    name
        Of its place, as in a link.
    title
        Stands above it.
    drawn
        With the sentence that says how to read it.
    of_one
        Whether it is of the configuration that is shown.
    """
    return Plate(
        name=name, title=title, data=figure_json(drawn), reading=reading(drawn), of_one=of_one
    )


def render_page(file: str, /, **values: Any) -> str:
    """Give the text of a page.

    Parameters
    ----------
    file
        Its template.
    values
        What the template names; text is escaped.
    """
    library = Markup(plotly_js())  # noqa: S704 - the library's own text
    return render_text(file, **themes(), plotly_js=library, **values)


def plotly_js() -> str:
    """Give the library that draws figures in a browser (`dashboards/vendor/README.md`)."""
    return _text_of("vendor/plotly-cartesian.min.js")


def render_text(file: str, /, **values: Any) -> str:
    """Give the text of a template of this folder alone; what is filled in is escaped.

    Parameters
    ----------
    file
        Its name, with the folder below this one.
    values
        What it names.
    """
    return _environment().get_template(file).render(**values)


def themes() -> dict[str, Any]:
    """Give what a page needs to draw figures in light and dark."""
    return {
        "templates": {theme.value: figure_json(_blank(theme)) for theme in Theme},
        "dark_marks": DARK_MARKS,
    }


def write_page(text: str, out: Path, /) -> Path:
    """Write a page; a file of this name is replaced when the new one is whole."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with beside(out) as partial:
        partial.write_text(text, encoding="utf-8")
    return out


def figure_json(drawn: go.Figure, /) -> Markup:
    """Write a figure so that no text in it can end the script that holds it."""
    text = str(drawn.to_json())
    escaped = text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return Markup(escaped)  # noqa: S704 - escaped the line before


def _blank(theme: Theme) -> go.Figure:
    return go.Figure(layout={"template": template(theme)})


def _text_of(name: str) -> str:
    return resources.files("calsweep").joinpath("dashboards", name).read_text("utf-8")


@cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FunctionLoader(_text_of),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
