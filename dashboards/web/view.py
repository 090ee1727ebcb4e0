"""What each page of a sweep says in words and tables."""

from __future__ import annotations

import math
import shlex
import time
from collections.abc import Callable, Mapping
from typing import Any

from calsweep.dashboards import summary
from calsweep.dashboards.style import held_out
from calsweep.dashboards.web import along, data, explained, plates, population
from calsweep.dashboards.web.choice import Choice, kind_of
from calsweep.dashboards.web.shelf import Reading
from calsweep.dashboards.web.sweep_list import Listed, sweep_names
from calsweep.platform.arm import default_reference
from calsweep.platform.budget import worked_seconds
from calsweep.platform.comparison import WHAT_TO_TRUST, compare
from calsweep.platform.equal_budget import Measure
from calsweep.platform.finding import findings
from calsweep.platform.leaderboard import (
    NESTED_DOES_NOT_APPLY,
    has_nested_choice,
    interval_of,
    n_folds,
    nested_choice,
)
from calsweep.platform.ownership.standing import Standing, State
from calsweep.platform.population.generations import Generations
from calsweep.platform.progress import minutes
from calsweep.platform.record import SweepRecord, TrialRecord, TrialState
from calsweep.platform.spending import spending

PER_PAGE = 25
OFFERED = 200
"""Configurations that a list offers, best first; others are found by their name in the address."""


def line_of(line: Listed, /) -> dict[str, Any]:
    """Write a line of the list of sweeps."""
    standing, pace = line.standing, line.pace
    per_hour, per_s = pace.folds_per_hour, pace.windows_per_s
    began_s = line.latest_s if pace.began_s is None else pace.began_s
    return {
        "name": standing.name,
        "state": in_words(standing.state),
        "percent": round(100 * line.share),
        "folds": f"{standing.n_folds:,} of {standing.n_folds_planned:,}",
        "trials": f"{pace.n_done} of {standing.n_planned}"
        + (f", {pace.n_failed} failed" if pace.n_failed else "")
        + (f", {pace.n_pruned} pruned" if pace.n_pruned else ""),
        "generation": _generation(standing.generations),
        "left": time_left(standing),
        "gone": minutes(line.latest_s - began_s),
        "per_hour": f"{per_hour:,.0f}" if per_hour else "–",
        "per_s": f"{per_s:,.0f} windows/s" if per_s else "",
        "cost": f"{pace.device_s:,.0f}",
        "under_way": line.under_way,
        "latest": moment(line.latest_s),
        "target": line.target,
        "dataset": line.dataset,
    }


def in_words(state: State, /) -> str:
    """Say what becomes of a sweep just now."""
    return "finished" if state is State.OVER else state.value


def time_left(standing: Standing, /) -> str:
    """Say how long the rest takes."""
    most = "at most " if standing.generations else ""  # it may end before, by its patience
    return "–" if standing.left_s is None else f"{most}about {minutes(standing.left_s)}"


