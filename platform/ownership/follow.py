"""A second submission of a sweep that runs: it looks on until the first is done."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from calsweep.platform.ownership.lease import LEASE_S, Owner, read_owner
from calsweep.platform.ownership.standing import read_standing

TELL_EVERY_S = 10.0
_LOOK_S = 0.5


class OwnerEnded(RuntimeError):
    """The process that ran a sweep let go of it before it was over."""

    def __init__(self, name: str, owner: str, ending: str) -> None:
        super().__init__(name, owner, ending)
        self.name = name
        self.owner = owner
        self.ending = ending

    def __str__(self) -> str:
        return (
            f"{self.owner}, which ran the sweep {self.name!r}, ended before it was over "
            f"({self.ending}): `calsweep resume {self.name}` goes on."
        )


def follow(
    folder: Path, /, *, say: Callable[[str], None], lease_s: float = LEASE_S
) -> Owner | None:
    """Look on while another process runs a sweep, and tell how far it is.

    Returns
    -------
    owner
        The last, once it let go of the sweep, has ended, or gave no sign of life for `lease_s`.
    """
    owner = read_owner(folder)
    seen = told = time.monotonic()
    last = ""
    while owner is not None and owner.is_held and not owner.process.is_gone:
        time.sleep(_LOOK_S)
        there = read_owner(folder)
        now = time.monotonic()
        if there != owner:
            owner, seen = there, now
        elif now - seen >= lease_s:
            return owner
        if now - told >= TELL_EVERY_S:
            told = now
            line = read_standing(folder, is_alive=True).line
            if line != last:
                say(line)
            last = line
    return owner
