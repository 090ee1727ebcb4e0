"""How a dataset is presented to a decoder, and the parts of a fold seen that way."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calsweep.datasets.cache import build_once
from calsweep.datasets.dataset import Dataset, npy_file
from calsweep.datasets.fold import Fold, check_target
from calsweep.datasets.manifest import Manifest
from calsweep.datasets.split import FoldData, Part
from calsweep.datasets.transform import Transforms
from calsweep.datasets.window import Window, window_starts

# T time, N unit, W window


class Labels(Enum):
    """Which labels train and validate: those observed, or, as a control, the same permuted."""

    OBSERVED = "observed"
    PERMUTED = "permuted"


@dataclass(frozen=True, kw_only=True)
class View:
    """How a dataset is presented to a decoder: the typed settings of the group ``datasets``.

    Attributes
    ----------
    address
        Where the dataset lies: a folder, or ``s3://bucket/prefix``.
    target
        Behavior to decode; its classes are 0 and 1.
    window
        Length and shift.
    transforms
        Steps from recorded activity to what a decoder sees.
    k_groups
        Groups that animals are divided into for the folds.
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
    window: Window = field(default_factory=Window)
    transforms: Transforms = field(default_factory=Transforms)
    k_groups: int = 5
    labels: Labels = Labels.OBSERVED

    def __post_init__(self) -> None:
        if self.k_groups < 3:
            raise ValueError(
                f"`k_groups >= 3` must hold (train, validate, test), but got {self.k_groups=}."
            )

    def notes(self) -> tuple[str, ...]:
        """Say what a reader of results must know: steps that look ahead, labels that are not real.

        Examples
        --------
        >>> View(address="data/m1", target="run", labels=Labels.PERMUTED).notes()
        ('labels of training and validation permuted (control)',)
        """
        permuted = self.labels is Labels.PERMUTED
        control = ("labels of training and validation permuted (control)",) if permuted else ()
        return (*self.transforms.notes(), *control)


def check_windows(manifest: Manifest, view: View, /) -> None:
    """Check before a sweep that a view suits a dataset.

    Raises
    ------
    ValueError
        If the target cannot be decoded, activity is missing, or a recording holds no window.
    """
    check_target(manifest, target=view.target)
    _check_activity(manifest)
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


def split_fold(dataset: Dataset, view: View, fold: Fold, /, *, seed: int, cache: Path) -> FoldData:
    """Give the windows of each part of a fold, over frames that all parts share.

    Parameters
    ----------
    dataset
        Open.
    view
        How it is presented.
    fold
        Which recordings train, validate and test.
    seed
        Of permuted labels.
    cache
        Folder of this machine for frames after those steps that need no fitting.

    Returns
    -------
    data
        The scaling is fitted on all frames of the training recordings and no others.

    Raises
    ------
    ValueError
        If a recording holds no window, or the windows of a part have one class only.
    """
    check_windows(dataset.manifest, view)
    frames_TN = prepare(dataset, view.transforms, cache=cache)
    train, validation, test = (
        _part(dataset, view, names, frames_TN=frames_TN, what=what)
        for what, names in (
            ("training", fold.train),
            ("validation", fold.validation),
            ("test", fold.test),
        )
    )
    if view.labels is Labels.PERMUTED:
        rng = np.random.default_rng([seed, fold.index])
        train, validation = _permuted(train, rng=rng), _permuted(validation, rng=rng)
    return FoldData(
        train=train,
        validation=validation,
        test=test,
        scaling=view.transforms.fit([frames_TN[dataset.spans[name]] for name in fold.train]),
        window_length=view.window.length,
    )


def prepare(dataset: Dataset, transforms: Transforms, /, *, cache: Path) -> NDArray[np.float32]:
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
                steps.apply(dataset.copy_recording(entry.name)).tofile(rows)

    place = build_once(cache / "prepared" / f"{name}.npy", build=build)
    frames_TN: NDArray[np.float32] = np.load(place, mmap_mode="r")
    return frames_TN


def _part(
    dataset: Dataset,
    view: View,
    names: tuple[str, ...],
    *,
    frames_TN: NDArray[np.float32],
    what: str,
) -> Part:
    starts = []
    for name in sorted(names, key=lambda name: dataset.spans[name].start):
        span = dataset.spans[name]
        starts.append(span.start + window_starts(dataset.trial_T[span], window=view.window))
    starts_W = np.concatenate(starts)
    targets_W = starts_W + view.window.target_offset
    labels_W = dataset.behavior[view.target][targets_W].astype(np.int64)
    if labels_W.min() == labels_W.max():
        raise ValueError(
            f"each part of a fold must have both classes, but {view.target!r} is {labels_W[0]} in "
            f"all {len(labels_W)} windows of the {what} part ({', '.join(names)}). "
            "Choose another target or a shorter window."
        )
    return Part(frames_TN=frames_TN, starts_W=starts_W, targets_W=targets_W, labels_W=labels_W)


def _permuted(part: Part, *, rng: np.random.Generator) -> Part:
    return dataclasses.replace(part, labels_W=rng.permutation(part.labels_W))
