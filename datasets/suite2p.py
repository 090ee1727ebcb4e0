"""Results of suite2p: a folder a recording, with a folder for each plane."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from calsweep.datasets.pickled import DAMAGED_NPY, plain, read_object_array
from calsweep.datasets.plane import Plane, join_planes, plane_order
from calsweep.datasets.recording import Recording
from calsweep.datasets.source import (
    Source,
    check_pattern,
    check_rate,
    name_of,
    naming,
    sha256_of_all,
)
from calsweep.datasets.table import Behavior, behavior_beside
from calsweep.datasets.trial import trials_from

# T time, N unit, D dimension in space

_PLANE = re.compile(r"plane(\d+)")


class Trace(Enum):
    """Which of suite2p's traces is the activity."""

    F = "F"
    CORRECTED = "corrected"
    SPKS = "spks"


@dataclass(frozen=True, kw_only=True)
class _PlaneFolder:
    """What is read of one plane."""

    plane: Plane
    rate_hz: float
    folder_frames: tuple[int, ...]
    steps: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Suite2pSource:
    """One folder of suite2p a recording; behavior in a .csv of the folder's name.

    A recording's folder holds ``suite2p/plane0``, or ``plane0`` itself; planes stand side by side.
    Units are called after suite2p's ROIs. They lie at their median row and column, in pixels, and
    were sampled when the microscope came to that row. Where several folders of raw data became one
    recording, each is a trial.

    suite2p's ``ops.npy`` and ``stat.npy``, with rate and places, are pickles, which may hold any
    program. They are not unpickled: numbers are taken out of them by a reader that runs nothing,
    and what it does not know is passed over. ``Fall.mat`` is not read: few have it, and it is older
    than ``iscell.npy`` where cells were sorted by hand.

    Attributes
    ----------
    activity
        ``F``, ``corrected`` for F less its neuropil, or ``spks``.
    neuropil_factor
        Share of the neuropil that is taken off.
    planes
        Planes, as ``plane0``; by default all.
    all_cells
        Whether ROIs are taken too that are no cells by ``iscell.npy``.
    min_probability
        Least probability of being a cell.
    rate_hz
        Frames per second of a plane, instead of ``fs`` in ``ops.npy``.
    behavior
        Whether behavior lies beside the folder, in a .csv of its name: a column each, named in the
        first line, and a row a frame.
    time
        Column of the .csv with times in seconds from the first frame, if its rows are not the
        frames.
    behavior_units
        Name of a behavior to its physical unit; others are guessed from the name's ending.
    names
        Regular expression for folder names with the groups ``subject`` and ``recording``, as in
        ``(?P<subject>[^_]+)_(?P<recording>.+)``; by default the subject is what stands before the
        first ``_``.
    """

    example: ClassVar[str] = "calsweep ingest suite2p sessions/ lab/m1 --activity spks"

    activity: Trace = Trace.CORRECTED
    neuropil_factor: float = 0.7
    planes: tuple[str, ...] = ()
    all_cells: bool = False
    min_probability: float = 0.0
    rate_hz: float | None = None
    behavior: bool = True
    time: str = ""
    behavior_units: Mapping[str, str] = field(default_factory=dict, metadata={"option": "unit"})
    names: str = field(default="", metadata={"metavar": "REGEX"})

    def __post_init__(self) -> None:
        check_pattern(self.names)
        check_rate(self.rate_hz)
        if not 0 <= self.min_probability <= 1:
            raise ValueError(
                f"`0 <= min_probability <= 1` must hold, but got {self.min_probability=}."
            )

    def files(self, location: Path, /) -> tuple[Path, ...]:
        """Give the recordings' folders in a folder, or the one folder itself."""
        if not location.is_dir():
            raise ValueError(f"There is no folder {location}.")
        if _plane_folders(location):
            return (location,)
        folders = tuple(
            sorted(item for item in location.iterdir() if item.is_dir() and _plane_folders(item))
        )
        if not folders:
            raise ValueError(
                f"{location} holds no results of suite2p: there is no suite2p/plane0/F.npy in it, "
                "nor in a folder of it."
            )
        return folders

    def read(self, file: Path, /) -> Recording:
        """Read the recording of one folder.

        Raises
        ------
        ValueError
            If a file cannot be read, or files do not go together.
        """
        root = _recording_folder(file)
        with naming(file):
            folders = self._chosen(file)
        sha256 = sha256_of_all([path for folder in folders for path in sorted(_used(folder))])
        parts = []
        for folder in folders:
            with naming(folder):
                parts.append(self._read_plane(folder))
        with naming(file):
            planes = join_planes([part.plane for part in parts])
            n_frames, rate_hz = len(planes.activity_TN), _one_rate(parts)
            behavior = self._behavior(root, n_frames=n_frames, rate_hz=rate_hz)
            name = name_of(root, pattern=self.names)
            return Recording(
                subject=name.subject,
                name=name.recording,
                activity_TN=planes.activity_TN,
                behavior=behavior.values,
                behavior_unit=behavior.units,
                rate_hz=rate_hz,
                units=planes.units,
                trial_T=_trials(parts[0].folder_frames, n_frames=n_frames),
                source_sha256={root.name: sha256, **behavior.source_sha256},
                positions_ND=planes.positions_ND,
                position_unit="" if planes.positions_ND is None else "pixel",
                phase_N=planes.phase_N,
                steps=(
                    self._what_activity_is(),
                    *(step for part in parts for step in part.steps),
                    *planes.steps,
                    *behavior.steps,
                ),
            )

    def _chosen(self, folder: Path) -> tuple[Path, ...]:
        there = _plane_folders(folder)
        if not there:
            raise ValueError("there are no results of suite2p: no suite2p/plane0/F.npy in it.")
        names = [plane.name for plane in there]
        missing = [name for name in self.planes if name not in names]
        if missing:
            raise ValueError(f"there is no plane `{missing[0]}`. Planes: {', '.join(names)}.")
        return tuple(plane for plane in there if not self.planes or plane.name in self.planes)

    def _what_activity_is(self) -> str:
        if self.activity is Trace.CORRECTED:
            return f"activity is suite2p's `F` less {self.neuropil_factor:g} of `Fneu`"
        return f"activity is suite2p's `{self.activity.value}`"

    def _read_plane(self, folder: Path) -> _PlaneFolder:
        traces_NT = _load(folder / _FILE_OF[self.activity])
        n_rois, n_frames = _shape(traces_NT, name=_FILE_OF[self.activity])
        kept, steps = self._kept(folder, n_rois=n_rois)
        activity_NT = traces_NT[kept].astype(np.float32)
        if self.activity is Trace.CORRECTED:
            neuropil_NT = _load(folder / "Fneu.npy")
            if neuropil_NT.shape != (n_rois, n_frames):
                raise ValueError(
                    f"Fneu.npy must have the shape of F.npy, {(n_rois, n_frames)}, but has "
                    f"{neuropil_NT.shape}."
                )
            activity_NT -= np.float32(self.neuropil_factor) * neuropil_NT[kept].astype(np.float32)
        ops = _ops(folder)
        centers_ND = _centers(folder, n_rois=n_rois)
        phase_N = None if centers_ND is None else _phases(centers_ND[:, 0], ops, folder=folder)
        return _PlaneFolder(
            plane=Plane(
                name=folder.name,
                rois=tuple(f"roi{i}" for i in kept),
                activity_TN=np.ascontiguousarray(activity_NT.T),
                positions_ND=None if centers_ND is None else centers_ND[kept],
                phase_N=None if phase_N is None else phase_N[kept],
            ),
            rate_hz=self._rate_hz(ops),
            folder_frames=_folder_frames(ops),
            steps=steps,
        )

    def _kept(self, folder: Path, *, n_rois: int) -> tuple[NDArray[np.int64], tuple[str, ...]]:
        if self.all_cells and not self.min_probability:
            return np.arange(n_rois), ()
        verdict_N2 = _load(folder / "iscell.npy")
        if verdict_N2.shape != (n_rois, 2):
            raise ValueError(
                f"iscell.npy must have the shape (roi, 2) with {n_rois} ROIs, but has "
                f"{verdict_N2.shape}."
            )
        is_kept = verdict_N2[:, 1].astype(np.float64) >= self.min_probability
        if not self.all_cells:
            is_kept &= verdict_N2[:, 0].astype(np.float64) > 0
        if not is_kept.any():
            raise ValueError(
                f"at least one of {n_rois} ROIs must be a cell by iscell.npy, but none is. Take "
                "all with `--all-cells`, or lower `--min-probability`."
            )
        n_out = int(np.count_nonzero(~is_kept))
        step = f"{n_out} of {n_rois} ROIs of {folder.name} left out by iscell.npy"
        return np.flatnonzero(is_kept), (step,) if n_out else ()

    def _rate_hz(self, ops: Mapping[str, object]) -> float:
        if self.rate_hz is not None:
            return self.rate_hz
        rate_hz = _number(ops.get("fs"))
        if rate_hz is None:
            raise ValueError(
                "the rate must be known, but there is no number `fs` in ops.npy: give it with "
                "`--rate-hz`."
            )
        return rate_hz

    def _behavior(self, root: Path, *, n_frames: int, rate_hz: float) -> Behavior:
        if not self.behavior:
            return Behavior()
        return behavior_beside(
            root, n_frames=n_frames, rate_hz=rate_hz, time=self.time, units=self.behavior_units
        )


