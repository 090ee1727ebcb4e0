"""Which frames train, validate and test."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calsweep.datasets.manifest import MAX_CLASSES, Manifest, RecordingEntry
from calsweep.datasets.recording import MISSING_LABEL

# G group, C class and count of animals


class PartName(Enum):
    """A part of a fold."""

    TRAIN = "training"
    VALIDATION = "validation"
    TEST = "test"


class HeldOut(Enum):
    """What a plan keeps from training, and so what its test figures speak of.

    ``ANIMALS``: a new animal. ``RECORDINGS``: another day of the same animals. ``FRAMES``: another
    time of the same recordings. ``NOTHING``: windows that share frames with training; such a plan
    is leaky, asked for by name, and labelled so wherever its figures show.
    """

    ANIMALS = "animals"
    RECORDINGS = "recordings"
    FRAMES = "frames"
    NOTHING = "nothing"


@dataclass(frozen=True, kw_only=True, order=True)
class Stretch:
    """Neighboring frames of one recording.

    Attributes
    ----------
    recording
        Its name.
    start_frame, stop_frame
        First frame, and the one after the last, counted in the recording.

    Raises
    ------
    ValueError
        If it has no frame.

    Examples
    --------
    >>> Stretch(recording="m1_d1", start_frame=100, stop_frame=250).n_frames
    150
    """

    recording: str
    start_frame: int
    stop_frame: int

    def __post_init__(self) -> None:
        if not 0 <= self.start_frame < self.stop_frame:
            raise ValueError(
                "`0 <= start_frame < stop_frame` must hold, "
                f"but got frames {self.start_frame} to {self.stop_frame} of {self.recording}."
            )

    @property
    def n_frames(self) -> int:
        """Frames in the stretch."""
        return self.stop_frame - self.start_frame

    @classmethod
    def whole(cls, entry: RecordingEntry, /) -> Stretch:
        """Give all frames of a recording."""
        return cls(recording=entry.name, start_frame=0, stop_frame=entry.n_frames)


@dataclass(frozen=True, kw_only=True)
class WindowDraw:
    """Parts as a random draw of windows, each class by itself, from frames that all parts share.

    Attributes
    ----------
    seed
        Of the draw.
    validation_share, test_share
        Of the windows of each class; the rest trains.
    """

    seed: int
    validation_share: float
    test_share: float


@dataclass(frozen=True, kw_only=True)
class Fold:
    """The stretches of each part of one fold.

    A window belongs to a part if all its frames and the frame it decodes lie in one of the part's
    stretches. Whether parts share frames or animals is for `calsweep.datasets.audit` to say.

    Attributes
    ----------
    index
        Place in the plan, from 0.
    train, validation, test
        In the order of the dataset.
    test_group, validation_group
        Which groups test and validate, all others train; ``None`` in a plan without groups.
    draw
        Divides the windows of the stretches, which all parts then have; otherwise ``None``.

    Raises
    ------
    ValueError
        If a part is empty, or two stretches of one part overlap.
    """

    index: int
    train: tuple[Stretch, ...]
    validation: tuple[Stretch, ...]
    test: tuple[Stretch, ...]
    test_group: int | None = None
    validation_group: int | None = None
    draw: WindowDraw | None = None

    def __post_init__(self) -> None:
        for name in PartName:
            stretches = sorted(self.part(name))
            if not stretches:
                raise ValueError(
                    f"each part of a fold must have a recording, but the {name.value} part of fold "
                    f"{self.index} has none."
                )
            for one, other in itertools.pairwise(stretches):
                if one.recording == other.recording and other.start_frame < one.stop_frame:
                    raise ValueError(
                        f"a part must hold a frame once, but the {name.value} part of fold "
                        f"{self.index} holds frame {other.start_frame} of {one.recording} twice."
                    )

    def part(self, name: PartName, /) -> tuple[Stretch, ...]:
        """Give the stretches of a part."""
        if name is PartName.TRAIN:
            return self.train
        return self.validation if name is PartName.VALIDATION else self.test


@dataclass(frozen=True, kw_only=True)
class FoldPlan:
    """All folds of a protocol.

    Attributes
    ----------
    name
        Of the protocol.
    holds_out
        What it keeps from training.
    groups
        What each group holds: animals, recordings or stretches; none where folds are not pairs of
        groups.
    folds
        In order of test group, then validation group.
    """

    name: str
    holds_out: HeldOut = HeldOut.ANIMALS
    groups: tuple[tuple[str, ...], ...]
    folds: tuple[Fold, ...]

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 of groups and folds, in hexadecimal."""
        text = json.dumps(
            dataclasses.asdict(self), sort_keys=True, separators=(",", ":"), default=_plain
        )
        return hashlib.sha256(text.encode()).hexdigest()


