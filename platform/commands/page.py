"""The report, drawn by commands that are not it."""

from __future__ import annotations

from pathlib import Path

import click


def draw_report(context: click.Context, sweep: str, home: Path, /) -> None:
    """Call the report as a person would: it lives in a room that platform does not import."""
    assert context.parent is not None  # noqa: S101 - the group that holds every command
    group = context.parent.command
    assert isinstance(group, click.Group)  # noqa: S101
    report = group.get_command(context.parent, "report")
    assert report is not None  # noqa: S101 - it stands in the table of commands
    context.invoke(report, sweep=sweep, home=home, out=None)
