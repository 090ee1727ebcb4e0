"""The page that goes along a recording: which fold tests it, what it said, and what units did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import plotly.graph_objects as go

from calsweep.dashboards.prediction import read_predictions
from calsweep.dashboards.scroll import activity_map, decoded_stretch, recording_overview
from calsweep.dashboards.track import Track, track_of, worst_stretches
from calsweep.dashboards.web import steps
from calsweep.dashboards.web.choice import Choice
from calsweep.dashboards.web.reached import recorded
from calsweep.dashboards.web.shelf import Reading
from calsweep.platform.record import FoldRecord, SweepRecord, TrialRecord

WORST_S = 10.0


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where along which recording a reader is.

    Attributes
    ----------
    trial, fold
        Whose model it was.
    recording
        That the fold tests.
    shown
        First and last frame.
    track
        All that was said of the recording.
    """

    trial: TrialRecord
    fold: FoldRecord
    recording: str
    shown: tuple[int, int]
    track: Track


def tested(sweep: SweepRecord, trial: TrialRecord, /) -> dict[str, list[int]]:
    """Give the recordings that trained folds of a trial test, each with these folds."""
    trained = {fold.fold for fold in trial.folds}
    found: dict[str, list[int]] = {}
    for fold in sweep.plan.folds:
        if fold.index in trained:
            for name in dict.fromkeys(stretch.recording for stretch in fold.test):
                found.setdefault(name, []).append(fold.index)
    return dict(sorted(found.items()))


def place_of(reading: Reading, choice: Choice, /) -> Place:
    """Give where a reader is.

    Raises
    ------
    LookupError
        If the configuration, recording or fold is not there.
    OSError, ValueError
        If the fold's predictions are missing or damaged.
    """
    sweep, trial = reading.sweep, choice.trial(reading)
    recordings = tested(sweep, trial) if trial else {}
    if trial is None or not recordings:
        raise LookupError("No fold of this configuration is trained yet.")
    recording = choice.recording or next(iter(recordings))
    if recording not in recordings:
        raise LookupError(f"No trained fold of {trial.name} tests a recording {recording!r}.")
    number = next((n for n in choice.folds if n in recordings[recording]), None)
    fold = trial.fold(recordings[recording][0] if number is None else number)
    track = reading.keep(
        ("track", fold.key, recording),
        lambda: track_of(read_predictions(sweep.fold_folder(fold)), recording),
    )
    first, last = int(track.frame_W[0]), int(track.frame_W[-1])
    shown = steps.stretch_of(choice, first=first, last=last, rate_hz=_rate_hz(sweep))
    return Place(trial=trial, fold=fold, recording=recording, shown=shown, track=track)


def overview(reading: Reading, choice: Choice, /) -> go.Figure:
    """Draw the whole recording."""
    here = place_of(reading, choice)
    return recording_overview(here.track, shown=here.shown, **_about(reading.sweep))


def decoded(reading: Reading, choice: Choice, /) -> go.Figure:
    """Draw what was decoded in the stretch that is looked at."""
    here = place_of(reading, choice)
    return decoded_stretch(here.track, shown=here.shown, **_about(reading.sweep))


def activity(reading: Reading, choice: Choice, /) -> go.Figure:
    """Draw what the units did in the stretch that is looked at.

    Raises
    ------
    LookupError
        If the dataset is gone, or not open yet.
    ValueError
        If it is another by now, or holds images alone.
    """
    here = place_of(reading, choice)
    there = recorded(reading, here.recording)
    return activity_map(
        there.activity_TN[here.shown[0] : here.shown[1] + 1],
        units=there.units,
        mean_N=there.mean_N,
        sd_N=there.sd_N,
        rate_hz=_rate_hz(reading.sweep),
        shown=here.shown,
    )


def said(reading: Reading, choice: Choice, /) -> Mapping[str, Any]:
    """Say where a reader is, and where else there is to go."""
    try:
        trial = choice.trial(reading)
        recordings = tested(reading.sweep, trial) if trial else {}
    except LookupError:
        trial, recordings = None, {}
    known = {"shown": trial, "recordings": recordings, "here": None, "missing": "", "jump": ""}
    try:
        here = place_of(reading, choice)
    except (LookupError, OSError, ValueError) as error:
        return {**known, "missing": str(error), "shown_fold": None}
    rate_hz = _rate_hz(reading.sweep)
    first, last = here.shown
    n_shown = last - first + 1
    begin, at_end = int(here.track.frame_W[0]), int(here.track.frame_W[-1])
    part = here.track.between(first, last)
    fixed = replace(choice, name=here.trial.name, recording=here.recording, folds=(here.fold.fold,))
    return {
        **known,
        "here": here,
        "shown_fold": here.fold.fold,
        "where": steps.where(here.shown, last=at_end, rate_hz=rate_hz),
        "wrong": f"{part.is_wrong.mean():.1%}" if len(part.frame_W) else "–",
        "wrong_of_all": f"{here.track.is_wrong.mean():.1%}",
        "turns": steps.turns(fixed, here.shown, last=at_end),
        "spans": steps.spans(fixed, here.shown, first=begin, last=at_end, rate_hz=rate_hz),
        "worst": _worst(here.track, fixed, _near(n_shown, here.track, rate_hz), rate_hz),
        "jump": f"{replace(fixed, at=0, span=n_shown).address()}&at=",
    }


def _near(n_shown: int, track: Track, rate_hz: float) -> int:
    """Give how many frames around a stretch are shown: fewer than all, or nothing would move."""
    n_all = int(track.frame_W[-1] - track.frame_W[0]) + 1
    return n_shown if n_shown < n_all else min(round(steps.USUAL_S * rate_hz), max(n_all // 4, 2))


def _worst(
    track: Track, fixed: Choice, n_shown: int, rate_hz: float
) -> Sequence[tuple[str, str, str, str]]:
    found = worst_stretches(track, n_windows=max(2, round(WORST_S * rate_hz)))
    lines = []
    for stretch in found:
        n_around = n_shown - (stretch.last_frame - stretch.first_frame + 1)
        at = max(0, stretch.first_frame - n_around // 2)
        address = replace(fixed, at=at, span=n_shown).address()
        begin, end = stretch.first_frame / rate_hz, (stretch.last_frame + 1) / rate_hz
        title = f"{steps.clock(begin)} to {steps.clock(end)}"
        lines.append((title, address, f"{stretch.loss:.3f}", f"{stretch.wrong:.0%}"))
    return lines


def _rate_hz(sweep: SweepRecord) -> float:
    return float(sweep.dataset["rate_hz"])


def _about(sweep: SweepRecord) -> dict[str, Any]:
    return {"rate_hz": _rate_hz(sweep), "target": str(sweep.dataset["target"])}
