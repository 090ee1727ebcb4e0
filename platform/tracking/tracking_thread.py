"""MLflow fed from a sweep's record beside the sweep, by a thread that never holds it up."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from calsweep.platform.errors import first_line, hide_login
from calsweep.platform.interruption import AMID_A_CALL
from calsweep.platform.record_reader import RecordReader
from calsweep.platform.tracking.run_writer import Fed
from calsweep.platform.tracking.tracking import Tracker

SYNC_EVERY_S = 2.0
LONGEST_PAUSE_S = 30.0
STOP_DEADLINE_S = 5.0


class TrackingStopped(RuntimeError):
    """The sweep ended before MLflow had everything; the record has."""


class TrackingThread:
    """Feeds MLflow from a sweep's record while the sweep runs.

    Errors of MLflow are waited out, each for twice as long as the one before: the record keeps
    everything, and the next look writes it. Left by an error or by Ctrl-C, it ends with the fold
    that it is writing, and closes the runs of trials that will have no process.

    Parameters
    ----------
    uri
        MLflow's address.
    home, sweep
        Of the record.
    is_running
        As in `Tracker.sync`: a sweep that feeds MLflow of itself says yes.
    """

    def __init__(
        self, uri: str, /, *, home: Path, sweep: str, is_running: bool | None = None
    ) -> None:
        self._uri = uri
        self._home = home
        self._reader = RecordReader(home, sweep)
        self._sweep = sweep
        self._is_running = is_running
        self._ending = threading.Event()
        self._stopping = threading.Event()
        self._deadline = 0.0
        self._error = ""
        self._is_whole = False
        self._fed = Fed()
        name = f"{AMID_A_CALL}tracking"
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def __enter__(self) -> TrackingThread:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self.stop()

    @property
    def fed(self) -> Fed:
        """What it did so far."""
        return self._fed

    def close(self, *, deadline_s: float = 60.0, on_wait: Callable[[], None] = lambda: None) -> str:
        """Write what is left.

        Parameters
        ----------
        deadline_s
            At most to wait.
        on_wait
            Called every two seconds meanwhile.

        Returns
        -------
        error
            Why MLflow does not have everything yet; empty if it has.
        """
        self._deadline = time.monotonic() + deadline_s
        self._ending.set()
        while self._thread.is_alive() and time.monotonic() < self._deadline:
            self._thread.join(min(SYNC_EVERY_S, max(self._deadline - time.monotonic(), 0.0)))
            on_wait()
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
        tracker: Any = None
        pause_s = SYNC_EVERY_S
        is_over = False
        while not is_over:
            is_ending = self._ending.wait(pause_s)
            try:
                self._check()
                record = self._read()
                if tracker is None:
                    tracker = self._open()
                # Of a sweep that ends, no trial is under way any more.
                is_running = False if self._is_running and is_ending else self._is_running
                tracker.sync(record, check=self._check, is_running=is_running)
                self._error, pause_s = "", SYNC_EVERY_S
                self._is_whole = is_ending
            except TrackingStopped:
                self._close_running(tracker)
                return
            except Exception as error:  # noqa: BLE001 - of MLflow's many; all are waited out
                self._error = hide_login(first_line(error), uri=self._uri)
                tracker = None  # what it knew of runs may be behind what is there
                if is_ending:  # somebody waits for it
                    self._stopping.wait(SYNC_EVERY_S)
                else:
                    pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            is_over = is_ending and (not self._error or time.monotonic() > self._deadline)

    def _read(self) -> Any:
        """Give what the record holds now."""
        return self._reader.read()

    def _open(self) -> Any:
        """Give a new writer of what is read."""
        return Tracker(self._uri, home=self._home, sweep=self._sweep, fed=self._fed)

    def _check(self) -> None:
        if self._stopping.is_set():
            raise TrackingStopped("MLflow does not have everything; the record has.")

    def _close_running(self, tracker: Any) -> None:
        """Close what runs; where MLflow is away, `calsweep track` does it later."""
        if tracker is not None:
            with contextlib.suppress(Exception):
                tracker.close_running()
