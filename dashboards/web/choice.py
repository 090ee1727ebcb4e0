"""What a person chose on a page, as it stands in the page's address."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from starlette.datastructures import QueryParams

from calsweep.dashboards.shown_trial import shown_trial
from calsweep.dashboards.web.shelf import Reading
from calsweep.dashboards.web.sweep_list import sweep_names
from calsweep.platform.arm import Arm, find_arm, find_trial
from calsweep.platform.equal_budget import EqualBudget, Measure, equal_budget
from calsweep.platform.leaderboard import best_trial
from calsweep.platform.record import SweepNotFound, SweepRecord, TrialRecord, TrialState
from calsweep.platform.record_reader import read_sweep
from calsweep.search_spaces.space import ARM

ARMS_COMPARED = 4
ARMS_AT_MOST = 12
_MOST = 10**9
_STATES = {state.value: state for state in TrialState}


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What is chosen; nothing by default.

    Attributes
    ----------
    text
        Part of a configuration's name or settings, whatever the case.
    decoder, state
        Only configurations of this kind or state; empty for all.
    page
        Of the leaderboard, from 1.
    name
        Of the configuration whose folds are drawn; empty for the best.
    folds
        Those whose learning curves are drawn; empty for all.
    compared
        Names of configurations side by side; empty for the best few and the linear baseline.
    beside
        Names of other sweeps whose best stands beside.
    budget
        What searches are cut to the same amount of (`calsweep.platform.equal_budget.Measure`);
        empty for no cut.
    recording, at, span
        What is gone along: its name, the first frame, and how many; empty and 0 for the usual.
    member
        Of a population, whose ancestors are set off; 0 for the best.
    check
        Number of the check of a dataset's shards that is asked for; 0 for none.
    """

    text: str = ""
    decoder: str = ""
    state: str = ""
    page: int = 1
    name: str = ""
    folds: tuple[int, ...] = ()
    compared: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    budget: str = ""
    recording: str = ""
    at: int = 0
    span: int = 0
    member: int = 0
    check: int = 0

    @classmethod
    def parse(cls, query: QueryParams, /) -> Choice:
        """Read an address; what makes no sense is as if it were not there."""
        # Of two the latter: a click on an overview adds to an address.
        numbers = {key: query.get(key, "") for key in ("page", "at", "span", "member", "check")}
        whole = {k: int(n) for k, n in numbers.items() if n.isdecimal() and int(n) < _MOST}
        return cls(
            text=query.get("text", "").strip()[:200],
            decoder=query.get("decoder", ""),
            state=query.get("state", ""),
            page=whole.get("page") or 1,
            name=query.get("trial", ""),
            folds=tuple(int(fold) for fold in query.getlist("fold") if fold.isdecimal()),
            compared=tuple(dict.fromkeys(query.getlist("arm")))[:ARMS_AT_MOST],
            beside=tuple(dict.fromkeys(query.getlist("beside")))[:ARMS_AT_MOST],
            budget=query.get("budget", ""),
            recording=query.get("recording", ""),
            at=whole.get("at", 0),
            span=whole.get("span", 0),
            member=whole.get("member", 0),
            check=whole.get("check", 0),
        )

    def address(self, changes: Mapping[str, object] | None = None, /) -> str:
        """Write the choice, with changes, as the part of an address after the question mark."""
        single = {
            "text": self.text,
            "decoder": self.decoder,
            "state": self.state,
            "page": self.page if self.page > 1 else "",
            "trial": self.name,
            "budget": self.budget,
            "recording": self.recording,
            "at": self.at,
            "span": self.span,
            "member": self.member,
            "check": self.check,
            **(changes or {}),
        }
        pairs: list[tuple[str, object]] = [(k, v) for k, v in single.items() if v]
        pairs += [("fold", fold) for fold in self.folds]
        pairs += [("arm", arm) for arm in self.compared]
        pairs += [("beside", name) for name in self.beside]
        return urlencode(pairs)

    @property
    def is_chosen(self) -> bool:
        """Whether what stands side by side was chosen by a person."""
        return bool(self.compared or self.beside or self.budget)

    def admits(self, trial: TrialRecord, /) -> bool:
        """Say whether a configuration is among those that are looked for."""
        described = f"{trial.name} {trial.decoder} {trial.mask}".casefold()
        return (
            self.text.casefold() in described
            and self.decoder in ("", kind_of(trial))
            and (self.state not in _STATES or trial.state is _STATES[self.state])
        )

    def trial(self, reading: Reading, /) -> TrialRecord | None:
        """Give the configuration whose folds are drawn; ``None`` before the first fold.

        Raises
        ------
        LookupError
            If there is none of this name.
        """
        if self.name:
            return find_trial(reading.sweep, self.name)
        return shown_trial(reading.sweep, reading.rows)

    def arms(self, reading: Reading, /) -> tuple[Arm, ...]:
        """Give the configurations side by side.

        Raises
        ------
        LookupError
            If one is not there.
        ValueError
            If one is not finished, or there are no searches to cut to the same budget.
        """
        cut = self.cut(reading)
        if cut:
            return cut.arms
        others = tuple(Arm(sweep=sweep, trial=best_trial(sweep)) for sweep in self._beside(reading))
        return self._own_arms(reading) + others

    def cut(self, reading: Reading, /) -> EqualBudget | None:
        """Give the best of each search within the same budget; ``None`` where none is asked for.

        Raises
        ------
        LookupError, ValueError
            As `arms`.
        """
        if not self.budget:
            return None
        return equal_budget((reading.sweep, *self._beside(reading)), Measure(self.budget))

    def _beside(self, reading: Reading) -> tuple[SweepRecord, ...]:
        home = reading.sweep.folder.parent.parent
        known = sweep_names(home)
        for name in self.beside:
            if name not in known:
                raise SweepNotFound(name, tuple(sorted(known)))
        return tuple(read_sweep(home, name) for name in self.beside if name != reading.sweep.name)

    def _own_arms(self, reading: Reading) -> tuple[Arm, ...]:
        if self.compared:
            return tuple(find_arm(reading.sweep, name) for name in self.compared)
        rows = [row for row in reading.rows if row.rank <= ARMS_COMPARED or row.trial.is_baseline]
        return tuple(Arm(sweep=reading.sweep, trial=row.trial) for row in rows)


def kind_of(trial: TrialRecord, /) -> str:
    """Name the kind of decoder that a configuration is of."""
    kind = str(trial.settings["trainables"]["_target_"]).rpartition(".")[2].lower()
    return str(trial.values.get(ARM, kind))
