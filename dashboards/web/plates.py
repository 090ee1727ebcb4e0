"""Which figures stand on which page of a sweep, each drawn by the function that reports use too."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import plotly.graph_objects as go

from calsweep.dashboards.calibration import calibration_curves
from calsweep.dashboards.comparison import (
    arm_boxes,
    arm_rocs,
    difference_matrix,
    read_arm_rocs,
)
from calsweep.dashboards.confusion import (
    class_roc_curves,
    class_rocs,
    confusion_matrix,
    count_decoded,
)
from calsweep.dashboards.figure import fold_name, fold_spread, group_matrix
from calsweep.dashboards.group_spread import group_spread
from calsweep.dashboards.learning_curve import learning_curves
from calsweep.dashboards.parallel_coordinates import parallel_coordinates
from calsweep.dashboards.prediction import Predictions, RocCurve, read_predictions, roc
from calsweep.dashboards.roc import roc_curves
from calsweep.dashboards.search_history import search_history
from calsweep.dashboards.setting_figures import SettingFigure, setting_figures
from calsweep.dashboards.setting_importance import importance_bars, setting_importances
from calsweep.dashboards.web import along, data, explained, population
from calsweep.dashboards.web.choice import Choice
from calsweep.dashboards.web.shelf import Reading
from calsweep.platform.comparison import compare
from calsweep.platform.finding import telling_method
from calsweep.platform.leaderboard import has_nested_choice
from calsweep.platform.record import TrialRecord


class NotYet(LookupError):
    """A figure has nothing to draw yet."""


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """A figure of a page: its title and how it is drawn from what is chosen there."""

    title: str
    draw: Callable[[Reading, Choice], go.Figure]


def _history(reading: Reading, _: Choice) -> go.Figure:
    _need_finished(reading)
    return search_history(reading.sweep)


def _importance(reading: Reading, _: Choice) -> go.Figure:
    return importance_bars(setting_importances(reading.sweep))


def _parallel(reading: Reading, choice: Choice) -> go.Figure:
    return parallel_coordinates([t for t in reading.sweep.finished if choice.admits(t)])


def _spread(reading: Reading, choice: Choice) -> go.Figure:
    _need_finished(reading)
    rows = [row for row in reading.rows if row.trial.is_baseline or choice.admits(row.trial)]
    return fold_spread(rows, plan=reading.sweep.plan)


def _matrix(reading: Reading, choice: Choice) -> go.Figure:
    trial = _shown(reading, choice)
    if not has_nested_choice(reading.sweep.plan):
        raise NotYet("The folds of this plan are not pairs of groups, so there is no matrix.")
    return group_matrix(trial, plan=reading.sweep.plan)


def _groups(reading: Reading, choice: Choice) -> go.Figure:
    trial = _shown(reading, choice)
    if not has_nested_choice(reading.sweep.plan):
        raise NotYet("The folds of this plan test no groups of animals.")
    return group_spread(trial, plan=reading.sweep.plan, baseline=_baseline(reading))


def _roc(reading: Reading, choice: Choice) -> go.Figure:
    sweep, trial = reading.sweep, _shown(reading, choice)
    folds = _predictions(reading, trial)
    if folds[0].n_classes > 2:
        return class_roc_curves(class_rocs(folds))
    names = [fold_name(fold, plan=sweep.plan) for fold in trial.folds]
    curves = dict(zip(names, map(_curve, folds), strict=True))
    baseline = _baseline(reading)
    beside = baseline is not None and baseline.number != trial.number
    others = [_curve(f) for f in _predictions(reading, baseline)] if beside and baseline else []
    return roc_curves(curves, baseline=others)


def _confusion(reading: Reading, choice: Choice) -> go.Figure:
    folds = _predictions(reading, _shown(reading, choice))
    target = str(reading.sweep.dataset["target"])
    return confusion_matrix(count_decoded(folds), target=target)


def _learning(reading: Reading, choice: Choice) -> go.Figure:
    trial = _shown(reading, choice)
    chosen = tuple(f for f in trial.folds if not choice.folds or f.fold in choice.folds)
    if not chosen:
        raise NotYet(f"None of the folds that are chosen is trained for {trial.name} yet.")
    return learning_curves(replace(trial, folds=chosen))


def _boxes(reading: Reading, choice: Choice) -> go.Figure:
    return arm_boxes(compare(choice.arms(reading), reference=None))


def _differences(reading: Reading, choice: Choice) -> go.Figure:
    comparison = compare(choice.arms(reading), reference=None)
    return difference_matrix(comparison, method=telling_method(comparison))


def _calibration(reading: Reading, choice: Choice) -> go.Figure:
    return calibration_curves(_predictions(reading, _shown(reading, choice)))


def _arm_rocs(reading: Reading, choice: Choice) -> go.Figure:
    comparison = compare(choice.arms(reading), reference=None)
    first = comparison.arms[0]
    if read_predictions(first.sweep.fold_folder(first.trial.folds[0])).n_classes > 2:
        raise NotYet("A mean ROC curve is of two classes; those of each class are on Folds.")
    return arm_rocs(comparison, rocs=read_arm_rocs(comparison))


SEARCH = {
    "history": Drawing(title="How the search went", draw=_history),
    "importance": Drawing(title="Which settings matter", draw=_importance),
}
SWEEP = {
    "parallel": Drawing(title="Settings of every configuration", draw=_parallel),
    "spread": Drawing(title="Every fold of every configuration", draw=_spread),
}
FOLDS = {
    "matrix": Drawing(title="Which groups test, which validate", draw=_matrix),
    "groups": Drawing(title="Test AUC by the animals that test", draw=_groups),
    "roc": Drawing(title="ROC curves", draw=_roc),
    "confusion": Drawing(title="Classes observed and decoded", draw=_confusion),
    "calibration": Drawing(title="Calibration", draw=_calibration),
    "learning": Drawing(title="Learning curves", draw=_learning),
}
PREDICTIONS = {
    "overview": Drawing(title="The whole recording", draw=along.overview),
    "decoded": Drawing(title="Decoded and observed", draw=along.decoded),
    "activity": Drawing(title="Activity of the units", draw=along.activity),
}
COMPARE = {
    "boxes": Drawing(title="The same folds, configuration by configuration", draw=_boxes),
    "differences": Drawing(title="Differences between configurations", draw=_differences),
    "arm-rocs": Drawing(title="Mean ROC curves of configurations", draw=_arm_rocs),
}
DATA = {
    "balance": Drawing(title="Label balance", draw=data.balance),
    "traces": Drawing(title="Traces", draw=data.traces),
    "plan": Drawing(title="Fold plan", draw=data.plan),
    "fold": Drawing(title="One fold along time", draw=data.one_fold),
}


def of_sweep(reading: Reading, /) -> Mapping[str, Drawing]:
    """Give the figures of a sweep's first page: what it searched decides which."""
    return reading.keep("sweep", lambda: {**SEARCH, **_along_settings(reading), **SWEEP})


