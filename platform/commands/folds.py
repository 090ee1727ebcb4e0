"""``calsweep folds``: how a dataset is divided, before anything is trained."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console

from calsweep.datasets.audit import audit
from calsweep.datasets.dataset import read_manifest, read_timelines
from calsweep.datasets.fold import check_target
from calsweep.datasets.timeline import Timeline
from calsweep.datasets.view import View, plan_folds
from calsweep.platform.config import compose_settings, variants
from calsweep.platform.fold_drawing import fold_table, group_lines, legend
from calsweep.platform.object_storage.storage import locate


@click.group()
def folds() -> None:
    """See how a dataset is divided."""


@folds.command(
    help=f"""Draw the folds of the dataset at ADDRESS, and what the audit says of them.

    OVERRIDES are those of `calsweep sweep`:

    \b
      datasets/folds={"|".join(variants("datasets/folds"))}
      datasets.folds.k_groups=4      datasets.window.length=31 ...
    """,
    context_settings={"ignore_unknown_options": True},
)
@click.argument("address")
@click.option("--target", default="", help="The behavior to decode.  [default: the only label]")
@click.option(
    "--save",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the drawing to a file too (.html or .svg).",
)
@click.argument("overrides", nargs=-1)
def show(address: str, target: str, save: Path | None, overrides: tuple[str, ...]) -> None:
    """Compose, divide, audit, draw."""
    if save is not None and save.suffix not in {".html", ".svg"}:
        raise ValueError(f"`--save` must name a file .html or .svg, but got {save}.")
    store = locate(address)
    manifest = read_manifest(store)
    if not target and len(manifest.labels) == 1:
        target = manifest.labels[0]
    named = [f"datasets.target={_quoted(target)}"] if target else []
    given = [f"datasets.address={_quoted(address)}", *named, *overrides]
    view = compose_settings(given).datasets
    check_target(manifest, target=view.target)
    timeline = read_timelines(store)[view.target]
    console = Console(width=None if Console().is_terminal else 140, record=save is not None)
    _draw(view, console, timeline)
    if save is not None:
        save.parent.mkdir(parents=True, exist_ok=True)
        if save.suffix == ".svg":
            console.save_svg(str(save), title=f"calsweep folds show {address}")
        else:
            console.save_html(str(save))
        click.echo(f"Written: {save}")


def _draw(view: View, console: Console, timeline: Timeline) -> None:
    plan = plan_folds(timeline, [view])
    verdict = audit(plan, timeline=timeline, view=view)
    console.print(fold_table(plan, timeline, window=view.window))
    for line in (legend(), *group_lines(plan)):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    console.print(
        f"Holds out: {plan.holds_out.value}. Content hash: {plan.content_hash}. "
        f"Audit: {verdict.standing.value}.",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    for leak in verdict.leaks:
        asked = " (asked for by name)" if leak.is_asked_for else " (a sweep is refused)"
        console.print(
            f"Leak: {leak.sentence}{asked}.", highlight=False, markup=False, soft_wrap=True
        )
    for note in verdict.notes:
        console.print(f"Note: {note}.", highlight=False, markup=False, soft_wrap=True)


def _quoted(text: str) -> str:
    """Write any text as Hydra reads it."""
    escaped = text.replace("'", "\\'")
    return f"'{escaped}'"
