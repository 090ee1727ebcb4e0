"""How a dataset is divided into folds: by animal, by recording, or as listed."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from calsweep.datasets.fold import (
    Fold,
    FoldPlan,
    HeldOut,
    Stretch,
    animal_fold,
    animal_folds,
    check_classes,
    check_stretches,
    check_target,
)
from calsweep.datasets.manifest import Manifest
from calsweep.datasets.timeline import Timeline


@dataclass(frozen=True, kw_only=True)
class Reach:
    """How far the input of a decoder reaches, the widest of a sweep.

    Attributes
    ----------
    window_frames
        Frames from the first to the last of a window and the frame it decodes.
    look_frames
        Frames before and after a frame, together, on which its value depends after all steps; a
        step over a whole recording is not counted, since no gap is wide enough for it.
    """

    window_frames: int = 1
    look_frames: int = 0

    @property
    def guard_frames(self) -> int:
        """Frames to leave out between two parts of one recording.

        No step of one part then reaches a frame of the other, and a window lies between them.
        """
        return max(self.window_frames, self.look_frames)


@runtime_checkable
class Folds(Protocol):
    """A fold protocol: typed settings that give a plan for a dataset."""

    def plan(self, timeline: Timeline, /, *, reach: Reach) -> FoldPlan:
        """Divide a dataset.

        Parameters
        ----------
        timeline
            Labels and trials of the dataset.
        reach
            How far a decoder's input reaches.

        Raises
        ------
        ValueError
            If the dataset does not allow it; the message says what would.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class AnimalGroups:
    """Animals in balanced groups, every ordered pair of (test, validation) groups a fold.

    Attributes
    ----------
    k_groups
        Number of groups; 5 give the 20 folds of W.
    """

    k_groups: int = 5

    def __post_init__(self) -> None:
        check_k_groups(self.k_groups)

    def plan(self, timeline: Timeline, /, *, reach: Reach) -> FoldPlan:  # noqa: ARG002
        """Divide the animals (`animal_folds`)."""
        return animal_folds(timeline.manifest, target=timeline.target, k=self.k_groups)


@dataclass(frozen=True, kw_only=True)
class EachAnimal:
    """Each animal a group of its own, every ordered pair of (test, validation) animals a fold."""

    def plan(self, timeline: Timeline, /, *, reach: Reach) -> FoldPlan:  # noqa: ARG002
        """Give ``n * (n - 1)`` folds for ``n`` animals."""
        groups = _animals(timeline, protocol="each_animal")
        pairs = itertools.permutations(range(len(groups)), 2)
        folds = tuple(
            animal_fold(timeline.manifest, groups, index=i, test=test, validation=validation)
            for i, (test, validation) in enumerate(pairs)
        )
        return FoldPlan(name="each animal a group", groups=groups, folds=folds)


@dataclass(frozen=True, kw_only=True)
class LeaveOneAnimalOut:
    """Each animal tests one fold; the next one, in order of name, validates it.

    So each animal validates once, too.
    """

    def plan(self, timeline: Timeline, /, *, reach: Reach) -> FoldPlan:  # noqa: ARG002
        """Give one fold an animal."""
        groups = _animals(timeline, protocol="leave_one_animal_out")
        folds = tuple(
            animal_fold(
                timeline.manifest, groups, index=i, test=i, validation=(i + 1) % len(groups)
            )
            for i in range(len(groups))
        )
        return FoldPlan(name="leave one animal out", groups=groups, folds=folds)


@dataclass(frozen=True, kw_only=True)
class LeaveOneRecordingOut:
    """Each recording tests one fold, the next of the same animal validates, its others train.

    Attributes
    ----------
    subjects
        The animals to do it for; by default all.
    """

    subjects: tuple[str, ...] = ()

    def plan(self, timeline: Timeline, /, *, reach: Reach) -> FoldPlan:  # noqa: ARG002
        """Give one fold a recording."""
        manifest = timeline.manifest
        check_target(manifest, target=timeline.target)
        unknown = sorted(set(self.subjects) - set(manifest.subjects))
        if unknown:
            raise ValueError(
                f"`subjects` must be animals of the dataset, but {unknown[0]!r} is none. "
                f"There are: {', '.join(manifest.subjects)}."
            )
        chosen = self.subjects or manifest.subjects
        kept = [entry for entry in manifest.recordings if entry.subject in chosen]
        folds: list[Fold] = []
        number = {entry.name: i for i, entry in enumerate(kept)}
        for subject in chosen:
            mine = [entry for entry in kept if entry.subject == subject]
            if len(mine) < 3:
                raise ValueError(
                    "leaving a recording out needs three recordings of an animal, but "
                    f"{subject} has {len(mine)}. Name animals that have more in "
                    "`datasets.folds.subjects=[...]`, or divide time "
                    "(`datasets/folds=time_blocks`)."
                )
            for i, entry in enumerate(mine):
                validation = mine[(i + 1) % len(mine)]
                others = [e for e in mine if e not in (entry, validation)]
                folds.append(
                    Fold(
                        index=len(folds),
                        test_group=number[entry.name],
                        validation_group=number[validation.name],
                        train=tuple(map(Stretch.whole, others)),
                        validation=(Stretch.whole(validation),),
                        test=(Stretch.whole(entry),),
                    )
                )
        for entry in kept:
            if sum(n > 0 for c, n in entry.label_counts[timeline.target].items() if c >= 0) < 2:
                raise ValueError(
                    f"every recording must have two classes of {timeline.target!r} to be left "
                    f"out, but {entry.name} has one. Choose another target, or leave it out of "
                    "the dataset."
                )
        return FoldPlan(
            name="leave one recording out",
            holds_out=HeldOut.RECORDINGS,
            groups=tuple((entry.name,) for entry in kept),
            folds=tuple(folds),
        )


