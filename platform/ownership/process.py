"""Which process holds something, so that others can tell whether it is still there."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from calsweep.platform.provenance import process_name

_PROC = Path("/proc")
_GONE = {"Z", "X"}  # ended, and its parent has not asked yet


@dataclass(frozen=True, kw_only=True)
class Process:
    """A process of some machine.

    Attributes
    ----------
    name
        Host and number, for a person.
    pid
        Its number where it runs.
    born
        When it began, in ticks since that machine started: numbers of processes come again.
    place
        Start of the machine and namespace in which the number holds; empty where neither can be
        told, and then nothing can be said of the process from outside.
    """

    name: str
    pid: int
    born: str
    place: str

    @property
    def is_gone(self) -> bool:
        """Whether it is known to have ended; of another machine, nothing is known."""
        if not self.place or self.place != _place():
            return False
        return _born(self.pid) != self.born


def this_process() -> Process:
    """Give the process that asks."""
    pid = os.getpid()
    return Process(name=process_name(), pid=pid, born=_born(pid), place=_place())


@cache
def _place() -> str:
    try:
        started = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        return f"{started}/{(_PROC / 'self/ns/pid').readlink()}"
    except OSError:  # not Linux
        return ""


def _born(pid: int) -> str:
    """Give when a process began; empty if there is none."""
    try:
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in _GONE else fields[19]
