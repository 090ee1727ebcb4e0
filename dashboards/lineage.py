"""A population over its generations: losses, who took over from whom, and how values went."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import plotly.graph_objects as go

from calsweep.dashboards.style import BLUE, GRAY, PURPLE, THICK, THIN, VERMILLION, styled
from calsweep.platform.population.lineage import Life, Lineage
from calsweep.platform.record import SweepRecord

_LOG_FROM = 10.0  # range of values, as a factor, from which an axis is logarithmic
_TREE_PX_PER_MEMBER = 22


def loss_by_generation(lineage: Lineage, /) -> go.Figure:
    """Draw the validation loss of every member, and of the ancestors of the best.

    Parameters
    ----------
    lineage
        Of at least one generation.
    """
    drawn = go.Figure()
    for member, lives in _by_member(lineage).items():
        drawn.add_trace(
            _line(lives, [life.score for life in lives], name=f"member {member}", color=BLUE)
        )
    ancestry = _best_ancestry(lineage)
    losses = [life.score for life in ancestry]
    drawn.add_trace(_line(ancestry, losses, name="ancestors of the best", is_best=True))
    died = [life for life in _lives(lineage) if not life.result.is_alive]
    drawn.add_trace(
        go.Scatter(
            x=[life.generation for life in died],
            y=[max(losses)] * len(died),
            name="died",
            mode="markers",
            marker={"symbol": "x", "size": 9, "color": PURPLE},
            text=[f"member {life.member}: {life.error}" for life in died],
            hovertemplate="%{text}<extra></extra>",
        )
    )
    drawn.update_xaxes(title_text="generation")
    drawn.update_yaxes(title_text="validation loss")
    return styled(
        drawn,
        height_px=420,
        reading=(
            "A thin line is a member, whose weights may come from another from one generation to "
            "the next; the thick line are the ancestors of the member that is best in the end; a "
            "cross is a member that died and was replaced."
        ),
    )


def lineage_tree(lineage: Lineage, /) -> go.Figure:
    """Draw who went on from whom.

    Parameters
    ----------
    lineage
        Of at least one generation.
    """
    drawn = go.Figure()
    stayed = [life for life in _lives(lineage) if life.parent == life.member]
    taken = [life for life in _lives(lineage) if life.parent not in {None, life.member}]
    best = [life for life in _best_ancestry(lineage) if life.parent is not None]
    for lives, name, color, width in (
        (stayed, "went on", GRAY, THIN),
        (taken, "took over", BLUE, THIN),
        (best, "ancestors of the best", VERMILLION, THICK),
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
    drawn.update_xaxes(title_text="generation")
    drawn.update_yaxes(title_text="member", dtick=1 if len(_by_member(lineage)) <= 20 else None)
    return styled(
        drawn,
        height_px=200 + _TREE_PX_PER_MEMBER * len(_by_member(lineage)),
        reading=(
            "A point is a member after a generation. A level line is one that went on from its own "
            "weights, a slanting line one that took over another's; the thick line leads to the "
            "member that is best in the end."
        ),
    )


def value_schedule(lineage: Lineage, name: str, /) -> go.Figure:
    """Draw how a searched value went in every member, and on the way to the best.

    Parameters
    ----------
    lineage
        Of at least one generation.
    name
        Dotted name of the value.
    """
    drawn = go.Figure()
    for member, lives in _by_member(lineage).items():
        values = [life.values[name] for life in lives]
        drawn.add_trace(_line(lives, values, name=f"member {member}", color=BLUE))
    ancestry = _best_ancestry(lineage)
    best = [life.values[name] for life in ancestry]
    drawn.add_trace(_line(ancestry, best, name="ancestors of the best", is_best=True))
    every = [life.values[name] for life in _lives(lineage)]
    is_log = min(every) > 0 and max(every) / min(every) > _LOG_FROM
    drawn.update_xaxes(title_text="generation")
    drawn.update_yaxes(
        title_text=name.rpartition(".")[2].replace("_", " "), type="log" if is_log else "linear"
    )
    return styled(
        drawn,
        height_px=360,
        reading=(
            "A thin line is a member; the thick line is what the weights of the best member were "
            "trained with, generation by generation: the schedule that the population found."
        ),
    )


def population_figures(sweep: SweepRecord, /) -> Iterator[tuple[str, str, go.Figure]]:
    """Give the figures of a sweep's population, each with a name and a title; none if it has none.

    Parameters
    ----------
    sweep
        Its record.
    """
    lineage = Lineage(sweep.folder)
    if not _whole(lineage):
        return
    yield "population-loss", "Losses over generations", loss_by_generation(lineage)
    yield "population-tree", "Who went on from whom", lineage_tree(lineage)
    for name in searched_values(lineage):
        title = f"How {name.rpartition('.')[2].replace('_', ' ')} went"
        yield f"population-{name}", title, value_schedule(lineage, name)


def searched_values(lineage: Lineage, /) -> tuple[str, ...]:
    """Give the dotted names of the values that a population searched."""
    return tuple(next(iter(lineage.generation(1).values())).values) if _whole(lineage) else ()


def _line(
    lives: Sequence[Life],
    y: Sequence[float],
    *,
    name: str,
    color: str = VERMILLION,
    is_best: bool = False,
) -> go.Scatter:
    return go.Scatter(
        x=[life.generation for life in lives],
        y=list(y),
        name=name,
        mode="lines",
        line={"color": color, **(THICK if is_best else THIN)},
        opacity=1.0 if is_best else 0.35,
        text=[f"member {life.member}" for life in lives],
        hovertemplate="generation %{x}, %{text}: %{y:.4g}<extra></extra>",
    )


def _whole(lineage: Lineage) -> range:
    """Give the generations that every member is done with."""
    size = len(lineage.generation(1))
    n = lineage.n_generations
    is_whole = n and len(lineage.generation(n)) == size
    return range(1, n + 1) if is_whole else range(1, n)


def _lives(lineage: Lineage) -> Iterable[Life]:
    for number in _whole(lineage):
        yield from lineage.generation(number).values()


def _by_member(lineage: Lineage) -> dict[int, list[Life]]:
    found: dict[int, list[Life]] = {}
    for life in _lives(lineage):
        found.setdefault(life.member, []).append(life)
    return found


def _best_ancestry(lineage: Lineage) -> tuple[Life, ...]:
    last = _whole(lineage)[-1]
    alive = [life for life in lineage.generation(last).values() if life.result.is_alive]
    best = min(alive, key=lambda life: (life.score, life.member))
    return lineage.ancestry(best.member, generation=last)


def _described(life: Life) -> str:
    values = ", ".join(
        f"{name.rpartition('.')[2]} {value:.3g}" for name, value in life.values.items()
    )
    origin = f" from {life.parent}" if life.parent not in {None, life.member} else ""
    loss = f"loss {life.score:.4g}" if life.result.is_alive else f"died: {life.error}"
    return f"generation {life.generation}, member {life.member}{origin}: {loss}; {values}"
