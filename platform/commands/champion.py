"""``calsweep champion``: which model is champion, which were, and back to one of them."""

from __future__ import annotations

from pathlib import Path

import click

from calsweep.platform.champion.history import Change, History
from calsweep.platform.champion.promotion import champion_of, roll_back
from calsweep.platform.champion.registry import CHALLENGER, CHAMPION
from calsweep.platform.champion.version_tag import read_facts
from calsweep.platform.commands import option
from calsweep.platform.plain import nearest


@click.group()
def champion() -> None:
    """Look at the champion of a model, at its history, and go back."""


@champion.command()
@click.argument("name")
@option.home
@option.tracking
def show(name: str, home: Path, tracking_uri: str) -> None:
    """Say which version of NAME is champion, and what is known of it."""
    found = champion_of(name, home=home, uri=tracking_uri)
    for alias in (CHAMPION, CHALLENGER):
        model = found.get(alias)
        if model is None:
            continue
        click.echo(f"{alias}: models:/{name}/{model.version}")
        for label, text in read_facts(model.tags):
            click.echo(f"  {label:18} {text}")


@champion.command()
@click.argument("name")
@option.home
def history(name: str, home: Path) -> None:
    """List who made which version of NAME champion, when, why and on what evidence."""
    changes = History(home, name).read()
    if not changes:
        known = sorted(path.parent.name for path in home.glob("champions/*/history.jsonl"))
        said = nearest(name, known) if known else "`calsweep promote SWEEP` makes a first champion."
        raise LookupError(f"No history of a champion {name!r}. {said}")
    for change in changes:
        for line in lines_of(change):
            click.echo(line)


@champion.command()
@click.argument("name")
@click.option("--to", default="", help="Version.  [default: the champion before the present one]")
@click.option("--because", required=True, help="Why, for the history.")
@option.home
@option.tracking
def rollback(name: str, to: str, because: str, home: Path, tracking_uri: str) -> None:
    """Make a former champion of NAME the champion again, if it still loads and predicts."""
    done = roll_back(name, home=home, because=because, to=to, uri=tracking_uri)
    for line in done.mended:
        click.echo(line)
    click.echo(
        f"Champion {done.model.uri} is version {done.model.version} again; version {done.former} "
        "is the challenger now."
    )


def lines_of(change: Change, /) -> list[str]:
    """Say what a change of champion was."""
    instead = f" in place of version {change.former}" if change.former else ""
    lines = [
        f"{change.when}  {change.action.value}: version {change.version}{instead}, by {change.by} "
        f"({change.process}), {change.ending.value}",
        f"  {change.what}",
    ]
    overruled = change.evidence.get("overruled", {})
    said = {
        "because": change.because,
        "evidence": change.evidence.get("comparison", ""),
        "verdict": change.evidence.get("verdict", ""),
        **{f"{what}, because": why for what, why in overruled.items()},
    }
    return [*lines, *(f"  {label}: {text}" for label, text in said.items() if text)]