_FILE_OF = {Trace.F: "F.npy", Trace.CORRECTED: "F.npy", Trace.SPKS: "spks.npy"}
_FILES = ("F.npy", "Fneu.npy", "spks.npy", "iscell.npy", "stat.npy", "ops.npy")


def _plane_folders(folder: Path) -> tuple[Path, ...]:
    """Give the planes of a recording in their order; the folder itself, if it is one."""
    if (folder / "F.npy").is_file():
        return (folder.resolve(),)
    for place in (folder / "suite2p", folder):
        planes = [
            path.parent.resolve()
            for path in place.glob("plane*/F.npy")
            if _PLANE.fullmatch(path.parent.name)
        ]
        if planes:
            return tuple(sorted(planes, key=lambda plane: plane_order(plane.name)))
    return ()


def _recording_folder(folder: Path) -> Path:
    """Give the folder that bears the recording's name: above ``suite2p/plane0``."""
    root = folder.resolve()
    if _PLANE.fullmatch(root.name) or root.name == "combined":
        root = root.parent
    return root.parent if root.name == "suite2p" else root


def _used(folder: Path) -> list[Path]:
    return [folder / name for name in _FILES if (folder / name).is_file()]


def _load(file: Path) -> NDArray[np.generic]:
    """Map an array of numbers; it is read when it is used."""
    if not file.is_file():
        raise ValueError(f"there is no {file.name}.")
    try:
        array: NDArray[np.generic] = np.load(file, mmap_mode="r", allow_pickle=False)
    except DAMAGED_NPY as error:
        raise ValueError(f"{file.name} is no whole array of numbers: {error}.") from error
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "iubf":
        raise ValueError(f"{file.name} must hold numbers, but does not.")
    return array


