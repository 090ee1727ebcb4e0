"""Whether a sweep's record is whole: its lines, the folds they name, and the files of folds."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from calsweep.platform.errors import first_line
from calsweep.platform.fault import Fault, Part
from calsweep.platform.fold.checksums import damaged_files
from calsweep.platform.fold.model import FoldModel
from calsweep.platform.fold.probability import from_columns, in_order
from calsweep.platform.ownership.lease import is_held
from calsweep.platform.record import FoldRecord, SweepRecord, TrialRecord, TrialState
from calsweep.platform.record_reader import read_sweep
from calsweep.trainables.metrics import accuracy, auc

_TOLERANCE = 1e-6


def check_record(home: Path, name: str, /) -> tuple[SweepRecord, list[Fault]]:
    """Read a record as far as it can be read, and say what of it cannot, or does not fit.

    Returns
    -------
    sweep
        With the folds that can be read.
    faults
        What is wrong.

    Raises
    ------
    SweepNotFound
        If there is no sweep of this name.
    ValueError
        If not even what it set out to do can be read.
    """
    try:
        sweep = read_sweep(home, name)
    except json.JSONDecodeError as error:
        raise ValueError(f"sweep.json of {name!r} is damaged: {error}.") from error
    sweep, faults = _with_files(sweep)
    faults += _check_lines(sweep.folder / "record.jsonl")
    is_running = is_held(sweep.folder)
    for trial in sweep.trials:
        faults += _check_trial(sweep, trial, is_running=is_running)
    n_begun = len(sweep.trials)
    if n_begun < sweep.n_planned and not is_running:
        n_left = sweep.n_planned - n_begun
        faults.append(_fault(f"{n_left} of {sweep.n_planned} configurations were never begun."))
    return sweep, faults


def _with_files(sweep: SweepRecord) -> tuple[SweepRecord, list[Fault]]:
    """Leave out folds whose own file is not what the record's line says, and say why."""
    faults, trials = [], []
    for trial in sweep.trials:
        whats = {fold.key: _check_file(sweep.fold_folder(fold), fold) for fold in trial.folds}
        faults += [_fault(what) for what in whats.values() if what]
        folds = tuple(fold for fold in trial.folds if not whats[fold.key])
        trials.append(replace(trial, folds=folds))
    return replace(sweep, trials=tuple(trials)), faults


def _check_file(folder: Path, fold: FoldRecord) -> str:
    """Compare a fold's own file with the line of the record; empty if they are one."""
    path = folder / "fold.json"
    try:
        there = FoldRecord.read(folder)
    except FileNotFoundError:
        return f"{path} is missing: the sweep's own command trains it anew."
    except (ValueError, TypeError, KeyError) as error:
        return f"{path} cannot be read ({first_line(error)})."
    return "" if there.digest == fold.digest else f"{path} is of another result than the record."


def _fault(what: str) -> Fault:
    return Fault(part=Part.RECORD, what=what)


def _check_lines(path: Path) -> Iterator[Fault]:
    lines = path.read_text(errors="replace").splitlines() if path.exists() else []
    for number, line in enumerate(lines, start=1):
        try:
            json.loads(line)
        except json.JSONDecodeError:
            # One that a kill cut short was written again when the sweep went on.
            if line.endswith("}"):
                yield _fault(f"line {number} of {path} is damaged.")


def _check_trial(sweep: SweepRecord, trial: TrialRecord, *, is_running: bool) -> Iterator[Fault]:
    if trial.state is TrialState.RUNNING and not is_running:
        yield _fault(
            f"{trial.name} has no end and nothing runs it: `calsweep resume {sweep.name}`."
        )
    n_times = Counter(fold.fold for fold in trial.folds)
    if trial.state is TrialState.DONE:
        for planned in sweep.plan.folds:
            if planned.index not in n_times:
                yield _fault(f"{trial.name} fold {planned.index:02d} is missing.")
    for number, n in n_times.items():
        if n > 1:
            yield _fault(f"{trial.name} fold {number:02d} is there {n} times.")
    for fold in trial.folds:
        name = f"{trial.name} fold {fold.fold:02d}"
        for what in _check_fold(sweep.fold_folder(fold), fold):
            yield _fault(f"{name}: {what}")


def _check_fold(folder: Path, fold: FoldRecord) -> Iterator[str]:
    damaged = damaged_files(folder)
    yield from (f"{folder / file} {what}." for file, what in damaged.items())
    predictions = folder / "predictions.parquet"
    if predictions.name not in damaged:
        yield from _check_predictions(predictions, fold)
    if not any(file.startswith("model/") for file in damaged):
        try:
            FoldModel.load(folder / "model")
        except (ValueError, OSError) as error:
            yield f"{first_line(error)}"


def _check_predictions(path: Path, fold: FoldRecord) -> Iterator[str]:
    """Compare the figures of a fold with what its predictions come to."""
    try:
        table = pq.read_table(path, page_checksum_verification=True)
    except (OSError, pa.ArrowException) as error:
        yield f"{path} cannot be read ({first_line(error)})."
        return
    labels_W = table["label"].to_numpy()
    names = in_order(table.column_names)
    columns = [table[name].to_numpy() for name in names]
    probability_WC = from_columns(columns).astype(np.float32)  # as they were when scored
    again = {"auc": auc(labels_W, probability_WC), "accuracy": accuracy(labels_W, probability_WC)}
    for name, value in again.items():
        there = getattr(fold.test, name)
        if abs(there - value) > _TOLERANCE:
            yield f"test {name} is {there:.6f}, but its predictions come to {value:.6f}."
