"""The page on a sweep's dataset: recordings, labels, traces, integrity, fold plan and audit."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import plotly.graph_objects as go

from calsweep.dashboards import summary
from calsweep.dashboards.audit_table import audit_table, meaning
from calsweep.dashboards.fold_plan import FOLDS_DRAWN, divides_time, fold_in_time, plan_matrix
from calsweep.dashboards.label_balance import label_balance
from calsweep.dashboards.style import group_name
from calsweep.dashboards.traces import recorded_traces
from calsweep.dashboards.web import reached, steps
from calsweep.dashboards.web.choice import Choice
from calsweep.dashboards.web.shard_check import Progress, ShardCheck
from calsweep.dashboards.web.shelf import Reading
from calsweep.dashboards.web.sweep_list import reason_of
from calsweep.datasets.fold import Fold, FoldPlan, Stretch, n_classes
from calsweep.datasets.manifest import Manifest, RecordingEntry
from calsweep.datasets.recording import MISSING_LABEL
from calsweep.platform.record import SweepRecord

RECORDINGS_PER_PAGE = 64
CLASSES_LISTED = 6
UNREACHED = (OSError, ValueError, LookupError, TypeError)


@dataclass(frozen=True, kw_only=True)
class Integrity:
    """Whether the dataset is still the one that a sweep was trained on.

    Attributes
    ----------
    verdict
        In a sentence.
    is_wrong
        Whether it is another, gone, or cannot be asked.
    is_waiting
        Whether its address has not answered yet.
    is_there
        Whether its shards can be checked.
    """

    verdict: str
    is_wrong: bool = False
    is_waiting: bool = False
    is_there: bool = False


def said(reading: Reading, choice: Choice, /) -> Mapping[str, Any]:
    """Say what the sweep stands on, as far as its dataset can be reached."""
    sweep = reading.sweep
    check = _check(reading)
    integrity = _integrity(reading, choice, check)
    try:
        manifest, missing = reached.manifest_of(reading), ""
    except UNREACHED as error:
        manifest, missing = None, reason_of(error)
    page, n_pages, names = _page(sweep, choice)
    folds = _folds(sweep.plan, choice)
    recording = _recording(sweep, choice)
    return {
        "facts": summary.facts(sweep),
        "method": summary.method(sweep),
        "integrity": integrity,
        "check": check.progress,
        "check_said": _check_said(check.progress, sweep),
        "again": integrity.is_waiting or not check.progress.is_over,
        "next_check": choice.address({"check": check.progress.number + 1}),
        "meaning": meaning(sweep.verdict),
        "audited": audit_table(sweep.verdict),
        "missing": missing,
        "names": names,
        "n_recordings": len(sweep.dataset["recordings"]),
        "page": page,
        "n_pages": n_pages,
        "holds": _holds(manifest) if manifest else "",
        "classes": _classes(sweep, manifest) if manifest else [],
        "recordings": _recordings(sweep, manifest, names) if manifest else [],
        "offered": sweep.dataset["recordings"],
        "recording": recording,
        **_along(sweep, manifest, choice, recording),
        "folds": [_fold_line(sweep.plan, fold) for fold in folds],
        "n_folds": len(sweep.plan.folds),
        "fold": _fold(sweep.plan, choice).index,
        "divides_time": reading.keep("divides time", lambda: divides_time(sweep.plan)),
        "queries": {
            "balance": "",
            "traces": Choice(recording=recording, at=choice.at, span=choice.span).address(),
            "plan": Choice(page=page, folds=(folds[0].index,)).address(),
            "fold": Choice(page=page, folds=choice.folds[:1]).address(),
        },
    }


def balance(reading: Reading, _: Choice, /) -> go.Figure:
    """Draw how often each class is there."""
    manifest = reached.manifest_of(reading)
    return label_balance(manifest.recordings, target=str(reading.sweep.dataset["target"]))


def traces(reading: Reading, choice: Choice, /) -> go.Figure:
    """Draw some units of a recording, and the behavior below them.

    Raises
    ------
    OSError, ValueError, LookupError
        As `reached.recorded`.
    """
    sweep = reading.sweep
    recording = _recording(sweep, choice)
    there = reached.recorded(reading, recording)
    rate_hz, last = float(sweep.dataset["rate_hz"]), len(there.label_T) - 1
    shown = steps.stretch_of(choice, first=0, last=last, rate_hz=rate_hz)
    target = str(sweep.dataset["target"])
    return recorded_traces(
        there.activity_TN[shown[0] : shown[1] + 1],
        there.label_T[shown[0] : shown[1] + 1],
        units=there.units,
        mean_N=there.mean_N,
        sd_N=there.sd_N,
        target=target,
        n_classes=n_classes(there.manifest, target=target),
        recording=recording,
        rate_hz=rate_hz,
        shown=shown,
    )


def plan(reading: Reading, choice: Choice, /) -> go.Figure:
    """Draw which recordings train, validate and test in each fold."""
    names = _page(reading.sweep, choice)[2]
    return plan_matrix(_folds(reading.sweep.plan, choice), names)


def one_fold(reading: Reading, choice: Choice, /) -> go.Figure:
    """Draw when the recordings train, validate and test in one fold."""
    sweep = reading.sweep
    names = _page(sweep, choice)[2]
    rate_hz = float(sweep.dataset["rate_hz"])
    return fold_in_time(_fold(sweep.plan, choice), names, rate_hz=rate_hz)


def _check(reading: Reading) -> ShardCheck:
    address = str(reading.sweep.dataset["address"])
    return reading.hold(("check", address), lambda: ShardCheck(address))


def _integrity(reading: Reading, choice: Choice, check: ShardCheck) -> Integrity:
    dataset = reading.sweep.dataset
    address, wanted = str(dataset["address"]), str(dataset["content_hash"])
    try:
        found = reached.listing(reading)
    except reached.NotOpenYet as error:
        return Integrity(verdict=str(error), is_waiting=True)
    except UNREACHED as error:
        lost = "Whether the dataset is still the one trained on cannot be told: "
        return Integrity(verdict=f"{lost}{reason_of(error)}", is_wrong=True)
    if choice.check:
        check.begin(choice.check, found.manifest)
    if found.content_hash != wanted:
        return Integrity(
            verdict=(
                f"Another dataset lies at {address} than this sweep was trained on: its content "
                f"hash is {found.content_hash[:12]}, that of the record {wanted[:12]}. A fold that "
                "is trained now would be refused. Bring back the dataset, or sweep the new one."
            ),
            is_wrong=True,
            is_there=True,
        )
    return Integrity(
        verdict=(
            f"What lies at {address} is the dataset that this sweep was trained on: the content "
            f"hash of its manifest is {wanted[:12]}, as in the record. The manifest names the "
            "SHA-256 of every shard; whether the shards still have it, a check says."
        ),
        is_there=True,
    )


def _check_said(progress: Progress, sweep: SweepRecord) -> str:
    of_all = f"{progress.n_checked} of {progress.n_shards} shards"
    if not progress.number:
        return "No check was asked for since the page was started."
    if not progress.is_over:
        return f"{of_all} are read."
    at = time.strftime("%H:%M:%S", time.localtime(progress.ended_s))
    if progress.refusal:
        by_hand = f"`calsweep data check {sweep.dataset['address']}` checks in a terminal."
        return f"Given up at {at} after {of_all}: {progress.refusal} {by_hand}"
    if progress.n_damaged:
        return f"{progress.n_damaged} of {progress.n_shards} shards are not as written ({at})."
    return (
        f"Whole: {progress.n_shards} shards, {progress.n_bytes / 1e6:.1f} MB, were read, and each "
        f"has the SHA-256 of the manifest ({at})."
    )


def _page(sweep: SweepRecord, choice: Choice) -> tuple[int, int, Sequence[str]]:
    """Give which page of recordings is shown, of how many, and their names."""
    names = [str(name) for name in sweep.dataset["recordings"]]
    n_pages = max(1, -(-len(names) // RECORDINGS_PER_PAGE))
    page = min(choice.page, n_pages)
    return page, n_pages, names[(page - 1) * RECORDINGS_PER_PAGE : page * RECORDINGS_PER_PAGE]


def _recording(sweep: SweepRecord, choice: Choice) -> str:
    names = [str(name) for name in sweep.dataset["recordings"]]
    return choice.recording if choice.recording in names else names[0]


def _fold(plan: FoldPlan, choice: Choice) -> Fold:
    chosen = choice.folds[0] if choice.folds else 0
    return plan.folds[min(chosen, len(plan.folds) - 1)]


def _folds(plan: FoldPlan, choice: Choice) -> tuple[Fold, ...]:
    """Give the folds that are drawn side by side: as many as there is room for, by number."""
    first = _fold(plan, choice).index // FOLDS_DRAWN * FOLDS_DRAWN
    return plan.folds[first : first + FOLDS_DRAWN]


def _fold_line(plan: FoldPlan, fold: Fold) -> tuple[str, ...]:
    parts = (fold.train, fold.validation, fold.test)
    return (
        str(fold.index),
        _whose(plan, fold.test_group, fold.test),
        _whose(plan, fold.validation_group, fold.validation),
        *(f"{sum(s.n_frames for s in part):,}" for part in parts),
    )


def _whose(plan: FoldPlan, group: int | None, stretches: Sequence[Stretch]) -> str:
    if group is not None:
        return group_name(plan.groups[group])
    return group_name(tuple(dict.fromkeys(stretch.recording for stretch in stretches)))


def _along(
    sweep: SweepRecord, manifest: Manifest | None, choice: Choice, recording: str
) -> dict[str, Any]:
    """Say which stretch of the recording is drawn, and where else there is to go."""
    found = [e for e in manifest.recordings if e.name == recording] if manifest else []
    if not found:
        return {"where": "", "turns": (), "spans": ()}
    rate_hz, last = float(sweep.dataset["rate_hz"]), found[0].n_frames - 1
    shown = steps.stretch_of(choice, first=0, last=last, rate_hz=rate_hz)
    fixed = replace(choice, recording=recording)
    return {
        "where": steps.where(shown, last=last, rate_hz=rate_hz),
        "turns": steps.turns(fixed, shown, last=last),
        "spans": steps.spans(fixed, shown, first=0, last=last, rate_hz=rate_hz),
    }


def _holds(manifest: Manifest) -> str:
    """Say what every frame of a dataset is."""
    units = f"{len(manifest.units):,} units" if manifest.units else ""
    images = manifest.images
    pixels = f"an image of {images.height} x {images.width} pixels" if images else ""
    behaviors = ", ".join(f"{n} ({unit})" if unit else n for n, unit in manifest.behaviors.items())
    return (
        f"{' and '.join(filter(None, (units, pixels)))} in every frame, at {manifest.rate_hz:g} "
        f"Hz; behavior: {behaviors}."
    )


def _classes(sweep: SweepRecord, manifest: Manifest) -> list[int]:
    target = str(sweep.dataset["target"])
    found = {c for entry in manifest.recordings for c in entry.label_counts[target]}
    return sorted(found - {MISSING_LABEL})[:CLASSES_LISTED]


def _recordings(
    sweep: SweepRecord, manifest: Manifest, names: Sequence[str]
) -> list[dict[str, Any]]:
    target, classes = str(sweep.dataset["target"]), _classes(sweep, manifest)
    entries = {entry.name: entry for entry in manifest.recordings}
    return [
        _recording_line(entries[name], rate_hz=manifest.rate_hz, target=target, classes=classes)
        for name in names
        if name in entries
    ]


def _recording_line(
    entry: RecordingEntry, *, rate_hz: float, target: str, classes: Sequence[int]
) -> dict[str, Any]:
    seconds, counts = entry.n_frames / rate_hz, entry.label_counts[target]
    return {
        "name": entry.name,
        "subject": entry.subject,
        "frames": f"{entry.n_frames:,}",
        "duration": f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:.1f} min",
        "trials": f"{entry.n_trials:,}",
        "shares": [f"{counts.get(c, 0) / entry.n_frames:.1%}" for c in classes],
        "missing": ", ".join(f"{name} {n:,}" for name, n in entry.n_missing.items()) or "none",
    }
