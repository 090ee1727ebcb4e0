"""What a person sees while a sweep runs: trials, folds, time left."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as Bars

from calsweep.platform.fold.under_way import FoldUnderWay, describe

PLAIN_EVERY_S = 10.0
BAR_EVERY_S = 1.0


class Progress:
    """Folds done and epochs under way, as a bar on a terminal and as lines elsewhere.

    Parameters
    ----------
    n_trials, n_folds
        Trials of the sweep and folds of each.
    clock
        Seconds that only grow.

    Examples
    --------
    >>> progress = Progress(n_trials=2, n_folds=20, clock=iter([0.0, 5.0]).__next__)
    >>> progress.fold_done(trial="trial 1", trials_done=0)
    >>> progress.line()
    'trial 1 · 0/2 trials · 1/40 folds · 0:05 gone · about 3:15 left'
    """

    def __init__(
        self, *, n_trials: int, n_folds: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._n_trials = n_trials
        self._n_folds_all = n_trials * n_folds
        self._clock = clock
        self._begun = self._now = clock()
        self._folds_done = self._folds_stored = 0
        self._trials_done = 0
        self._trial = ""
        self._under_way: Sequence[FoldUnderWay] = ()
        self._bars: Bars | None = None
        self._spoken = self._looked = self._begun

    def __enter__(self) -> Progress:
        console = Console()
        if console.is_terminal:
            self._bars = Bars(
                TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), console=console
            )
            self._bars.start()
            self._task = self._bars.add_task("starting", total=self._n_folds_all)
        return self

    def __exit__(self, *_: object) -> None:
        if self._bars is not None:
            self._bars.stop()

    def fold_done(self, *, trial: str, trials_done: int, is_stored: bool = False) -> None:
        """Count one fold more; one that an earlier run stored says nothing of the time left."""
        self._now = self._clock()
        self._folds_done += 1
        self._folds_stored += is_stored
        self._trial = trial
        self._trials_done = trials_done
        self._show()

    def look(self, under_way: Callable[[], Sequence[FoldUnderWay]]) -> None:
        """Ask how far the folds in training are, if that was not just asked."""
        now = self._clock()
        if now - self._looked < (PLAIN_EVERY_S if self._bars is None else BAR_EVERY_S):
            return
        self._now = self._looked = now
        self._under_way = under_way()
        self._show()

    def leave_out(self, n_missing: int, /) -> None:
        """Leave the folds that a failed or pruned trial will not train out of the count."""
        self._n_folds_all -= n_missing
        if self._bars is not None:
            self._bars.update(self._task, total=self._n_folds_all)

    def say(self, text: str) -> None:
        """Print a line of its own above the bar."""
        if self._bars is not None:
            self._bars.console.print(text, highlight=False, markup=False)
        else:
            print(text, flush=True)

    def line(self) -> str:
        """Give how far the sweep is, as one line."""
        gone = self._now - self._begun
        begun = sum(fold.share for fold in self._under_way)
        n_trained = self._folds_done - self._folds_stored + begun
        n_left = max(self._n_folds_all - self._folds_done - begun, 0)
        parts = [
            self._trial,
            f"{self._trials_done}/{self._n_trials} trials",
            f"{self._folds_done}/{self._n_folds_all} folds",
            describe(self._under_way),
            f"{minutes(gone)} gone",
            f"about {minutes(gone / n_trained * n_left)} left" if n_trained else "",
        ]
        return " · ".join(part for part in parts if part)

    def _show(self) -> None:
        if self._bars is not None:
            self._bars.update(self._task, completed=self._folds_done, description=self.line())
        elif self._now - self._spoken >= PLAIN_EVERY_S:
            self._spoken = self._now
            print(self.line(), file=sys.stdout, flush=True)


def minutes(seconds: float, /) -> str:
    """Write a time as minutes and seconds, or hours before them.

    Examples
    --------
    >>> minutes(75), minutes(3675)
    ('1:15', '1:01:15')
    """
    whole = round(seconds)
    hours, rest = divmod(whole, 3600)
    minutes = f"{rest // 60:02d}" if hours else f"{rest // 60}"
    return f"{f'{hours}:' if hours else ''}{minutes}:{rest % 60:02d}"
