"""``calsweep leaderboard``: which configuration decodes best."""

from __future__ import annotations

import statistics
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from calsweep.platform.commands import option
from calsweep.platform.leaderboard import NestedChoice, Row, nested_choice
from calsweep.platform.leaderboard import leaderboard as rank
from calsweep.platform.record import SweepRecord, TrialState, read_sweep


@click.command()
@click.argument("sweep")
@option.home
def leaderboard(sweep: str, home: Path) -> None:
    """Show the configurations of SWEEP, best validation AUC first."""
    print_leaderboard(read_sweep(home, sweep))


def print_leaderboard(sweep: SweepRecord, /) -> None:
    """Print the configurations, best first, and the nested choice below."""
    console = Console(width=None if Console().is_terminal else 120)
    console.print(_table(sweep, rank(sweep)))
    console.print(_nested_line(nested_choice(sweep)), highlight=False)
    for note in sweep.notes:
        console.print(f"Note: {note}.", highlight=False, markup=False)
    for trial in sweep.trials:
        if trial.state is TrialState.FAILED:
            console.print(f"{trial.name} failed: {trial.error}", highlight=False, markup=False)


def _table(sweep: SweepRecord, rows: tuple[Row, ...]) -> Table:
    leaky = " · LEAKY FOLDS" if sweep.plan.leaky else ""
    n_done = len(sweep.finished)
    table = Table(
        title=escape(
            f"{sweep.name}: AUC of {sweep.dataset['target']} over "
            f"{len(sweep.plan.folds)} folds, {n_done} configurations{leaky}"
        ),
    )
    for column in ("", "configuration", "validation AUC", "test AUC", "test accuracy"):
        table.add_column(column, justify="left" if column == "configuration" else "right")
    for row in rows:
        table.add_row(
            str(row.rank),
            escape(f"{row.trial.name}: {row.trial.decoder}"),
            f"{row.validation_auc:.4f} ± {row.validation_auc_sd:.4f}",
            f"{row.test_auc:.4f} ± {row.test_auc_sd:.4f}",
            f"{row.test_accuracy:.3f}",
            style="dim" if row.trial.is_baseline else "bold" if row.rank == 1 else "",
        )
    return table


def _nested_line(choices: tuple[NestedChoice, ...]) -> str:
    if not choices:
        return "No configuration is finished yet."
    mean = statistics.fmean(choice.test_auc for choice in choices)
    sd = statistics.stdev(choice.test_auc for choice in choices)
    return (
        f"Honest figure: test AUC {mean:.4f} ± {sd:.4f} over {len(choices)} test groups, each with "
        "the configuration chosen on that group's own folds (nested choice)."
    )