def _plain(value: Any) -> Any:
    """Write what JSON has no form of."""
    assert isinstance(value, Enum)  # noqa: S101 - nothing else of a plan is not plain
    return value.value


def check_stretches(plan: FoldPlan, /, *, manifest: Manifest) -> None:
    """Check that a dataset has the frames of a plan.

    Raises
    ------
    ValueError
        If a recording is not there, or is shorter.
    """
    n_frames = {entry.name: entry.n_frames for entry in manifest.recordings}
    for fold in plan.folds:
        for name in PartName:
            for stretch in fold.part(name):
                if stretch.recording not in n_frames:
                    raise ValueError(
                        f"folds must be of recordings of the dataset, but {stretch.recording!r} "
                        f"is none. There are: {_some(list(n_frames))}."
                    )
                if stretch.stop_frame > n_frames[stretch.recording]:
                    raise ValueError(
                        f"folds must be of frames that are there, but {stretch.recording} has "
                        f"{n_frames[stretch.recording]} and a stretch ends at {stretch.stop_frame}."
                    )


def check_target(manifest: Manifest, /, *, target: str) -> None:
    """Check that a behavior can be decoded: it is there, and its classes are 0, 1 and so on.

    -1 is no class but says that the behavior is not known; such frames are decoded by no window.

    Raises
    ------
    ValueError
        If it is not known, is a measure, has one class, or its classes are numbered otherwise.
    """
    there = ", ".join(manifest.labels) or "none"
    if target not in manifest.behaviors:
        raise ValueError(
            f"`target` must name a behavior of the dataset, but got {target!r}. "
            f"There are: {', '.join(manifest.behaviors) or 'none'}; labels among them: {there}."
        )
    if target not in manifest.labels:
        raise ValueError(
            f"`target` must be a label (whole numbers), but {target!r} is a measure (floats). "
            f"Labels of the dataset: {there}."
        )
    if not all(entry.label_counts[target] for entry in manifest.recordings):
        raise ValueError(
            f"`target` must have at most {MAX_CLASSES} classes, but {target!r} has more values. "
            f"Labels of the dataset: {there}."
        )
    values = {c for entry in manifest.recordings for c in entry.label_counts[target]}
    classes = sorted(values - {MISSING_LABEL})
    if not set(classes) <= set(range(max(len(classes), 2))):
        raise ValueError(
            f"`target` must have classes numbered from 0, but {target!r} has {_some(classes)}. "
            "Number its classes 0, 1, ... without a gap when ingesting "
            "(`--bins LABEL=BEHAVIOR:EDGES`)."
        )
    if len(classes) < 2:
        raise ValueError(
            f"`target` must have two classes or more, but {target!r} is {_some(classes)} in all "
            f"{manifest.n_frames} frames. Choose another; labels of the dataset: {there}."
        )


def n_classes(manifest: Manifest, /, *, target: str) -> int:
    """Count the classes of a behavior that can be decoded (`check_target`)."""
    values = {c for entry in manifest.recordings for c in entry.label_counts[target]}
    return len(values - {MISSING_LABEL})


def animal_folds(manifest: Manifest, /, *, target: str, k: int = 5) -> FoldPlan:
    """Divide animals into groups and let each validate where each other tests.

    Groups are balanced in frames of either class (so in frames and in label share) and in animals;
    the division depends on the manifest alone.

    Parameters
    ----------
    manifest
        Of the dataset.
    target
        Behavior to be decoded.
    k
        Number of groups.

    Returns
    -------
    plan
        ``k * (k - 1)`` folds, one for every ordered pair of (test, validation) groups.

    Raises
    ------
    ValueError
        If there are fewer animals than groups, the target cannot be decoded, or a group would have
        only one class.

    References
    ----------
    The mouse-wise folds of widefield decoding: 3 mice train, 1 validates, 1 tests, all 20 pairs.
    """
    if k < 3:
        raise ValueError(
            f"`k_groups >= 3` must hold (train, validate, test), but got k_groups={k}."
        )
    check_target(manifest, target=target)
    groups = _groups(manifest, target=target, k=k)
    check_classes(manifest, groups, target=target)
    pairs = itertools.permutations(range(k), 2)
    folds = tuple(
        animal_fold(manifest, groups, index=i, test=test, validation=validation)
        for i, (test, validation) in enumerate(pairs)
    )
    return FoldPlan(name=f"animals in {k} groups", groups=groups, folds=folds)


