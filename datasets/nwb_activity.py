"""Activity in an NWB file: series of ROIs, which of them are cells, and where they lie."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calsweep.datasets.align import even_times
from calsweep.datasets.plane import Plane, Planes, join_planes, plane_order

# T time, N unit, D dimension in space

_READ_BYTES = 32 * 2**20
_ACCEPTED = ("accepted", "iscell", "is_cell", "keep")
_POSITIONS = (("centroid_x", "centroid_y"), ("x", "y"), ("roi_x", "roi_y"))
_CENTROIDS = ("roicentroids", "centroid", "centroids")


class Signal(Enum):
    """What is measured of a ROI."""

    DFF = "dff"
    FLUORESCENCE = "fluorescence"
    DECONVOLVED = "deconvolved"


@dataclass(frozen=True, kw_only=True)
class Clock:
    """When samples were taken.

    Attributes
    ----------
    times_s
        Of each sample.
    rate_hz
        Samples per second.
    """

    times_s: NDArray[np.float64]
    rate_hz: float


@dataclass(frozen=True, kw_only=True)
class Activity:
    """Activity of a file's planes.

    Attributes
    ----------
    planes
        Side by side.
    clock
        Of the frames.
    position_unit
        ``"um"``, ``"pixel"``, or ``""`` where positions are not known.
    steps
        What was done to it.
    """

    planes: Planes
    clock: Clock
    position_unit: str
    steps: tuple[str, ...]


def read_activity(
    nwb: Any,
    /,
    *,
    signal: Signal,
    named: Sequence[str] = (),
    planes: Sequence[str] = (),
    all_rois: bool = False,
    positions: bool = True,
) -> Activity:
    """Read the series of ROIs that are asked for, and no other.

    Parameters
    ----------
    nwb
        An open ``NWBFile``.
    signal
        What to take, where no series are named.
    named
        Series, containers or modules, as ``plane0`` or ``ophys/DfOverF/plane0``.
    planes
        Plane segmentations or imaging planes; by default all.
    all_rois
        Whether rejected ROIs are taken too.
    positions
        Whether to read where ROIs lie.

    Raises
    ------
    ValueError
        If there is no such series, several are of one plane, or they do not go together; the
        message lists what is there.
    """
    chosen = _chosen(nwb, signal=signal, named=named, planes=planes)
    clocks = {path: clock_of(series, name=path) for path, series in chosen.items()}
    _check_rates(clocks)
    # Each plane of a volume begins a little after the one before.
    start_s = {path: float(clock.times_s[0]) for path, clock in clocks.items()}
    first = min(start_s, key=lambda path: start_s[path])
    parts: list[Plane] = []
    steps: list[str] = []
    units_of_position: set[str] = set()
    for path, series in chosen.items():
        rows, columns, kept = _rois(series, all_rois=all_rois, name=path)
        steps.extend(kept)
        places = _positions(series.rois.table, rows) if positions else None
        units_of_position.add(places.unit if places else "")
        offset = (start_s[path] - start_s[first]) * clocks[first].rate_hz
        if offset >= 1:
            raise ValueError(
                f"planes must begin within one frame, but `{path}` begins {offset:.6g} frames "
                f"after `{first}`. Choose planes with `--plane`."
            )
        parts.append(
            Plane(
                name=_plane_name(series),
                rois=tuple(f"roi{i}" for i in np.asarray(series.rois.table.id[:])[rows]),
                activity_TN=_read_columns(series, columns, name=path),
                positions_ND=places.positions_ND if places else None,
                phase_N=np.full(len(rows), offset, dtype=np.float32),
            )
        )
    if len(units_of_position) > 1:
        parts = [dataclasses.replace(part, positions_ND=None) for part in parts]
    joined = join_planes(parts)
    if len(set(start_s.values())) == 1:
        # Within a plane, NWB does not tell when a ROI was seen.
        joined = dataclasses.replace(joined, phase_N=None)
    n_frames = len(joined.activity_TN)
    return Activity(
        planes=joined,
        clock=Clock(times_s=clocks[first].times_s[:n_frames], rate_hz=clocks[first].rate_hz),
        position_unit=units_of_position.pop() if joined.positions_ND is not None else "",
        steps=(f"activity is {', '.join(f'`{path}`' for path in chosen)}", *steps, *joined.steps),
    )


def clock_of(series: Any, /, *, name: str) -> Clock:
    """Give when the samples of a ``TimeSeries`` were taken: by its rate, or by its timestamps.

    Raises
    ------
    ValueError
        If it has no samples, or its times are not finite and increasing.
    """
    n = len(series.data)
    if not n:
        raise ValueError(f"`{name}` must have samples, but is empty.")
    if series.rate is not None:
        start_s = float(series.starting_time or 0.0)
        rate_hz = float(series.rate)
        if not (math.isfinite(rate_hz) and rate_hz > 0 and math.isfinite(start_s)):
            raise ValueError(
                f"`{name}` must have a rate above 0, but has {rate_hz} from {start_s} s on."
            )
        return Clock(times_s=even_times(n, rate_hz=rate_hz, start_s=start_s), rate_hz=rate_hz)
    times_s = np.asarray(series.timestamps[:], dtype=np.float64)
    if times_s.shape != (n,) or not np.isfinite(times_s).all() or (np.diff(times_s) <= 0).any():
        raise ValueError(
            f"timestamps of `{name}` must be finite and increasing, one for each of {n} samples, "
            f"but are not (shape {times_s.shape}). Mend the clock before ingesting."
        )
    # One sample alone has no rate; what needs one says so.
    rate_hz = 1 / float(np.median(np.diff(times_s))) if n > 1 else 0.0
    return Clock(times_s=times_s, rate_hz=_rounded(rate_hz))


def path_of(item: Any, /) -> str:
    """Give where something is in a file, as ``ophys/DfOverF/plane0``."""
    parts = []
    while item is not None and item.parent is not None:
        parts.append(item.name)
        item = item.parent
    return "/".join(reversed(parts))


def is_named(path: str, name: str, /) -> bool:
    """Say whether a name is that of an item, or of what holds it.

    Examples
    --------
    >>> [is_named("ophys/DfOverF/plane0", name) for name in ("plane0", "ophys/DfOverF", "plane")]
    [True, True, False]
    """
    return f"/{name.strip('/')}/" in f"/{path}/"


def _rounded(rate_hz: float) -> float:
    """Take away what a clock's digits add: files of one microscope should agree in their rate."""
    return float(f"{rate_hz:.6g}")


