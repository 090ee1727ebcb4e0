"""``calsweep status``: how far sweeps are, and who runs them."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from calsweep.platform.commands import option
from calsweep.platform.ownership.lease import wait_for_sign
from calsweep.platform.ownership.standing import Standing, State, read_standing
from calsweep.platform.population.generations import Generations
from calsweep.platform.progress import minutes
from calsweep.platform.record import SweepNotFound, dynamics_folder, sweeps_folder


@click.command()
@click.argument("sweep", required=False)
@option.home
def status(sweep: str | None, home: Path) -> None:
    """Show how far SWEEP is, or all sweeps: state, owner, folds, time left, last error.

    Populations, of decoders or of `calsweep lfads`, show their generation and its best loss, and
    the time that is left at most.

    Whether an owner is alive shows in its lease, which is looked at for some seconds.
    """
    known = [
        path.parent
        for place in (sweeps_folder(home), dynamics_folder(home))
        for path in sorted(place.glob("*/sweep.json"))
    ]
    folders = [folder for folder in known if sweep in (None, folder.name)]
    if sweep is not None and not folders:
        raise SweepNotFound(sweep, tuple(sorted({folder.name for folder in known})))
    if not folders:
        click.echo("No sweep yet: begin one with `calsweep sweep`.")
        return
    signs = wait_for_sign(folders)
    standings = [read_standing(folder, is_alive=signs.get(folder)) for folder in folders]
    if sweep is not None:
        for standing in standings:  # two, where a sweep and a population have one name
            _print_one(standing)
        return
    console = Console(width=None if Console().is_terminal else 140)
    console.print(_table(standings))


def _print_one(standing: Standing) -> None:
    rows = {
        "sweep": f"{standing.name} ({standing.identity})" if standing.identity else standing.name,
        "state": f"{standing.state.value}{_way_on(standing)}",
        "owner": _owner(standing),
        **_generation_rows(standing.generations),
        **(
            {
                "trials": f"{standing.n_trials} of {standing.n_planned} ended",
                "folds": f"{standing.n_folds} of {standing.n_folds_planned} done",
            }
            if standing.n_planned
            else {}
        ),
        "time left": _left(standing),
        "last error": standing.error or "none",
    }
    for name, value in rows.items():
        click.echo(f"{name:<10}  {value}")


def _generation_rows(generations: Generations | None) -> dict[str, str]:
    if generations is None:
        return {}
    ended = f" ({generations.end})" if generations.end else ""
    return {
        "generation": f"{generations.n_done} of at most {generations.n_planned}{ended}",
        "best loss": _loss(generations),
    }


def _loss(generations: Generations) -> str:
    return "-" if generations.best_loss is None else f"{generations.best_loss:.4g}"


def _table(standings: list[Standing]) -> Table:
    table = Table()
    are_there = any(standing.generations for standing in standings)
    of_populations = ("generation", "best loss") if are_there else ()
    for column in (
        *("sweep", "state", "owner", "trials", "folds"),
        *of_populations,
        *("time left", "last error"),
    ):
        table.add_column(column)
    for standing in standings:
        of = standing.generations
        has_folds = standing.n_planned > 0
        table.add_row(
            escape(standing.name),
            standing.state.value,
            escape(_owner(standing)),
            f"{standing.n_trials}/{standing.n_planned}" if has_folds else "-",
            f"{standing.n_folds}/{standing.n_folds_planned}" if has_folds else "-",
            *((f"{of.n_done}/{of.n_planned}", _loss(of)) if of else ("-",) * len(of_populations)),
            _left(standing),
            escape(standing.error),
        )
    return table


def _owner(standing: Standing) -> str:
    if standing.owner is None:
        return "-"
    held = "" if standing.owner.is_held else ", which has let go"
    return f"{standing.owner.process.name} (token {standing.owner.token}){held}"


def _left(standing: Standing) -> str:
    if standing.left_s is None:
        return "-"
    return f"{'at most ' if standing.generations else ''}about {minutes(standing.left_s)}"


def _way_on(standing: Standing) -> str:
    if standing.state in {State.RUNNING, State.OVER}:
        return ""
    return f": `calsweep resume {standing.name}` goes on"