def _shape(traces_NT: NDArray[np.generic], *, name: str) -> tuple[int, int]:
    if traces_NT.ndim != 2 or not traces_NT.size:
        raise ValueError(f"{name} must have the shape (roi, time), but has {traces_NT.shape}.")
    n_rois, n_frames = traces_NT.shape
    return n_rois, n_frames


def _ops(folder: Path) -> Mapping[str, object]:
    """Give suite2p's settings; none if there are none, since only the rate is needed."""
    if not (folder / "ops.npy").is_file():
        return {}
    with naming("ops.npy"):
        items = read_object_array(folder / "ops.npy")
        if len(items) != 1:
            raise ValueError(f"it must hold one dictionary, but holds {len(items)}.")
    return items[0]


def _centers(folder: Path, *, n_rois: int) -> NDArray[np.float32] | None:
    """Give row and column of each ROI, if all are known."""
    if not (folder / "stat.npy").is_file():
        return None
    with naming("stat.npy"):
        rois = read_object_array(folder / "stat.npy")
        if len(rois) != n_rois:
            raise ValueError(
                f"it must be of {n_rois} ROIs, as the traces are, but is of {len(rois)}."
            )
    centers = [_pair(roi.get("med")) for roi in rois]
    known = [center for center in centers if center is not None]
    return np.array(known, dtype=np.float32) if len(known) == n_rois else None