def animal_fold(
    manifest: Manifest,
    groups: Sequence[Sequence[str]],
    /,
    *,
    index: int,
    test: int,
    validation: int,
) -> Fold:
    """Give the fold in which one group of animals tests, one validates and all others train."""

    def of(*chosen: int) -> tuple[Stretch, ...]:
        subjects = {subject for group in chosen for subject in groups[group]}
        return tuple(Stretch.whole(e) for e in manifest.recordings if e.subject in subjects)

    return Fold(
        index=index,
        test_group=test,
        validation_group=validation,
        train=of(*(group for group in range(len(groups)) if group not in {test, validation})),
        validation=of(validation),
        test=of(test),
    )


def _groups(manifest: Manifest, *, target: str, k: int) -> tuple[tuple[str, ...], ...]:
    subjects = manifest.subjects
    if len(subjects) < k:
        raise ValueError(
            f"{k} groups need at least {k} animals, but the dataset has {len(subjects)} "
            f"({', '.join(subjects)}). Set `datasets.folds.k_groups={max(3, len(subjects))}`"
            + (
                ", or add recordings of other animals."
                if len(subjects) >= 3
                else " and add recordings of other animals."
            )
        )
    weights = np.array([_counts(manifest, subject, target=target) for subject in subjects])
    group_of = _balance(weights / (weights.sum(axis=0) / k), k=k)
    groups = [
        tuple(s for s, g in zip(subjects, group_of, strict=True) if g == group)
        for group in range(k)
    ]
    return tuple(sorted(groups))


def _counts(manifest: Manifest, subject: str, *, target: str) -> tuple[int, ...]:
    """Give an animal's frames of each class, and 1 for the animal."""
    mine = [e.label_counts[target] for e in manifest.recordings if e.subject == subject]
    classes = range(n_classes(manifest, target=target))
    return (*(sum(counts.get(c, 0) for counts in mine) for c in classes), 1)


def _balance(weights: NDArray[np.float64], *, k: int) -> list[int]:
    """Give each animal a group so that the groups' sums are near 1 in every column.

    The heaviest animal first, into the lightest group; then any move or exchange of two that makes
    the sum of squares smaller, until none does.
    """
    n_animals = len(weights)
    heaviest_first = sorted(range(n_animals), key=lambda a: (-round(weights[a].sum(), 9), a))
    group_of = [0] * n_animals
    sums_GC = np.zeros((k, weights.shape[1]))
    for animal in heaviest_first:
        lightest = min(range(k), key=lambda g: (round(sums_GC[g].sum(), 9), g))
        group_of[animal] = lightest
        sums_GC[lightest] += weights[animal]
    while _improve(weights, group_of, sums_GC):
        pass
    return group_of


def _improve(
    weights: NDArray[np.float64], group_of: list[int], sums_GC: NDArray[np.float64]
) -> bool:
    """Make every move and exchange that helps, once through; say whether one did."""
    improved = False
    for a, b in _changes(group_of, k=len(sums_GC)):
        here = group_of[a]
        there = group_of[b] if b >= 0 else -b - 1
        if here == there or (b < 0 and group_of.count(here) == 1):
            continue
        delta = weights[a] - (weights[b] if b >= 0 else 0.0)
        # Change of the sum of squares of the two groups' sums.
        gain = 2 * float((delta * (sums_GC[here] - sums_GC[there] - delta)).sum())
        if gain <= 1e-9:
            continue
        sums_GC[here] -= delta
        sums_GC[there] += delta
        group_of[a] = there
        if b >= 0:
            group_of[b] = here
        improved = True
    return improved


def _changes(group_of: list[int], *, k: int) -> Iterator[tuple[int, int]]:
    """Give pairs of animals to exchange, and, as ``-group - 1``, groups to move an animal to."""
    n_animals = len(group_of)
    for a in range(n_animals):
        for group in range(k):
            yield a, -group - 1
        for b in range(a + 1, n_animals):
            yield a, b


def check_classes(manifest: Manifest, groups: Sequence[Sequence[str]], /, *, target: str) -> None:
    """Check that every group of animals has two classes of the target or more.

    Raises
    ------
    ValueError
        If one has not.
    """
    for group in groups:
        counts = np.sum([_counts(manifest, subject, target=target) for subject in group], axis=0)
        there = np.flatnonzero(counts[:-1]).tolist()
        if len(there) < 2:
            raise ValueError(
                f"every group of animals must have two classes of {target!r}, but the group "
                f"({', '.join(group)}) is {_some(there)} in all {counts[:-1].sum()} frames. "
                "Choose another target, a smaller `datasets.folds.k_groups`, or leave the animal "
                "out."
            )


def _some(values: Sequence[object]) -> str:
    return ", ".join(map(str, values[:8])) + (", ..." if len(values) > 8 else "")
