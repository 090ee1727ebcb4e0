"""Checks that run side by side, each with a deadline, and what they found."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from queue import Empty, SimpleQueue

from calsweep.platform.interruption import AMID_A_CALL

DEADLINE_S = 20.0


class Standing(Enum):
    """What a check came to."""

    OK = "ok"
    NOTE = "note"
    PROBLEM = "PROBLEM"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What one check found.

    Attributes
    ----------
    name
        Of the check.
    standing
        Whether all is well.
    text
        In a line: what there is; of what is not well, what to do too.
    """

    name: str
    standing: Standing
    text: str


class Remark(Exception):
    """Nothing that stops a sweep, but something that a person should know."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """One look at what a sweep needs.

    Attributes
    ----------
    name
        In a word.
    look
        Says in a line what is there. Raises `Remark`, or an error of those a command shows.
    deadline_s
        Limit of the look.
    """

    name: str
    look: Callable[[], str]
    deadline_s: float = DEADLINE_S


def run_checks(checks: Sequence[Check], /) -> Iterator[Finding]:
    """Run checks side by side and give what they found, in their order.

    A look that does not come back is given up at its deadline; its thread ends with the process.

    Examples
    --------
    >>> checks = [Check(name="disk", look=lambda: "5 GB free")]
    >>> [(finding.name, finding.standing.value, finding.text) for finding in run_checks(checks)]
    [('disk', 'ok', '5 GB free')]
    """
    begun = time.monotonic()
    answers: list[SimpleQueue[Finding]] = [SimpleQueue() for _ in checks]
    for check, answer in zip(checks, answers, strict=True):
        name = f"{AMID_A_CALL}doctor-{check.name}"
        threading.Thread(target=_look, args=(check, answer), name=name, daemon=True).start()
    for check, answer in zip(checks, answers, strict=True):
        try:
            yield answer.get(timeout=max(0.0, begun + check.deadline_s - time.monotonic()))
        except Empty:
            text = f"no answer within {check.deadline_s:g} s: is what it asks up and reachable?"
            yield Finding(name=check.name, standing=Standing.PROBLEM, text=text)


def _look(check: Check, answer: SimpleQueue[Finding]) -> None:
    try:
        standing, text = Standing.OK, check.look()
    except Remark as remark:
        standing, text = Standing.NOTE, str(remark)
    except Exception as error:  # noqa: BLE001 - what a check meets is what it tells
        standing, text = Standing.PROBLEM, str(error) or type(error).__name__
    answer.put(Finding(name=check.name, standing=standing, text=" ".join(text.split())))
