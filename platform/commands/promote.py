"""``calsweep promote``: make a model the champion, past a gate."""

from __future__ import annotations

import contextlib
import shlex
from pathlib import Path

import click

from calsweep.platform.arm import FIGURES, find_trial
from calsweep.platform.champion.candidate import Candidate, best_candidate
from calsweep.platform.champion.gate import Gate
from calsweep.platform.champion.promotion import Promotion, attach_report
from calsweep.platform.champion.promotion import promote as promote_candidate
from calsweep.platform.commands import option
from calsweep.platform.commands.page import draw_report
from calsweep.platform.comparison import ALPHA, Method
from calsweep.platform.errors import hide_login
from calsweep.platform.places import default_home
from calsweep.platform.places import tracking_uri as usual_tracking_uri
from calsweep.platform.record import SweepRecord
from calsweep.platform.record_reader import read_sweep

TESTS = {method.value.replace(" ", "-"): method for method in Method}


@click.command()
@click.argument("sweep")
@click.option("--name", default="", help="Name in the registry.  [default: the sweep's]")
@click.option(
    "--ensemble", is_flag=True, help="All folds as one model: the mean of their probabilities."
)
@click.option("--trial", default="", help="Which configuration.  [default: best by validation]")
@click.option(
    "--test",
    type=click.Choice(list(TESTS)),
    default="corrected-t",
    show_default=True,
    help="Test that it is above the champion, fold by fold.",
)
@click.option(
    "--margin", type=float, default=0.0, show_default=True, help="By how much it must be above."
)
@click.option(
    "--level", type=float, default=ALPHA, show_default=True, help="The test's p may be as high."
)
@click.option(
    "--figure",
    type=click.Choice(FIGURES),
    default="auc",
    show_default=True,
    help="Figure of the test part that is compared.",
)
@click.option("--because", default="", help="Why, for the history.")
@click.option("--leaky-because", default="", help="Why a leaky verdict is overruled; recorded.")
@click.option(
    "--unbeaten-because",
    default="",
    help="Why it is taken though it does not beat the champion, or cannot be compared; recorded.",
)
@click.option("--no-report", is_flag=True, help="Draw no report for its run in MLflow.")
@option.home
@option.tracking
@click.pass_context
def promote(
    context: click.Context,
    sweep: str,
    name: str,
    ensemble: bool,
    trial: str,
    test: str,
    margin: float,
    level: float,
    figure: str,
    because: str,
    leaky_because: str,
    unbeaten_because: str,
    no_report: bool,
    home: Path,
    tracking_uri: str,
) -> None:
    """Make the best fold of SWEEP's best configuration the champion, or all its folds as one.

    It is chosen on validation only. It must beat the present champion on the same fold plan, have a
    clean verdict of leaks, and come to its figures again in a fresh process. The former champion
    keeps the alias `challenger`.
    """
    gate = Gate(
        test=TESTS[test],
        margin=margin,
        level=level,
        figure=figure,
        leaky_because=leaky_because.strip(),
        unbeaten_because=unbeaten_because.strip(),
    )
    record = read_sweep(home, sweep)
    chosen = find_trial(record, trial) if trial else None
    candidate = best_candidate(record, ensemble=ensemble, trial=chosen)
    done = promote_candidate(
        candidate, home=home, name=name or sweep, gate=gate, because=because, uri=tracking_uri
    )
    for line in said_of(done, candidate):
        click.echo(line)
    if not no_report:
        _report(context, record, done, home=home, uri=tracking_uri)
    where = _where(home, done.uri)
    click.echo(f"\nNext: calsweep predict {done.model.uri} DATASET OUT.parquet{where}")


def said_of(done: Promotion, candidate: Candidate, /) -> list[str]:
    """Say what a promotion came to."""
    is_new = done.evidence is not None
    fold = candidate.folds[0]
    figures = (
        f"the ensemble of {len(candidate.folds)} folds"
        if candidate.is_ensemble
        else f"fold {fold.fold} (validation AUC {fold.validation.auc:.4f}, "
        f"test AUC {fold.test.auc:.4f})"
    )
    lines = [
        *done.mended,
        f"Champion {done.model.uri} is version {done.model.version}"
        f"{'' if is_new else ', as before'}: {candidate.trial.name}, {figures}.",
    ]
    if done.evidence:
        lines.append(done.evidence.comparison)
        lines += [f"Overruled ({k}): {why}" for k, why in done.evidence.overruled.items()]
        furthest = max(row.furthest for row in done.repeated)
        lines.append(
            f"In a fresh process {len(done.repeated)} fold{'s' * (len(done.repeated) > 1)} came to "
            f"the record's figures (probabilities within {furthest:.1e})."
        )
    if done.former:
        lines.append(f"Version {done.former} is the challenger now.")
    return lines


def _report(
    context: click.Context, sweep: SweepRecord, done: Promotion, *, home: Path, uri: str
) -> None:
    """Put the report beside the model's run; the promotion is done, whatever comes of this."""
    try:
        with contextlib.redirect_stdout(None):
            draw_report(context, sweep.name, home)
        attach_report(sweep, done.model, home=home, uri=uri)
    except (ValueError, LookupError, OSError, RuntimeError) as error:
        click.echo(f"The report is not with its run: {error}", err=True)


def _where(home: Path, uri: str) -> str:
    """Give the options that lead to the same home and MLflow, where they are not the usual ones."""
    options = []
    if home != default_home():
        options += ["--home", str(home)]
    usual = usual_tracking_uri(home)
    if uri != hide_login(usual, uri=usual):
        options += ["--tracking-uri", uri]
    return f" {shlex.join(options)}" if options else ""
