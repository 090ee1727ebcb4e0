"""``calsweep leaderboard``: which configuration decodes best."""

from __future__ import annotations

import statistics
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from calsweep.datasets.audit import Standing
from calsweep.platform.commands import option
from calsweep.platform.leaderboard import (
    NESTED_DOES_NOT_APPLY,
    NestedChoice,
    Row,
    has_nested_choice,
    interval_of,
    n_folds,
    nested_choice,
    nested_interval,
)
from calsweep.platform.leaderboard import leaderboard as rank
from calsweep.platform.record import SweepRecord, TrialState
from calsweep.platform.record_reader import read_sweep
from calsweep.platform.spending import hours, spending


@click.command()
@click.argument("sweep")
@option.home
def leaderboard(sweep: str, home: Path) -> None:
    """Show the configurations of SWEEP, best validation AUC first."""
    print_leaderboard(read_sweep(home, sweep))


def print_leaderboard(sweep: SweepRecord, /) -> None:
    """Print the configurations, best first, and the nested choice below."""
    console = Console(width=None if Console().is_terminal else 170)
    rows = rank(sweep)
    console.print(_table(sweep, rows))
    nested = _nested_line(nested_choice(sweep))
    applies = has_nested_choice(sweep.plan)
    console.print(nested if applies else NESTED_DOES_NOT_APPLY, highlight=False)
    console.print(spending(sweep).sentence, highlight=False)
    for leak in sweep.verdict.leaks:
        console.print(f"Leak: {leak.sentence}.", highlight=False, markup=False)
    for note in sweep.verdict.notes:
        console.print(f"Note: {note}.", highlight=False, markup=False)
    if sweep.stopped:
        n_done = f"{len(sweep.finished)} of {sweep.n_planned} configurations are done"
        way_on = f"`calsweep resume {sweep.name}` with a larger budget goes on"
        said = f"The search was ended before its time: {sweep.stopped}; {n_done}; {way_on}."
        console.print(said, highlight=False, markup=False)
    for change in sweep.changes:
        console.print(f"Changed on the way: {change}.", highlight=False, markup=False)
    for trial in sweep.trials:
        if trial.state is TrialState.FAILED:
            console.print(f"{trial.name} failed: {trial.error}", highlight=False, markup=False)
        elif trial.pruned:
            why = trial.pruned.sentence(n_planned=len(sweep.plan.folds))
            console.print(f"{trial.name} was {why}", highlight=False, markup=False)


def _table(sweep: SweepRecord, rows: tuple[Row, ...]) -> Table:
    leaky = " · LEAKY FOLDS" if sweep.verdict.leaks else ""
    n_done = len(sweep.finished)
    table = Table(
        title=escape(
            f"{sweep.name}: AUC of {sweep.dataset['target']} over "
            f"{n_folds(sweep.plan)}, {n_done} configurations{leaky}"
        ),
    )
    words = ("configuration", "audit")
    over = interval_of(rows).replace(" over ", "\nover ")
    columns = ["", "configuration", "validation AUC", "test AUC", *([over] if over else [])]
    costs = ("device-hours", "AUC - 0.5\nper hour")
    for column in (*columns, "test accuracy", *costs, "audit"):
        is_words = column in words
        table.add_column(
            column,
            justify="left" if is_words else "right",
            overflow="fold",  # a value that is cut off is worth nothing
        )
    for row in rows:
        table.add_row(
            str(row.rank),
            escape(f"{row.trial.name}: {row.trial.decoder}{_mask(row)}"),
            _with_spread(row.validation_auc, row.validation_auc_sd, row),
            _with_spread(row.test_auc, row.test_auc_sd, row),
            *([row.interval.ends] if row.interval else []),
            f"{row.test_accuracy:.3f}",
            hours(row.compute.device_seconds),
            f"{row.merit_per_hour:.3g}",
            _standing(row),
            style="dim" if row.trial.is_baseline else "bold" if row.rank == 1 else "",
        )
    return table


def _with_spread(mean: float, sd: float, row: Row) -> str:
    """Write mean and spread; one fold has no spread."""
    return f"{mean:.4f} ± {sd:.4f}" if len(row.trial.folds) > 1 else f"{mean:.4f}"


def _mask(row: Row) -> str:
    """Name the mask, unless it stands among the values tried."""
    mask = row.trial.mask
    is_told = any(name.startswith("datasets.mask.") for name in row.trial.values)
    return f" [mask: {mask}]" if mask and not is_told else ""


def _standing(row: Row) -> str:
    standing = row.trial.verdict.standing
    return "LEAKY" if standing is Standing.LEAKY else standing.value


def _nested_line(choices: tuple[NestedChoice, ...]) -> str:
    if not choices:
        return "No configuration is finished yet."
    mean = statistics.fmean(choice.test_auc for choice in choices)
    sd = statistics.stdev(choice.test_auc for choice in choices) if len(choices) > 1 else 0.0
    interval = nested_interval(choices)
    within = f" ({interval.ends}, {interval.sentence})" if interval else ""
    return (
        f"Honest figure: test AUC {mean:.4f} ± {sd:.4f} over {len(choices)} test groups, each with "
        f"the configuration chosen on that group's own folds (nested choice){within}."
    )
