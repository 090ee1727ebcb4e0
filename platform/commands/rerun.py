"""``calsweep rerun``: train a fold again from its record."""

from __future__ import annotations

from pathlib import Path

import click

from calsweep.platform.commands import option
from calsweep.platform.places import cache_folder
from calsweep.platform.places import tracking_uri as usual_tracking_uri
from calsweep.platform.rerun import find_fold, is_same_epoch, rerun_fold

DIFFERS = 1
SHOWN = 5


@click.command()
@click.argument("run")
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    default=None,
    help="Threads that sums are divided among.  [default: as it was trained]",
)
@option.home
@option.tracking
def rerun(run: str, threads: int | None, home: Path, tracking_uri: str) -> int:
    """Train the fold RUN again from its record, and compare figures and weights bit by bit.

    RUN is SWEEP:TRIAL:FOLD (small:1:7, small:best:0), the fold's key, or the id of its run in
    MLflow. Exit code 1 if anything differs, as it may on another kind of machine.
    """
    found = find_fold(home, run, uri=usual_tracking_uri(home, tracking_uri))
    click.echo(f"{found.sweep.name}: {found.trial.name}, fold {found.fold.fold} ...")
    done = rerun_fold(found, cache=cache_folder(home), threads=threads or 0)
    for then, now in zip(done.then.curve, done.now.curve, strict=False):
        was = f"was {then.train_loss!r}, {then.validation.loss!r}"
        same = "the same" if is_same_epoch(then, now) else was
        click.echo(
            f"epoch {now.epoch} · loss {now.train_loss:.6g} · validation loss "
            f"{now.validation.loss:.6g} ({same})"
        )
    for reason in done.reasons:
        click.echo(reason)
    if done.is_same:
        auc = done.now.test.auc
        click.echo(f"Every loss, weight, figure and prediction is the same (test AUC {auc:.4f}).")
        return 0
    some = ", ".join(done.differing[:SHOWN]) + ", ..." * (len(done.differing) > SHOWN)
    parted = f" They part at epoch {done.parted_at}." if done.parted_at else ""
    click.echo(
        f"It differs: {some}.{parted} Test AUC {done.now.test.auc:.4f}, was "
        f"{done.then.test.auc:.4f}."
    )
    return DIFFERS
