"""Which configuration a search tries next, and whom it is compared with: the seed decides."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from calsweep.datasets.view import Labels
from calsweep.platform.plain import to_plain
from calsweep.platform.pruning import Rival
from calsweep.platform.record import BASELINE

if TYPE_CHECKING:
    from calsweep.platform.auditor import Auditor
    from calsweep.platform.settings import Settings, SweepSettings
    from calsweep.search_spaces.suggestion import Suggestions

METRIC = "validation_auc"


class Chooser:
    """The linear baseline, then the configurations that the search suggests.

    A suggestion is made from the results of those at least ``lag`` before it, told in their order:
    so the same seed gives the same search however fast single folds come back, and a sweep that is
    started again takes the same way.

    Parameters
    ----------
    settings
        Of the sweep.
    source
        Where values come from.
    auditor
        Says of each configuration whether its folds leak.
    lag
        Trials that may run side by side.
    """

    def __init__(
        self, settings: SweepSettings, source: Suggestions, auditor: Auditor, /, *, lag: int
    ) -> None:
        self._settings = settings
        self._source = source
        self._auditor = auditor
        self._lag = lag
        self._n_given = 0
        self._results: dict[int, Mapping[str, Any]] = {}
        self._controls: set[int] = set()
        self._n_told = 1  # there is nothing to tell of the baseline

    def next(self) -> dict[str, Any] | None:
        """Give the next configuration, or nothing while one before it has to end first.

        Returns
        -------
        config
            Its ``number`` and ``name``, the ``values`` tried, the ``settings`` that they make, the
            ``verdict`` on its folds, its ``rival`` if it may be pruned, and an ``error`` if it
            cannot be trained; all as plain data.
        """
        number = self._n_given
        if not self._tell(up_to=number - self._lag):
            return None
        self._n_given += 1
        if number == 0:
            return self._config(0, {}, settings=self._settings.linear)
        values = self._source.suggest(number)
        try:
            settings = self._settings.configuration(values)
        except ValueError as error:  # values that suit one by one, but not together
            return self._config(number, values, settings=self._settings.start, error=str(error))
        return self._config(number, values, settings=settings)

    def keep(self, number: int, result: Mapping[str, Any], /) -> None:
        """Keep the last result of a trial, empty if it has none, until its turn to be told."""
        self._results[number] = result

    def _tell(self, *, up_to: int) -> bool:
        """Tell results in order; say whether all up to a number are there."""
        while self._n_told <= up_to:
            if self._n_told not in self._results:
                return False
            value = self._results[self._n_told].get(METRIC, math.nan)
            self._source.tell(self._n_told, None if math.isnan(value) else value)
            self._n_told += 1
        return True

    def _rival(self, number: int) -> Rival | None:
        """Give the best of the configurations that were told before this one was chosen.

        The baseline and controls are none, though each is trained on all folds.
        """
        told = {i: self._results[i] for i in range(1, number - self._lag + 1)}
        rivals = [
            Rival(name=_name(i), auc=dict(result["auc"]))
            for i, result in told.items()
            if "auc" in result and "pruned" not in result and i not in self._controls
        ]
        return max(rivals, key=lambda rival: rival.mean, default=None)  # of equals the first

    def _config(
        self, number: int, values: Mapping[str, Any], *, settings: Settings, error: str = ""
    ) -> dict[str, Any]:
        """Describe a trial; one that leaks unasked is not trained."""
        verdict = self._auditor.verdict(settings.datasets)
        plain = to_plain(settings)
        if settings.datasets.labels is Labels.PERMUTED:
            self._controls.add(number)
        is_spared = self._settings.pruning.spares(values, plain)
        rival = None if is_spared else self._rival(number)
        return {
            "number": number,
            "name": _name(number),
            "values": dict(values),
            "settings": plain,
            "rival": {"name": rival.name, "auc": list(rival.auc.items())} if rival else None,
            "verdict": to_plain(verdict),
            "error": error or (self._auditor.refusal(verdict) if verdict.is_refused else ""),
        }


def _name(number: int) -> str:
    return f"trial {number}" if number else BASELINE
