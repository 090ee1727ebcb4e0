"""What a candidate has to pass before it becomes champion, but for its model being tried out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from calsweep.platform.arm import FIGURES, figure_name
from calsweep.platform.champion.candidate import Candidate
from calsweep.platform.champion.version_tag import read_figures
from calsweep.platform.comparison import ALPHA, Method
from calsweep.platform.independence import frames_ratio, independent_units
from calsweep.platform.plain import nearest
from calsweep.platform.sign_flip import sign_flip, unreachable
from calsweep.platform.statistics import corrected_t, rank_sum, signed_rank


class NotPromoted(ValueError):
    """A candidate does not pass the gate; the champion stays."""

    def __init__(self, candidate: str, reason: str, way_out: str) -> None:
        super().__init__(candidate, reason, way_out)
        self.candidate = candidate
        self.reason = reason
        self.way_out = way_out

    def __str__(self) -> str:
        return f"{self.candidate} is not promoted: {self.reason} Nothing is changed. {self.way_out}"


@dataclass(frozen=True, kw_only=True)
class Gate:
    """What a candidate has to show.

    Attributes
    ----------
    test
        The test that its figures are above the champion's, fold by fold.
    margin
        By how much they must be above.
    level
        The test's two-sided p must not be above it, and the mean difference above the margin.
    figure
        Which figure of the test part.
    leaky_because
        Why a leaky verdict is overruled; empty if it is not.
    unbeaten_because
        Why a candidate is taken that does not beat the champion, or cannot be compared; empty if
        it must.

    Raises
    ------
    ValueError
        If margin, level or figure is none.
    """

    test: Method = Method.CORRECTED_T
    margin: float = 0.0
    level: float = ALPHA
    figure: str = "auc"
    leaky_because: str = ""
    unbeaten_because: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.margin < 1:
            raise ValueError(f"`0 <= margin < 1` must hold, but got {self.margin=}.")
        if not 0 < self.level < 1:
            raise ValueError(f"`0 < level < 1` must hold, but got {self.level=}.")
        if self.figure not in FIGURES:
            raise ValueError(
                f"`figure` must be a figure of the test part, but got {self.figure!r}. "
                f"{nearest(self.figure, FIGURES)}"
            )


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What was found at the gate.

    Attributes
    ----------
    comparison
        How the candidate stands to the champion, in a sentence.
    verdict
        The standing of its folds' audit.
    overruled
        What was overruled, and why.
    p, mean_difference
        Of the test; ``None`` where none was made.
    """

    comparison: str
    verdict: str
    overruled: Mapping[str, str]
    p: float | None = None
    mean_difference: float | None = None


@dataclass(frozen=True, kw_only=True)
class _Compared:
    sentence: str
    has_won: bool
    p: float | None = None
    mean_difference: float | None = None
    way_out: str = ""


def check_finished(candidate: Candidate, gate: Gate, /) -> Mapping[str, str]:
    """Check the leak verdict, and give what is overruled and why.

    Raises
    ------
    NotPromoted
        If the folds are leaky and no reason overrules it.
    """
    leaks = candidate.trial.verdict.leaks
    if not leaks:
        return {}
    if not gate.leaky_because:
        said = "; ".join(leak.sentence for leak in leaks)
        raise NotPromoted(
            candidate.name,
            f"its folds are leaky, so its figures are too good ({said}).",
            "Sweep on folds that are not, or give `--leaky-because REASON`, which is recorded.",
        )
    return {"leaky": gate.leaky_because}


def judge(
    candidate: Candidate, /, *, gate: Gate, champion: str = "", tags: Mapping[str, str]
) -> Evidence:
    """Hold a candidate against the champion.

    Parameters
    ----------
    candidate
        What is to be promoted.
    gate
        What it has to show.
    champion
        The champion in words (``version 3``); empty if there is none.
    tags
        Of the champion's version.

    Raises
    ------
    NotPromoted
        If it does not pass.
    """
    overruled = dict(check_finished(candidate, gate))
    verdict = candidate.trial.verdict.standing.value
    if not champion:
        said = "There was no champion to beat."
        return Evidence(comparison=said, verdict=verdict, overruled=overruled)
    target = str(candidate.sweep.dataset["target"])
    if tags.get("calsweep.target", target) != target:
        raise NotPromoted(
            candidate.name,
            f"it decodes {target!r}, and the champion ({champion}) {tags['calsweep.target']!r}.",
            "Give it a name of its own with `--name`.",
        )
    found = _compare(candidate, gate, champion, tags)
    if not found.has_won:
        if not gate.unbeaten_because:
            way_out = f"{found.way_out} Or give `--unbeaten-because REASON`, which is recorded."
            raise NotPromoted(candidate.name, found.sentence, way_out.strip())
        overruled["unbeaten"] = gate.unbeaten_because
    return Evidence(
        comparison=found.sentence,
        verdict=verdict,
        overruled=overruled,
        p=found.p,
        mean_difference=found.mean_difference,
    )


