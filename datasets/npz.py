"""Recordings in NumPy's ``.npz`` files, one a file, arrays by name."""

from __future__ import annotations

import tokenize
import zipfile
import zlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from calsweep.datasets.recording import Recording
from calsweep.datasets.source import (
    Source,
    activity_of,
    behavior_unit,
    check_pattern,
    check_rate,
    find_files,
    label_or_measure,
    name_of,
    naming,
    sha256_of,
)
from calsweep.datasets.trial import trials_from

# T time, N unit

TRIAL = "trial"
Arrays = Mapping[str, NDArray[np.generic]]


@dataclass(frozen=True, kw_only=True)
class NpzSource:
    """One .npz a recording, arrays by name.

    Attributes
    ----------
    activity
        Array of shape ``(time, unit)``.
    rate
        Array with the one number of frames per second.
    rate_hz
        Frames per second, instead of `rate`.
    trials
        Array of one value per frame that changes between trials, or of the first frame of each
        trial. By default ``trial`` if the file has it; without any, a recording is one trial.
    behaviors
        Arrays of one value per frame. By default all with numbers. Whole numbers are labels. So are
        floats that are all 0 or 1, unless the behavior has a unit; other floats are measures.
    behavior_units
        Name of a behavior to its physical unit; others are guessed from the name's ending.
    order_units_by
        Array of one value per unit: units are sorted by it and named after it. Units of equal value
        keep their order and are counted.
    unit_ids
        Array of one whole number per unit that tells which unit of the animal it is, in whichever
        recording, as registration over days gives it. Units are sorted by it and named after
        animal and number; those with a negative number are left out. Recordings may have others:
        see --common-units.
    names
        Regular expression for file names with the groups ``subject`` and ``recording``, as in
        ``(?P<subject>[^_]+)_(?P<recording>.+)``; by default the subject is what stands before the
        first ``_``.
    """

    example: ClassVar[str] = (
        "calsweep ingest npz recordings/ lab/flies --order-units-by roi_neuron_type "
        "--resample-hz 10"
    )

    activity: str = "traces"
    rate: str = "rate_hz"
    rate_hz: float | None = None
    trials: str | None = None
    behaviors: tuple[str, ...] = ()
    behavior_units: Mapping[str, str] = field(default_factory=dict, metadata={"option": "unit"})
    order_units_by: str = ""
    unit_ids: str = ""
    names: str = field(default="", metadata={"metavar": "REGEX"})

    def __post_init__(self) -> None:
        check_pattern(self.names)
        check_rate(self.rate_hz)
        if self.order_units_by and self.unit_ids:
            raise ValueError(
                "units are named by one array, but got "
                f"{self.order_units_by=} and {self.unit_ids=}: leave one out."
            )

    def files(self, location: Path, /) -> tuple[Path, ...]:
        """Give the ``.npz`` files of a folder, or the one file."""
        return find_files(location, suffix=".npz")

    def read(self, file: Path, /) -> Recording:
        """Read the recording of one file.

        Raises
        ------
        ValueError
            If the file cannot be read, lacks an array, or an array is not what it should be.
        """
        sha256 = sha256_of(file)
        with naming(file):
            return self._recording(file, load_arrays(file), sha256=sha256)

    def _recording(self, file: Path, arrays: Arrays, *, sha256: str) -> Recording:
        activity_TN = activity_of(_get(arrays, self.activity, "the activity"), name=self.activity)
        n_frames, n_units = activity_TN.shape
        name = name_of(file, pattern=self.names)
        order_N, units = self._units(arrays, n_units=n_units, subject=name.subject)
        behavior = self._behavior(arrays, n_frames=n_frames)
        return Recording(
            subject=name.subject,
            name=name.recording,
            activity_TN=np.ascontiguousarray(activity_TN[:, order_N]),
            behavior=behavior,
            behavior_unit={
                name: behavior_unit(name, given=self.behavior_units) for name in behavior
            },
            rate_hz=self._rate_hz(arrays),
            units=units,
            trial_T=self._trials(arrays, n_frames=n_frames),
            source_sha256={file.name: sha256},
        )

    def _rate_hz(self, arrays: Arrays) -> float:
        if self.rate_hz is not None:
            return self.rate_hz
        rate = _get(arrays, self.rate, "the rate (or give it as a number, `rate_hz`)")
        if rate.size != 1 or rate.dtype.kind not in "iuf" or not np.isfinite(float(rate.item())):
            raise ValueError(
                f"`{self.rate}` must be one number of frames per second, but is "
                f"{np.array2string(rate, threshold=3)}. Give the rate as a number, `rate_hz`."
            )
        return float(rate.item())

    def _trials(self, arrays: Arrays, *, n_frames: int) -> NDArray[np.int32]:
        if self.trials is None and TRIAL not in arrays:
            return np.zeros(n_frames, dtype=np.int32)
        return trials_from(_get(arrays, self.trials or TRIAL, "the trials"), n_frames=n_frames)

    def _behavior(self, arrays: Arrays, *, n_frames: int) -> dict[str, NDArray[np.generic]]:
        names = self.behaviors or self._all_behaviors(arrays, n_frames=n_frames)
        return {name: self._label_or_measure(name, arrays) for name in names}

    def _label_or_measure(self, name: str, arrays: Arrays) -> NDArray[np.generic]:
        values = _get(arrays, name, "a behavior")
        return label_or_measure(values, unit=behavior_unit(name, given=self.behavior_units))

    def _all_behaviors(self, arrays: Arrays, *, n_frames: int) -> tuple[str, ...]:
        others = {
            self.activity,
            self.rate,
            self.trials or TRIAL,
            self.order_units_by,
            self.unit_ids,
        }
        return tuple(
            name
            for name, values in arrays.items()
            if name not in others and values.shape == (n_frames,) and values.dtype.kind in "iubf"
        )

    def _units(
        self, arrays: Arrays, *, n_units: int, subject: str
    ) -> tuple[NDArray[np.int64], tuple[str, ...]]:
        if self.unit_ids:
            ids = _get(arrays, self.unit_ids, "the numbers of units")
            return _identified(ids, n_units=n_units, name=self.unit_ids, subject=subject)
        if not self.order_units_by:
            return np.arange(n_units), tuple(f"unit{i}" for i in range(1, n_units + 1))
        values = _get(arrays, self.order_units_by, "the order of units")
        if values.shape != (n_units,):
            raise ValueError(
                f"`{self.order_units_by}` must have one value per unit ({n_units}), "
                f"but has shape {values.shape}."
            )
        order_N = np.argsort(values, kind="stable")
        return order_N, _unit_names([str(value) for value in values[order_N]])


