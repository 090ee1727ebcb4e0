"""The pages of populations of models of dynamics that lie in a home."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from calsweep.dashboards.web import population
from calsweep.dashboards.web.answer import figure_answer, not_found, page, unchanged
from calsweep.dashboards.web.choice import Choice
from calsweep.dashboards.web.dynamics import view
from calsweep.dashboards.web.sweep_list import each_in, names_in, reason_of, stamps
from calsweep.platform.population.lineage import Lineage
from calsweep.platform.record import NoDynamics, dynamics_folder

UNREADABLE = (OSError, ValueError, KeyError, TypeError, LookupError, AttributeError)
LINEAGES_HELD = 3


class Dynamics:
    """The populations of models of dynamics of a home.

    Parameters
    ----------
    home
        Folder of sweeps, and of what `calsweep lfads` leaves.
    """

    def __init__(self, home: Path, /) -> None:
        self._place = dynamics_folder(home)

    @property
    def routes(self) -> list[Route]:
        """What stands at which address."""
        return [
            Route("/dynamics/{population}", self._one),
            Route("/dynamics/{population}/figure/{figure}", self._figure),
        ]

    def listed(self) -> dict[str, Any]:
        """Give a line for each, the latest first."""
        return {"populations": list(each_in(self._place, view.line_of))}

    def _one(self, request: Request) -> Response:
        name = request.path_params["population"]
        try:
            folder = self._found(name)
            line, settings = view.line_of(folder), view.settings_of(folder)
        except NoDynamics as error:
            return not_found(request, error)
        except UNREADABLE as error:
            return page(request, "web/unreadable.html", name=name, reason=reason_of(error))
        seen = _seen(folder, line["state"])
        if request.headers.get("x-seen") == seen:
            return unchanged()
        choice = Choice.parse(request.query_params)
        at = f"/dynamics/{quote(name, safe='')}"
        return page(
            request,
            "web/dynamics/population.html",
            name=name,
            at=at,
            shown_at=at,
            choice=choice,
            query=choice.address(),
            seen=seen,
            is_live=not line["is_over"],
            line=line,
            settings=settings,
            **population.said(lambda: _lineage_of(folder), choice),
        )

    def _figure(self, request: Request) -> Response:
        """Answer with a figure, or with the reason why there is none; both are answers."""
        name = request.path_params["figure"]
        try:
            folder = self._found(request.path_params["population"])
            drawn = population.draw(_lineage_of(folder), name, Choice.parse(request.query_params))
        except UNREADABLE as error:
            return JSONResponse({"missing": reason_of(error)})
        if drawn is None:
            return JSONResponse({"missing": f"There is no figure {name!r} of this population."})
        return figure_answer(drawn)

    def _found(self, name: str) -> Path:
        known = names_in(self._place)
        if name not in known:  # only what was found may be opened, whatever an address says
            raise NoDynamics(name, tuple(sorted(known)))
        return self._place / name


def _seen(folder: Path, state: str) -> str:
    """Give what differs where the page differs; a sign of life alone changes nothing on it."""
    description, lines, _, lineage, _ = stamps(folder)
    of_files = (f"{size:x}.{at:x}" for size, at in (description, lines, lineage))
    return "-".join([*of_files, state])


def _lineage_of(folder: Path) -> Lineage:
    _, _, _, lineage, _ = stamps(folder)
    return _read(folder, lineage)


@lru_cache(maxsize=LINEAGES_HELD)
def _read(folder: Path, _: tuple[int, int]) -> Lineage:
    return Lineage(folder)
