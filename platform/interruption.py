"""Ctrl-C that is not lost, and an end that is no crash: engines stand in the way of both."""

from __future__ import annotations

import os
import signal
import sys
import threading
from types import FrameType
from typing import Any, NoReturn

# Begins the names of threads that may be amid an engine's call when the process is to end.
AMID_A_CALL = "calsweep-"


def end_process(code: int, /) -> NoReturn:
    """End this process with an exit code, also while a thread is amid an engine's call.

    Python, on its way out, ends threads inside whatever they call. If that is torch, the whole
    process is aborted: a stack trace and -6 instead of the exit code.
    """
    if any(thread.name.startswith(AMID_A_CALL) for thread in threading.enumerate()):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


class Interruption:
    """Remembers that Ctrl-C was pressed, so that what is running can be asked again to end.

    Python raises `KeyboardInterrupt` wherever the main thread is at that moment. Where that is a
    callback of an engine or the end of an object, it is printed or dropped, and the work goes on.

    Examples
    --------
    >>> with Interruption() as interruption:
    ...     interruption.check()
    """

    def __init__(self) -> None:
        self._is_asked = False
        self._before: Any = None

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():  # no other may
            self._before = signal.signal(signal.SIGINT, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def check(self) -> None:
        """Raise anew what was raised when Ctrl-C was pressed.

        Raises
        ------
        KeyboardInterrupt
            If it was.
        """
        if self._is_asked:
            raise KeyboardInterrupt

    def _ask(self, _number: int, _frame: FrameType | None) -> None:
        self._is_asked = True
        raise KeyboardInterrupt
