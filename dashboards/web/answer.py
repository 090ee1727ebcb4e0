"""Answers in the shape that all pages share."""

from __future__ import annotations

import json
from typing import Any

import plotly.graph_objects as go
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from calsweep.dashboards.page import figure_json, render_text
from calsweep.dashboards.style import reading
from calsweep.platform.errors import first_line, hide_login

GONE = 404
UNCHANGED = 204
FAILED = 500


def page(request: Request, file: str, /, *, status: int = 200, **values: Any) -> Response:
    """Answer with a page.

    Parameters
    ----------
    request
        What was asked.
    file
        The page's template.
    status
        Of HTTP.
    values
        What the template names; text is escaped.
    """
    known = {"is_live": False, "seen": "", "pages": {}, "page_now": "", "at": "", "name": ""}
    text = render_text(file, **{**known, "path": request.url.path, **values})
    return HTMLResponse(text, status_code=status, headers={"cache-control": "no-store"})


def figure_answer(drawn: go.Figure, /) -> Response:
    """Answer with a figure and how to read it."""
    return Response(figure_text(drawn), media_type="application/json")


def figure_text(drawn: go.Figure, /) -> str:
    """Write a figure and how to read it as the page's script takes them."""
    return f'{{"figure": {figure_json(drawn)}, "reading": {json.dumps(reading(drawn))}}}'


def unchanged() -> Response:
    """Say that what a page was drawn from is still the same."""
    return Response(status_code=UNCHANGED)


def not_found(request: Request, error: Exception, /) -> Response:
    """Say that there is nothing at an address, and why."""
    reason = str(error) if isinstance(error, LookupError) else "There is nothing at this address."
    return page(request, "web/not_found.html", status=GONE, reason=reason)


def failed(request: Request, error: Exception, /, *, uri: str) -> Response:
    """Say in one line what went wrong that nobody foresaw; the server writes its trace.

    The login of MLflow's address is no reader's business.
    """
    kind, line = type(error).__name__, first_line(error)
    what = hide_login(kind if line == kind else f"{kind}: {line}", uri=uri)
    if "application/json" in request.headers.get("accept", ""):  # as the page's script asks
        said = f"{what} (the terminal of `calsweep dashboard` shows where)"
        return JSONResponse({"missing": said}, status_code=FAILED)
    return page(request, "web/failed.html", status=FAILED, what=what)
