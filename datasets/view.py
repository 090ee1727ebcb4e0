"""How a dataset is presented to a decoder, and the parts of a fold seen that way."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calsweep.datasets.cache import Cache
from calsweep.datasets.dataset import Dataset
from calsweep.datasets.fold import (
    Fold,
    FoldPlan,
    PartName,
    Stretch,
    check_target,
    n_classes,
)
from calsweep.datasets.fold_protocol import AnimalGroups, Folds, Reach
from calsweep.datasets.image_frames import ImageFrames, images_of_dataset
from calsweep.datasets.manifest import Manifest
from calsweep.datasets.mask import Mask, UnitMask, mask_scaling, seen_pixels
from calsweep.datasets.npy_file import HEADER_BYTES, npy_file
from calsweep.datasets.pixel_scale import ScaledFrames, moments
from calsweep.datasets.split import FoldData, FrameArray, Part, Scaling
from calsweep.datasets.timeline import (
    PartWindows,
    Timeline,
    check_parts,
    check_windows_of_part,
    fold_windows,
)
from calsweep.datasets.transform import Fitted, PixelScale, Scope, Transforms
from calsweep.datasets.window import Window

# T time, N unit, W window


class Labels(Enum):
    """Which labels train and validate: those observed, or, as a control, the same permuted."""

    OBSERVED = "observed"
    PERMUTED = "permuted"


class Inputs(Enum):
    """What of a recording a decoder sees."""

    TRACES = "traces"
    IMAGES = "images"


@dataclass(frozen=True, kw_only=True)
class View:
    """How a dataset is presented to a decoder: the typed settings of the group ``datasets``.

    Attributes
    ----------
    address
        Where the dataset lies: a folder, or ``s3://bucket/prefix``.
    target
        Behavior to decode; its classes are 0, 1 and so on.
    inputs
        What a decoder sees.
    window
        Length and shift.
    transforms
        Steps from recorded activity to what a decoder sees.
    folds
        How recordings are divided into parts.
    mask
        Which units or pixels the decoder sees; the others are zero.
    labels
        Whether labels are those observed. Permuted ones train and validate, those observed test:
        a decoder then has to stay at chance.

    Examples
    --------
    >>> View(address="data/m1", target="run").window
    Window(length=31, shift=0)
    """

    address: str
    target: str
    inputs: Inputs = Inputs.TRACES
    window: Window = field(default_factory=Window)
    transforms: Transforms = field(default_factory=Transforms)
    folds: Folds = field(default_factory=AnimalGroups)
    mask: Mask = field(default_factory=UnitMask)
    labels: Labels = Labels.OBSERVED

    @property
    def fitted(self) -> tuple[Fitted, ...]:
        """What is fitted to a fold, and on which of its parts."""
        mask = Fitted(what=type(self.mask).__name__, on=self.mask.fitted_on)
        return (*self.transforms.fitted, *((mask,) if mask.on else ()))

    @property
    def reach(self) -> Reach:
        """How far the input of a decoder reaches."""
        looks = [step.look.before_frames + step.look.after_frames for step in self.transforms]
        return Reach(
            window_frames=self.window.reach_frames,
            look_frames=int(sum(n_frames for n_frames in looks if math.isfinite(n_frames))),
        )


def check_windows(manifest: Manifest, view: View, /) -> None:
    """Check before a sweep that a view suits a dataset.

    Raises
    ------
    ValueError
        If the target cannot be decoded, activity is missing, the mask names other units, or a
        recording holds no window.
    """
    check_target(manifest, target=view.target)
    if view.inputs is Inputs.TRACES:
        _check_activity(manifest)
    _check_steps(view)
    check_mask(manifest, view)
    needed = view.window.reach_frames
    short = [entry for entry in manifest.recordings if entry.longest_trial_frames < needed]
    if not short:
        return
    first = min(short, key=lambda entry: (entry.longest_trial_frames, entry.name))
    others = f" (and {len(short) - 1} other recordings)" if len(short) > 1 else ""
    raise ValueError(
        f"a recording must hold at least one window, but the longest trial of {first.name}{others} "
        f"has {first.longest_trial_frames} frames, and a window of {view.window.length} frames "
        f"with shift {view.window.shift} needs {needed}. "
        "Set `datasets.window.length` or `datasets.window.shift` smaller, or leave it out."
    )


def check_mask(manifest: Manifest, view: View, /) -> NDArray[np.bool_]:
    """Give which units, or pixels, a decoder sees.

    Raises
    ------
    ValueError
        If the mask does not suit the dataset, or there are no images to decode.
    """
    if view.inputs is Inputs.IMAGES:
        return seen_pixels(view.mask, images_of_dataset(manifest))
    return view.mask.seen(manifest)


def _check_steps(view: View) -> None:
    steps = view.transforms
    if view.inputs is Inputs.TRACES:
        if isinstance(steps.scaling, PixelScale):
            steps.scaling.fit([])
        return
    wrong = [s for s in steps if not isinstance(s, PixelScale)]
    if wrong:
        raise ValueError(
            f"images are scaled by PixelScale or not at all, but got {type(wrong[0]).__name__}: "
            "take `datasets=widefield_images`, or decode traces."
        )


def _check_activity(manifest: Manifest) -> None:
    if not manifest.units:
        raise ValueError(
            "a decoder of traces needs units, but the dataset has images only: ingest traces of "
            "its units or regions."
        )
    sparse = [entry for entry in manifest.recordings if "activity" in entry.n_missing]
    if sparse:
        raise ValueError(
            f"activity must be there in every frame, but {sparse[0].n_missing['activity']} values "
            f"of {sparse[0].name} are missing ({len(sparse)} such recordings). Ingest it without "
            "its sampling mask, or fill it before."
        )


def plan_folds(timeline: Timeline, views: Sequence[View], /) -> FoldPlan:
    """Give the folds of a sweep, with gaps wide enough for each of its views.

    Parameters
    ----------
    timeline
        Labels and trials of the dataset.
    views
        The one that the sweep starts from, then others that it tries; all have the same protocol.

    Raises
    ------
    ValueError
        If the dataset does not allow them, or a part lacks windows of a class that it needs.
    """
    start = views[0]
    widest = Reach(
        window_frames=max(view.reach.window_frames for view in views),
        look_frames=max(view.reach.look_frames for view in views),
    )
    folds = start.folds.plan(timeline, reach=widest)
    for fold in folds.folds:
        check_parts(fold, timeline, window=start.window)
    return folds


def split_fold(dataset: Dataset, view: View, fold: Fold, /, *, seed: int, cache: Cache) -> FoldData:
    """Give the windows of each part of a fold, over frames that all parts share.

    Parameters
    ----------
    dataset
        Open.
    view
        How it is presented.
    fold
        Which stretches train, validate and test.
    seed
        Of permuted labels.
    cache
        Folder of this machine for frames after those steps that need no fitting.

    Returns
    -------
    data
        The scaling is fitted on all frames of the training stretches and no others, and makes
        masked units zero.

    Raises
    ------
    ValueError
        If a recording holds no window, a part lacks windows of a class that it needs, or the mask
        does not suit the dataset.
    """
    check_windows(dataset.manifest, view)
    frames: FrameArray
    if view.inputs is Inputs.IMAGES:
        frames = prepare_images(dataset, view.transforms, cache=cache)
    else:
        frames = prepare(dataset, view.transforms, cache=cache)
    windows = fold_windows(fold, dataset.timeline(view.target), window=view.window)
    train, validation, test = (
        _part(dataset, view, windows[name], name=name, frames=frames) for name in PartName
    )
    if view.labels is Labels.PERMUTED:
        rng = np.random.default_rng([seed, fold.index])
        train, validation = _permuted(train, rng=rng), _permuted(validation, rng=rng)
    stretches = fitted_stretches(fold, windows, on=view.transforms.fitted_on, window=view.window)
    at = [_frames(dataset, stretch) for stretch in stretches]
    if isinstance(frames, np.ndarray):
        scaling = view.transforms.fit([frames[part] for part in at])
    else:
        scaling = _fit_images(dataset, view.transforms, at, cache=cache)
    return FoldData(
        train=train,
        validation=validation,
        test=test,
        scaling=mask_scaling(scaling, seen_N=check_mask(dataset.manifest, view)),
        window_length=view.window.length,
        n_classes=n_classes(dataset.manifest, target=view.target),
        spans=dataset.spans,
    )


def fitted_stretches(
    fold: Fold,
    windows: Mapping[PartName, PartWindows],
    /,
    *,
    on: Sequence[PartName],
    window: Window,
) -> tuple[Stretch, ...]:
    """Give the frames that something is fitted on, each once.

    Parameters
    ----------
    fold, windows
        The parts.
    on
        Those it is fitted on.
    window
        Length and shift.

    Returns
    -------
    stretches
        Those of the parts; where parts are a draw of windows, the frames inside their windows.
    """
    if fold.draw is None:
        return tuple(sorted({stretch for name in on for stretch in fold.part(name)}))
    found = []
    for recording in windows[on[0]].starts:
        starts_W = np.unique(np.concatenate([windows[name].starts[recording] for name in on]))
        if len(starts_W) == 0:
            continue
        first_S = np.flatnonzero(np.diff(starts_W, prepend=-window.length - 1) > window.length)
        last_S = np.append(first_S[1:], len(starts_W)) - 1
        found += [
            Stretch(
                recording=recording,
                start_frame=int(starts_W[first]),
                stop_frame=int(starts_W[last]) + window.length,
            )
            for first, last in zip(first_S, last_S, strict=True)
        ]
    return tuple(found)


def _frames(dataset: Dataset, stretch: Stretch) -> slice:
    start = dataset.spans[stretch.recording].start
    return slice(start + stretch.start_frame, start + stretch.stop_frame)


def prepare(dataset: Dataset, transforms: Transforms, /, *, cache: Cache) -> NDArray[np.float32]:
    """Give all frames after the steps that need no fitting, mapped from the cache.

    Returns
    -------
    frames_TN
        Shape ``(time, unit)``; the dataset's own array where there is no such step.
    """
    steps = transforms.recorded
    if not list(steps):
        return dataset.activity_TN
    # The text of a frozen dataclass names its type and every value.
    name = hashlib.sha256(f"{dataset.manifest.content_hash} {steps!r}".encode()).hexdigest()

    def build(file: Path) -> None:
        with npy_file(file, shape=dataset.activity_TN.shape, dtype="float32") as rows:
            for entry in dataset.manifest.recordings:
                rows.append(steps.apply(dataset.copy_recording(entry.name)))

    n_bytes = dataset.activity_TN.nbytes + HEADER_BYTES
    with cache.entry(f"prepared/{name}.npy", n_bytes=n_bytes, build=build) as place:
        # What is mapped stays, wherever the file goes.
        frames_TN: NDArray[np.float32] = np.load(place, mmap_mode="r")
    return frames_TN


def prepare_images(
    dataset: Dataset, transforms: Transforms, /, *, cache: Cache
) -> ImageFrames | ScaledFrames:
    """Give all images after the step that needs one recording alone, read as they are needed."""
    frames = dataset.images()
    if transforms.recorded.scaling is None:
        return frames
    spans = [(span.start, span.stop) for span in dataset.spans.values()]
    return ScaledFrames(
        frames=frames,
        scalings={
            (start, stop): moments(
                frames,
                [slice(start, stop)],
                content_hash=dataset.manifest.content_hash,
                cache=cache,
            ).scaling()
            for start, stop in spans
        },
    )


def _fit_images(
    dataset: Dataset, transforms: Transforms, stretches: Sequence[slice], *, cache: Cache
) -> Scaling:
    scaling, images = transforms.scaling, images_of_dataset(dataset.manifest)
    if scaling is None or scaling.over is not Scope.TRAINING:
        shape = (images.height, images.width)
        return Scaling(offset_N=np.zeros(shape, np.float32), scale_N=np.ones(shape, np.float32))
    return moments(
        dataset.images(), stretches, content_hash=dataset.manifest.content_hash, cache=cache
    ).scaling()


def _part(
    dataset: Dataset,
    view: View,
    windows: PartWindows,
    *,
    name: PartName,
    frames: FrameArray,
) -> Part:
    check_windows_of_part(
        windows.n_windows, part=name, target=view.target, recordings=", ".join(windows.starts)
    )
    spans = dataset.spans
    in_order = sorted(windows.starts, key=lambda recording: spans[recording].start)
    starts_W = np.concatenate([spans[r].start + windows.starts[r] for r in in_order])
    targets_W = starts_W + view.window.target_offset
    labels_W = dataset.behavior[view.target][targets_W].astype(np.int64)
    return Part(frames=frames, starts_W=starts_W, targets_W=targets_W, labels_W=labels_W)


def _permuted(part: Part, *, rng: np.random.Generator) -> Part:
    return dataclasses.replace(part, labels_W=rng.permutation(part.labels_W))
