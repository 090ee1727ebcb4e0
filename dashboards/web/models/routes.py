"""The pages of models, and the two forms that change a champion."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from calsweep.dashboards.web.answer import not_found, page
from calsweep.dashboards.web.asked import Answer, Asked
from calsweep.dashboards.web.models import view
from calsweep.dashboards.web.models.change import Busy, Changes
from calsweep.dashboards.web.models.permission import Permission
from calsweep.dashboards.web.sweep_list import sweep_names
from calsweep.platform.champion.history import histories
from calsweep.platform.errors import hide_login
from calsweep.platform.plain import nearest
from calsweep.platform.record import SweepNotFound
from calsweep.platform.tracking.tracked import check_model_name

MOST_BYTES = 20_000
MOST_FIELDS = 20
FORBIDDEN, BAD, CONFLICT = 403, 400, 409
SEE_OTHER = 303


class Refused(ValueError):
    """A form is not answered."""

    def __init__(self, reason: str, status: int) -> None:
        super().__init__(reason, status)
        self.reason = reason
        self.status = status

    def __str__(self) -> str:
        return self.reason


class Models:
    """The pages of models.

    Parameters
    ----------
    home
        Folder of sweeps.
    uri
        MLflow's address.
    given_uri
        The same where a person gave it to the page, so that commands are given it too.
    permission
        Who may change a champion; ``None`` for a page that only reads.
    """

    def __init__(
        self, home: Path, /, *, uri: str, given_uri: str = "", permission: Permission | None = None
    ) -> None:
        self._home = home
        self._uri = hide_login(uri, uri=uri)
        self._permission = permission
        self._catalog: Asked[view.Catalog] = Asked(lambda: _registered(uri))
        # Arguments of a process are seen by others: an address with a password goes by another way.
        is_secret = hide_login(given_uri, uri=given_uri) != given_uri
        options = [f"--home={home}"]
        options += [f"--tracking-uri={given_uri}"] if given_uri and not is_secret else []
        self._changes = Changes(
            options,
            variables={"MLFLOW_TRACKING_URI": given_uri} if is_secret else {},
            on_end=self._catalog.forget,
        )

    @property
    def routes(self) -> list[Route]:
        """What stands at which address."""
        return [
            Route("/models", self._list),
            Route("/models/{model}", self._one),
            Route("/promote", self._promote, methods=["POST"]),
            Route("/rollback", self._roll_back, methods=["POST"]),
        ]

    def _list(self, request: Request) -> Response:
        return self._show(request)

    def _show(self, request: Request, *, refusal: str = "", status: int = 200) -> Response:
        answer = self._catalog.look()
        return page(
            request,
            "web/models/models.html",
            status=status,
            lines=view.lines(histories(self._home), answer.told or {}),
            sweeps=sweep_names(self._home),
            chosen=request.query_params.get("sweep", ""),
            **self._shared(answer, refusal),
        )

    def _one(self, request: Request) -> Response:
        return self._show_one(request, request.path_params["model"])

    def _show_one(
        self, request: Request, name: str, *, refusal: str = "", status: int = 200
    ) -> Response:
        answer = self._catalog.look()
        catalog, changes = answer.told or {}, histories(self._home)
        if name not in {*catalog, *changes}:
            if answer.told is not None:
                known = sorted({*catalog, *changes})
                way_out = nearest(name, known) if known else "None is registered yet."
                return not_found(request, LookupError(f"No model {name!r}. {way_out}"))
            refusal = refusal or f"Of a model {name!r} nothing is known in this home."
        return page(
            request,
            "web/models/model.html",
            status=status,
            model=view.one(name, changes.get(name, ()), catalog.get(name)),
            **{**self._shared(answer, refusal), "name": name},
        )

    def _shared(self, answer: Answer[view.Catalog], refusal: str) -> dict[str, object]:
        return {
            "name": "Models",
            "home": str(self._home),
            "uri": self._uri,
            "away": view.away(answer, uri=self._uri),
            "may_change": self._permission is not None,
            "change": view.change_said(self._changes.last),
            "refusal": refusal,
            "is_live": True,
        }

    async def _promote(self, request: Request) -> Response:
        try:
            form = await self._read(request)
            arguments, name, what = self._promotion(form)
            self._changes.begin(arguments, form["sweep"], model=name, what=what)
        except (Refused, Busy, ValueError, LookupError) as error:
            return await run_in_threadpool(
                self._show, request, refusal=str(error), status=_status(error)
            )
        return RedirectResponse("/models", status_code=SEE_OTHER)

    async def _roll_back(self, request: Request) -> Response:
        name = ""
        try:
            form = await self._read(request)
            name = form.get("model", "")
            check_model_name(name)
            arguments, what = _rollback(form, name)
            self._changes.begin(arguments, name, model=name, what=what)
        except (Refused, Busy, ValueError, LookupError) as error:
            show = partial(self._show_one, request, name) if name else partial(self._show, request)
            return await run_in_threadpool(show, refusal=str(error), status=_status(error))
        return RedirectResponse(f"/models/{quote(name, safe='')}", status_code=SEE_OTHER)

    async def _read(self, request: Request) -> Mapping[str, str]:
        """Read a form, if it was sent by this page and by somebody who may.

        Raises
        ------
        Refused
            If not.
        """
        if self._permission is None:
            raise Refused(
                "This page only reads: start it with `calsweep dashboard --allow-promote`.",
                FORBIDDEN,
            )
        origin, host = request.headers.get("origin", ""), request.headers.get("host", "")
        if urlsplit(origin).netloc != host:  # a form of another site, in the same browser
            raise Refused(
                f"The form was sent from {origin or 'nowhere'}, not from this page.", FORBIDDEN
            )
        body = b""
        async for piece in request.stream():
            body += piece
            if len(body) > MOST_BYTES:
                raise Refused(f"A form has at most {MOST_BYTES:,} bytes.", BAD)
        pairs = parse_qsl(body.decode(errors="replace"), max_num_fields=MOST_FIELDS)
        form = {key: value.strip() for key, value in pairs}
        if not self._permission.admits(form.pop("token", "")):
            raise Refused(
                "The token is not the one that the page was started with. Nothing was done.",
                FORBIDDEN,
            )
        return form

    def _promotion(self, form: Mapping[str, str]) -> tuple[list[str], str, str]:
        sweep = form.get("sweep", "")
        known = sweep_names(self._home)
        if sweep not in known:
            raise SweepNotFound(sweep, tuple(sorted(known)))
        name = form.get("model", "") or sweep
        check_model_name(name)
        options = ("trial", "because", "unbeaten-because", "leaky-because")
        arguments = ["promote", f"--name={name}"]
        arguments += [f"--{option}={form[option]}" for option in options if form.get(option)]
        arguments += ["--ensemble"] if form.get("ensemble") else []
        which = form.get("trial") or "the best configuration"
        how = "all folds" if form.get("ensemble") else "the best fold"
        return (
            arguments,
            name,
            f"the promotion of {how} of {which} of {sweep} as {name}",
        )


def _rollback(form: Mapping[str, str], name: str) -> tuple[list[str], str]:
    if not form.get("because"):
        raise Refused("A rollback needs a reason, for the history. Nothing was done.", BAD)
    arguments = ["champion", "rollback", f"--because={form['because']}"]
    to = form.get("to", "")
    arguments += [f"--to={to}"] if to else []
    which = f"version {to}" if to else "the champion before"
    return arguments, f"the rollback of {name} to {which}"


def _status(error: Exception) -> int:
    if isinstance(error, Refused):
        return error.status
    return CONFLICT if isinstance(error, Busy) else BAD


def _registered(uri: str) -> view.Catalog:
    from calsweep.platform.champion.catalog import registered  # brings MLflow: some seconds

    return registered(uri)
