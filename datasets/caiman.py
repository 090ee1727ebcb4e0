"""Results of CaImAn in HDF5."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, ClassVar

import h5py
import numpy as np
from numpy.typing import NDArray

from calsweep.datasets.hdf5 import DAMAGED, numbers, open_hdf5
from calsweep.datasets.recording import Recording
from calsweep.datasets.source import (
    Axes,
    Source,
    activity_of,
    check_pattern,
    check_rate,
    find_files,
    name_of,
    naming,
    sha256_of,
)
from calsweep.datasets.table import Behavior, behavior_beside

# T time, N unit, D dimension in space

_RATE = "params/data/fr"
_ACCEPTED = "idx_components"


class Trace(Enum):
    """Which of CaImAn's traces is the activity."""

    C = "C"
    S = "S"
    F_DFF = "F_dff"


@dataclass(frozen=True, kw_only=True)
class _Traces:
    """What is read of a file."""

    activity_TN: NDArray[np.float32]
    components: NDArray[np.int64]
    rate_hz: float
    positions_ND: NDArray[np.float32] | None
    steps: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class CaimanSource:
    """One .hdf5 of CaImAn a recording; behavior in a .csv of the same name.

    Units are called after CaImAn's components, counted from 0. They lie where the center of mass of
    their footprint is: row, column and maybe plane, in pixels.

    Attributes
    ----------
    activity
        ``C`` denoised, ``S`` deconvolved, or ``F_dff``.
    all_components
        Whether rejected components are taken too, or those of a file where none were judged.
    rate_hz
        Frames per second, instead of ``params/data/fr``.
    behavior
        Whether behavior lies beside it, in a .csv of the same name: a column each, named in the
        first line, and a row a frame.
    time
        Column of the .csv with times in seconds from the first frame, if its rows are not the
        frames.
    behavior_units
        Name of a behavior to its physical unit; others are guessed from the name's ending.
    names
        Regular expression for file names with the groups ``subject`` and ``recording``, as in
        ``(?P<subject>[^_]+)_(?P<recording>.+)``; by default the subject is what stands before the
        first ``_``.
    """

    example: ClassVar[str] = "calsweep ingest caiman results/ lab/m1 --activity S"

    activity: Trace = Trace.C
    all_components: bool = False
    rate_hz: float | None = None
    behavior: bool = True
    time: str = ""
    behavior_units: Mapping[str, str] = field(default_factory=dict, metadata={"option": "unit"})
    names: str = field(default="", metadata={"metavar": "REGEX"})

    def __post_init__(self) -> None:
        check_pattern(self.names)
        check_rate(self.rate_hz)

    def files(self, location: Path, /) -> tuple[Path, ...]:
        """Give the ``.hdf5`` files of a folder, or the one file."""
        return find_files(location, suffix=(".hdf5", ".h5"))

    def read(self, file: Path, /) -> Recording:
        """Read the recording of one file.

        Raises
        ------
        ValueError
            If a file cannot be read, lacks an array, or an array is not what it should be.
        """
        sha256 = sha256_of(file)
        with naming(file, *DAMAGED):
            with open_hdf5(file) as opened:
                traces = self._traces(opened)
            behavior = self._behavior(file, traces)
            name = name_of(file, pattern=self.names)
            return Recording(
                subject=name.subject,
                name=name.recording,
                activity_TN=traces.activity_TN,
                behavior=behavior.values,
                behavior_unit=behavior.units,
                rate_hz=traces.rate_hz,
                units=tuple(f"component{i}" for i in traces.components),
                trial_T=np.zeros(len(traces.activity_TN), dtype=np.int32),
                source_sha256={file.name: sha256, **behavior.source_sha256},
                positions_ND=traces.positions_ND,
                position_unit="" if traces.positions_ND is None else "pixel",
                steps=(*traces.steps, *behavior.steps),
            )

    def _traces(self, opened: h5py.File) -> _Traces:
        estimates = opened.get("estimates")
        if not isinstance(estimates, h5py.Group):
            raise ValueError("there is no group `estimates`: these are no results of CaImAn.")
        name = self.activity.value
        values = numbers(estimates, name, what="the activity (`--activity` takes another)")
        activity_TN = activity_of(values, name=f"estimates/{name}", axes=Axes.UNIT_TIME)
        n_units = activity_TN.shape[1]
        kept = np.arange(n_units) if self.all_components else _accepted(estimates, n_units=n_units)
        centers_ND = _centers(opened, estimates, n_units=n_units)
        steps = [f"activity is CaImAn's `{name}`"]
        if len(kept) < n_units:
            steps.append(f"{n_units - len(kept)} of {n_units} components rejected by CaImAn")
        return _Traces(
            activity_TN=np.ascontiguousarray(activity_TN[:, kept]),
            components=kept,
            rate_hz=self._rate_hz(opened),
            positions_ND=None if centers_ND is None else centers_ND[kept],
            steps=tuple(steps),
        )

    def _rate_hz(self, opened: h5py.File) -> float:
        if self.rate_hz is not None:
            return self.rate_hz
        rate = numbers(opened, _RATE, what="the rate (or give it as a number, `--rate-hz`)")
        if rate.size != 1:
            raise ValueError(
                f"`{_RATE}` must be one number of frames per second, but has the shape "
                f"{rate.shape}. Give the rate as a number, `--rate-hz`."
            )
        return float(rate.reshape(-1)[0])

    def _behavior(self, file: Path, traces: _Traces) -> Behavior:
        if not self.behavior:
            return Behavior()
        return behavior_beside(
            file,
            n_frames=len(traces.activity_TN),
            rate_hz=traces.rate_hz,
            time=self.time,
            units=self.behavior_units,
        )


