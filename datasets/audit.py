"""What each part of a fold may know of another: found before anything is trained.

Every sweep is audited on the plan, windows, steps and masks that it really uses. A *leak* is what
breaks the plan's claim; a *note* is what a reader of its figures has to know.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from calsweep.datasets.fold import Fold, FoldPlan, HeldOut, PartName, Stretch
from calsweep.datasets.recording import trial_borders
from calsweep.datasets.step import FRAME_BY_FRAME
from calsweep.datasets.timeline import PartWindows, Timeline, fold_windows
from calsweep.datasets.transform import Look
from calsweep.datasets.view import Labels, View
from calsweep.datasets.window import Window

# T time, W window

NAMED = 5


class Kind(Enum):
    """What a finding is about."""

    ANIMALS = "animals on both sides"
    RECORDINGS = "recordings on both sides"
    FRAMES = "frames on both sides"
    WINDOWS = "windows that share frames"
    STEPS = "steps that look around"
    FITTED = "fitted outside the training part"
    LABELS = "labels that are not real"


class Standing(Enum):
    """A verdict in a word."""

    CLEAN = "clean"
    NOTED = "clean with notes"
    LEAKY = "leaky"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing found, over all folds that show it.

    Attributes
    ----------
    kind
        What it is about.
    is_leak
        Whether it breaks the plan's claim; otherwise it is a note.
    is_asked_for
        Whether the plan asks for this leak by name.
    parts
        Those that know of each other, two for a leak; for `Kind.FITTED`, what was fitted on.
    what
        The step, where it is about one.
    where
        The first few animals or recordings.
    n_where
        How many there are.
    n_frames
        How many frames both parts reach in the fold that has most; 0 where frames are not counted.
    folds
        Which folds.
    """

    kind: Kind
    is_leak: bool
    is_asked_for: bool = False
    parts: tuple[PartName, ...] = ()
    what: str = ""
    where: tuple[str, ...] = ()
    n_where: int = 0
    n_frames: int = 0
    folds: tuple[int, ...] = ()

    @property
    def sentence(self) -> str:
        """The finding in words, without a period.

        Examples
        --------
        >>> Finding(
        ...     kind=Kind.FRAMES,
        ...     is_leak=True,
        ...     parts=(PartName.TRAIN, PartName.TEST),
        ...     where=("m1_d1",),
        ...     n_where=1,
        ...     n_frames=30,
        ...     folds=(0,),
        ... ).sentence
        '30 frames of m1_d1 are in the training and the test part (fold 0)'
        """
        if not self.folds:
            return self.what
        both = f"the {_listed([part.value for part in self.parts])} part"
        where = ", ".join(self.where)
        where += f" and {self.n_where - len(self.where)} more" * (self.n_where > len(self.where))
        some = ", ".join(map(str, self.folds[:NAMED])) + ", ..." * (len(self.folds) > NAMED)
        folds = f"fold{'s' * (len(self.folds) > 1)} {some}"
        said = {
            Kind.ANIMALS: f"animals {where} are in {both}",
            Kind.RECORDINGS: f"recordings {where} are in {both}",
            Kind.FRAMES: f"{self.n_frames} frames of {where} are in {both}",
            Kind.WINDOWS: f"{self.n_frames} frames of {where} are in windows of {both}",
            Kind.STEPS: f"{self.n_frames} frames of {where} reach {both} by {self.what}",
            Kind.FITTED: f"{self.what} is fitted on {both}",
            Kind.LABELS: self.what,
        }[self.kind]
        if self.kind is Kind.ANIMALS and not self.is_leak:
            return f"{said}: the figures speak of these animals, not of a new one"
        return said if self.kind is Kind.RECORDINGS and not self.is_leak else f"{said} ({folds})"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What an audit came to.

    Attributes
    ----------
    findings
        The evidence, leaks first.

    Examples
    --------
    >>> Verdict().standing
    <Standing.CLEAN: 'clean'>
    """

    findings: tuple[Finding, ...] = ()

    @property
    def leaks(self) -> tuple[Finding, ...]:
        """Those findings that break the plan's claim."""
        return tuple(finding for finding in self.findings if finding.is_leak)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader has to know beside the leaks, in sentences."""
        return tuple(finding.sentence for finding in self.findings if not finding.is_leak)

    @property
    def standing(self) -> Standing:
        """The verdict in a word."""
        if self.leaks:
            return Standing.LEAKY
        return Standing.NOTED if self.findings else Standing.CLEAN

    @property
    def is_refused(self) -> bool:
        """Whether it has a leak that was not asked for by name."""
        return any(not leak.is_asked_for for leak in self.leaks)

    def __add__(self, other: Verdict) -> Verdict:
        """Give the findings of both, each once."""
        return _verdict(dict.fromkeys((*self.findings, *other.findings)))


class LeakFound(ValueError):
    """A leak that was not asked for."""

    def __init__(self, verdict: Verdict, plan: str) -> None:
        super().__init__(verdict, plan)
        self.verdict = verdict
        self.plan = plan

    def __str__(self) -> str:
        unasked = [leak for leak in self.verdict.leaks if not leak.is_asked_for]
        evidence = "; ".join(leak.sentence for leak in unasked)
        ways_out = " ".join(dict.fromkeys(_WAY_OUT[leak.kind] for leak in unasked))
        return f"The folds ({self.plan}) leak: {evidence}. {ways_out}"


_WAY_OUT = {
    Kind.ANIMALS: (
        "Divide by animal (`datasets/folds=animal_groups`), or say that the folds hold out less "
        "(`datasets.folds.holds_out=recordings` or `frames`)."
    ),
    Kind.RECORDINGS: (
        "Keep recordings whole, or say that the folds hold out less "
        "(`datasets.folds.holds_out=frames`)."
    ),
    Kind.FRAMES: "Let each frame be in one part.",
    Kind.WINDOWS: (
        "Divide time with a gap (`datasets/folds=time_blocks`); a paper's leaky windows are "
        "`datasets/folds=stratified_windows`."
    ),
    Kind.STEPS: (
        "Leave a wider gap (`datasets.folds.gap_frames=null` takes what is needed), leave the step "
        "out (`datasets.transforms.detrend=null`), or scale over the training part "
        "(`datasets.transforms.scaling.over=training`)."
    ),
    Kind.FITTED: "Fit on the training part alone.",
    Kind.LABELS: "",
}


def audit(plan: FoldPlan, /, *, timeline: Timeline, view: View) -> Verdict:
    """Find what parts of each fold know of each other.

    Parameters
    ----------
    plan
        The folds.
    timeline
        Of the dataset.
    view
        Windows, steps, masks and labels.

    Returns
    -------
    verdict
        With one finding for each kind of leak, pair of parts and step, and for each kind of note.
    """
    seen = [fact for fold in plan.folds for fact in _facts(fold, timeline, view, plan.holds_out)]
    return _verdict([*_gather(seen), *_said(view), *_done_before(plan, timeline)])


def check_leaks(plan: FoldPlan, /, *, timeline: Timeline, view: View) -> Verdict:
    """Audit a plan, and refuse a leak that was not asked for by name.

    Raises
    ------
    LeakFound
        With the evidence.
    """
    verdict = audit(plan, timeline=timeline, view=view)
    if verdict.is_refused:
        raise LeakFound(verdict, plan.name)
    return verdict


@dataclass(frozen=True, kw_only=True)
class _Fact:
    """A finding in one fold, before those of a kind are put together."""

    kind: Kind
    is_leak: bool
    is_asked_for: bool
    parts: tuple[PartName, ...]
    where: tuple[str, ...]
    fold: int
    what: str = ""
    n_frames: int = 0


def _facts(fold: Fold, timeline: Timeline, view: View, holds_out: HeldOut) -> Iterator[_Fact]:
    is_asked_for = holds_out is HeldOut.NOTHING
    for fitted in view.fitted:
        if set(fitted.on) - {PartName.TRAIN}:
            yield _Fact(
                kind=Kind.FITTED,
                is_leak=True,
                is_asked_for=False,  # no plan is a reason to fit on what tests
                parts=tuple(part for part in PartName if part in fitted.on),
                where=(),
                fold=fold.index,
                what=fitted.what,
            )
    subject_of = {entry.name: entry.subject for entry in timeline.manifest.recordings}
    recordings = {name: {s.recording for s in fold.part(name)} for name in PartName}
    windows: Mapping[PartName, PartWindows] | None = None
    for pair in itertools.combinations(PartName, 2):
        one, other = (recordings[name] for name in pair)
        animals = {subject_of[name] for name in one} & {subject_of[name] for name in other}
        shared = sorted(one & other)
        if animals:
            yield _Fact(
                kind=Kind.ANIMALS,
                is_leak=holds_out is HeldOut.ANIMALS,
                is_asked_for=is_asked_for,
                parts=pair,
                where=tuple(sorted(animals)),
                fold=fold.index,
            )
        if shared:
            yield _Fact(
                kind=Kind.RECORDINGS,
                is_leak=holds_out in {HeldOut.ANIMALS, HeldOut.RECORDINGS},
                is_asked_for=is_asked_for,
                parts=pair,
                where=tuple(shared),
                fold=fold.index,
            )
            windows = windows or fold_windows(fold, timeline, window=view.window)
            yield from _shared_frames(fold, timeline, view, windows, pair, shared, is_asked_for)


def _shared_frames(
    fold: Fold,
    timeline: Timeline,
    view: View,
    windows: Mapping[PartName, PartWindows],
    pair: tuple[PartName, PartName],
    shared: Sequence[str],
    is_asked_for: bool,
) -> Iterator[_Fact]:
    """Count the frames that two parts hold, see and reach in recordings that both have."""
    found: dict[Kind, dict[str, int]] = {Kind.FRAMES: {}, Kind.WINDOWS: {}, Kind.STEPS: {}}
    look = view.transforms.look
    stretches = [_by_recording(fold.part(name)) for name in pair]
    for recording in shared:
        n_frames = len(timeline.trials[recording])
        if fold.draw is None:
            held = [_held(of_part[recording], n_frames) for of_part in stretches]
            found[Kind.FRAMES][recording] = int(np.count_nonzero(held[0] & held[1]))
        inside = [_covered(windows[part].starts[recording], view.window, n_frames) for part in pair]
        found[Kind.WINDOWS][recording] = int(np.count_nonzero(inside[0] & inside[1]))
        if look != Look():
            reached = [_widened(frames_T, look) for frames_T in inside]
            found[Kind.STEPS][recording] = int(np.count_nonzero(reached[0] & reached[1]))
    steps = " and ".join(type(step).__name__ for step in view.transforms if step.look != Look())
    for kind, counts in found.items():
        where = tuple(recording for recording, n in counts.items() if n)
        if where:
            yield _Fact(
                kind=kind,
                is_leak=True,
                is_asked_for=is_asked_for,
                parts=pair,
                where=where,
                fold=fold.index,
                what=steps if kind is Kind.STEPS else "",
                n_frames=sum(counts.values()),
            )


def _by_recording(stretches: Sequence[Stretch]) -> dict[str, list[Stretch]]:
    found: dict[str, list[Stretch]] = {}
    for stretch in stretches:
        found.setdefault(stretch.recording, []).append(stretch)
    return found


def _held(stretches: Sequence[Stretch], n_frames: int) -> NDArray[np.bool_]:
    is_held_T = np.zeros(n_frames, dtype=bool)
    for stretch in stretches:
        is_held_T[stretch.start_frame : stretch.stop_frame] = True
    return is_held_T


def _covered(starts_W: NDArray[np.int64], window: Window, n_frames: int) -> NDArray[np.bool_]:
    """Give the frames that windows, and what they decode, reach from first to last."""
    first = starts_W + min(0, window.target_offset)
    steps_T = np.zeros(n_frames + 1, dtype=np.int64)
    np.add.at(steps_T, first, 1)
    np.add.at(steps_T, first + window.reach_frames, -1)
    is_covered_T: NDArray[np.bool_] = np.cumsum(steps_T[:-1]) > 0
    return is_covered_T


def _widened(frames_T: NDArray[np.bool_], look: Look) -> NDArray[np.bool_]:
    """Give the frames that go into these by steps that look around."""
    n_frames = len(frames_T)
    before, after = (int(min(n, n_frames)) for n in (look.before_frames, look.after_frames))
    wide_T = np.zeros(n_frames, dtype=bool)
    borders = trial_borders(frames_T.astype(np.int8))
    for start, stop in itertools.pairwise(borders):
        if frames_T[start]:
            wide_T[max(0, start - before) : stop + after] = True
    return wide_T


def _gather(facts: Iterable[_Fact]) -> Iterator[Finding]:
    """Put the facts of all folds together."""
    together: dict[tuple[object, ...], list[_Fact]] = {}
    for fact in facts:
        # Of notes, one line for all parts is enough.
        key = (fact.kind, fact.is_leak, fact.parts if fact.is_leak else (), fact.what)
        together.setdefault(key, []).append(fact)
    for same in together.values():
        where = sorted({name for fact in same for name in fact.where})
        first = same[0]
        yield Finding(
            kind=first.kind,
            is_leak=first.is_leak,
            is_asked_for=first.is_asked_for,
            parts=tuple(part for part in PartName if any(part in fact.parts for fact in same)),
            what=first.what,
            where=tuple(where[:NAMED]),
            n_where=len(where),
            n_frames=max(fact.n_frames for fact in same),
            folds=tuple(dict.fromkeys(fact.fold for fact in same)),
        )


def _listed(names: Sequence[str]) -> str:
    return " and the ".join([", the ".join(names[:-1]), names[-1]] if names[1:] else names)


def _said(view: View) -> Iterator[Finding]:
    """Give what steps and labels say of themselves."""
    for note in view.transforms.notes():
        yield Finding(kind=Kind.STEPS, is_leak=False, what=note)
    if view.labels is Labels.PERMUTED:
        what = "labels of training and validation permuted (control)"
        yield Finding(kind=Kind.LABELS, is_leak=False, what=what)


def _done_before(plan: FoldPlan, timeline: Timeline) -> Iterator[Finding]:
    """Give what was done to recordings before they were stored; how far it reaches is not known."""
    used = {s.recording for fold in plan.folds for name in PartName for s in fold.part(name)}
    entries = [entry for entry in timeline.manifest.recordings if entry.name in used]
    is_within = plan.holds_out in {HeldOut.FRAMES, HeldOut.NOTHING}
    for step in dict.fromkeys(step for entry in entries for step in entry.steps):
        names = [entry.name for entry in entries if step in entry.steps]
        in_some = f" ({', '.join(names[:NAMED])}{', ...' * (len(names) > NAMED)})"
        what = f"before ingest: {step.rstrip('.')}{in_some if len(names) < len(entries) else ''}"
        reaches = not step.endswith(FRAME_BY_FRAME)
        what += ": it may have seen frames of other parts" * (is_within and reaches)
        yield Finding(kind=Kind.STEPS, is_leak=False, what=what)


def _verdict(findings: Iterable[Finding]) -> Verdict:
    return Verdict(findings=tuple(sorted(findings, key=lambda finding: not finding.is_leak)))
