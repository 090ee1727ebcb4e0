"""Whether the runs of a sweep in MLflow, and their artifacts, are what its record says."""

from __future__ import annotations

import json
import math
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from calsweep.platform.tracking import environment  # noqa: F401

# isort: split
import mlflow.artifacts
from mlflow.entities import LoggedModel, Run
from mlflow.tracking import MlflowClient

from calsweep.platform.errors import first_line
from calsweep.platform.fault import Fault, Part
from calsweep.platform.fold.checksums import sha256
from calsweep.platform.ownership.lease import is_held
from calsweep.platform.record import FoldRecord, SweepRecord, TrialRecord, TrialState
from calsweep.platform.tracking import tracked
from calsweep.platform.tracking.run_store import KILLED, RUNNING, RunStore, run_order
from calsweep.platform.tracking.tracked import MODEL_ID

_TOLERANCE = 1e-9
_TABLE_FIGURES = ("fold_validation_auc", "fold_test_auc")


class RunCheck:
    """Compares each run of a sweep with its record.

    Parameters
    ----------
    client
        Of MLflow.
    store
        The runs of the sweep's experiment.
    sweep
        Its record.
    """

    def __init__(self, client: MlflowClient, store: RunStore, sweep: SweepRecord, /) -> None:
        self._client = client
        self._sweep = sweep
        self._is_running = is_held(sweep.folder)
        self.runs: dict[str, list[Run]] = defaultdict(list)
        self._replaced: list[Run] = []
        for run in store.all_runs():
            if key := run.data.tags.get(tracked.RUN_KEY):
                self.runs[key].append(run)
            elif tracked.REPLACED in run.data.tags:
                self._replaced.append(run)
        self._models: dict[str, list[LoggedModel]] = defaultdict(list)
        for model in store.logged_models():
            self._models[model.source_run_id or ""].append(model)

    def faults(self) -> Iterator[Fault]:
        """Give what is missing, twice, running, of another value, or damaged."""
        known = set()
        for trial in self._sweep.trials:
            parent = tracked.trial_key(trial)
            known.add(parent)
            yield from self._check(parent, trial, fold=None)
            for fold in trial.folds:
                key = tracked.fold_key(trial, fold)
                known.add(key)
                yield from self._check(key, trial, fold=fold)
        for key in sorted(set(self.runs) - known):
            yield _fault(Part.MLFLOW, key, "is not in the record")
        for run in self._replaced:
            if run.info.status == RUNNING:
                yield _fault(Part.MLFLOW, run.data.tags[tracked.REPLACED], "was replaced and RUNS")

    def _check(self, key: str, trial: TrialRecord, *, fold: FoldRecord | None) -> Iterator[Fault]:
        name = f"{trial.name} fold {fold.fold:02d}" if fold else trial.name
        runs = sorted(self.runs.get(key, []), key=run_order)
        if not runs:
            yield _fault(Part.MLFLOW, name, "is missing")
            return
        if len(runs) > 1:
            yield _fault(Part.MLFLOW, name, f"is there {len(runs)} times")
        wrong = [what for run in runs for what in self._status(run, trial, fold)]
        yield from (_fault(Part.MLFLOW, name, what) for what in wrong)
        run = runs[0]
        if any(self._status(run, trial, fold)):
            return  # what is half written need not be right
        for what in self._values(run, trial, fold):
            yield _fault(Part.MLFLOW, name, what)
        for what in self._artifacts(run, trial, fold):
            yield _fault(Part.ARTIFACTS, name, what)

    def _status(self, run: Run, trial: TrialRecord, fold: FoldRecord | None) -> Iterator[str]:
        status = run.info.status
        is_under_way = trial.state is TrialState.RUNNING and self._is_running and fold is None
        if is_under_way:
            return
        wanted = "FINISHED" if fold else tracked.ending(trial).status
        if status == wanted:
            return
        if status == RUNNING:
            yield "is RUNNING, though nothing writes it any more"
        else:
            yield f"is {status}, where the record has {wanted}"

    def _values(self, run: Run, trial: TrialRecord, fold: FoldRecord | None) -> Iterator[str]:
        yield from _differing("parameter", tracked.params(trial.settings), run.data.params)
        tags = tracked.provenance(self._sweep, trial)
        if fold:
            parents = sorted(self.runs.get(tracked.trial_key(trial), []), key=run_order)
            tags |= tracked.fold_tags(fold, parent=parents[0].info.run_id if parents else "")
        yield from _differing("tag", tags, run.data.tags)
        if fold is None and trial.state is TrialState.RUNNING and self._is_running:
            return
        figures = tracked.fold_figures(fold) if fold else tracked.trial_figures(trial)
        last = {figure.name: figure.value for figure in figures}  # MLflow gives that of each
        yield from _differing_numbers(last, run.data.metrics)
        if fold is None:
            yield from self._steps(run, trial)

    def _steps(self, run: Run, trial: TrialRecord) -> Iterator[str]:
        """Compare the table that a trial's run holds as metrics, a step a fold."""
        for name in _TABLE_FIGURES:
            history = self._client.get_metric_history(run.info.run_id, name)
            there = {f"{name} of fold {m.step:02d}": m.value for m in history}
            here = {
                f"{name} of fold {figure.step:02d}": figure.value
                for figure in tracked.trial_figures(trial)
                if figure.name == name
            }
            yield from _differing_numbers(here, there)

    def _artifacts(self, run: Run, trial: TrialRecord, fold: FoldRecord | None) -> Iterator[str]:
        files = {tracked.SETTINGS: dict(trial.settings)}
        if fold is None and run.info.status not in {RUNNING, KILLED}:
            files[tracked.FOLD_TABLE] = tracked.fold_table(trial)
        for name, wanted in files.items():
            yield from self._json(run, name, wanted)
        if fold:
            yield from self._model(run, self._sweep.fold_folder(fold) / "model")

    def _json(self, run: Run, name: str, wanted: Any) -> Iterator[str]:
        with tempfile.TemporaryDirectory(prefix="calsweep-verify-") as scratch:
            try:
                there = Path(self._client.download_artifacts(run.info.run_id, name, scratch))
                found = json.loads(there.read_text())
            except ValueError as error:
                yield f"has a damaged {name} ({first_line(error)})"
                return
            except Exception as error:  # noqa: BLE001 - each kind of store raises its own
                yield f"lacks {name} ({first_line(error)})"
                return
        if found != json.loads(json.dumps(wanted)):
            yield f"has another {name} than the record"

    def _model(self, run: Run, folder: Path) -> Iterator[str]:
        models = self._models.get(run.info.run_id, [])
        wanted = run.data.tags.get(MODEL_ID, "")
        if wanted not in {model.model_id for model in models}:
            yield f"lacks its model ({wanted or 'it names none'})"
            return
        if len(models) > 1:
            yield f"has its model {len(models)} times"
        model = next(model for model in models if model.model_id == wanted)
        if str(model.status) != "READY":
            yield f"has a model that is {model.status}"
        yield from differing_files(model.artifact_location, folder)