def _accepted(estimates: Any, *, n_units: int) -> NDArray[np.int64]:
    found = estimates.get(_ACCEPTED)
    # CaImAn writes None as text.
    if not isinstance(found, h5py.Dataset) or found.dtype.kind not in "iuf":
        raise ValueError(
            f"there is no `estimates/{_ACCEPTED}`: components were not judged. "
            "Take all of them with `--all-components`."
        )
    kept = np.sort(np.asarray(found[()], dtype=np.int64).reshape(-1))
    if not len(kept) or kept[0] < 0 or kept[-1] >= n_units or (np.diff(kept) == 0).any():
        raise ValueError(
            f"`estimates/{_ACCEPTED}` must name some of {n_units} components, each once, but names "
            f"{len(kept)}. Take all of them with `--all-components`."
        )
    return kept


def _centers(opened: Any, estimates: Any, *, n_units: int) -> NDArray[np.float32] | None:
    """Give where footprints lie, if the file says so."""
    footprints = estimates.get("A")
    dims = next((g["dims"] for g in (opened, estimates) if _holds_numbers(g.get("dims"))), None)
    if not isinstance(footprints, h5py.Group) or dims is None:
        return None
    parts = {
        name: numbers(footprints, name, what="the footprints")
        for name in ("data", "indices", "indptr", "shape")
    }
    shape = tuple(int(length) for length in np.asarray(dims[()]).reshape(-1))
    weights = parts["data"].astype(np.float64)
    pixels, starts = (parts[name].astype(np.int64) for name in ("indices", "indptr"))
    n_pixels = int(np.prod(shape, dtype=object))
    is_sound = (
        tuple(parts["shape"].tolist()) == (n_pixels, n_units)
        and len(starts) == n_units + 1
        and len(weights) == len(pixels) == starts[-1]
        and starts[0] == 0
        and (np.diff(starts) >= 0).all()
        and ((pixels >= 0) & (pixels < n_pixels)).all()
    )
    if not is_sound:
        raise ValueError(
            f"`estimates/A` must hold one footprint for each of {n_units} components over "
            f"{' x '.join(map(str, shape))} pixels, column by column, but does not."
        )
    unit_of = np.repeat(np.arange(n_units), np.diff(starts))
    mass_N = np.bincount(unit_of, weights=weights, minlength=n_units)
    if len(shape) not in (2, 3) or not (mass_N > 0).all():
        return None  # a unit without a footprint lies nowhere
    places = np.unravel_index(pixels, shape, order="F")
    centers = [np.bincount(unit_of, weights=weights * p, minlength=n_units) for p in places]
    return (np.stack(centers, axis=1) / mass_N[:, None]).astype(np.float32)


def _holds_numbers(item: Any) -> bool:
    return isinstance(item, h5py.Dataset) and item.dtype.kind in "iuf"


_: type[Source] = CaimanSource
