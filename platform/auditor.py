"""The audit of every configuration that a sweep tries, each kind of view once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from calsweep.datasets.audit import LeakFound, Verdict, audit
from calsweep.datasets.fold import FoldPlan
from calsweep.datasets.timeline import Timeline
from calsweep.datasets.view import View


class Auditor:
    """Audits views of one dataset on one fold plan, and remembers what it found.

    Parameters
    ----------
    plan
        The folds.
    timeline
        Labels and trials of the dataset.
    """

    def __init__(self, plan: FoldPlan, timeline: Timeline, /) -> None:
        self._plan = plan
        self._timeline = timeline
        self._verdicts: dict[str, Verdict] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Keep no frames in Ray Tune's own files."""
        return {}

    def verdict(self, view: View, /) -> Verdict:
        """Give what parts of the folds know of each other in a view."""
        # The text of a frozen dataclass names its type and every value. Which units are masked
        # changes nothing for a leak, and many views of a search differ in that alone.
        name = repr((view.window, view.transforms, view.fitted, view.labels))
        if name not in self._verdicts:
            self._verdicts[name] = audit(self._plan, timeline=self._timeline, view=view)
        return self._verdicts[name]

    def check(self, views: Iterable[View], /) -> None:
        """Refuse a leak that was not asked for by name in any of some views.

        Raises
        ------
        LeakFound
            With the evidence.
        """
        for view in views:
            if self.verdict(view).is_refused:
                raise LeakFound(self.verdict(view), self._plan.name)

    def refusal(self, verdict: Verdict, /) -> str:
        """Say why a configuration is not trained."""
        return str(LeakFound(verdict, self._plan.name))
