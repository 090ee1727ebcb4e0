"""The page of a population: figures with one member set off, its ancestors, who took over."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from calsweep.dashboards.lineage import (
    ancestry,
    population_figures,
    searched_values,
    take_overs,
    whole_generations,
)
from calsweep.dashboards.web.choice import Choice
from calsweep.platform.population.lineage import Life, Lineage

UNREADABLE = (OSError, ValueError, KeyError, TypeError, LookupError)


def said(read: Callable[[], Lineage], choice: Choice, /) -> Mapping[str, Any]:
    """Say what a population went through, and whose ancestors are set off.

    Parameters
    ----------
    read
        Gives its lineage; one that cannot be read is told.
    choice
        Names the member.
    """
    nothing: dict[str, Any] = {"missing": "", "figures": (), "members": ()}
    try:
        lineage = read()
        if not whole_generations(lineage):
            return nothing
        return {**nothing, **_told(lineage, choice)}
    except UNREADABLE as error:
        what = str(error) if choice.member else f"The population's record cannot be read: {error}"
        return {**nothing, "missing": what}


def draw(lineage: Lineage, name: str, choice: Choice, /) -> go.Figure | None:
    """Draw a figure of this page by its name; ``None`` if there is none of that name.

    Raises
    ------
    LookupError
        If the population has no such member.
    """
    for drawn in population_figures(lineage):
        if drawn.name == name:
            return drawn.draw(choice.member or None)
    return None


def _told(lineage: Lineage, choice: Choice) -> dict[str, Any]:
    best, last = ancestry(lineage)[-1], whole_generations(lineage)[-1]
    lives = ancestry(lineage, choice.member or None)
    names = searched_values(lineage)
    at = {number: lineage.generation(number) for number in whole_generations(lineage)}
    taken = [_take_over(life, at[life.generation - 1], names) for life in take_overs(lineage)]
    return {
        "figures": population_figures(lineage),
        "generations": f"{last} generations of {len(at[1])} members",
        "members": [
            (life.member, f"{_loss(life)}{', the best' if life is best else ''}")
            for life in at[last].values()
        ],
        "member": lives[-1].member,
        "is_best": lives[-1] is best,
        "value_names": [name.rpartition(".")[2].replace("_", " ") for name in names],
        "ancestors": [_ancestor(life, names) for life in lives],
        "take_overs": list(reversed(taken)),
    }


def _ancestor(life: Life, names: Sequence[str]) -> dict[str, Any]:
    if life.parent is None:
        came = "began"
    elif life.parent == life.member:
        came = "went on"
    else:
        came = f"took over from member {life.parent}"
    return {
        "generation": life.generation,
        "member": life.member,
        "came": came,
        "loss": _loss(life),
        "tried": [f"{life.values[name]:.3g}" for name in names],
    }


def _take_over(life: Life, before: Mapping[int, Life], names: Sequence[str]) -> dict[str, Any]:
    """Say what a member gave up, and what it went on with."""
    assert life.parent is not None  # noqa: S101 - it took over from one
    own, other = before[life.member], before[life.parent]
    return {
        "generation": life.generation,
        "member": life.member,
        "parent": life.parent,
        "own": _loss(own),
        "other": _loss(other),
        "tried": [f"{other.values[name]:.3g} → {life.values[name]:.3g}" for name in names],
    }


def _loss(life: Life) -> str:
    return f"{life.score:.4g}" if life.result.is_alive else "died"
