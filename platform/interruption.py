"""Ctrl-C that is not lost: engines now and then swallow what it raises."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any


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