def _along_settings(reading: Reading) -> dict[str, Drawing]:
    def drawing(one: SettingFigure) -> Drawing:
        return Drawing(title=one.title, draw=lambda *_: one.draw())

    return {one.name: drawing(one) for one in setting_figures(reading.sweep)}


def draw(reading: Reading, name: str, choice: Choice, /) -> go.Figure:
    """Draw a figure of a sweep.

    Parameters
    ----------
    reading
        The sweep's record.
    name
        Of the figure.
    choice
        What is chosen on its page.

    Raises
    ------
    LookupError
        If there is no such figure, or nothing to draw yet.
    OSError, ValueError, KeyError
        If data that it needs is missing or damaged.
    """
    drawing = {**FOLDS, **PREDICTIONS, **COMPARE, **DATA, **of_sweep(reading)}.get(name)
    if drawing is not None:
        return drawing.draw(reading, choice)
    drawn = explained.draw(reading, name) or population.draw(reading.lineage, name, choice)
    if drawn is None:
        raise NotYet(f"There is no figure {name!r} of this sweep.")
    return drawn


def _need_finished(reading: Reading) -> None:
    if not reading.rows:
        raise NotYet("No configuration is finished yet.")


def _shown(reading: Reading, choice: Choice) -> TrialRecord:
    trial = choice.trial(reading)
    if trial is None or not trial.folds:
        raise NotYet("No fold of this configuration is trained yet.")
    return trial


def _baseline(reading: Reading) -> TrialRecord | None:
    return next((trial for trial in reading.sweep.trials if trial.is_baseline), None)


def _predictions(reading: Reading, trial: TrialRecord) -> list[Predictions]:
    return [read_predictions(reading.sweep.fold_folder(fold)) for fold in trial.folds]


def _curve(predictions: Predictions) -> RocCurve:
    return roc(predictions.label_W, predictions.probability)