def _compare(candidate: Candidate, gate: Gate, champion: str, tags: Mapping[str, str]) -> _Compared:
    where = f"{champion}, {tags.get('calsweep.sweep', 'of no sweep')}"
    plan = candidate.sweep.plan
    if tags.get("calsweep.plan_hash") != candidate.sweep.plan_hash:
        return _Compared(
            sentence=f"the champion ({where}) was trained on another fold plan "
            f"({str(tags.get('calsweep.plan_hash'))[:12]}, not {candidate.sweep.plan_hash[:12]}), "
            "so they cannot be compared fold by fold.",
            has_won=False,
            way_out="Sweep on the champion's dataset with the `datasets.folds` of its sweep.",
        )
    mine, theirs = candidate.figures().get(gate.figure, ()), read_figures(tags, gate.figure)
    if not mine or len(mine) != len(theirs) or len(mine) < 2:
        return _Compared(
            sentence=f"the figure {figure_name(gate.figure)} is not known of two or more folds of "
            f"both it and the champion ({where}).",
            has_won=False,
            way_out="Compare another with `--figure`.",
        )
    differences = [a - b for a, b in zip(mine, theirs, strict=True)]
    mean = sum(differences) / len(differences)
    units = independent_units(plan)
    if gate.test is Method.SIGN_FLIP and units is None:
        return _Compared(
            sentence=f"sign-flip needs folds that hold out animals, and {plan.name!r} holds out "
            f"{plan.holds_out.value}.",
            has_won=False,
            way_out="Take another `--test`.",
        )
    p = _p(candidate, gate, mine=mine, theirs=theirs)
    shown = (
        f"{figure_name(gate.figure)} {mean:+.4f} on {len(mine)} folds against the champion "
        f"({where}), margin {gate.margin:g}: {gate.test.value} p = {p:.3g}, level {gate.level:g}."
    )
    has_won = mean > gate.margin and p <= gate.level
    limit = (
        unreachable(units.n, unit=units.name, alpha=gate.level)
        if gate.test is Method.SIGN_FLIP and units
        else ""
    )
    return _Compared(
        sentence=shown if has_won else f"it does not beat the champion: {shown}",
        has_won=has_won,
        p=p,
        mean_difference=mean,
        way_out=limit or "`calsweep compare` shows both.",
    )


def _p(
    candidate: Candidate, gate: Gate, *, mine: Sequence[float], theirs: Sequence[float]
) -> float:
    """Give the p of figures that are lower by the margin, as `calsweep compare` gives it at 0."""
    plan = candidate.sweep.plan
    lower = [value - gate.margin for value in mine]
    differences = [a - b for a, b in zip(lower, theirs, strict=True)]
    if gate.test is Method.RANK_SUM:
        return rank_sum(lower, theirs).p
    if gate.test is Method.SIGNED_RANK:
        return signed_rank(differences).p
    if gate.test is Method.CORRECTED_T:
        return corrected_t(differences, test_to_train=frames_ratio(plan)).p
    units = independent_units(plan)
    assert units is not None  # noqa: S101 - or the test was refused
    return sign_flip(units.means(plan, differences)).p


def evidence_as_plain(evidence: Evidence, /) -> dict[str, Any]:
    """Give the evidence as plain data, for the history."""
    found = {
        "comparison": evidence.comparison,
        "verdict": evidence.verdict,
        "overruled": dict(evidence.overruled),
        "p": evidence.p,
        "mean_difference": evidence.mean_difference,
    }
    return {key: value for key, value in found.items() if value not in (None, {})}
