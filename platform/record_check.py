"""Whether a sweep's record is whole: its lines, the folds they name, and the files of folds."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from calsweep.platform.errors import first_line
from calsweep.platform.fault import Fault, Part
from calsweep.platform.fold.checksums import damaged_files
from calsweep.platform.fold.model import FoldModel
from calsweep.platform.fold.probability import from_columns, in_order
from calsweep.platform.record import (
    FoldRecord,
    SweepRecord,
    TrialRecord,
    TrialState,
    read_sweep,
)
from calsweep.platform.record_writer import is_held
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
    faults: list[Fault] = []

    def read_fold(folder: Path) -> FoldRecord | None:
        try:
            return FoldRecord.read(folder)
        except FileNotFoundError:
            what = "is missing: the sweep's own command trains it anew"
        except (ValueError, TypeError, KeyError) as error:
            what = f"cannot be read ({first_line(error)})"
        faults.append(_fault(f"{folder / 'fold.json'} {what}."))
        return None

    try:
        sweep = read_sweep(home, name, read_fold=read_fold)
    except json.JSONDecodeError as error:
        raise ValueError(f"sweep.json of {name!r} is damaged: {error}.") from error
    faults += _check_lines(sweep.folder / "record.jsonl")
    is_running = is_held(sweep.folder)
    for trial in sweep.trials:
        faults += _check_trial(sweep, trial, is_running=is_running)
    n_begun = len(sweep.trials)
    if n_begun < sweep.n_planned and not is_running:
        n_left = sweep.n_planned - n_begun
        faults.append(_fault(f"{n_left} of {sweep.n_planned} configurations were never begun."))
    return sweep, faults


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
    if folder.name != fold.key:
        yield f"{folder / 'fold.json'} is of another fold ({fold.key})."
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