# What zipfile and NumPy raise where a file is damaged: each its own kind, by where the damage is.
_DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    OSError,
    RuntimeError,
    SyntaxError,
    tokenize.TokenError,
    MemoryError,
)


def load_arrays(file: Path, /, *, names: tuple[str, ...] | None = None) -> Arrays:
    """Read arrays of a ``.npz`` file, by default all; never Python objects.

    Raises
    ------
    ValueError
        If the file is not whole, lacks an array, or an array holds Python objects.
    """
    if not zipfile.is_zipfile(file):
        raise ValueError("this is no whole .npz file: its table of contents is missing.")
    try:
        with np.load(file, allow_pickle=False) as archive:
            _check_there(names or (), archive.files)
            return {name: archive[name] for name in names or archive.files}
    except _DAMAGED as error:
        raise ValueError(f"this is no whole .npz file: {error}.") from error
    except ValueError as error:
        if "allow_pickle" in str(error):
            raise ValueError("it holds Python objects: save numbers only.") from error
        raise


def _check_there(names: tuple[str, ...], there: list[str]) -> None:
    missing = [name for name in names if name not in there]
    if missing:
        listed = ", ".join(there) or "none"
        raise ValueError(f"there is no array `{missing[0]}`. Arrays: {listed}.")


def _get(arrays: Arrays, name: str, what: str) -> NDArray[np.generic]:
    if name not in arrays:
        there = ", ".join(f"{key} {values.shape}" for key, values in arrays.items()) or "none"
        raise ValueError(f"there is no array `{name}` for {what}. Arrays: {there}.")
    return arrays[name]


def _identified(
    ids: NDArray[np.generic], *, n_units: int, name: str, subject: str
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Give the columns of units that have a number, in its order, and their names."""
    if ids.shape != (n_units,) or ids.dtype.kind not in "iu":
        raise ValueError(
            f"`{name}` must have one whole number per unit ({n_units}), "
            f"but is {ids.dtype} of shape {ids.shape}."
        )
    number_N = ids.astype(np.int64)
    order_N = np.argsort(number_N, kind="stable")
    order_N = order_N[number_N[order_N] >= 0]
    numbers: list[int] = number_N[order_N].tolist()
    twice = [number for number, count in Counter(numbers).items() if count > 1]
    if twice:
        raise ValueError(
            f"`{name}` must tell units apart, but {len(twice)} numbers stand more than once "
            f"(first: {twice[0]}). Give units without a match a negative number."
        )
    if not len(order_N):
        raise ValueError(f"`{name}` must have a number from 0 for some units, but has none.")
    # Numbers count within an animal: the same one of another is another unit.
    return order_N, tuple(f"{subject}_{number}" for number in numbers)


def _unit_names(values: list[str]) -> tuple[str, ...]:
    """Name units after their values, and count them where several share one."""
    n_of = Counter(values)
    if max(n_of.values()) == 1:
        return tuple(f"unit{value}" if _is_number(value) else value for value in values)
    seen: Counter[str] = Counter()
    names = []
    for value in values:
        seen[value] += 1
        names.append(f"{value}_{seen[value]}" if value[-1:].isdigit() else f"{value}{seen[value]}")
    return tuple(names)


def _is_number(value: str) -> bool:
    return value.lstrip("-").isdigit()


_: type[Source] = NpzSource
