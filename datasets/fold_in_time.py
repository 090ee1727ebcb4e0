"""Folds within recordings: blocks of time, whole trials, whole events, or windows at random."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calsweep.datasets.fold import (
    Fold,
    FoldPlan,
    HeldOut,
    PartName,
    Stretch,
    WindowDraw,
    check_target,
)
from calsweep.datasets.fold_protocol import Reach, check_k_groups
from calsweep.datasets.recording import trial_borders
from calsweep.datasets.timeline import Timeline

# P piece of a recording, G group, C class and count of pieces


@dataclass(frozen=True, kw_only=True)
class TimeBlocks:
    """Recordings cut into blocks of time, every ordered pair of groups of blocks a fold.

    Between blocks of two parts a guard gap is left out. Groups are balanced in frames of either
    class, and each has blocks of every recording.

    Attributes
    ----------
    k_groups
        Number of groups.
    n_blocks
        Blocks of a recording, at least as many as groups; more of them let groups be balanced
        better, and lose more frames in gaps.
    gap_frames
        Frames left out at a border. ``None`` is as many as are needed: those of a window, or those
        that steps such as detrending look around, whichever is more. Fewer are refused.
    """

    k_groups: int = 5
    n_blocks: int = 5
    gap_frames: int | None = None

    def __post_init__(self) -> None:
        check_k_groups(self.k_groups)
        if self.n_blocks < self.k_groups:
            raise ValueError(
                "`n_blocks >= k_groups` must hold, "
                f"but got n_blocks={self.n_blocks}, k_groups={self.k_groups}."
            )

    def plan(self, timeline: Timeline, /, *, reach: Reach) -> FoldPlan:
        """Divide time."""
        gap = _gap(self.gap_frames, needed=reach.guard_frames)
        pieces = [
            Stretch(recording=entry.name, start_frame=start, stop_frame=stop)
            for entry in timeline.manifest.recordings
            for start, stop in itertools.pairwise(_even_cuts(entry.n_frames, n=self.n_blocks))
        ]
        name = f"blocks of time in {self.k_groups} groups, gap of {gap} frames"
        return _pairs(timeline, pieces, k=self.k_groups, gap=gap, name=name)


@dataclass(frozen=True, kw_only=True)
class WholeTrials:
    """Trials in balanced groups, every ordered pair of groups a fold.

    No window crosses the border of a trial, so a gap is needed only for steps that look around.

    Attributes
    ----------
    k_groups
        Number of groups.
    gap_frames
        Frames left out where trials of two parts follow each other. ``None`` is as many as steps
        such as detrending look around. Fewer are refused.
    """

    k_groups: int = 5
    gap_frames: int | None = None

    def __post_init__(self) -> None:
        check_k_groups(self.k_groups)

    def plan(self, timeline: Timeline, /, *, reach: Reach) -> FoldPlan:
        """Divide the trials."""
        gap = _gap(self.gap_frames, needed=reach.look_frames)
        pieces = [
            Stretch(recording=entry.name, start_frame=int(start), stop_frame=int(stop))
            for entry in timeline.manifest.recordings
            for start, stop in itertools.pairwise(trial_borders(timeline.trials[entry.name]))
        ]
        if len(pieces) < self.k_groups:
            raise ValueError(
                f"{self.k_groups} groups need at least {self.k_groups} trials, but the dataset "
                f"has {len(pieces)}. Say where trials are when ingesting, or divide time "
                "(`datasets/folds=time_blocks`)."
            )
        name = f"whole trials in {self.k_groups} groups" + (f", gap of {gap} frames" * (gap > 0))
        return _pairs(timeline, pieces, k=self.k_groups, gap=gap, name=name)


@dataclass(frozen=True, kw_only=True)
class WholeEvents:
    """Events (runs of class 1) in balanced groups, every ordered pair of groups a fold.

    A recording is cut in the middle of the rest between events, where the rest is long enough to
    leave the gap out; events with less between them stay together.

    Attributes
    ----------
    k_groups
        Number of groups.
    gap_frames
        Frames of rest left out where events of two parts follow each other, as for `TimeBlocks`.
    """

    k_groups: int = 5
    gap_frames: int | None = None

    def __post_init__(self) -> None:
        check_k_groups(self.k_groups)

    def plan(self, timeline: Timeline, /, *, reach: Reach) -> FoldPlan:
        """Divide the events."""
        gap = _gap(self.gap_frames, needed=reach.guard_frames)
        pieces = [
            Stretch(recording=entry.name, start_frame=start, stop_frame=stop)
            for entry in timeline.manifest.recordings
            for start, stop in itertools.pairwise(_rest_cuts(timeline.labels[entry.name], gap=gap))
        ]
        if len(pieces) < self.k_groups:
            raise ValueError(
                f"{self.k_groups} groups need at least {self.k_groups} events of "
                f"{timeline.target!r} with {gap} frames of rest between them, but the dataset has "
                f"{len(pieces)}. Shorten the window or `datasets.transforms.detrend`, or divide "
                "time (`datasets/folds=time_blocks`)."
            )
        name = f"whole events in {self.k_groups} groups, gap of {gap} frames"
        return _pairs(timeline, pieces, k=self.k_groups, gap=gap, name=name)


@dataclass(frozen=True, kw_only=True)
class StratifiedWindows:
    """Windows at random, each class by itself, as H divides them. Leaky, and labelled so.

    Windows start one frame apart, so almost every test window shares frames with training windows.
    It stands here to repeat what was reported; `TimeBlocks` is its honest counterpart.

    Attributes
    ----------
    seed
        Of the draw.
    validation_share, test_share
        Of the windows of each class.
    """

    seed: int = 0
    validation_share: float = 0.15
    test_share: float = 0.15

    def __post_init__(self) -> None:
        shares = (self.validation_share, self.test_share)
        if not (min(shares) > 0 and sum(shares) < 1) or self.seed < 0:
            raise ValueError(
                "`validation_share > 0`, `test_share > 0`, a sum below 1 and `seed >= 0` must "
                f"hold, but got {self.validation_share=}, {self.test_share=}, {self.seed=}."
            )

    def plan(self, timeline: Timeline, /, *, reach: Reach) -> FoldPlan:  # noqa: ARG002
        """Give one fold of all recordings."""
        check_target(timeline.manifest, target=timeline.target)
        whole = tuple(map(Stretch.whole, timeline.manifest.recordings))
        draw = WindowDraw(
            seed=self.seed, validation_share=self.validation_share, test_share=self.test_share
        )
        return FoldPlan(
            name="stratified windows (leaky)",
            holds_out=HeldOut.NOTHING,
            groups=(),
            folds=(Fold(index=0, train=whole, validation=whole, test=whole, draw=draw),),
        )


def _gap(given: int | None, *, needed: int) -> int:
    if given is None:
        return needed
    if given < needed:
        raise ValueError(
            f"`gap_frames >= {needed}` must hold, so that no window and no step of one part "
            f"reaches frames of another, but got gap_frames={given}. Leave it out for as many as "
            "are needed, or shorten the window or `datasets.transforms.detrend`."
        )
    return given


def _even_cuts(n_frames: int, *, n: int) -> list[int]:
    if n_frames < n:
        raise ValueError(
            f"a recording must have a frame for each of {n} blocks, but one has {n_frames}."
        )
    return [n_frames * i // n for i in range(n + 1)]


def _rest_cuts(labels_T: NDArray[np.generic], *, gap: int) -> list[int]:
    """Give the borders of pieces with whole events: the middles of rests that are long enough."""
    borders = trial_borders((labels_T != 0).astype(np.int8))
    cuts = [
        (int(start) + int(stop)) // 2
        for start, stop in itertools.pairwise(borders)
        if labels_T[start] == 0 and stop - start > gap and start > 0 and stop < len(labels_T)
    ]
    return [0, *cuts, len(labels_T)]


def _pairs(
    timeline: Timeline, pieces: Sequence[Stretch], *, k: int, gap: int, name: str
) -> FoldPlan:
    """Deal pieces, which lie end to end, to groups, and let every ordered pair be a fold."""
    check_target(timeline.manifest, target=timeline.target)
    group_P = _deal(timeline, pieces, k=k)
    folds = tuple(
        _fold(pieces, group_P, index=i, test=test, validation=validation, gap=gap)
        for i, (test, validation) in enumerate(itertools.permutations(range(k), 2))
    )
    groups = tuple(
        tuple(_name(p) for p, g in zip(pieces, group_P, strict=True) if g == group)
        for group in range(k)
    )
    return FoldPlan(name=name, holds_out=HeldOut.FRAMES, groups=groups, folds=folds)


def _deal(timeline: Timeline, pieces: Sequence[Stretch], *, k: int) -> list[int]:
    """Give each piece a group, so that groups are even in each class and in each recording.

    The heaviest piece of a recording first, to the group that has least of what it brings.
    """
    counts_PC = np.array([(*timeline.count(piece), 1) for piece in pieces], dtype=np.float64)
    weights_PC = counts_PC / np.maximum(counts_PC.sum(axis=0) / k, 1)
    sums_GC = np.zeros((k, weights_PC.shape[1]))
    group_P = [0] * len(pieces)
    for _, mine in itertools.groupby(range(len(pieces)), key=lambda p: pieces[p].recording):
        members = list(mine)
        room_G = np.full(k, math.ceil(len(members) / k))
        for p in sorted(members, key=lambda p: (-round(weights_PC[p].sum(), 9), p)):
            cost_G = np.round(sums_GC @ weights_PC[p], 9)
            group = int(np.argmin(np.where(room_G > 0, cost_G, np.inf)))
            group_P[p] = group
            room_G[group] -= 1
            sums_GC[group] += weights_PC[p]
    # In the order in which their first pieces lie.
    rank = {group: i for i, group in enumerate(dict.fromkeys(group_P))}
    return [rank[group] for group in group_P]


def _fold(
    pieces: Sequence[Stretch],
    group_P: Sequence[int],
    *,
    index: int,
    test: int,
    validation: int,
    gap: int,
) -> Fold:
    def part_of(group: int) -> PartName:
        if group == test:
            return PartName.TEST
        return PartName.VALIDATION if group == validation else PartName.TRAIN

    joined: list[tuple[str, int, int, PartName]] = []
    for piece, group in zip(pieces, group_P, strict=True):
        part = part_of(group)
        if joined and joined[-1][0] == piece.recording and joined[-1][3] is part:
            joined[-1] = (piece.recording, joined[-1][1], piece.stop_frame, part)
        else:
            joined.append((piece.recording, piece.start_frame, piece.stop_frame, part))
    parts: dict[PartName, list[Stretch]] = {name: [] for name in PartName}
    for i, (recording, start, stop, part) in enumerate(joined):
        follows = i > 0 and joined[i - 1][0] == recording
        is_followed = i + 1 < len(joined) and joined[i + 1][0] == recording
        first = start + (gap // 2 if follows else 0)
        last = stop - (gap - gap // 2 if is_followed else 0)
        if first < last:
            stretch = Stretch(recording=recording, start_frame=first, stop_frame=last)
            parts[part].append(stretch)
    empty = [name for name in PartName if not parts[name]]
    if empty:
        raise ValueError(
            f"each part of a fold must keep frames, but gaps of {gap} frames leave none of the "
            f"{empty[0].value} part of fold {index}. Shorten the window or "
            "`datasets.transforms.detrend` (null leaves it out), or take fewer or longer pieces."
        )
    return Fold(
        index=index,
        test_group=test,
        validation_group=validation,
        train=tuple(parts[PartName.TRAIN]),
        validation=tuple(parts[PartName.VALIDATION]),
        test=tuple(parts[PartName.TEST]),
    )


def _name(piece: Stretch) -> str:
    return f"{piece.recording} {piece.start_frame}-{piece.stop_frame - 1}"
