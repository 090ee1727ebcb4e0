"""``calsweep replay``: train a member of a population again along its lineage."""

from __future__ import annotations

from pathlib import Path

import click

from calsweep.platform.commands import option
from calsweep.platform.population.population_run import find_population
from calsweep.platform.population.replay import replay_member

DIFFERS = 1


@click.command()
@click.argument("sweep")
@click.argument("member", type=int)
@option.home
def replay(sweep: str, member: int, home: Path) -> int:
    """Train MEMBER of the population SWEEP again, and compare losses and weights bit by bit.

    Exit code 1 if anything differs, as it may on another kind of machine.
    """
    run = find_population(home, sweep)
    done = replay_member(
        run.learners(),
        run.folder,
        member=member,
        seed=run.seed,
        n=run.population.generation,
        cpus=run.cpus,
    )
    for life, score in zip(done.lives, done.scores, strict=True):
        values = ", ".join(
            f"{name.rpartition('.')[2]} {value:.3g}" for name, value in life.values.items()
        )
        same = "the same" if score == life.score else f"was {life.score!r}"
        click.echo(
            f"generation {life.generation} · member {life.member} · {values} · "
            f"loss {score:.6g} ({same})"
        )
    if done.is_same:
        click.echo(f"Member {member}: every loss, weight and state of the optimizer is the same.")
        return 0
    some = ", ".join(done.differing[:5])
    click.echo(f"Member {member} differs: {some or 'in its losses'}.")
    return DIFFERS
