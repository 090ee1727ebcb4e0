"""The page on a folder of sweeps: what stands at each address.

Starlette and uvicorn serve it; both are in every installation already, through MLflow, and cost
no memory of their own to speak of. Streamlit was weighed and left: it runs a page's whole script
again for every click, brings its own markup and its own scripts (of which neither a policy on what
may be loaded nor an accessibility check can be kept), and holds a session for every reader. Here a
page is a form and a few tables that a browser shows before any script runs, a control is part of
the address, so that a view can be sent to somebody, and figures are drawn one by one by the very
functions of the static report: one that fails says so in its place, and the others stand.

No address outside is ever asked: the server forbids it to the browser (Content-Security-Policy).
"""

from __future__ import annotations

import functools
import gzip
import threading
from pathlib import Path
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from calsweep.dashboards.page import plotly_js, render_text, themes
from calsweep.dashboards.web import explained, plates, view
from calsweep.dashboards.web.answer import GONE, failed, figure_text, not_found, page, unchanged
from calsweep.dashboards.web.choice import Choice
from calsweep.dashboards.web.dynamics.routes import Dynamics
from calsweep.dashboards.web.mlflow.routes import MlflowSweeps
from calsweep.dashboards.web.models.permission import Permission
from calsweep.dashboards.web.models.routes import Models
from calsweep.dashboards.web.reached import NotOpenYet
from calsweep.dashboards.web.shelf import Shelf
from calsweep.dashboards.web.sweep_list import Unreadable, listed, reason_of
from calsweep.dashboards.web.table import leaderboard_csv
from calsweep.platform.places import own_tracking_uri, tracking_uri
from calsweep.platform.record import SweepNotFound

UNREADABLE = (OSError, ValueError, KeyError, TypeError, LookupError)
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
_HEADERS = (
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
)
PAGES = {
    "": "Leaderboard",
    "folds": "Folds",
    "predictions": "Predictions",
    "population": "Population",
    "explanations": "Explanations",
    "compare": "Compare",
    "data": "Data",
}


def site(
    home: Path,
    /,
    *,
    hosts: tuple[str, ...],
    given_uri: str = "",
    permission: Permission | None = None,
) -> Starlette:
    """Give the page on a folder of sweeps.

    Parameters
    ----------
    home
        Folder of sweeps, models and cache; it may be empty, or not be there yet.
    hosts
        Names that it may be asked by. Another is refused, so that no page elsewhere can read it
        through the browser of whoever has it open.
    given_uri
        MLflow's address where one is given; by default as `tracking_uri` says.
    permission
        Who may change a champion; ``None`` for a page that only reads.
    """
    shelf = Shelf(home)
    uri = tracking_uri(home, given_uri)
    stored = MlflowSweeps("" if uri == own_tracking_uri(home) else uri)
    dynamics = Dynamics(home)
    pages = _Pages(shelf, stored, dynamics)
    threading.Thread(target=pages.read_ahead, name="read-ahead", daemon=True).start()
    models = Models(home, uri=uri, given_uri=given_uri, permission=permission)
    routes = [
        Route("/", pages.sweeps),
        Route("/sweeps/{sweep}", pages.sweep),
        Route("/sweeps/{sweep}/leaderboard.csv", pages.csv),
        Route("/sweeps/{sweep}/figure/{figure}", pages.figure),
        Route("/sweeps/{sweep}/{page}", pages.sweep),
        *dynamics.routes,
        *stored.routes,
        *models.routes,
        Route("/static/look.css", _look),
        Route("/static/page.js", _script),
        Route("/static/plotly.js", _plotly),
    ]
    middleware = [
        Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts)),
        Middleware(_Guarded),
        Middleware(GZipMiddleware, minimum_size=2000, compresslevel=1),
    ]

    def unforeseen(request: Request, error: Exception) -> Response:
        response = failed(request, error, uri=uri)
        response.raw_headers.extend(_HEADERS)  # it is given outside of all middleware
        return response

    handlers = {GONE: not_found, Exception: unforeseen}
    return Starlette(routes=routes, middleware=middleware, exception_handlers=handlers)


