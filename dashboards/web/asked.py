"""What may be slow or never answer, asked so that no page waits for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

DEADLINE_S = 0.5
AGAIN_S = 0.2
FRESH_S = 5.0

_Told = TypeVar("_Told")


@dataclass(frozen=True, kw_only=True)
class Answer(Generic[_Told]):
    """The latest that is known.

    Attributes
    ----------
    told
        What was answered last; ``None`` if nothing ever was.
    error
        Why the latest asking came to nothing; ``None`` if it came to something, or goes on.
    is_waiting
        Whether nothing has come back yet.
    """

    told: _Told | None = None
    error: Exception | None = None
    is_waiting: bool = False


class Asked(Generic[_Told]):
    """Asks in a thread of its own, one at a time, and gives what is known after a short while.

    Parameters
    ----------
    ask
        What may be slow; it has a time limit of its own.
    deadline_s
        Seconds that somebody waits for an answer, at most.
    fresh_s
        Seconds for which an answer is not asked for again; ``None`` for ever, unless it failed.
    """

    def __init__(
        self,
        ask: Callable[[], _Told],
        /,
        *,
        deadline_s: float = DEADLINE_S,
        fresh_s: float | None = FRESH_S,
    ) -> None:
        self._ask = ask
        self._deadline_s = deadline_s
        self._fresh_s = fresh_s
        self._lock = threading.Lock()
        self._answer: Answer[_Told] = Answer(is_waiting=True)
        self._answered_s: float | None = None
        self._begun_s = 0.0
        self._ended: threading.Event | None = None

    def look(self) -> Answer[_Told]:
        """Give the latest answer, after asking anew if it is old."""
        with self._lock:
            now = time.monotonic()
            if self._ended is None and self._is_old(now):
                self._ended = threading.Event()
                self._begun_s = now
                threading.Thread(target=self._run, args=(self._ended,), daemon=True).start()
            ended = self._ended
            left_s = self._begun_s + self._deadline_s - now
            if self._answer.told is not None:
                left_s = min(left_s, AGAIN_S)  # what is known is nearly as good
        if ended is not None:
            ended.wait(max(left_s, 0.0))
        with self._lock:
            return self._answer

    def forget(self) -> None:
        """Let the next look ask anew: something has changed."""
        with self._lock:
            self._answered_s = None

    def _is_old(self, now: float) -> bool:
        if self._answered_s is None:
            return True
        if self._fresh_s is None and self._answer.error is None:
            return False
        return now - self._answered_s > (FRESH_S if self._fresh_s is None else self._fresh_s)

    def _run(self, ended: threading.Event) -> None:
        answer: Answer[_Told]
        try:
            answer = Answer(told=self._ask())
        except Exception as error:  # noqa: BLE001 - whatever it is, a page says it in its place
            answer = Answer(told=self._answer.told, error=error)
        with self._lock:
            self._answer, self._answered_s, self._ended = answer, time.monotonic(), None
        ended.set()
