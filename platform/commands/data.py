"""``calsweep data``: what is in a dataset, and is it whole."""

from __future__ import annotations

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from calsweep.datasets.audit import check_leaks
from calsweep.datasets.dataset import read_manifest, read_timelines
from calsweep.datasets.fold import HeldOut, check_target
from calsweep.datasets.fold_protocol import Folds
from calsweep.datasets.manifest import Manifest, RecordingEntry
from calsweep.datasets.timeline import Timeline
from calsweep.datasets.view import View, plan_folds
from calsweep.datasets.window import Window
from calsweep.platform.config import variant_target, variants
from calsweep.platform.object_storage.storage import locate
from calsweep.platform.plain import from_plain


@click.group()
def data() -> None:
    """Look at a dataset."""


@data.command()
@click.argument("address")
@click.option("--groups", "k", default=5, show_default=True, help="Groups for folds.")
@click.option(
    "--window", "length", default=31, show_default=True, help="Frames in a window, for folds."
)
def check(address: str, k: int, length: int) -> None:
    """Read every shard at ADDRESS, verify it, and show what the dataset holds."""
    store = locate(address)
    manifest = read_manifest(store)
    timelines = read_timelines(store)  # verifies every shard
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
    for line in (*_images(manifest), *_missing(manifest), *_steps(manifest)):
        click.echo(line)
    for target, timeline in timelines.items():
        for line in _folds(timeline, target, k=k, length=length):
            click.echo(line)


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


def _images(manifest: Manifest) -> list[str]:
    images = manifest.images
    return [f"Images: {images.height} x {images.width} pixels, {images.dtype}."] if images else []


def _missing(manifest: Manifest) -> list[str]:
    """Say how many values are missing, and where."""
    names = sorted({name for entry in manifest.recordings for name in entry.n_missing})
    if not names:
        return ["Missing values: none."]
    found = []
    for name in names:
        where = [entry for entry in manifest.recordings if name in entry.n_missing]
        n_missing = sum(entry.n_missing[name] for entry in where)
        width = len(manifest.units) if name == "activity" else 1
        share = n_missing / (sum(entry.n_frames for entry in where) * width)
        named = ", ".join(entry.name for entry in where[:4]) + ", ..." * (len(where) > 4)
        found.append(f"{name} {n_missing} ({share:.1%} of {named})")
    return [f"Missing values: {'; '.join(found)}."]


def _steps(manifest: Manifest) -> list[str]:
    steps = dict.fromkeys(step for entry in manifest.recordings for step in entry.steps)
    return [f"Done before: {step.rstrip('.')}." for step in steps]


def _balance(entry: RecordingEntry, label: str) -> str:
    counts = entry.label_counts[label]
    shown = [f"{value}: {n / entry.n_frames:.0%}" for value, n in sorted(counts.items())[:4]]
    return ", ".join(shown) + (", ..." if len(counts) > 4 else "")


def _folds(timeline: Timeline, target: str, *, k: int, length: int) -> list[str]:
    """Say of each fold protocol whether the dataset allows it, and why not."""
    try:
        check_target(timeline.manifest, target=target)
    except ValueError as error:
        return [f"Folds for {target}: none, {error}"]
    lines = [f"Folds for {target} (windows of {length} frames, without detrending):"]
    # Those listed are for their author to write.
    protocols = [variant for variant in variants("datasets/folds") if variant != "listed"]
    shown = [(name, _possible(timeline, name, k=k, length=length)) for name in protocols]
    return lines + [f"  {name}: {possible}" for name, possible in shown]


def _possible(timeline: Timeline, variant: str, *, k: int, length: int) -> str:
    try:
        view = View(
            address="",
            target=timeline.target,
            window=Window(length=length),
            folds=_protocol(variant, k),
        )
        plan = plan_folds(timeline, [view])
        verdict = check_leaks(plan, timeline=timeline, view=view)
    except ValueError as error:
        return f"not possible: {error}"
    n_folds = f"{len(plan.folds)} fold{'s' if len(plan.folds) > 1 else ''}"
    groups = " | ".join(", ".join(group[:4]) + ", ..." * (len(group) > 4) for group in plan.groups)
    is_short = 0 < len(plan.groups) <= 6
    shown = f" ({groups})" if is_short and plan.holds_out is HeldOut.ANIMALS else ""
    leaky = f", {verdict.standing.value.upper()}" if verdict.leaks else ""
    return (
        f"{n_folds}{shown}, holds out {plan.holds_out.value}{leaky}, plan {plan.content_hash[:12]}"
    )


def _protocol(variant: str, k: int) -> Folds:
    """Give a protocol with its defaults, and a number of groups where it has groups."""
    target = variant_target("datasets/folds", variant)
    folds: Folds = from_plain({"_target_": target})
    if hasattr(folds, "k_groups"):
        folds = from_plain(
            {"_target_": target, "k_groups": k}
            | ({"n_blocks": k} if hasattr(folds, "n_blocks") else {})
        )
    return folds
