"""The pages of sweeps that only an MLflow holds."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any
from urllib.parse import quote, urlencode

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from calsweep.dashboards.web.answer import figure_answer, not_found, page
from calsweep.dashboards.web.asked import Answer, Asked
from calsweep.dashboards.web.mlflow import view
from calsweep.platform.errors import first_line, hide_login
from calsweep.platform.plain import nearest

TABLES_HELD = 40


class MlflowSweeps:
    """The sweeps of an MLflow.

    Parameters
    ----------
    uri
        Its address; empty where the home's own is all there is.
    """

    def __init__(self, uri: str, /) -> None:
        self._uri = uri
        self.shown_uri = hide_login(uri, uri=uri)
        self._runs: Asked[view.Runs] = Asked(partial(_runs, uri))
        self._tables: OrderedDict[str, Asked[Sequence[Mapping[str, Any]]]] = OrderedDict()

    @property
    def routes(self) -> list[Route]:
        """What stands at which address."""
        if not self._uri:
            return []
        return [
            Route("/mlflow/{sweep:path}", self._sweep),  # MLflow takes any name, also with a slash
            Route("/mlflow-folds/{sweep:path}", self._drawn),
        ]

    def listed(self, here: Sequence[str], /) -> dict[str, Any]:
        """Give the sweeps that a home does not hold, and whether MLflow was reached."""
        if not self._uri:
            return {"stored": (), "uri": "", "away": ""}
        answer = self._runs.look()
        stored = view.lines(answer.told or {}, here)
        return {"stored": stored, "uri": self.shown_uri, "away": self._away(answer)}

    def _away(self, answer: Answer[Any]) -> str:
        if answer.error is not None:
            why = first_line(answer.error).rstrip(".")
            return f"{why}. Sweeps of this home are shown from their own record; it is asked again."
        return f"MLflow at {self.shown_uri} has not answered yet." if answer.is_waiting else ""

    def _sweep(self, request: Request) -> Response:
        name = request.path_params["sweep"]
        answer = self._runs.look()
        runs = answer.told or {}
        if name not in runs and answer.told is not None:
            way_out = nearest(name, runs) if runs else "It holds none."
            return not_found(request, LookupError(f"MLflow holds no sweep {name!r}. {way_out}"))
        trials = runs.get(name, ())
        board = view.board(trials)
        chosen = request.query_params.get("trial", board[0]["name"] if board else "")
        trial = next((trial for trial in trials if trial.name == chosen), None)
        rows = self._folds(trial).told if trial else ()
        return page(
            request,
            "web/mlflow/sweep.html",
            name=name,
            uri=self.shown_uri,
            away=self._away(answer),
            board=board,
            chosen=chosen,
            source=f"/mlflow-folds/{quote(name, safe='')}",
            query=urlencode({"trial": chosen}),
            rows=rows or (),
            is_known=trial is not None,
            is_live=True,
        )

    def _drawn(self, request: Request) -> Response:
        """Answer with the figure of a configuration's folds, or with why there is none."""
        trials = (self._runs.look().told or {}).get(request.path_params["sweep"], ())
        chosen = request.query_params.get("trial", "")
        trial = next((trial for trial in trials if trial.name == chosen), None)
        if trial is None:
            return JSONResponse({"missing": f"MLflow tells of no configuration {chosen!r}."})
        answer = self._folds(trial)
        if answer.told is None:
            why = first_line(answer.error) if answer.error else "it is being fetched."
            said = f"The table of folds is not here: {why}"
            return JSONResponse({"missing": said, "again": answer.error is None})
        return figure_answer(view.folds_drawn(answer.told))

    def _folds(self, trial: Any) -> Answer[Sequence[Mapping[str, Any]]]:
        """Ask for the table of a configuration's folds, which changes only with its end."""
        key = f"{trial.run_id} {trial.ended_s}"
        if key not in self._tables:
            self._tables[key] = Asked(partial(_table, self._uri, trial.run_id), fresh_s=None)
            while len(self._tables) > TABLES_HELD:
                self._tables.popitem(last=False)
        return self._tables[key].look()


def _runs(uri: str) -> view.Runs:
    from calsweep.platform.tracking.parent_runs import parent_runs  # brings MLflow: some seconds

    return parent_runs(uri)


def _table(uri: str, run_id: str) -> Sequence[Mapping[str, Any]]:
    from calsweep.platform.tracking.parent_runs import stored_fold_table

    return stored_fold_table(uri, run_id)