def _phases(
    row_N: NDArray[np.float32], ops: Mapping[str, object], *, folder: Path
) -> NDArray[np.float32] | None:
    """Give when the microscope comes to the row of each ROI, plane after plane."""
    n_rows, n_planes = _number(ops.get("Ly")), _number(ops.get("nplanes"))
    named = _PLANE.fullmatch(folder.name)
    # Where the field of view is put together from strips, rows are not in the order of time.
    is_in_strips = np.size(np.asarray(ops.get("lines", ()), dtype=object)) > 0
    if n_rows is None or n_planes is None or named is None or is_in_strips:
        return None
    phase_N = (int(named[1]) + row_N / np.float32(n_rows)) / np.float32(n_planes)
    is_sound = bool(((phase_N >= 0) & (phase_N < 1)).all())
    return phase_N.astype(np.float32) if is_sound else None


def _folder_frames(ops: Mapping[str, object]) -> tuple[int, ...]:
    frames = ops.get("frames_per_folder")
    if isinstance(frames, np.ndarray) and frames.ndim == 1 and frames.dtype.kind in "iu":
        return tuple(int(n) for n in frames)
    return ()


def _trials(folder_frames: Sequence[int], *, n_frames: int) -> NDArray[np.int32]:
    """Make each folder of raw data a trial, where their frames are those of the traces."""
    firsts = np.cumsum([0, *folder_frames])[:-1]
    is_of_traces = abs(sum(folder_frames) - n_frames) <= 1 and min(folder_frames, default=0) > 0
    if not is_of_traces or firsts[-1] >= n_frames:
        return np.zeros(n_frames, dtype=np.int32)
    return trials_from(firsts.astype(np.int64), n_frames=n_frames)


def _one_rate(parts: Sequence[_PlaneFolder]) -> float:
    rates = {part.plane.name: part.rate_hz for part in parts}
    if len(set(rates.values())) > 1:
        shown = ", ".join(f"{name} {rate_hz:g} Hz" for name, rate_hz in rates.items())
        raise ValueError(
            f"planes must have one rate, but have: {shown}. Choose planes with `--plane`, or give "
            "the rate with `--rate-hz`."
        )
    return parts[0].rate_hz


def _number(value: object) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    is_one = isinstance(value, np.ndarray) and value.size == 1 and value.dtype.kind in "iuf"
    number = float(np.asarray(value).reshape(-1)[0]) if is_number or is_one else 0.0
    return number if np.isfinite(number) and number > 0 else None


def _pair(value: object) -> tuple[float, float] | None:
    """Give row and column from what `med` has been through the versions of suite2p."""
    items = value if isinstance(value, list | tuple | np.ndarray) else ()
    numbers = [plain(item) for item in items]
    if len(numbers) != 2 or not all(isinstance(n, int | float | np.number) for n in numbers):
        return None
    row, column = (float(np.asarray(n)) for n in numbers)
    return (row, column) if np.isfinite([row, column]).all() else None


_: type[Source] = Suite2pSource