def _chosen(
    nwb: Any, *, signal: Signal, named: Sequence[str], planes: Sequence[str]
) -> dict[str, Any]:
    """Give the series asked for by their paths, one a plane."""
    there = dict(sorted(_series(nwb), key=lambda item: plane_order(item[0])))
    if not there:
        raise ValueError("there is no RoiResponseSeries in it: no activity of ROIs.")
    for name in named:
        if not any(is_named(path, name) for path in there):
            raise ValueError(f"there is no series `{name}`. {_listing(there)}")
    chosen = {
        path: series
        for path, series in there.items()
        if (any(is_named(path, name) for name in named) if named else _signal(series) is signal)
    }
    if not chosen:
        raise ValueError(
            f"there is no {signal.value} series. {_listing(there)} "
            "Choose with `--activity` or `--series`."
        )
    for plane in planes:
        if not any(plane in _plane_names(series) for series in chosen.values()):
            known = ", ".join(f"`{_plane_name(series)}`" for series in chosen.values())
            raise ValueError(f"there is no plane `{plane}`. Planes: {known}.")
    if planes:
        chosen = {
            path: series
            for path, series in chosen.items()
            if _plane_names(series).intersection(planes)
        }
    twice = [name for name, n in Counter(map(_plane_name, chosen.values())).items() if n > 1]
    if twice:
        of_it = {path: series for path, series in chosen.items() if _plane_name(series) in twice}
        raise ValueError(
            f"one series a plane is needed, but of `{twice[0]}` there are {len(of_it)}. "
            f"{_listing(of_it)} Choose one with `--series`."
        )
    return chosen


