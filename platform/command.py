"""The command line: a table of commands, each loaded when it is called."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import click

COMMANDS = {
    "demo": "calsweep.platform.commands.demo:demo",
    "ingest": "calsweep.platform.commands.ingest:ingest",
    "data": "calsweep.platform.commands.data:data",
    "sweep": "calsweep.platform.commands.sweep:sweep",
    "leaderboard": "calsweep.platform.commands.leaderboard:leaderboard",
    "promote": "calsweep.platform.commands.promote:promote",
    "predict": "calsweep.platform.commands.predict:predict",
    "report": "calsweep.dashboards.report:report",
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
            return super().get_command(ctx, cmd_name)
        module, _, attribute = COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="calsweep")
def cli() -> None:
    """Search neural decoders of calcium imaging on honest folds."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a command: exit code 0 if it did its work, 2 for bad input, 130 on Ctrl-C."""
    try:
        cli.main(args=arguments, prog_name="calsweep", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.exceptions.Exit as ended:
        sys.exit(ended.exit_code)
    except (click.Abort, KeyboardInterrupt):
        _fail("stopped; what was done is kept, and the same command goes on from there.", code=130)
    except (KeyError, IndexError):
        raise  # ours to mend, not the user's
    except (ValueError, LookupError, OSError, RuntimeError) as error:
        if os.environ.get("CALSWEEP_TRACEBACK"):
            raise
        _fail(str(error), code=BAD_INPUT)
    sys.exit(0)


def _fail(message: str, *, code: int) -> NoReturn:
    click.echo(f"calsweep: {message}", err=True)
    sys.exit(code)
