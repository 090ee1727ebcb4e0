"""``calsweep data``: what is in a dataset, and is it whole."""

from __future__ import annotations

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from calsweep.datasets.dataset import verify_dataset
from calsweep.datasets.fold import animal_folds
from calsweep.datasets.manifest import Manifest, RecordingEntry
from calsweep.platform.storage import locate


@click.group()
def data() -> None:
    """Look at a dataset."""


@data.command()
@click.argument("address")
@click.option("--groups", "k", default=5, show_default=True, help="Groups of animals for folds.")
def check(address: str, k: int) -> None:
    """Read every shard at ADDRESS, verify it, and show what the dataset holds."""
    manifest = verify_dataset(locate(address))
    console = Console(width=None if Console().is_terminal else 120)
    console.print(_table(manifest))
    n_bytes = sum(shard.n_bytes for shard in manifest.all_shards)
    click.echo(
        f"Whole: {len(manifest.all_shards)} shards, {n_bytes / 1e6:.1f} MB, checksums agree. "
        f"{len(manifest.subjects)} subjects, {len(manifest.recordings)} recordings, "
        f"{manifest.n_frames} frames of {len(manifest.units)} units at {manifest.rate_hz:g} Hz."
    )
    measures = [f"{n} ({u})" if u else n for n, u in manifest.behaviors.items()]
    click.echo(f"Behaviors: {', '.join(measures)}. Content hash: {manifest.content_hash}")
    for target in manifest.labels:
        click.echo(f"Folds by animal for {target}: {_folds(manifest, target, k)}")


def _table(manifest: Manifest) -> Table:
    table = Table(title="Recordings (labels: share of each class)")
    for column in (
        "subject",
        "recording",
        "frames",
        "minutes",
        "trials",
        *map(escape, manifest.labels),
    ):
        table.add_column(column, justify="left" if column in ("subject", "recording") else "right")
    for entry in manifest.recordings:
        table.add_row(
            escape(entry.subject),
            escape(entry.name),
            str(entry.n_frames),
            f"{entry.n_frames / manifest.rate_hz / 60:.1f}",
            str(entry.n_trials),
            *(_balance(entry, label) for label in manifest.labels),
        )
    return table


def _balance(entry: RecordingEntry, label: str) -> str:
    counts = entry.label_counts[label]
    shown = [f"{value}: {n / entry.n_frames:.0%}" for value, n in sorted(counts.items())[:4]]
    return ", ".join(shown) + (", ..." if len(counts) > 4 else "")


def _folds(manifest: Manifest, target: str, k: int) -> str:
    try:
        plan = animal_folds(manifest, target=target, k=k)
    except ValueError as error:
        return f"not possible: {error}"
    groups = " | ".join(", ".join(group) for group in plan.groups)
    return f"{len(plan.folds)} folds ({groups}), plan {plan.content_hash[:12]}"
