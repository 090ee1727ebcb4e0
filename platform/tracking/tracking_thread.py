"""MLflow fed from a sweep's record beside the sweep, by a thread that never holds it up."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from calsweep.platform.errors import first_line, hide_login
from calsweep.platform.interruption import AMID_A_CALL
from calsweep.platform.record import read_sweep
from calsweep.platform.tracking.tracking import Tracker

SYNC_EVERY_S = 2.0
STOP_DEADLINE_S = 5.0


class TrackingStopped(RuntimeError):
    """The sweep ended before MLflow had everything; the record has."""


class TrackingThread:
    """Feeds MLflow from a sweep's record while the sweep runs.

    Errors of MLflow are waited out: the record keeps everything, and the next look writes it. Left
    by an error or by Ctrl-C, it ends with the fold that it is writing.

    Parameters
    ----------
    uri
        MLflow's address.
    home, sweep
        Of the record.
    """

    def __init__(self, uri: str, /, *, home: Path, sweep: str) -> None:
        self._uri = uri
        self._home = home
        self._sweep = sweep
        self._ending = threading.Event()
        self._stopping = threading.Event()
        self._deadline = 0.0
        self._error = ""
        self._is_whole = False
        name = f"{AMID_A_CALL}tracking"
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def __enter__(self) -> TrackingThread:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self.stop()

    def close(self, *, deadline_s: float = 60.0) -> str:
        """Write what is left.

        Returns
        -------
        error
            Why MLflow does not have everything yet; empty if it has.
        """
        self._deadline = time.monotonic() + deadline_s
        self._ending.set()
        self._thread.join(deadline_s)
        if self._is_whole:
            return ""
        error = self._error
        if self._thread.is_alive():
            self.stop(deadline_s=0.0)
            return error or f"it did not take everything within {deadline_s:.0f} s"
        return error or "its writer ended before the last results were written"

    def stop(self, *, deadline_s: float = STOP_DEADLINE_S) -> bool:
        """Write nothing more but the fold that is being written.

        Returns
        -------
        has_ended
            Whether that was done within the deadline. If not, `end_process` ends the process.
        """
        self._stopping.set()
        self._ending.set()
        self._thread.join(deadline_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        tracker: Tracker | None = None
        is_over = False
        while not is_over:
            is_ending = self._ending.wait(SYNC_EVERY_S)
            try:
                self._check()
                sweep = read_sweep(self._home, self._sweep)
                tracker = tracker or Tracker(self._uri, home=self._home, sweep=self._sweep)
                tracker.sync(sweep, check=self._check)
                self._error = ""
                self._is_whole = is_ending
            except TrackingStopped:
                return
            except Exception as error:  # noqa: BLE001 - of MLflow's many; all are waited out
                self._error = hide_login(first_line(error), uri=self._uri)
                tracker = None  # what it knew of runs may be behind what is there
                if is_ending:
                    self._stopping.wait(SYNC_EVERY_S)
            is_over = is_ending and (not self._error or time.monotonic() > self._deadline)

    def _check(self) -> None:
        if self._stopping.is_set():
            raise TrackingStopped("MLflow does not have everything; the record has.")
