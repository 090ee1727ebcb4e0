"""Which figures show the explanations of a configuration, on the page and in the report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from calsweep.dashboards.explanation import (
    attention_curve,
    completeness,
    cut_out_importance,
    image_importance,
    importance_map,
    unit_bars,
)
from calsweep.platform.explanations.explained import Explained, explained_kinds, read_explained
from calsweep.platform.explanations.explanation import Kind
from calsweep.platform.record import SweepRecord, TrialRecord


@dataclass(frozen=True, kw_only=True)
class ExplanationFigure:
    """A figure of one configuration.

    Attributes
    ----------
    kind
        What the explanation is made of.
    what
        What is drawn, whoever's it is: figures of several configurations that have it in common
        stand side by side.
    name
        Of its place on a page.
    title
        Stands above it.
    """

    kind: Kind
    what: str
    name: str
    title: str

    def draw(self, sweep: SweepRecord, trial: TrialRecord, /) -> go.Figure:
        """Draw it.

        Raises
        ------
        ExplanationDamaged
            If one of a fold is not whole.
        LookupError
            If none is there any more.
        """
        explained = read_explained(sweep, trial, self.kind)
        if explained is None:
            raise LookupError(f"No fold of {trial.name} is explained by {self.kind.value}.")
        return _DRAWINGS[self.what].draw(explained)


@dataclass(frozen=True, kw_only=True)
class _Drawing:
    """How a figure is named, titled and drawn; ``{}`` is the configuration."""

    name: str
    title: str
    draw: Callable[[Explained], go.Figure]


_DRAWINGS = {
    "units": _Drawing(name="shap-{}-units", title="Units that matter to {}", draw=unit_bars),
    "map": _Drawing(
        name="shap-{}-map", title="Units and times that matter to {}", draw=importance_map
    ),
    "image": _Drawing(
        name="shap-{}-image", title="Pixels that matter to {}", draw=image_importance
    ),
    "sums": _Drawing(name="shap-{}-sums", title="Do attributions of {} add up?", draw=completeness),
    "attention": _Drawing(
        name="attention-{}", title="Times that the attention of {} reads", draw=attention_curve
    ),
    "cut-out": _Drawing(
        name="cut-out-{}", title="Places that {} cannot do without", draw=cut_out_importance
    ),
}


def explanation_figures(sweep: SweepRecord, trial: TrialRecord, /) -> tuple[ExplanationFigure, ...]:
    """Give the figures of what is stored of a configuration's folds; none if nothing is.

    Raises
    ------
    ExplanationDamaged
        If what an explanation is made of cannot be read.
    """
    return tuple(
        ExplanationFigure(
            kind=kind,
            what=what,
            name=_DRAWINGS[what].name.format(trial.number),
            title=_DRAWINGS[what].title.format(trial.name),
        )
        for kind, facts in explained_kinds(sweep, trial).items()
        for what in _drawn(kind, facts)
    )


def _drawn(kind: Kind, facts: Mapping[str, Any]) -> tuple[str, ...]:
    if kind is Kind.SHAP:
        return ("units", "map", "sums") if facts["units"] else ("image", "sums")
    return ("attention",) if kind is Kind.ATTENTION else ("cut-out",)