def moment(seconds: float, /) -> str:
    """Write a moment, in seconds since 1970, as the clock on the wall shows it."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def _generation(of: Generations | None) -> str:
    if of is None:
        return ""
    best = "" if of.best_loss is None else f", best loss {of.best_loss:.4g}"
    return f"generation {of.n_done} of at most {of.n_planned}{best}"


def header(reading: Reading, /) -> dict[str, Any]:
    """Say what stands above every page of a sweep."""
    sweep = reading.sweep
    return {
        "quoted": shlex.quote(sweep.name),
        "state": summary.state(sweep),
        "warnings": summary.warnings(sweep),
        "verdict": sweep.verdict.standing.value,
        "is_leaky": bool(sweep.verdict.leaks),
    }


def _sweep(reading: Reading, choice: Choice) -> Mapping[str, Any]:
    sweep = reading.sweep
    admitted = {trial.name for trial in sweep.trials if choice.admits(trial)}
    every = reading.keep("places", lambda: summary.places(sweep, reading.rows))
    found = [place for place in every if place.name in admitted]
    n_pages = max(1, math.ceil(len(found) / PER_PAGE))
    page = min(choice.page, n_pages)
    shown = found[(page - 1) * PER_PAGE : page * PER_PAGE]
    pinned = [place for place in every if place.is_baseline and place not in shown]
    choices = reading.keep("nested", lambda: nested_choice(sweep))
    return {
        "places": shown,
        "pinned": pinned,
        "n_found": len(found),
        "n_every": len(every),
        "page": page,
        "n_pages": n_pages,
        "kinds": sorted({kind_of(trial) for trial in sweep.trials}),
        "states": [state.value for state in TrialState],
        "n_folds": n_folds(sweep.plan),
        "interval_of": interval_of(reading.rows),
        "nested_auc": summary.nested_auc(choices),
        "nested_within": summary.nested_within(choices),
        "nested_reason": summary.nested_reason(sweep.plan),
        "nested_missing": (
            "No configuration is finished yet."
            if has_nested_choice(sweep.plan)
            else NESTED_DOES_NOT_APPLY
        ),
        "held_out": held_out(sweep.plan),
        "begun": f"{len(sweep.trials)} of {sweep.n_planned} configurations begun",
        "budget": reading.keep("budget", lambda: _budget(sweep)),
        "pruned": [
            (trial.name, trial.decoder, trial.pruned, len(sweep.plan.folds))
            for trial in sweep.trials
            if trial.pruned
        ],
        "drawings": plates.of_sweep(reading),
    }


def _budget(sweep: SweepRecord) -> dict[str, Any]:
    """Say what was spent, and what is left of each cap."""
    spent = spending(sweep)
    caps = sweep.settings.get("budget") or {}
    worked_s = worked_seconds(sweep.folder)
    used = {
        "hours": ("hours of work", worked_s / 3600),
        "device_hours": ("device-hours", spent.total.device_seconds / 3600),
    }
    lines = [
        f"Of {caps[name]:g} {what} {max(caps[name] - amount, 0):.3g} are left."
        for name, (what, amount) in used.items()
        if caps.get(name)
    ]
    worked = f"Worked on for {minutes(worked_s)}."
    return {"spent": f"{spent.sentence} {worked}", "left": lines or ["No cap was set."]}


def _folds(reading: Reading, choice: Choice) -> Mapping[str, Any]:
    try:
        trial, missing = choice.trial(reading), ""
    except LookupError as error:
        trial, missing = None, str(error)
    return {
        "shown": trial,
        "missing": missing or ("" if trial else "No fold is trained yet."),
        "offered": _offered(reading, trial),
        "fold_numbers": [fold.index for fold in reading.sweep.plan.folds],
        "notes": summary.training_notes(trial),
        "drawings": plates.FOLDS,
    }


def _predictions(reading: Reading, choice: Choice) -> Mapping[str, Any]:
    found = along.said(reading, choice)
    offered = [trial for trial in _offered(reading, found["shown"]) if trial.folds]
    return {**found, "offered": offered, "drawings": plates.PREDICTIONS}


def _compare(reading: Reading, choice: Choice) -> Mapping[str, Any]:
    said: dict[str, Any] = {
        "contrasts": (), "methods": (), "level": "", "missing": "", "cut": "", "findings": (),
        "notes": (),
    }  # fmt: skip
    arms: tuple[str, ...] = ()
    try:
        cut = choice.cut(reading)
        found = cut.arms if cut else choice.arms(reading)
        arms = tuple(arm.trial.name for arm in found)
        comparison = compare(found, reference=default_reference(found))
        said |= {
            "contrasts": summary.contrasts(comparison),
            "methods": summary.methods(comparison),
            "level": summary.interval_level(comparison),
            "findings": findings(comparison),
            "notes": comparison.notes,
            "cut": cut.sentence if cut else "",
        }
    except (ValueError, LookupError) as error:
        said["missing"] = (
            str(error) if arms or choice.is_chosen else "No configuration is finished."
        )
    sweep = reading.sweep
    others = [n for n in sweep_names(sweep.folder.parent.parent) if n != sweep.name]
    finished = [row.trial for row in reading.rows[:OFFERED]]
    finished += [row.trial for row in reading.rows[OFFERED:] if row.trial.is_baseline]
    return {
        **said,
        "arms": arms,
        "offered": finished,
        "others": others[:OFFERED],
        "measures": [measure.value for measure in Measure],
        "what_to_trust": WHAT_TO_TRUST,
        "drawings": plates.COMPARE,
    }


def _population(reading: Reading, choice: Choice) -> Mapping[str, Any]:
    return population.said(lambda: reading.lineage, choice)


def _data(reading: Reading, choice: Choice) -> Mapping[str, Any]:
    return {**data.said(reading, choice), "drawings": plates.DATA}


VIEWS: dict[str, Callable[[Reading, Choice], Mapping[str, Any]]] = {
    "": _sweep,
    "folds": _folds,
    "predictions": _predictions,
    "population": _population,
    "explanations": explained.said,
    "compare": _compare,
    "data": _data,
}


def _offered(reading: Reading, shown: TrialRecord | None) -> list[TrialRecord]:
    """Give the configurations to choose from: best first, then those under way."""
    ranked = [row.trial for row in reading.rows]
    begun = [t for t in reading.sweep.trials if t.folds and t.state is not TrialState.DONE]
    offered = [*ranked, *begun][:OFFERED]
    if shown is not None and all(trial.number != shown.number for trial in offered):
        offered.append(shown)
    return offered
