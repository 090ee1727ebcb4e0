"""Behavior in an NWB file: series, intervals and trials, brought to the frames."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calsweep.datasets.align import Outside, align
from calsweep.datasets.nwb_activity import clock_of, is_named, path_of
from calsweep.datasets.recording import MISSING_LABEL
from calsweep.datasets.source import label_or_measure, whole_if_whole
from calsweep.datasets.trial import trials_from

# T frame, S sample of behavior, R trial

_AXES = ("x", "y", "z")
_MAX_COLUMNS = 3
_MAX_CLASSES = 32
_CONTAINERS = (
    "BehavioralTimeSeries",
    "CompassDirection",
    "EyeTracking",
    "Position",
    "PupilTracking",
)
_NO_UNIT = (
    "",
    "a.u.",
    "arbitrary",
    "boolean",
    "n/a",
    "na",
    "no unit",
    "none",
    "unitless",
    "unknown",
)
_UNITS = {"meter": "m", "centimeter": "cm", "millimeter": "mm", "second": "s", "radian": "rad"}
_UNITS |= {"degree": "deg", "pixel": "pixel", "volt": "V"}
_NOT_OF_TRIALS = ("start_time", "stop_time", "tags", "timeseries", "id")


@dataclass(frozen=True, kw_only=True)
class FrameBehavior:
    """One behavior at the frames' times."""

    values_T: NDArray[np.generic]
    unit: str = ""
    steps: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A behavior that a file has, read when it is wanted.

    Attributes
    ----------
    path
        Where it is.
    is_usual
        Whether it is taken when none are named.
    read
        Gives it by name: a position has several axes.
    """

    path: str
    is_usual: bool
    read: Callable[[], Mapping[str, FrameBehavior]]


def read_behavior(
    nwb: Any,
    /,
    *,
    frame_times_s: NDArray[np.float64],
    named: Sequence[str] = (),
    trials: Any = None,
    classes: Mapping[str, str],
    outside: Outside = Outside.REFUSE,
) -> dict[str, FrameBehavior]:
    """Read behaviors and bring them to the frames; what is not asked for is not read.

    Parameters
    ----------
    nwb
        An open ``NWBFile``.
    frame_times_s
        Time of each frame.
    named
        Names or paths of series, containers, tables of intervals, or columns of trials; by default
        the usual.
    trials
        The table of trials.
    classes
        Column of the trials with words to its words in the order of their numbers,
        ``"left,right"``.
    outside
        What becomes of frames that a series does not reach.

    Raises
    ------
    ValueError
        If one is not there, or does not go with the frames; the message lists what is there.
    """
    of_file = [
        *_series(nwb, frame_times_s=frame_times_s, outside=outside),
        *_intervals(nwb, frame_times_s=frame_times_s, trials=trials),
    ]
    # pynwb gives them in no order of their own.
    there = [
        *sorted(of_file, key=lambda candidate: candidate.path),
        *_columns(trials, frame_times_s=frame_times_s, classes=classes),
    ]
    for name in (*named, *classes):
        if not any(is_named(candidate.path, name) for candidate in there):
            paths = ", ".join(f"`{candidate.path}`" for candidate in there) or "none"
            raise ValueError(f"there is no behavior `{name}`. Behaviors: {paths}.")
    chosen = [
        candidate
        for candidate in there
        if (any(is_named(candidate.path, name) for name in named) if named else candidate.is_usual)
    ]
    return _by_name({candidate.path: candidate.read() for candidate in chosen})


def read_trials(
    table: Any,
    /,
    *,
    frame_times_s: NDArray[np.float64],
) -> NDArray[np.int32]:
    """Count trials at the frames; the frames between two trials are a trial of their own.

    So no window reaches from one trial into the next, and no frame is lost. Where one trial begins
    before another ends, the frames are of the later.

    Parameters
    ----------
    table
        ``TimeIntervals``, or None: one trial.
    frame_times_s
        Time of each frame.

    Returns
    -------
    trial_T
        Counted from 0, shape ``(time,)``.
    """
    n_frames = len(frame_times_s)
    if table is None or not len(table):
        return np.zeros(n_frames, dtype=np.int32)
    row_T = _row_of(table, frame_times_s=frame_times_s, name=table.name)
    # A stretch between trials is told from the next by how many trials began before it.
    n_begun_T = np.searchsorted(np.sort(_starts_s(table)), frame_times_s, side="right")
    return trials_from(np.where(row_T >= 0, row_T, -1 - n_begun_T), n_frames=n_frames)


def _series(
    nwb: Any, *, frame_times_s: NDArray[np.float64], outside: Outside
) -> Iterator[Candidate]:
    from pynwb import TimeSeries
    from pynwb.behavior import SpatialSeries
    from pynwb.misc import IntervalSeries

    for item in nwb.objects.values():
        path = path_of(item)
        if type(item) is IntervalSeries:
            yield Candidate(
                path=path,
                is_usual=True,
                read=partial(_of_interval_series, item, frame_times_s=frame_times_s),
            )
        elif type(item) in (TimeSeries, SpatialSeries):
            yield Candidate(
                path=path,
                is_usual=_is_usual(item),
                read=partial(
                    _of_series, item, path=path, frame_times_s=frame_times_s, outside=outside
                ),
            )


def _is_usual(series: Any) -> bool:
    """Say whether a series is behavior by where it is, and of numbers that a frame can have."""
    holder = series.parent
    is_behavior = type(holder).__name__ in _CONTAINERS or (
        type(holder).__name__ == "ProcessingModule" and "behavior" in holder.name.lower()
    )
    shape = np.shape(series.data)
    fits = len(shape) == 1 or (len(shape) == 2 and shape[1] <= _MAX_COLUMNS)
    return is_behavior and fits and series.data.dtype.kind in "iubf"


def _of_series(
    series: Any, *, path: str, frame_times_s: NDArray[np.float64], outside: Outside
) -> dict[str, FrameBehavior]:
    shape = np.shape(series.data)
    if len(shape) not in (1, 2) or series.data.dtype.kind not in "iubf":
        raise ValueError(
            f"`{path}` must hold numbers of shape (time,) or (time, column), but holds "
            f"{series.data.dtype} of shape {shape}."
        )
    clock = clock_of(series, name=path)
    unit = _unit(str(series.unit))
    values_SC = np.asarray(series.data[:])
    columns = {
        name: values_SC if values_SC.ndim == 1 else values_SC[:, i]
        for i, name in enumerate(_column_names(series, shape))
    }
    aligned = {}
    for name, values_S in columns.items():
        brought = align(
            _label_or_measure(values_S, series, unit=unit),
            name=name,
            times_s=clock.times_s,
            frame_times_s=frame_times_s,
            unit=unit,
            outside=outside,
        )
        steps = (brought.step,) if brought.step else ()
        aligned[name] = FrameBehavior(values_T=brought.values_T, unit=unit, steps=steps)
    return aligned


def _column_names(series: Any, shape: tuple[int, ...]) -> list[str]:
    if len(shape) == 1 or shape[1] == 1:
        return [series.name]
    is_place = type(series).__name__ == "SpatialSeries" and shape[1] <= len(_AXES)
    endings = _AXES if is_place else tuple(str(i) for i in range(1, shape[1] + 1))
    return [f"{series.name}_{ending}" for ending in endings[: shape[1]]]


def _label_or_measure(
    values_S: NDArray[np.generic], series: Any, *, unit: str
) -> NDArray[np.generic]:
    conversion, offset = float(series.conversion), float(series.offset)
    if (conversion, offset) != (1.0, 0.0):
        return values_S.astype(np.float64) * conversion + offset
    # Whole numbers with a unit are what a sensor counts, not classes.
    return values_S.astype(np.float64) if unit else label_or_measure(values_S, unit="")


def _unit(text: str) -> str:
    """Give a unit as other sources write it."""
    plain = text.strip()
    if plain.lower() in _NO_UNIT:
        return ""
    return _UNITS.get(plain.lower().removesuffix("s"), plain)


def _of_interval_series(
    series: Any, *, frame_times_s: NDArray[np.float64]
) -> dict[str, FrameBehavior]:
    """Give 1 between a positive mark and the next negative one, as NWB has them."""
    marks = np.asarray(series.data[:], dtype=np.int64)
    times_s = np.asarray(series.timestamps[:], dtype=np.float64)
    last = np.searchsorted(times_s, frame_times_s, side="right") - 1
    inside_T = (last >= 0) & (marks[last] > 0) if len(marks) else np.zeros(len(last), dtype=bool)
    return {series.name: FrameBehavior(values_T=inside_T.astype(np.int64))}


def _intervals(nwb: Any, *, frame_times_s: NDArray[np.float64], trials: Any) -> Iterator[Candidate]:
    from pynwb.epoch import TimeIntervals

    for item in nwb.objects.values():
        if isinstance(item, TimeIntervals) and item is not trials:
            yield Candidate(
                path=path_of(item),
                is_usual=True,
                read=partial(_of_intervals, item, frame_times_s=frame_times_s),
            )


def _of_intervals(table: Any, *, frame_times_s: NDArray[np.float64]) -> dict[str, FrameBehavior]:
    row_T = _row_of(table, frame_times_s=frame_times_s, name=table.name)
    return {table.name: FrameBehavior(values_T=(row_T >= 0).astype(np.int64))}


def _columns(
    trials: Any, *, frame_times_s: NDArray[np.float64], classes: Mapping[str, str]
) -> Iterator[Candidate]:
    if trials is None or not len(trials):
        return
    for name in trials.colnames:
        values_R = _column(trials, name)
        if name in _NOT_OF_TRIALS or values_R is None:
            continue
        is_words = values_R.dtype.kind not in "iubf"
        yield Candidate(
            path=f"{path_of(trials)}/{name}",
            is_usual=name in classes or (not is_words and _is_of_few_values(values_R)),
            read=partial(
                _of_column,
                name,
                values_R,
                trials=trials,
                frame_times_s=frame_times_s,
                classes=classes,
            ),
        )


def _column(trials: Any, name: str) -> NDArray[Any] | None:
    """Give a column with one value a trial."""
    data = getattr(trials[name], "data", None)
    if data is None or type(trials[name]).__name__ == "VectorIndex":
        return None
    values = np.asarray(data[:])
    return values if values.shape == (len(trials),) else None


def _is_of_few_values(values_R: NDArray[Any]) -> bool:
    finite = values_R[np.isfinite(values_R)]
    is_whole = whole_if_whole(finite.astype(np.float64)).dtype.kind == "i"
    return bool(len(finite)) and is_whole and len(np.unique(finite)) <= _MAX_CLASSES


def _of_column(
    name: str,
    values_R: NDArray[Any],
    *,
    trials: Any,
    frame_times_s: NDArray[np.float64],
    classes: Mapping[str, str],
) -> dict[str, FrameBehavior]:
    steps: tuple[str, ...] = (f"`{name}` is that of the trial, missing between trials",)
    if values_R.dtype.kind not in "iubf":
        values_R, numbered = _numbered(values_R, name=name, classes=classes)
        steps = (*steps, numbered)
    row_T = _row_of(trials, frame_times_s=frame_times_s, name=trials.name)
    values_T = values_R.astype(np.float64)[row_T]
    values_T[row_T < 0] = np.nan
    if not _is_of_few_values(values_R):
        return {name: FrameBehavior(values_T=values_T, steps=steps)}
    if (values_R == MISSING_LABEL).any():
        # Sides are often -1 and 1; -1 has another meaning here.
        raise ValueError(
            f"{MISSING_LABEL} marks frames between trials, but is a class of `{name}`. "
            "Name the behaviors that are wanted with `--behavior`, or number its classes from 0."
        )
    labels_T = np.where(np.isnan(values_T), MISSING_LABEL, values_T).astype(np.int64)
    return {name: FrameBehavior(values_T=labels_T, steps=steps)}


def _numbered(
    values_R: NDArray[Any], *, name: str, classes: Mapping[str, str]
) -> tuple[NDArray[np.float64], str]:
    """Give numbers to words as a person said: the words of one file are not those of all."""
    words_R = [w.decode() if isinstance(w, bytes) else str(w) for w in values_R]
    there = ",".join(sorted(set(words_R)))
    if name not in classes:
        raise ValueError(
            f"`{name}` holds words, and they need numbers that are the same in every file: "
            f"`--classes {name}={there}`."
        )
    number_of = {word.strip(): i for i, word in enumerate(classes[name].split(","))}
    unknown = sorted(set(words_R) - set(number_of))
    if unknown:
        raise ValueError(
            f"`--classes {name}=...` must name every word of `{name}`, but {unknown[0]!r} is not "
            f"among {', '.join(number_of)}."
        )
    numbered = ", ".join(f"{i} {word}" for word, i in number_of.items())
    return np.array([number_of[w] for w in words_R], dtype=np.float64), f"`{name}`: {numbered}"


def _starts_s(table: Any) -> NDArray[np.float64]:
    return np.asarray(table["start_time"].data[:], dtype=np.float64)


def _row_of(table: Any, *, frame_times_s: NDArray[np.float64], name: str) -> NDArray[np.int64]:
    """Give the interval that each frame lies in, or -1; of several, the one that began last."""
    starts_s = _starts_s(table)
    stops_s = np.asarray(table["stop_time"].data[:], dtype=np.float64)
    if not len(starts_s):
        return np.full(len(frame_times_s), -1, dtype=np.int64)
    if not np.isfinite(starts_s).all() or not (stops_s >= starts_s).all():
        raise ValueError(
            f"each interval of `{name}` must have a start and a stop that is not before it, but "
            "not all have. Mend the table before ingesting."
        )
    row_T = np.full(len(frame_times_s), -1, dtype=np.int64)
    for row in np.argsort(starts_s, kind="stable"):
        first, stop = np.searchsorted(frame_times_s, (starts_s[row], stops_s[row]))
        row_T[first:stop] = row
    return row_T


def _by_name(found: Mapping[str, Mapping[str, FrameBehavior]]) -> dict[str, FrameBehavior]:
    """Give behaviors by name; where several share one, by where they are."""
    n_of = Counter(name for of_path in found.values() for name in of_path)
    return {
        name if n_of[name] == 1 else f"{path.rpartition('/')[0]}/{name}".replace("/", "_"): aligned
        for path, of_path in found.items()
        for name, aligned in of_path.items()
    }
