"""A leak of every kind is caught, and no clean plan is accused: against a count frame by frame."""

import dataclasses
import itertools
import json
import pickle
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from calsweep.datasets.audit import Kind, LeakFound, Standing, audit, check_leaks
from calsweep.datasets.fold import Fold, FoldPlan, HeldOut, PartName, Stretch
from calsweep.datasets.fold_in_time import StratifiedWindows, TimeBlocks, WholeEvents, WholeTrials
from calsweep.datasets.fold_protocol import (
    AnimalGroups,
    EachAnimal,
    LeaveOneAnimalOut,
    LeaveOneRecordingOut,
    Reach,
)
from calsweep.datasets.mask import UnitMask
from calsweep.datasets.timeline import fold_windows
from calsweep.datasets.transform import Detrend, MinMax, Scope, Transforms, ZScore
from calsweep.datasets.view import Labels, View, plan_folds
from calsweep.datasets.window import Window
from calsweep.platform.plain import from_plain, to_plain

PAIRS = list(itertools.combinations(PartName, 2))
HONEST = [
    AnimalGroups(k_groups=3),
    EachAnimal(),
    LeaveOneAnimalOut(),
    LeaveOneRecordingOut(),
    TimeBlocks(k_groups=3, n_blocks=3),
    TimeBlocks(k_groups=3, n_blocks=5),
    WholeTrials(k_groups=3),
    WholeEvents(k_groups=3),
]
many = settings(
    max_examples=100,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


def view_of(**changes):
    return View(**{"address": "", "target": "run", "window": Window(length=3), **changes})


@st.composite
def recordings(draw, *, least=1):
    """Draw recordings of some animals: bouts of both classes, cut into trials."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n_animals = draw(st.integers(least, 4))
    drawn = []
    for animal in range(n_animals):
        for day in range(draw(st.integers(least, 3))):
            n_frames = draw(st.integers(60, 240))
            label_T = np.cumsum(rng.random(n_frames) < 0.15) % 2
            trial_T = np.cumsum(rng.random(n_frames) < draw(st.sampled_from([0.0, 0.03])))
            drawn.append((f"m{animal}", f"m{animal}_{day}", label_T, trial_T))
    return drawn


@st.composite
def views(draw):
    """Draw a window and steps."""
    window = Window(length=draw(st.integers(1, 9)), shift=draw(st.integers(-6, 6)))
    detrend = draw(st.none() | st.builds(Detrend, length_frames=st.integers(1, 12)))
    return view_of(window=window, transforms=Transforms(detrend=detrend, scaling=MinMax()))


def reached(fold, timeline, view):
    """Count frame by frame what goes into each window of each part, and what it decodes."""
    parts = fold_windows(fold, timeline, window=view.window)
    look = view.transforms.look
    seen = {name: set() for name in PartName}
    raw = {name: set() for name in PartName}
    for name in PartName:
        for recording, starts in parts[name].starts.items():
            n_frames = len(timeline.labels[recording])
            for start in starts.tolist():
                ends = (start, start + view.window.length - 1, start + view.window.target_offset)
                frames = range(min(ends), max(ends) + 1)
                seen[name] |= {(recording, t) for t in frames}
                first = max(0, frames[0] - int(look.before_frames))
                last = min(n_frames - 1, frames[-1] + int(look.after_frames))
                raw[name] |= {(recording, t) for t in range(first, last + 1)}
    return seen, raw


def expected_leaks(plan, timeline, view):
    """Say by sets which leaks a plan has: (kind, parts)."""
    subject_of = {entry.name: entry.subject for entry in timeline.manifest.recordings}
    found = set()
    for fold in plan.folds:
        seen, raw = reached(fold, timeline, view)
        for one, other in PAIRS:
            held = [
                {
                    (s.recording, t)
                    for s in fold.part(name)
                    for t in range(s.start_frame, s.stop_frame)
                }
                for name in (one, other)
            ]
            names = [{s.recording for s in fold.part(name)} for name in (one, other)]
            animals = [{subject_of[name] for name in part} for part in names]
            if animals[0] & animals[1] and plan.holds_out is HeldOut.ANIMALS:
                found.add((Kind.ANIMALS, (one, other)))
            if names[0] & names[1] and plan.holds_out in {HeldOut.ANIMALS, HeldOut.RECORDINGS}:
                found.add((Kind.RECORDINGS, (one, other)))
            if held[0] & held[1] and fold.draw is None:
                found.add((Kind.FRAMES, (one, other)))
            if seen[one] & seen[other]:
                found.add((Kind.WINDOWS, (one, other)))
            detrend = view.transforms.detrend
            if raw[one] & raw[other] and detrend and detrend.length_frames > 1:
                found.add((Kind.STEPS, (one, other)))
    return found


@many
@given(drawn=recordings(), view=views(), protocol=st.sampled_from(HONEST))
def test_no_honest_protocol_is_accused(timeline_of, drawn, view, protocol):
    timeline = timeline_of(drawn)
    try:
        plan = protocol.plan(timeline, reach=view.reach)
    except ValueError:
        assume(False)
    assert expected_leaks(plan, timeline, view) == set()
    verdict = check_leaks(plan, timeline=timeline, view=view)
    assert verdict.leaks == ()
    assert not verdict.is_refused


@st.composite
def stretches(draw, timeline):
    entry = draw(st.sampled_from(timeline.manifest.recordings))
    if draw(st.booleans()):
        return Stretch.whole(entry)
    start = draw(st.integers(0, entry.n_frames - 1))
    stop = draw(st.integers(start + 1, entry.n_frames))
    return Stretch(recording=entry.name, start_frame=start, stop_frame=stop)


@many
@given(data=st.data(), drawn=recordings(), view=views(), holds_out=st.sampled_from(HeldOut))
def test_verdict_on_any_plan_is_that_of_a_count_frame_by_frame(
    timeline_of, data, drawn, view, holds_out
):
    timeline = timeline_of(drawn)
    stretch = stretches(timeline)
    folds = tuple(
        Fold(
            index=i,
            train=(data.draw(stretch),),
            validation=(data.draw(stretch),),
            test=(data.draw(stretch),),
        )
        for i in range(data.draw(st.integers(1, 2)))
    )
    plan = FoldPlan(name="any", holds_out=holds_out, groups=(), folds=folds)
    verdict = audit(plan, timeline=timeline, view=view)
    expected = expected_leaks(plan, timeline, view)
    assert {(leak.kind, leak.parts) for leak in verdict.leaks} == expected
    assert verdict.is_refused == bool(expected and holds_out is not HeldOut.NOTHING)
    assert (verdict.standing is Standing.LEAKY) == bool(expected)


@many
@given(
    drawn=recordings(least=3),
    view=views(),
    kind=st.sampled_from([Kind.ANIMALS, Kind.RECORDINGS, Kind.FRAMES]),
    side=st.sampled_from([PartName.VALIDATION, PartName.TEST]),
    seed=st.integers(0, 999),
)
def test_a_leak_put_into_a_clean_plan_is_caught(timeline_of, drawn, view, kind, side, seed):
    """Let a recording of an animal, half a recording, or a frame stand on the training side too."""
    timeline = timeline_of(drawn)
    rng = np.random.default_rng(seed)
    try:
        plan = AnimalGroups(k_groups=3).plan(timeline, reach=view.reach)
    except ValueError:
        assume(False)
    which = int(rng.integers(len(plan.folds)))
    fold = plan.folds[which]
    stretch = fold.part(side)[int(rng.integers(len(fold.part(side))))]
    half = stretch.n_frames // 2
    left, right = (
        Stretch(recording=stretch.recording, start_frame=a, stop_frame=b)
        for a, b in ((0, half), (half, stretch.n_frames))
    )
    one = Stretch(recording=stretch.recording, start_frame=half, stop_frame=half + 1)
    others = tuple(s for s in fold.part(side) if s != stretch)
    kept, moved = {
        Kind.ANIMALS: (others, stretch),
        Kind.RECORDINGS: ((*others, left), right),
        Kind.FRAMES: ((*others, stretch), one),
    }[kind]
    assume(kept)
    changed = {"train": (*fold.train, moved), side.name.lower(): kept}
    parts = {name.name.lower(): fold.part(name) for name in PartName} | changed
    leaky = Fold(index=which, test_group=0, validation_group=1, **parts)
    folds = tuple(leaky if f.index == which else f for f in plan.folds)
    bad = FoldPlan(name=plan.name, groups=plan.groups, folds=folds)
    with pytest.raises(LeakFound) as found:
        check_leaks(bad, timeline=timeline, view=view)
    leaks = [leak for leak in found.value.verdict.leaks if leak.kind is kind]
    assert [(leak.parts, leak.folds) for leak in leaks] == [((PartName.TRAIN, side), (which,))]
    assert [(leak.where, leak.n_where) for leak in leaks] == [
        ((stretch.recording[:2] if kind is Kind.ANIMALS else stretch.recording,), 1)
    ]


@many
@given(drawn=recordings(), view=views(), seed=st.integers(0, 99))
def test_windows_at_random_are_leaky_by_name(timeline_of, drawn, view, seed):
    timeline = timeline_of(drawn)
    plan = StratifiedWindows(seed=seed).plan(timeline, reach=view.reach)
    verdict = check_leaks(plan, timeline=timeline, view=view)
    found = {(leak.kind, leak.parts) for leak in verdict.leaks}
    assert found == expected_leaks(plan, timeline, view)
    assert all(leak.is_asked_for for leak in verdict.leaks)
    assert view.window.reach_frames == 1 or (Kind.WINDOWS, PAIRS[1]) in found


@pytest.fixture
def three(timeline_of):
    return timeline_of([(f"m{i}", f"m{i}_a", np.tile([0, 1], 200)) for i in (1, 2, 3)])


@pytest.mark.parametrize("scaling", [MinMax(over=Scope.RECORDING), ZScore(over=Scope.RECORDING)])
def test_a_step_over_the_whole_recording_is_a_note_between_animals_and_a_leak_within(
    three, scaling
):
    view = view_of(transforms=Transforms(scaling=scaling))
    between = check_leaks(EachAnimal().plan(three, reach=view.reach), timeline=three, view=view)
    assert between.standing is Standing.NOTED
    assert "transductive" in between.notes[0]
    within = TimeBlocks().plan(three, reach=view.reach)
    with pytest.raises(LeakFound, match=r"1200 frames of m1_a, m2_a, m3_a reach .*over=training"):
        check_leaks(within, timeline=three, view=view)


def test_detrending_is_a_note_between_animals_and_a_leak_across_a_narrow_gap(three):
    view = view_of(transforms=Transforms(detrend=Detrend(length_frames=20)))
    plan = EachAnimal().plan(three, reach=view.reach)
    assert check_leaks(plan, timeline=three, view=view).standing is Standing.NOTED
    wide = check_leaks(TimeBlocks().plan(three, reach=view.reach), timeline=three, view=view)
    assert wide.leaks == ()
    narrow = TimeBlocks().plan(three, reach=Reach(window_frames=18))
    with pytest.raises(LeakFound, match=r"reach the training and the validation part by Detrend"):
        check_leaks(narrow, timeline=three, view=view)
    enough = TimeBlocks().plan(three, reach=Reach(window_frames=19))
    assert check_leaks(enough, timeline=three, view=view).leaks == ()


@dataclass(frozen=True, kw_only=True)
class FittedOnTest(ZScore):
    """A scaling that declares that it is fitted on the test part too."""

    @property
    def fitted_on(self):
        return (PartName.TRAIN, PartName.TEST)


@pytest.mark.parametrize("protocol", [EachAnimal(), StratifiedWindows()])
def test_what_is_fitted_on_the_test_part_is_refused_whatever_the_plan(three, protocol):
    view = view_of(transforms=Transforms(scaling=FittedOnTest()))
    plan = protocol.plan(three, reach=view.reach)
    with pytest.raises(LeakFound, match="FittedOnTest is fitted on the training and the test part"):
        check_leaks(plan, timeline=three, view=view)
    assert view_of(transforms=Transforms(scaling=ZScore())).transforms.fitted_on == (
        PartName.TRAIN,
    )


@dataclass(frozen=True, kw_only=True)
class BestUnits(UnitMask):
    """A mask that declares that its units were chosen on some parts."""

    on: tuple[PartName, ...]

    @property
    def fitted_on(self):
        return self.on


def test_a_mask_chosen_on_the_validation_part_is_refused_and_on_training_is_not(three):
    plan = EachAnimal().plan(three, reach=Reach())
    honest = view_of(mask=BestUnits(on=(PartName.TRAIN,)))
    assert check_leaks(plan, timeline=three, view=honest).standing is Standing.CLEAN
    with pytest.raises(LeakFound, match="BestUnits is fitted on the validation part .*training"):
        check_leaks(plan, timeline=three, view=view_of(mask=BestUnits(on=(PartName.VALIDATION,))))


def test_permuted_labels_and_same_animals_are_notes(three):
    view = view_of(labels=Labels.PERMUTED, mask=UnitMask(keep="region1"))
    verdict = check_leaks(
        plan_folds(three, [view_of(folds=TimeBlocks())]), timeline=three, view=view
    )
    assert verdict.standing is Standing.NOTED
    assert verdict.notes == (
        "animals m1, m2, m3 are in the training, the validation and the test part: the figures "
        "speak of these animals, not of a new one",
        "recordings m1_a, m2_a, m3_a are in the training, the validation and the test part",
        "labels of training and validation permuted (control)",
    )


def test_what_was_done_before_ingest_is_a_note(three):
    entries = [
        dataclasses.replace(entry, steps=("dF/F over 60 s.",) if entry.name == "m1_a" else ())
        for entry in three.manifest.recordings
    ]
    manifest = dataclasses.replace(three.manifest, recordings=tuple(entries))
    timeline = dataclasses.replace(three, manifest=manifest)
    verdict = audit(EachAnimal().plan(timeline, reach=Reach()), timeline=timeline, view=view_of())
    assert verdict.standing is Standing.NOTED
    assert verdict.notes == ("before ingest: dF/F over 60 s (m1_a)",)
    within = audit(TimeBlocks().plan(timeline, reach=Reach()), timeline=timeline, view=view_of())
    assert "dF/F over 60 s (m1_a): it may have seen frames of other parts" in within.notes[-1]


def test_what_was_done_frame_by_frame_has_seen_no_other_part(three):
    step = "fast is speed cut at 5, frame by frame"
    entries = [dataclasses.replace(entry, steps=(step,)) for entry in three.manifest.recordings]
    manifest = dataclasses.replace(three.manifest, recordings=tuple(entries))
    timeline = dataclasses.replace(three, manifest=manifest)
    verdict = audit(TimeBlocks().plan(timeline, reach=Reach()), timeline=timeline, view=view_of())
    assert verdict.notes[-1] == f"before ingest: {step}"


def test_clean_is_clean(three):
    verdict = check_leaks(EachAnimal().plan(three, reach=Reach()), timeline=three, view=view_of())
    assert verdict.standing is Standing.CLEAN
    assert verdict.findings == ()


def test_verdict_has_a_plain_form_and_an_error_that_travels(three):
    view = view_of(transforms=Transforms(detrend=Detrend(length_frames=20)))
    plan = TimeBlocks().plan(three, reach=Reach())
    verdict = audit(plan, timeline=three, view=view)
    assert verdict.is_refused
    assert from_plain(json.loads(json.dumps(to_plain(verdict)))) == verdict
    error = pickle.loads(pickle.dumps(LeakFound(verdict, plan.name)))
    assert str(error) == str(LeakFound(verdict, plan.name))
    assert "gap_frames=null" in str(error)
    assert verdict + verdict == verdict