def differing_files(location: str, folder: Path, /) -> Iterator[str]:
    """Say which files of a model that MLflow keeps are not those of a fold's folder.

    Parameters
    ----------
    location
        Address of the model's artifacts.
    folder
        Of the fold's model.
    """
    with tempfile.TemporaryDirectory(prefix="calsweep-verify-") as scratch:
        try:
            uri = f"{location.rstrip('/')}/data/model"
            there = Path(mlflow.artifacts.download_artifacts(uri, dst_path=scratch))
        except Exception as error:  # noqa: BLE001 - each kind of store raises its own
            yield f"lacks the files of its model ({first_line(error)})"
            return
        for path in sorted(folder.iterdir()) if folder.exists() else ():
            copy = there / path.name
            if not copy.exists():
                yield f"lacks {path.name} of its model"
            elif sha256(copy) != sha256(path):
                yield f"has another {path.name} of its model than the record: one is damaged"


def _fault(part: Part, name: str, what: str) -> Fault:
    return Fault(part=part, what=f"the run of {name} {what}.")


def _differing(kind: str, here: Mapping[str, str], there: Mapping[str, str]) -> Iterator[str]:
    for name, value in here.items():
        if name not in there:
            yield f"lacks the {kind} {name}"
        elif there[name] != value:
            yield f"has {kind} {name} = {there[name]!r}, the record {value!r}"


def _differing_numbers(here: Mapping[str, float], there: Mapping[str, float]) -> Iterator[str]:
    for name, value in here.items():
        if name not in there:
            yield f"lacks the figure {name}"
        elif not _is_same(there[name], value):
            yield f"has {name} = {there[name]:.6g}, the record {value:.6g}"


def _is_same(one: float, other: float) -> bool:
    return (math.isnan(one) and math.isnan(other)) or math.isclose(
        one, other, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE
    )
