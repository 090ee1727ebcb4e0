"""A population over its generations: losses, who took over from whom, and how values went."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import plotly.graph_objects as go

from calsweep.dashboards.style import BLUE, GRAY, PURPLE, THICK, THIN, VERMILLION, log_axis, styled
from calsweep.platform.population.lineage import Life, Lineage

_LOG_FROM = 10.0  # range of values, as a factor, from which an axis is logarithmic
_TREE_PX_PER_MEMBER = 22
GENERATIONS_NAMED = 20


def loss_by_generation(lineage: Lineage, /, *, member: int | None = None) -> go.Figure:
    """Draw the validation loss of every member, and of the ancestors of one.

    Parameters
    ----------
    lineage
        Of at least one generation.
    member
        Whose ancestors are set off; by default those of the best.
    """
    drawn = go.Figure()
    for number, lives in _by_member(lineage).items():
        losses = [life.score for life in lives]
        drawn.add_trace(_line(lives, losses, name=f"member {number}", color=BLUE))
    followed = ancestry(lineage, member)
    losses = [life.score for life in followed]
    drawn.add_trace(_line(followed, losses, name=_ancestors_of(member), is_followed=True))
    died = [life for life in _lives(lineage) if not life.result.is_alive]
    drawn.add_trace(
        go.Scatter(
            x=[life.generation for life in died],
            y=[max(life.score for life in ancestry(lineage))] * len(died),
            name="died",
            mode="markers",
            marker={"symbol": "x", "size": 9, "color": PURPLE},
            text=[f"member {life.member}: {life.error}" for life in died],
            hovertemplate="%{text}<extra></extra>",
        )
    )
    _along_generations(drawn, lineage)
    drawn.update_yaxes(title_text="validation loss (nats)")
    return styled(
        drawn,
        height_px=420,
        reading=(
            "A thin line is a member, whose weights may come from another from one generation to "
            f"the next; the thick line is that of the ancestors of {_whose(member)}; a cross is a "
            "member that died and was replaced."
        ),
    )


def lineage_tree(lineage: Lineage, /, *, member: int | None = None) -> go.Figure:
    """Draw who went on from whom.

    Parameters
    ----------
    lineage, member
        As in `loss_by_generation`.
    """
    drawn = go.Figure()
    stayed = [life for life in _lives(lineage) if life.parent == life.member]
    taken = take_overs(lineage)
    followed = [life for life in ancestry(lineage, member) if life.parent is not None]
    for lives, name, color, width in (
        (stayed, "went on", GRAY, THIN),
        (taken, "took over", BLUE, THIN),
        (followed, _ancestors_of(member), VERMILLION, THICK),
    ):
        x: list[int | None] = []
        y: list[int | None] = []
        for life in lives:
            x += [life.generation - 1, life.generation, None]
            y += [life.parent, life.member, None]
        drawn.add_trace(
            go.Scatter(
                x=x, y=y, name=name, mode="lines", line={"color": color, **width}, hoverinfo="skip"
            )
        )
    lives_drawn = list(_lives(lineage))
    drawn.add_trace(
        go.Scatter(
            x=[life.generation for life in lives_drawn],
            y=[life.member for life in lives_drawn],
            name="members",
            mode="markers",
            marker={"size": 5, "color": GRAY},
            text=[_described(life) for life in lives_drawn],
            hovertemplate="%{text}<extra></extra>",
        )
    )
    _along_generations(drawn, lineage)
    drawn.update_yaxes(title_text="member", dtick=1 if len(_by_member(lineage)) <= 20 else None)
    return styled(
        drawn,
        height_px=200 + _TREE_PX_PER_MEMBER * len(_by_member(lineage)),
        reading=(
            "A point is a member after a generation. A level line is one that went on from its own "
            "weights, a slanting line one that took over another's; the thick line leads to "
            f"{_whose(member)}."
        ),
    )


def value_schedule(lineage: Lineage, name: str, /, *, member: int | None = None) -> go.Figure:
    """Draw how a searched value went in every member, and on the way to one.

    Parameters
    ----------
    lineage, member
        As in `loss_by_generation`.
    name
        Dotted name of the value.
    """
    drawn = go.Figure()
    for number, lives in _by_member(lineage).items():
        values = [life.values[name] for life in lives]
        drawn.add_trace(_line(lives, values, name=f"member {number}", color=BLUE))
    followed = ancestry(lineage, member)
    values = [life.values[name] for life in followed]
    drawn.add_trace(_line(followed, values, name=_ancestors_of(member), is_followed=True))
    every = [life.values[name] for life in _lives(lineage)]
    is_log = min(every) > 0 and max(every) / min(every) > _LOG_FROM
    _along_generations(drawn, lineage)
    drawn.update_yaxes(
        title_text=_short(name),
        **(log_axis(min(every), max(every)) if is_log else {"type": "linear"}),
    )
    return styled(
        drawn,
        height_px=360,
        reading=(
            f"A thin line is a member; the thick line is what the weights of {_whose(member)} were "
            "trained with, generation by generation: a schedule that the population found."
        ),
    )


@dataclass(frozen=True, kw_only=True)
class PopulationFigure:
    """A figure of a population: its place, title, and how it is drawn with a member set off."""

    name: str
    title: str
    draw: Callable[[int | None], go.Figure]


def population_figures(lineage: Lineage, /) -> tuple[PopulationFigure, ...]:
    """Give the figures of a population; none before a generation of it is whole."""
    if not whole_generations(lineage):
        return ()
    return (
        PopulationFigure(
            name="population-loss",
            title="Losses over generations",
            draw=lambda member: loss_by_generation(lineage, member=member),
        ),
        PopulationFigure(
            name="population-tree",
            title="Who went on from whom",
            draw=lambda member: lineage_tree(lineage, member=member),
        ),
        *(
            PopulationFigure(
                name=f"population-{name}",
                title=f"How {_short(name)} went",
                draw=partial(_schedule_of, lineage, name),
            )
            for name in searched_values(lineage)
        ),
    )


def _schedule_of(lineage: Lineage, name: str, member: int | None) -> go.Figure:
    return value_schedule(lineage, name, member=member)


def searched_values(lineage: Lineage, /) -> tuple[str, ...]:
    """Give the dotted names of the values that a population searched."""
    if not whole_generations(lineage):
        return ()
    return tuple(next(iter(lineage.generation(1).values())).values)


def ancestry(lineage: Lineage, member: int | None = None, /) -> tuple[Life, ...]:
    """Give the lives that a member's weights came through, up to the last whole generation.

    Parameters
    ----------
    lineage
        Of at least one generation.
    member
        By default the best one.

    Raises
    ------
    LookupError
        If there is none of this number.
    """
    last = whole_generations(lineage)[-1]
    if member is None:
        alive = [life for life in lineage.generation(last).values() if life.result.is_alive]
        member = min(alive, key=lambda life: (life.score, life.member)).member
    return lineage.ancestry(member, generation=last)


def whole_generations(lineage: Lineage, /) -> range:
    """Give the generations that every member is done with."""
    size = len(lineage.generation(1))
    n = lineage.n_generations
    is_whole = n and len(lineage.generation(n)) == size
    return range(1, n + 1) if is_whole else range(1, n)


def take_overs(lineage: Lineage, /) -> tuple[Life, ...]:
    """Give the lives that went on from another member's weights, in the order of generations."""
    return tuple(life for life in _lives(lineage) if life.parent not in {None, life.member})