def _series(nwb: Any) -> Iterator[tuple[str, Any]]:
    from pynwb.ophys import RoiResponseSeries

    for item in nwb.objects.values():
        if isinstance(item, RoiResponseSeries):
            yield path_of(item), item


def _signal(series: Any) -> Signal | None:
    """Tell what a series is from its container's type and both names; NWB has no field for it."""
    words = f"{series.parent.name}/{series.name}".lower().replace("_", "")
    is_corrected = "correct" in words or "subtract" in words
    if ("neuropil" in words and not is_corrected) or "background" in words or "denoised" in words:
        return None
    if any(word in words for word in ("deconv", "spike", "event")):
        return Signal.DECONVOLVED
    is_dff = type(series.parent).__name__ == "DfOverF"
    if is_dff or any(word in words for word in ("dff", "dfoverf", "deltaf")):
        return Signal.DFF
    return Signal.FLUORESCENCE


def _listing(there: Mapping[str, Any]) -> str:
    shown = [
        f"`{path}` ({getattr(_signal(series), 'value', 'other')}, "
        f"{' x '.join(map(str, np.shape(series.data)))})"
        for path, series in there.items()
    ]
    return f"Series of ROIs: {', '.join(shown)}."


def _plane_name(series: Any) -> str:
    return str(series.rois.table.name)


def _plane_names(series: Any) -> set[str]:
    return {_plane_name(series), str(series.rois.table.imaging_plane.name)}


def _check_rates(clocks: Mapping[str, Clock]) -> None:
    rates = {path: clock.rate_hz for path, clock in clocks.items()}
    lowest, highest = min(rates.values()), max(rates.values())
    if not math.isclose(lowest, highest, rel_tol=1e-3):
        shown = ", ".join(f"`{path}` {rate:g} Hz" for path, rate in rates.items())
        raise ValueError(
            f"planes must have one rate, but have: {shown}. Choose planes with `--plane`."
        )


def _rois(
    series: Any, *, all_rois: bool, name: str
) -> tuple[NDArray[np.int64], NDArray[np.int64], tuple[str, ...]]:
    """Give rows of the segmentation and columns of the series that are kept, and a step if some."""
    rows = np.asarray(series.rois.data[:], dtype=np.int64)
    shape = np.shape(series.data)
    n_columns = 1 if len(shape) == 1 else shape[1]
    if len(shape) > 2 or n_columns != len(rows):
        raise ValueError(
            f"`{name}` must have the shape (time, roi) with {len(rows)} ROIs, but has {shape}."
        )
    if not len(rows):
        raise ValueError(f"`{name}` must be of at least one ROI, but has none.")
    column = next((c for c in series.rois.table.colnames if c.lower() in _ACCEPTED), None)
    if all_rois or column is None:
        return rows, np.arange(len(rows)), ()
    verdict = np.asarray(series.rois.table[column].data[:])
    is_kept = (verdict if verdict.ndim == 1 else verdict[:, 0])[rows] > 0
    if not is_kept.any():
        raise ValueError(
            f"`{name}` must have at least one accepted ROI, but `{column}` accepts none of "
            f"{len(rows)}. Take all with `--all-rois`."
        )
    n_out = int(np.count_nonzero(~is_kept))
    step = f"{n_out} of {len(rows)} ROIs of `{name}` left out: not accepted in `{column}`"
    return rows[is_kept], np.flatnonzero(is_kept), (step,) if n_out else ()


