"""The command that does a sweep again, from what its record holds."""

from __future__ import annotations

import re
import shlex

from calsweep.platform.config import compose_settings
from calsweep.platform.record import SweepRecord

# Where a sweep lies, and under which name, is for who repeats it.
_OWN = ("name", "home", "tracking_uri")
_ADDRESS = "datasets.address"
_PLAIN = re.compile(r"[a-zA-Z_/.][\w/.:\-]*")


def command_to_repeat(sweep: SweepRecord, /, *, name: str) -> str:
    """Give a `calsweep sweep` that composes the same settings.

    Parameters
    ----------
    sweep
        Its record.
    name
        The new sweep's name: under the old one, everything would be found done.

    Returns
    -------
    command
        For a shell; empty if the sweep was not begun from a command, or this version of calsweep
        composes other settings from it.
    """
    given = [override for override in sweep.overrides if _setting(override) not in _OWN]
    # Another folder may be where it is repeated.
    address = f"{_ADDRESS}={_quoted(str(sweep.dataset['address']))}"
    overrides = [address if _setting(override) == _ADDRESS else override for override in given]
    try:
        found = compose_settings([*overrides, f"name={name}"]).intent
    except (KeyError, ValueError):  # another version named its settings otherwise
        return ""
    if not overrides or found != sweep.settings:
        return ""
    return shlex.join(["calsweep", "sweep", *overrides, f"name={name}"])


def _quoted(text: str) -> str:
    """Write a text so that Hydra reads no part of it as anything else."""
    escaped = text.replace("'", "\\'")
    return text if _PLAIN.fullmatch(text) else f"'{escaped}'"


def _setting(override: str) -> str:
    return override.partition("=")[0].lstrip("+")