Listing = str | tuple[str, int, int]
"""A recording by name, or some of its frames: ``(recording, start_frame, stop_frame)``."""


@dataclass(frozen=True, kw_only=True)
class Listed:
    """Folds written out.

    Attributes
    ----------
    folds
        One or more: ``{"train": [...], "validation": [...], "test": [...]}``, each a list of
        recordings or of ``[recording, start_frame, stop_frame]``.
    holds_out
        What the plan claims to keep from training; the audit refuses a sweep that breaks it. With
        ``nothing`` a leak is asked for by name.

    Raises
    ------
    ValueError
        If a fold is not of this form.

    Examples
    --------
    >>> fold = {"train": ("a", "b"), "validation": ("c",), "test": (("d", 0, 100),)}
    >>> len(Listed(folds=(fold,)).folds)
    1
    """

    folds: tuple[Mapping[str, tuple[Listing, ...]], ...]
    holds_out: HeldOut = HeldOut.ANIMALS

    def __post_init__(self) -> None:
        if not self.folds:
            raise ValueError("`folds` must list at least one fold, but lists none.")
        for fold in self.folds:
            if not isinstance(fold, Mapping) or set(fold) != {"train", "validation", "test"}:
                raise ValueError(
                    "a listed fold must name `train`, `validation` and `test`, and nothing else, "
                    f"but got {fold!r}."
                )
            for items in fold.values():
                _check_listing(items)

    def plan(self, timeline: Timeline, /, *, reach: Reach) -> FoldPlan:  # noqa: ARG002
        """Give the folds as they are listed."""
        manifest = timeline.manifest
        check_target(manifest, target=timeline.target)
        folds = tuple(
            Fold(
                index=i,
                train=_listed(fold["train"], manifest=manifest),
                validation=_listed(fold["validation"], manifest=manifest),
                test=_listed(fold["test"], manifest=manifest),
            )
            for i, fold in enumerate(self.folds)
        )
        plan = FoldPlan(name="listed", holds_out=self.holds_out, groups=(), folds=folds)
        check_stretches(plan, manifest=manifest)
        return plan


def check_k_groups(k_groups: int, /) -> None:
    """Check that there are groups to train, validate and test.

    Raises
    ------
    ValueError
        If there are fewer than three.
    """
    if k_groups < 3:
        raise ValueError(f"`k_groups >= 3` must hold (train, validate, test), but got {k_groups=}.")


def _animals(timeline: Timeline, *, protocol: str) -> tuple[tuple[str, ...], ...]:
    """Give each animal as a group."""
    manifest = timeline.manifest
    check_target(manifest, target=timeline.target)
    groups = tuple((subject,) for subject in manifest.subjects)
    if len(groups) < 3:
        raise ValueError(
            f"`datasets/folds={protocol}` needs at least 3 animals, but the dataset has "
            f"{len(groups)} ({', '.join(manifest.subjects)}). Add recordings of other animals, or "
            "divide time (`datasets/folds=time_blocks`)."
        )
    check_classes(manifest, groups, target=timeline.target)
    return groups


def _check_listing(items: object) -> None:
    ours = isinstance(items, tuple) and all(
        isinstance(item, str)
        or (isinstance(item, tuple) and [type(value) for value in item] == [str, int, int])
        for item in items
    )
    if not ours:
        raise ValueError(
            "a part must list recordings, or [recording, start_frame, stop_frame], "
            f"but got {items!r}."
        )


def _listed(items: Sequence[Listing], *, manifest: Manifest) -> tuple[Stretch, ...]:
    entries = {entry.name: entry for entry in manifest.recordings}
    stretches = []
    for item in items:
        if isinstance(item, str):
            if item not in entries:
                known = ", ".join(list(entries)[:8])
                raise ValueError(
                    f"folds must be of recordings of the dataset, but {item!r} is none. "
                    f"There are: {known}."
                )
            stretches.append(Stretch.whole(entries[item]))
        else:
            name, start, stop = item
            stretches.append(Stretch(recording=name, start_frame=start, stop_frame=stop))
    order = {entry.name: i for i, entry in enumerate(manifest.recordings)}
    return tuple(sorted(stretches, key=lambda s: (order.get(s.recording, -1), s.start_frame)))