def _read_columns(series: Any, columns: NDArray[np.int64], *, name: str) -> NDArray[np.float32]:
    """Read a series a stretch at a time, so that no more than what is kept is in memory."""
    data = series.data
    if data.dtype.kind not in "iubf":
        raise ValueError(f"`{name}` must hold numbers, but holds {data.dtype}.")
    n_frames = data.shape[0]
    values_TN = np.empty((n_frames, len(columns)), dtype=np.float32)
    row_bytes = max(data.dtype.itemsize * math.prod(data.shape[1:]), 1)
    chunk = (getattr(data, "chunks", None) or (1,))[0]
    # Whole chunks: a part of a chunk costs as much as all of it.
    stride = chunk * max(_READ_BYTES // row_bytes // chunk, 1)
    for start in range(0, n_frames, stride):
        stretch = np.asarray(data[start : start + stride])
        stretch = stretch.reshape(len(stretch), -1)
        values_TN[start : start + stride] = stretch[:, columns]
    return _converted(values_TN, series)


def _converted(values: NDArray[np.float32], series: Any) -> NDArray[np.float32]:
    conversion, offset = float(series.conversion), float(series.offset)
    if (conversion, offset) == (1.0, 0.0):
        return values
    return (values * conversion + offset).astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class _Positions:
    positions_ND: NDArray[np.float32]
    unit: str


def _positions(table: Any, rows: NDArray[np.int64]) -> _Positions | None:
    """Give where ROIs lie, if the segmentation says so, in the order of its axes (x, y, z)."""
    named = _named_positions(table, rows)
    if named is not None:
        return named
    names = set(table.colnames)
    if "pixel_mask" in names:
        return _in_pixels(_mask_centers(table["pixel_mask"], rows, axes=("x", "y")))
    if "voxel_mask" in names:
        return _in_pixels(_mask_centers(table["voxel_mask"], rows, axes=("x", "y", "z")))
    if "image_mask" in names:
        return _in_pixels(_image_centers(table["image_mask"].data, rows))
    return None


def _named_positions(table: Any, rows: NDArray[np.int64]) -> _Positions | None:
    by_name = {name.lower(): name for name in table.colnames}
    for names in _POSITIONS:
        for ending, unit in (("_um", "um"), ("", "pixel")):
            columns = [by_name.get(f"{name}{ending}") for name in names]
            if None not in columns:
                values = np.stack([np.asarray(table[c].data[:])[rows] for c in columns], axis=1)
                return _Positions(positions_ND=values.astype(np.float32), unit=unit)
    for name in _CENTROIDS:
        values = np.asarray(table[by_name[name]].data[:]) if name in by_name else np.empty(0)
        if values.ndim == 2 and values.shape[1] in (2, 3):
            return _Positions(positions_ND=values[rows].astype(np.float32), unit="pixel")
    return None


def _in_pixels(positions_ND: NDArray[np.float64]) -> _Positions | None:
    if not np.isfinite(positions_ND).all():
        return None  # a ROI without a mask lies nowhere
    return _Positions(positions_ND=positions_ND.astype(np.float32), unit="pixel")


def _mask_centers(
    index: Any, rows: NDArray[np.int64], *, axes: tuple[str, ...]
) -> NDArray[np.float64]:
    """Average the pixels of each ROI by their weights."""
    ends = np.asarray(index.data[:], dtype=np.int64)
    pixels = np.asarray(index.target.data[:])
    sizes = np.diff(ends, prepend=0)
    roi = np.repeat(np.arange(len(ends)), sizes)
    weight = np.asarray(pixels["weight"], dtype=np.float64)
    mass = np.bincount(roi, weights=weight, minlength=len(ends))
    sums = [np.bincount(roi, weights=weight * pixels[a], minlength=len(ends)) for a in axes]
    with np.errstate(invalid="ignore", divide="ignore"):
        centers: NDArray[np.float64] = np.stack(sums, axis=1) / mass[:, None]
    return centers[rows]


def _image_centers(masks: Any, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Average the pixels of each ROI by their weights, one image at a time."""
    centers = np.full((len(rows), len(masks.shape) - 1), np.nan)
    for i, row in enumerate(rows):
        mask = np.asarray(masks[int(row)], dtype=np.float64)
        mass = mask.sum()
        if mass > 0:
            # The mass over one axis alone, times the place along it.
            axes = range(mask.ndim)
            sums = [mask.sum(axis=tuple(b for b in axes if b != a)) for a in axes]
            centers[i] = [of_axis @ np.arange(len(of_axis)) / mass for of_axis in sums]
    return centers
