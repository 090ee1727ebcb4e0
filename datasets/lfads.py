"""Trials as LFADS, AutoLFADS and RADICaL take them: HDF5 with a training and a validation part."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from calsweep.datasets.hdf5 import DAMAGED, listing, numbers, open_hdf5
from calsweep.datasets.recording import Recording
from calsweep.datasets.source import (
    Source,
    behavior_unit,
    check_pattern,
    check_rate,
    find_files,
    label_or_measure,
    name_of,
    naming,
    sha256_of,
)

# R trial, T bin, N unit, K column of a behavior

_PARTS = ("train", "valid")
VALID = "valid_trial"
"""Behavior that is 1 in the trials of the validation part."""


@dataclass(frozen=True, kw_only=True)
class LfadsSource:
    """One .h5 a recording with arrays train_X and valid_X of trials.

    Trials stand in the order of ``train_inds`` and ``valid_inds``, where the file has them, and
    otherwise those of the training part first. Which were of the validation part is kept as the
    label ``valid_trial``.

    Attributes
    ----------
    rate_hz
        Bins per second.
    activity
        Array of shape ``(trial, bin, unit)``, without its ``train_`` or ``valid_``; ``data`` in
        files for the first LFADS.
    mask
        Array of the same shape that is 0 where a unit was not sampled, without its ``train_`` or
        ``valid_``. There, activity is missing.
    nan_is_unsampled
        Whether NaN in the activity means that a unit was not sampled; otherwise it is refused.
    behaviors
        Arrays of shape ``(trial,)``, ``(trial, bin)`` or ``(trial, bin, column)``, without their
        ``train_`` or ``valid_``. Columns are counted: ``truth1``, ``truth2``.
    behavior_units
        Name of a behavior to its physical unit; others are guessed from the name's ending.
    names
        Regular expression for file names with the groups ``subject`` and ``recording``, as in
        ``(?P<subject>[^_]+)_(?P<recording>.+)``; by default the subject is what stands before the
        first ``_``.
    """

    example: ClassVar[str] = (
        "calsweep ingest lfads trials/ lab/lorenz --rate-hz 100 --mask encod_mask --behavior truth"
    )

    rate_hz: float
    activity: str = "encod_data"
    mask: str = ""
    nan_is_unsampled: bool = False
    behaviors: tuple[str, ...] = ()
    behavior_units: Mapping[str, str] = field(default_factory=dict, metadata={"option": "unit"})
    names: str = field(default="", metadata={"metavar": "REGEX"})

    def __post_init__(self) -> None:
        check_pattern(self.names)
        check_rate(self.rate_hz)

    def files(self, location: Path, /) -> tuple[Path, ...]:
        """Give the ``.h5`` files of a folder, or the one file."""
        return find_files(location, suffix=(".h5", ".hdf5"))

    def read(self, file: Path, /) -> Recording:
        """Read the trials of one file.

        Raises
        ------
        ValueError
            If the file cannot be read, lacks an array, or an array is not what it should be.
        """
        sha256 = sha256_of(file)
        with naming(file, *DAMAGED):
            with open_hdf5(file) as opened:
                trials = _Trials.of(opened, activity=self.activity)
                activity_TN = self._sampled(opened, trials)
                behavior, units = self._behavior(opened, trials)
            name = name_of(file, pattern=self.names)
            return Recording(
                subject=name.subject,
                name=name.recording,
                activity_TN=activity_TN,
                behavior=behavior,
                behavior_unit=units,
                rate_hz=self.rate_hz,
                units=tuple(f"unit{i}" for i in range(1, activity_TN.shape[1] + 1)),
                trial_T=np.repeat(np.arange(len(trials.n_bins)), trials.n_bins).astype(np.int32),
                source_sha256={file.name: sha256},
                may_miss=bool(self.mask) or self.nan_is_unsampled,
                steps=self._steps(activity_TN),
            )

    def _sampled(self, opened: Any, trials: _Trials) -> NDArray[np.float32]:
        activity_TN = trials.frames(opened, self.activity).astype(np.float32)
        is_sampled_TN = np.ones(activity_TN.shape, dtype=bool)
        if self.mask:
            mask_TN = trials.frames(opened, self.mask)
            if mask_TN.shape != activity_TN.shape or not np.isin(mask_TN, (0, 1)).all():
                raise ValueError(
                    f"`{self.mask}` must be 0 or 1 for each value of `{self.activity}` "
                    f"{activity_TN.shape}, but has the shape {mask_TN.shape} or other values."
                )
            is_sampled_TN = mask_TN != 0
        missing_TN = is_sampled_TN & np.isnan(activity_TN)
        if missing_TN.any() and not self.nan_is_unsampled:
            unit = int(np.argmax(missing_TN.any(axis=0))) + 1
            raise ValueError(
                f"activity must be finite where it was sampled, but is NaN in "
                f"{np.count_nonzero(missing_TN)} bins (first unit: `unit{unit}`). If these were "
                "not sampled, say so with `--nan-is-unsampled`."
            )
        return np.where(is_sampled_TN, activity_TN, np.float32(np.nan))

    def _behavior(
        self, opened: Any, trials: _Trials
    ) -> tuple[dict[str, NDArray[np.generic]], dict[str, str]]:
        """Give the behaviors, and the physical unit of each."""
        valid_T = np.repeat(trials.is_valid.astype(np.int64), trials.n_bins)
        behavior: dict[str, NDArray[np.generic]] = {VALID: valid_T}
        units = {VALID: ""}
        for name in self.behaviors:
            unit = behavior_unit(name, given=self.behavior_units)
            for column, values_T in _columns(name, trials.frames(opened, name)).items():
                behavior[column] = label_or_measure(values_T, unit=unit)
                units[column] = unit
        return behavior, units

    def _steps(self, activity_TN: NDArray[np.float32]) -> tuple[str, ...]:
        n_missing = int(np.count_nonzero(np.isnan(activity_TN)))
        share = f"{n_missing / activity_TN.size:.1%} of activity was not sampled"
        return (share,) if n_missing else ()


@dataclass(frozen=True, kw_only=True)
class _Trials:
    """The trials of both parts, in their order.

    Attributes
    ----------
    n_bins
        Of each trial, shape ``(trial,)``.
    is_valid
        Whether a trial is of the validation part, shape ``(trial,)``.
    order
        Which of the trials of both parts, training first, comes when.
    shapes
        Trials and bins of each part.
    """

    n_bins: NDArray[np.int64]
    is_valid: NDArray[np.bool_]
    order: NDArray[np.int64]
    shapes: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, opened: Any, /, *, activity: str) -> _Trials:
        """See how many trials there are, and how long."""
        arrays = [_array(opened, f"{part}_{activity}", what="the activity") for part in _PARTS]
        for part, values in zip(_PARTS, arrays, strict=True):
            if values.ndim != 3 or values.shape[2] != arrays[0].shape[-1]:
                raise ValueError(
                    f"`{part}_{activity}` must have the shape (trial, bin, unit) with the units of "
                    f"both parts, but has {values.shape}."
                )
        n_trials = [values.shape[0] for values in arrays]
        n_bins = np.repeat([values.shape[1] for values in arrays], n_trials).astype(np.int64)
        is_valid = np.repeat([False, True], n_trials)
        order = _order(opened, n_trials=n_trials)
        return cls(
            n_bins=n_bins[order],
            is_valid=is_valid[order],
            order=order,
            shapes=tuple((values.shape[0], values.shape[1]) for values in arrays),
        )

    def frames(self, opened: Any, name: str, /) -> NDArray[np.generic]:
        """Read an array of both parts, trials end to end in their order."""
        trials = [*self._trials(opened, name)]
        frames: NDArray[np.generic] = np.concatenate([trials[i] for i in self.order])
        return frames

    def _trials(self, opened: Any, name: str) -> Iterator[NDArray[np.generic]]:
        for part, (n_trials, n_bins) in zip(_PARTS, self.shapes, strict=True):
            values = _array(opened, f"{part}_{name}", what=f"`{name}`")
            if values.shape[:2] not in {(n_trials, n_bins), (n_trials,)} or values.ndim > 3:
                raise ValueError(
                    f"`{part}_{name}` must have a value for each of {n_trials} trials, or for each "
                    f"of their {n_bins} bins, but has the shape {values.shape}."
                )
            for trial in values:
                yield trial if trial.ndim else np.repeat(trial, n_bins)


def _order(opened: Any, *, n_trials: list[int]) -> NDArray[np.int64]:
    names = [f"{part}_inds" for part in _PARTS]
    if not all(name in opened for name in names):
        return np.arange(sum(n_trials))
    indices = [numbers(opened, name, what="the order of trials").reshape(-1) for name in names]
    together = np.concatenate(indices)
    if [len(part) for part in indices] != n_trials or len(np.unique(together)) != len(together):
        raise ValueError(
            "`train_inds` and `valid_inds` must have a number of its own for each of "
            f"{' and '.join(map(str, n_trials))} trials, but do not."
        )
    return np.argsort(together, kind="stable")


def _array(opened: Any, name: str, *, what: str) -> NDArray[np.generic]:
    if name in opened:
        return numbers(opened, name, what=what)
    rest = name.partition("_")[2]
    raise ValueError(
        f"there is no array `{name}` for {what}: both train_{rest} and valid_{rest} must be there. "
        f"Arrays: {listing(opened)}."
    )


def _columns(name: str, values: NDArray[np.generic]) -> dict[str, NDArray[np.generic]]:
    if values.ndim == 1:
        return {name: values}
    return {f"{name}{i}": np.ascontiguousarray(values_T) for i, values_T in enumerate(values.T, 1)}


_: type[Source] = LfadsSource
