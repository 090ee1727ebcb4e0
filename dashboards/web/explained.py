"""The page of explanations: several decoders side by side, each figure drawn once in sight."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Hashable, Mapping
from typing import Any

import plotly.graph_objects as go

from calsweep.dashboards.explanation_figures import ExplanationFigure, explanation_figures
from calsweep.dashboards.web.choice import Choice
from calsweep.dashboards.web.shelf import Reading
from calsweep.platform.explanations.explanation import FOLDER
from calsweep.platform.record import SweepRecord, TrialRecord

_OF_TRIAL = re.compile(r"(?:shap|attention|cut-out)-(\d+)")


def said(reading: Reading, choice: Choice, /) -> Mapping[str, Any]:
    """Say whose explanations are there, and which figures stand side by side."""
    sweep = reading.sweep
    explained = [trial for trial in sweep.trials if _stamps(sweep, trial)]
    chosen = [trial for trial in explained if trial.name in choice.compared] or explained
    rows: dict[str, list[ExplanationFigure]] = {}
    missing = ""
    for trial in chosen:
        try:
            for figure in explanation_figures(sweep, trial):
                rows.setdefault(figure.what, []).append(figure)
        except (OSError, ValueError, KeyError) as error:
            missing = f"The explanations of {trial.name} cannot be read: {error}"
    return {
        "explained": explained,
        "chosen": chosen,
        "rows": list(rows.values()),
        "missing": missing,
    }


def draw(reading: Reading, name: str, /) -> go.Figure | None:
    """Draw a figure of this page by its name; ``None`` if there is none of that name.

    Raises
    ------
    OSError, ValueError, LookupError
        If what it shows cannot be read.
    """
    trial = _trial_of(reading, name)
    if trial is None:
        return None
    for figure in explanation_figures(reading.sweep, trial):
        if figure.name == name:
            return figure.draw(reading.sweep, trial)
    return None


def state_of(reading: Reading, name: str, /) -> Hashable:
    """Give what differs where the explanations that a figure shows differ.

    They are made when the sweep's record has long been written, so that does not tell.
    """
    trial = _trial_of(reading, name)
    return _stamps(reading.sweep, trial) if trial else ()


def _trial_of(reading: Reading, name: str) -> TrialRecord | None:
    match = _OF_TRIAL.match(name)
    number = int(match[1]) if match else None
    return next((trial for trial in reading.sweep.trials if trial.number == number), None)


def _stamps(sweep: SweepRecord, trial: TrialRecord) -> tuple[tuple[int, str, int], ...]:
    """Give which folds are explained by what, and when."""
    found = []
    for fold in trial.folds:
        with contextlib.suppress(OSError):  # most are not explained
            found += [
                (fold.fold, place.name, place.stat().st_mtime_ns)
                for place in (sweep.fold_folder(fold) / FOLDER).iterdir()
            ]
    return tuple(sorted(found))
