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
from calsweep.platform.progress import minutes
from calsweep.platform.record import SweepNotFound, sweeps_folder


@click.command()
@click.argument("sweep", required=False)
@option.home
def status(sweep: str | None, home: Path) -> None:
    """Show how far SWEEP is, or all sweeps: state, owner, folds, time left, last error.

    Whether an owner is alive shows in its lease, which is looked at for some seconds.
    """
    known = {path.parent.name: path.parent for path in sweeps_folder(home).glob("*/sweep.json")}
    if sweep is not None and sweep not in known:
        raise SweepNotFound(sweep, tuple(sorted(known)))
    folders = [known[name] for name in sorted(known) if sweep in (None, name)]
    if not folders:
        click.echo("No sweep yet: begin one with `calsweep sweep`.")
        return
    signs = wait_for_sign(folders)
    standings = [read_standing(folder, is_alive=signs.get(folder)) for folder in folders]
    if sweep is not None:
        _print_one(standings[0])
        return
    console = Console(width=None if Console().is_terminal else 140)
    console.print(_table(standings))


def _print_one(standing: Standing) -> None:
    rows = {
        "sweep": f"{standing.name} ({standing.identity})" if standing.identity else standing.name,
        "state": f"{standing.state.value}{_way_on(standing)}",
        "owner": _owner(standing),
        "trials": f"{standing.n_trials} of {standing.n_planned} ended",
        "folds": f"{standing.n_folds} of {standing.n_folds_planned} done",
        "time left": _left(standing),
        "last error": standing.error or "none",
    }
    for name, value in rows.items():
        click.echo(f"{name:<10}  {value}")


def _table(standings: list[Standing]) -> Table:
    table = Table()
    for column in ("sweep", "state", "owner", "trials", "folds", "time left", "last error"):
        table.add_column(column)
    for standing in standings:
        table.add_row(
            escape(standing.name),
            standing.state.value,
            escape(_owner(standing)),
            f"{standing.n_trials}/{standing.n_planned}",
            f"{standing.n_folds}/{standing.n_folds_planned}",
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
    return "-" if standing.left_s is None else f"about {minutes(standing.left_s)}"


def _way_on(standing: Standing) -> str:
    if standing.state in {State.RUNNING, State.OVER}:
        return ""
    return f": `calsweep resume {standing.name}` goes on"
