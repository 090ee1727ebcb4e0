"""A fold's run as `run_tables` writes it whole; its files are written here."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from calsweep.datasets.cache import beside
from calsweep.platform.record import FoldRecord, SweepRecord, TrialRecord
from calsweep.platform.tracking import tracked
from calsweep.platform.tracking.artifact_folder import artifact_folder
from calsweep.platform.tracking.run_tables import RunTables, WholeRun
from calsweep.platform.tracking.stored_model import MODEL_TYPE, write_model


def write_files(
    sweep: SweepRecord, trial: TrialRecord, fold: FoldRecord, /, *, parent: str, tables: RunTables
) -> WholeRun:
    """Write the settings and the model of a fold to where MLflow keeps them.

    The numbers of run and model follow from what they hold: files of a writer that was killed
    before it wrote the rows lie where the next one writes the same.

    Parameters
    ----------
    sweep, trial, fold
        Of the record.
    parent
        MLflow's number of the trial's run.
    tables
        Say where files lie.

    Returns
    -------
    run
        What the tables are to hold of it.
    """
    key = tracked.fold_key(trial, fold)
    number = hashlib.sha256("\n".join([parent, key, fold.digest]).encode()).hexdigest()[:32]
    model_id = f"m-{number}"
    settings = _at_hand(tables.artifacts_of_run(number)) / tracked.SETTINGS
    settings.parent.mkdir(parents=True, exist_ok=True)
    with beside(settings) as partial:
        partial.write_text(json.dumps(trial.settings, indent=2))
    write_model(
        sweep.fold_folder(fold) / "model",
        _at_hand(tables.artifacts_of_model(model_id)),
        loader=tracked.LOADER,
    )
    return WholeRun(
        run_id=number,
        model_id=model_id,
        name=tracked.fold_name(trial, fold),
        model_name=tracked.MODEL_NAME,
        model_type=MODEL_TYPE,
        tags={
            tracked.RUN_KEY: key,
            **tracked.run_tags(sweep, trial),
            **tracked.fold_tags(fold, parent=parent),
            tracked.MODEL_ID: model_id,
            tracked.RESULT: fold.digest,
        },
        params=tracked.params(trial.settings),
        figures=tracked.fold_figures(fold),
        begun_ms=tracked.begun_ms(trial, fold),
        ended_ms=tracked.ended_ms(trial, fold),
    )


def _at_hand(location: str) -> Path:
    folder = artifact_folder(location)
    assert folder is not None  # noqa: S101 - there are no tables otherwise
    return folder