def _line(
    lives: Sequence[Life],
    y: Sequence[float],
    *,
    name: str,
    color: str = VERMILLION,
    is_followed: bool = False,
) -> go.Scatter:
    return go.Scatter(
        x=[life.generation for life in lives],
        y=list(y),
        name=name,
        mode="lines",
        line={"color": color, **(THICK if is_followed else THIN)},
        opacity=1.0 if is_followed else 0.35,
        text=[f"member {life.member}" for life in lives],
        hovertemplate="generation %{x}, %{text}: %{y:.4g}<extra></extra>",
    )


def _lives(lineage: Lineage) -> Iterable[Life]:
    for number in whole_generations(lineage):
        yield from lineage.generation(number).values()


def _along_generations(drawn: go.Figure, lineage: Lineage) -> None:
    few = whole_generations(lineage)[-1] <= GENERATIONS_NAMED
    drawn.update_xaxes(title_text="generation", dtick=1 if few else None)


def _by_member(lineage: Lineage) -> dict[int, list[Life]]:
    found: dict[int, list[Life]] = {}
    for life in _lives(lineage):
        found.setdefault(life.member, []).append(life)
    return found


def _ancestors_of(member: int | None) -> str:
    return f"ancestors of {'the best' if member is None else f'member {member}'}"


def _whose(member: int | None) -> str:
    return "the member that is best in the end" if member is None else f"member {member}"


def _short(name: str) -> str:
    return name.rpartition(".")[2].replace("_", " ")


def _described(life: Life) -> str:
    values = ", ".join(
        f"{name.rpartition('.')[2]} {value:.3g}" for name, value in life.values.items()
    )
    origin = f" from {life.parent}" if life.parent not in {None, life.member} else ""
    loss = f"loss {life.score:.4g}" if life.result.is_alive else f"died: {life.error}"
    return f"generation {life.generation}, member {life.member}{origin}: {loss}; {values}"
