"""Promotions and rollbacks that were begun from the page, each in a process of its own.

It is the command that does it, so that the page and a terminal cannot differ; training's libraries
stay out of the server's memory, and what goes wrong there cannot take the page along.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

import calsweep

DEADLINE_S = 3600.0
_LINES = 40


class ChangeState(Enum):
    """How a change stands."""

    UNDER_WAY = "under way"
    DONE = "done"
    REFUSED = "refused"


@dataclass(frozen=True, kw_only=True)
class PageChange:
    """A change of champion that was begun from the page.

    Attributes
    ----------
    model
        Name of the model.
    what
        What was asked for, in words.
    begun_s
        When, in seconds since 1970.
    state
        How it stands.
    said
        What the command said, line by line.
    """

    model: str
    what: str
    begun_s: float
    state: ChangeState = ChangeState.UNDER_WAY
    said: tuple[str, ...] = ()


class Busy(ValueError):
    """Another change is under way."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what

    def __str__(self) -> str:
        return f"One change at a time: {self.what} is under way, and was not disturbed."


class Changes:
    """The changes that a page has begun, one at a time.

    Parameters
    ----------
    options
        Of every command: where home and MLflow are.
    variables
        Of its environment, beside this process' own.
    on_end
        Called when one has ended.
    """

    def __init__(
        self,
        options: Sequence[str],
        /,
        *,
        variables: Mapping[str, str],
        on_end: Callable[[], None],
    ) -> None:
        self._options = tuple(options)
        self._variables = dict(variables)
        self._on_end = on_end
        self._lock = threading.Lock()
        self._last: PageChange | None = None

    @property
    def last(self) -> PageChange | None:
        """The latest; ``None`` before the first."""
        with self._lock:
            return self._last

    def begin(self, arguments: Sequence[str], of: str, /, *, model: str, what: str) -> None:
        """Begin a change.

        Parameters
        ----------
        arguments
            Of `calsweep`: a command and its options.
        of
            The sweep or model that the command is given, however it begins.
        model, what
            As in `PageChange`.

        Raises
        ------
        Busy
            If another is under way.
        """
        with self._lock:
            if self._last is not None and self._last.state is ChangeState.UNDER_WAY:
                raise Busy(self._last.what)
            self._last = PageChange(model=model, what=what, begun_s=time.time())
        threading.Thread(
            target=self._run, args=((*arguments, *self._options, "--", of),), daemon=True
        ).start()

    def _run(self, arguments: tuple[str, ...]) -> None:
        state, said = _call(arguments, self._variables)
        self._on_end()
        with self._lock:
            assert self._last is not None  # noqa: S101 - `begin` has set it
            self._last = replace(self._last, state=state, said=said)


def _call(
    arguments: tuple[str, ...], variables: Mapping[str, str]
) -> tuple[ChangeState, tuple[str, ...]]:
    root = str(Path(calsweep.__file__).parent.parent)
    path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH", ""))))
    try:
        run = subprocess.run(  # noqa: S603 - its arguments were checked, and no shell reads them
            [sys.executable, "-m", "calsweep.platform", *arguments],
            env={**os.environ, "PYTHONPATH": path, **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
            start_new_session=True,  # a page that is closed does not break a promotion off
        )
    except subprocess.TimeoutExpired:
        hours = DEADLINE_S / 3600
        return ChangeState.REFUSED, (f"It was not done within {hours:g} h, and was broken off.",)
    except OSError as error:
        return ChangeState.REFUSED, (f"It could not be begun: {error}",)
    lines = [line for line in f"{run.stdout}\n{run.stderr}".splitlines() if line.strip()]
    state = ChangeState.REFUSED if run.returncode else ChangeState.DONE
    return state, tuple(line.removeprefix("calsweep: ") for line in lines[-_LINES:])