class _Pages:
    """The answers that need the records."""

    def __init__(self, shelf: Shelf, stored: MlflowSweeps, dynamics: Dynamics, /) -> None:
        self.shelf = shelf
        self.stored = stored
        self.dynamics = dynamics

    def read_ahead(self) -> None:
        """Read and ask for what a reader most often opens first."""
        for _ in listed(self.shelf.home):  # each is read once, and again when it has changed
            pass
        self.dynamics.listed()
        self.shelf.read_ahead()
        _packed_plotly()
        self.stored.listed(())

    def sweeps(self, request: Request) -> Response:
        found = list(listed(self.shelf.home))
        return page(
            request,
            "web/sweeps.html",
            home=str(self.shelf.home),
            lines=[f if isinstance(f, Unreadable) else view.line_of(f) for f in found],
            **self.dynamics.listed(),
            **self.stored.listed([line.name for line in found]),
            is_live=True,
        )

    def sweep(self, request: Request) -> Response:
        name, which = request.path_params["sweep"], request.path_params.get("page", "")
        if which not in PAGES:
            return not_found(request, LookupError(f"There is no page {which!r}."))
        try:
            seen = self.shelf.version(name)
            if request.headers.get("x-seen") == seen:
                return unchanged()
            reading = self.shelf.read(name)
            choice = Choice.parse(request.query_params)
            said = {**view.header(reading), **view.VIEWS[which](reading, choice)}
        except SweepNotFound as error:
            return not_found(request, error)
        except UNREADABLE as error:
            return page(request, "web/unreadable.html", name=name, reason=reason_of(error))
        return page(
            request,
            f"web/{which or 'sweep'}.html",
            name=name,
            at=f"/sweeps/{quote(name, safe='')}",
            pages=PAGES,
            page_now=which,
            choice=choice,
            query=choice.address(),
            seen=seen,
            is_live=not reading.sweep.is_over,
            **said,
        )

    def figure(self, request: Request) -> Response:
        """Answer with a figure, or with the reason why there is none; both are answers."""
        name = request.path_params["figure"]
        choice = Choice.parse(request.query_params)
        try:
            reading = self.shelf.read(request.path_params["sweep"])
            text = reading.keep(
                (name, choice, explained.state_of(reading, name)),
                lambda: figure_text(plates.draw(reading, name, choice)),
            )
        except UNREADABLE as error:
            is_coming = isinstance(error, NotOpenYet)
            return JSONResponse({"missing": reason_of(error), "again": is_coming})
        return Response(text, media_type="application/json")

    def csv(self, request: Request) -> Response:
        try:
            reading = self.shelf.read(request.path_params["sweep"])
        except UNREADABLE as error:
            return not_found(request, error)
        choice = Choice.parse(request.query_params)
        return Response(
            leaderboard_csv(reading, choice),
            media_type="text/csv",
            headers={"content-disposition": 'attachment; filename="leaderboard.csv"'},
        )


def _look(_: Request) -> Response:
    return Response(render_text("look.css") + render_text("web/web.css"), media_type="text/css")


def _script(_: Request) -> Response:
    return Response(render_text("web/page.js", **themes()), media_type="text/javascript")


def _plotly(request: Request) -> Response:
    headers = {"cache-control": "private, max-age=86400", "vary": "accept-encoding"}
    if "gzip" not in request.headers.get("accept-encoding", ""):
        return Response(plotly_js(), media_type="text/javascript", headers=headers)
    headers["content-encoding"] = "gzip"
    return Response(_packed_plotly(), media_type="text/javascript", headers=headers)


@functools.cache
def _packed_plotly() -> bytes:
    """Pack it once: it is large, and every browser asks for it."""
    return gzip.compress(plotly_js().encode(), compresslevel=6)


class _Guarded:
    """Adds to every answer what the browser must not do with it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *_HEADERS]
            await send(message)

        await self.app(scope, receive, guarded)
