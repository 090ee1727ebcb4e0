"""The runs of one experiment of MLflow, each found by its key before it is made.

MLflow makes a new run whenever it is asked to, also when its answer to the first asking was lost.
What was made twice is found when runs are read, which is done anew after every error.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from calsweep.platform.tracking import environment  # noqa: F401

# isort: split
from mlflow.entities import LoggedModel, Metric, Param, Run, RunTag
from mlflow.tracking import MlflowClient

from calsweep.datasets.cache import beside
from calsweep.platform.tracking import tracked
from calsweep.platform.tracking.artifact_folder import artifact_folder
from calsweep.platform.tracking.run_tables import WholeRun

RUNNING = "RUNNING"
FINISHED = "FINISHED"
KILLED = "KILLED"
# What MLflow takes in one call.
_PAGE = 1000
_BATCH = 1000
_BATCH_PARAMS = 100


@dataclass(frozen=True, kw_only=True)
class StoredRun:
    """A run that is there.

    Attributes
    ----------
    run_id
        MLflow's.
    status
        MLflow's: ``RUNNING``, ``FINISHED``, ``FAILED`` or ``KILLED``.
    result
        Which result of the record it holds (`tracked.RESULT`); empty while it is half written.
    error
        Why the trial failed.
    has_params
        Whether its settings are there.
    artifacts
        Where MLflow keeps its files.
    """

    run_id: str
    status: str
    result: str
    error: str
    has_params: bool
    artifacts: str = ""

    @classmethod
    def of(cls, run: Run, /) -> StoredRun:
        """Give what is kept of a run."""
        tags = run.data.tags
        return cls(
            run_id=run.info.run_id,
            status=run.info.status,
            result=tags.get(tracked.RESULT, ""),
            error=tags.get(tracked.ERROR, ""),
            has_params=bool(run.data.params),
            artifacts=run.info.artifact_uri or "",
        )

    @classmethod
    def of_whole(cls, run: WholeRun, /) -> StoredRun:
        """Give what is kept of a run that was written whole."""
        return cls(
            run_id=run.run_id,
            status=FINISHED,
            result=run.tags[tracked.RESULT],
            error="",
            has_params=bool(run.params),
        )


class RunStore:
    """Runs of an experiment by key.

    Parameters
    ----------
    client
        Of MLflow.
    experiment
        MLflow's number of the experiment.
    """

    def __init__(self, client: MlflowClient, experiment: str, /) -> None:
        self.experiment = experiment
        self._client = client
        self._runs: dict[str, StoredRun] = {}

    def find(self, key: str, /) -> StoredRun | None:
        """Give the run of a key, if there is one."""
        return self._runs.get(key)

    def __getitem__(self, key: str) -> StoredRun:
        return self._runs[key]

    def running(self) -> tuple[str, ...]:
        """Give the keys of the runs that have not ended."""
        return tuple(key for key, run in self._runs.items() if run.status == RUNNING)

    def read(self) -> int:
        """Find the runs that are there.

        Returns
        -------
        n_removed
            Runs that were there twice: the whole one, or the first, stays.
        """
        found: dict[str, list[Run]] = defaultdict(list)
        for run in self.all_runs():
            if key := run.data.tags.get(tracked.RUN_KEY):
                found[key].append(run)
        n_removed = 0
        self._runs = {}
        for key, runs in found.items():
            first, *others = sorted(runs, key=run_order)
            for run in others:
                self._remove(run)
            n_removed += len(others)
            self._runs[key] = StoredRun.of(first)
        return n_removed

    def create(self, key: str, /, *, name: str, tags: Mapping[str, str], at_ms: int) -> StoredRun:
        """Make a run, which is running then."""
        run = self._client.create_run(
            self.experiment,
            start_time=at_ms,
            run_name=name,
            tags={tracked.RUN_KEY: key, **tags},
        )
        self._runs[key] = StoredRun.of(run)
        return self._runs[key]

    def add_whole(self, key: str, run: StoredRun, /) -> None:
        """Take note of a run that was written whole (`calsweep.platform.tracking.run_tables`)."""
        self._runs[key] = run

    def log(
        self,
        key: str,
        /,
        *,
        params: Mapping[str, str] | None = None,
        figures: Sequence[tracked.Figure] = (),
        tags: Mapping[str, str] | None = None,
        at_ms: int = 0,
    ) -> None:
        """Write into a run, in as few calls as MLflow allows; tags are written last.

        The same written twice is there once.
        """
        run = self._runs[key]
        rows = [Param(name, value) for name, value in (params or {}).items()]
        metrics = [Metric(figure.name, figure.value, at_ms, figure.step) for figure in figures]
        marks = [RunTag(name, value) for name, value in (tags or {}).items()]
        while len(rows) > _BATCH_PARAMS:
            self._client.log_batch(run.run_id, params=rows[:_BATCH_PARAMS])
            rows = rows[_BATCH_PARAMS:]
        while len(rows) + len(metrics) + len(marks) > _BATCH:
            self._client.log_batch(run.run_id, metrics=metrics[:_BATCH])
            metrics = metrics[_BATCH:]
        if rows or metrics or marks:
            self._client.log_batch(run.run_id, metrics=metrics, params=rows, tags=marks)
        stored = replace(run, has_params=run.has_params or bool(params))
        if tags:
            stored = replace(stored, result=tags.get(tracked.RESULT, run.result))
            stored = replace(stored, error=tags.get(tracked.ERROR, run.error))
        self._runs[key] = stored

    def write_json(self, key: str, data: Mapping[str, Any], /, *, name: str) -> None:
        """Put a file of JSON with a run; one that is there is replaced."""
        run = self._runs[key]
        folder = artifact_folder(run.artifacts)
        if folder is None:
            self._client.log_dict(run.run_id, dict(data), name)
            return
        folder.mkdir(parents=True, exist_ok=True)
        with beside(folder / name) as partial:
            partial.write_text(json.dumps(data, indent=2))

    def end(self, key: str, status: str, /, *, at_ms: int) -> None:
        """Close a run."""
        self._client.set_terminated(self._runs[key].run_id, status=status, end_time=at_ms)
        self._runs[key] = replace(self._runs[key], status=status)

    def begin_again(self, key: str, /) -> None:
        """Let a run go on that was closed."""
        self._client.update_run(self._runs[key].run_id, status=RUNNING)
        self._runs[key] = replace(self._runs[key], status=RUNNING)

    def forget_error(self, key: str, /) -> None:
        """Take away the error of a trial that went on."""
        self._client.delete_tag(self._runs[key].run_id, tracked.ERROR)
        self._runs[key] = replace(self._runs[key], error="")

    def retire(self, key: str, /) -> None:
        """Close the run of a fold that was trained anew since, and free its key; it stays."""
        run = self._runs.pop(key)
        self._client.set_tag(run.run_id, tracked.REPLACED, key)
        self._client.delete_tag(run.run_id, tracked.RUN_KEY)
        self._client.set_terminated(run.run_id, status=KILLED)

    def half_stored(self, key: str, /) -> LoggedModel | None:
        """Give the model of a run that was left half written, so that it is gone on with.

        Another one in its place would leave its files behind.
        """
        asked = f"source_run_id = '{self._runs[key].run_id}'"
        stored = list(self.logged_models(asked))
        for other in stored[1:]:
            self._client.delete_logged_model(other.model_id)
        return stored[0] if stored else None

    def logged_models(self, filter_string: str = "", /) -> Iterator[LoggedModel]:
        """Give the models that were stored with runs of this experiment."""
        token = None
        while True:
            page = self._client.search_logged_models(
                [self.experiment], filter_string=filter_string or None, page_token=token
            )
            yield from page
            token = page.token
            if not token:
                return

    def all_runs(self) -> Iterator[Run]:
        """Give every run of the experiment, of whatever key."""
        token = None
        while True:
            page = self._client.search_runs([self.experiment], max_results=_PAGE, page_token=token)
            yield from page
            token = page.token
            if not token:
                return

    def _remove(self, run: Run) -> None:
        if run.info.status == RUNNING:
            self._client.set_terminated(run.info.run_id, status=KILLED)
        self._client.delete_run(run.info.run_id)


def run_order(run: Run, /) -> tuple[bool, int, str]:
    """Sort the runs of one key: one that is whole first, then the oldest."""
    is_half = run.info.status == RUNNING or tracked.RESULT not in run.data.tags
    return is_half, run.info.start_time or 0, run.info.run_id
