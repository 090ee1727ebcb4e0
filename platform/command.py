"""The command line: a table of commands, each loaded when it is called."""

from __future__ import annotations

import errno
import importlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

import click

from calsweep.platform.interruption import end_process
from calsweep.platform.plain import nearest


@dataclass(frozen=True, kw_only=True)
class Entry:
    """Where a command is, and what it does in one line."""

    target: str
    summary: str


_HERE = "calsweep.platform.commands"
COMMANDS = {
    "doctor": Entry(
        target=f"{_HERE}.doctor:doctor", summary="Whether a sweep could run here, and why not."
    ),
    "demo": Entry(target=f"{_HERE}.demo:demo", summary="The whole way on simulated mice."),
    "ingest": Entry(target=f"{_HERE}.ingest:ingest", summary="Recordings to a checked dataset."),
    "simulate": Entry(
        target=f"{_HERE}.simulate:simulate", summary="Simulated recordings, with their truth."
    ),
    "data": Entry(target=f"{_HERE}.data:data", summary="Check a dataset and show what is in it."),
    "folds": Entry(target=f"{_HERE}.folds:folds", summary="Draw how a dataset is divided."),
    "sweep": Entry(target=f"{_HERE}.sweep:sweep", summary="Train configurations on all folds."),
    "lfads": Entry(target=f"{_HERE}.lfads:lfads", summary="Rates of trials by LFADS or RADICaL."),
    "resume": Entry(
        target=f"{_HERE}.resume:resume", summary="Go on with a sweep that was interrupted."
    ),
    "status": Entry(
        target=f"{_HERE}.status:status", summary="How far sweeps are, and who runs them."
    ),
    "stop": Entry(target=f"{_HERE}.stop:stop", summary="End a sweep before its time."),
    "replay": Entry(
        target=f"{_HERE}.replay:replay", summary="Train a member of a population again."
    ),
    "rerun": Entry(
        target=f"{_HERE}.rerun:rerun", summary="Train a fold again from its record, and compare."
    ),
    "leaderboard": Entry(
        target=f"{_HERE}.leaderboard:leaderboard", summary="Which configuration decodes best."
    ),
    "track": Entry(
        target=f"{_HERE}.track:track", summary="Bring MLflow up to what a sweep's record holds."
    ),
    "verify": Entry(
        target=f"{_HERE}.verify:verify", summary="Check record, MLflow, registry and artifacts."
    ),
    "compare": Entry(
        target=f"{_HERE}.compare:compare", summary="Whether configurations differ, or by chance."
    ),
    "explain": Entry(
        target=f"{_HERE}.explain:explain", summary="What decoders read their answer from."
    ),
    "promote": Entry(
        target=f"{_HERE}.promote:promote", summary="Make a model the champion, past a gate."
    ),
    "champion": Entry(
        target=f"{_HERE}.champion:champion", summary="Which model is champion, and which were."
    ),
    "predict": Entry(target=f"{_HERE}.predict:predict", summary="Use a model on new recordings."),
    # Named by text alone: the page is drawn in a room that platform does not import.
    "rates": Entry(
        target="calsweep.dashboards.rates_report:rates",
        summary="Score the rates that `lfads` inferred.",
    ),
    "report": Entry(
        target="calsweep.dashboards.report:report", summary="Draw a sweep as one HTML file."
    ),
    "dashboard": Entry(
        target="calsweep.dashboards.web.dashboard:dashboard",
        summary="Open a page on sweeps, live while they run.",
    ),
}
BAD_INPUT = 2


class LazyGroup(click.Group):
    """A group whose commands are imported one by one: `calsweep --help` loads no engine."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Give the names in the order a person meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command by name."""
        if cmd_name not in COMMANDS:
            hint = nearest(cmd_name, COMMANDS)
            raise click.UsageError(f"`{cmd_name}` is not a command. {hint}", ctx)
        module, _, attribute = COMMANDS[cmd_name].target.partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.summary) for name, entry in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="calsweep")
def cli() -> None:
    """Search neural decoders of calcium imaging on honest folds."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a command: exit code 0 if it did its work, 2 for bad input, 130 on Ctrl-C."""
    try:
        code = cli.main(args=arguments, prog_name="calsweep", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        end_process(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        _fail("stopped; what was done is kept, and the same command goes on from there.", code=130)
    except (KeyError, IndexError):
        raise  # ours to mend, not the user's
    except (ValueError, LookupError, OSError, RuntimeError) as error:
        if os.environ.get("CALSWEEP_TRACEBACK"):
            raise
        where = " (CALSWEEP_TRACEBACK=1 shows where)" if isinstance(error, RuntimeError) else ""
        _fail(f"{_disk_full(error) or error}{where}", code=BAD_INPUT)
    end_process(code if isinstance(code, int) else 0)


def _disk_full(error: BaseException) -> str:
    """Say what to do where a disk is full; nothing for other errors."""
    if not isinstance(error, OSError) or error.errno not in {errno.ENOSPC, errno.EDQUOT}:
        return ""
    where = f" of {error.filename}" if error.filename else ""
    return (
        f"the disk{where} is full ({os.strerror(error.errno)}): free some of it and give the same "
        "command again, which goes on from there; what was done is kept."
    )


def _fail(message: str, *, code: int) -> NoReturn:
    click.echo(f"calsweep: {message}", err=True)
    end_process(code)
