"""Sweeps as MLflow holds them: a parent run a configuration, each with its table of folds."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from calsweep.platform.tracking import tracked
from calsweep.platform.tracking.tracking import open_client, refusals

EXPERIMENTS = "calsweep/"
_PAGE = 1000


@dataclass(frozen=True, kw_only=True)
class ParentRun:
    """The run of a configuration.

    Attributes
    ----------
    run_id
        MLflow's.
    name
        Of the configuration.
    status
        MLflow's: ``RUNNING``, ``FINISHED``, ``FAILED`` or ``KILLED``.
    figures
        Name to value: ``validation_auc_mean``, ``n_folds``, ``train_seconds`` and others.
    params, tags
        Its settings by dotted name, and where its numbers come from.
    began_s, ended_s
        In seconds since 1970; `ended_s` is ``None`` while it runs.
    """

    run_id: str
    name: str
    status: str
    figures: Mapping[str, float]
    params: Mapping[str, str]
    tags: Mapping[str, str]
    began_s: float
    ended_s: float | None


def parent_runs(uri: str, /) -> dict[str, tuple[ParentRun, ...]]:
    """Give the configurations of every sweep that an MLflow holds, in the order they began.

    Returns
    -------
    runs
        Name of a sweep to its configurations; the sweep that began last is first.

    Raises
    ------
    TrackingRefused
        If it cannot be asked.
    """
    with refusals(uri):
        client = open_client(uri)
        experiments = client.search_experiments(filter_string=f"name LIKE '{EXPERIMENTS}%'")
        names = {str(e.experiment_id): str(e.name).removeprefix(EXPERIMENTS) for e in experiments}
        found: dict[str, list[ParentRun]] = {name: [] for name in names.values()}
        token = None
        while names:
            page = client.search_runs(
                list(names),
                f"tags.`{tracked.KIND}` = 'trial'",
                max_results=_PAGE,
                page_token=token,
            )
            for run in page:
                found[names[str(run.info.experiment_id)]].append(_parent(run))
            token = page.token
            if not token:
                break
    ordered = {name: tuple(sorted(runs, key=lambda r: r.began_s)) for name, runs in found.items()}
    latest = sorted(ordered, key=lambda name: -max((r.began_s for r in ordered[name]), default=0))
    return {name: ordered[name] for name in latest}


def stored_fold_table(uri: str, run_id: str, /) -> tuple[Mapping[str, Any], ...]:
    """Give the table of folds that lies with a configuration's run.

    Raises
    ------
    TrackingRefused
        If MLflow cannot be asked, or has none.
    ValueError
        If it is damaged.
    """
    with refusals(uri), tempfile.TemporaryDirectory(prefix="calsweep-folds-") as scratch:
        path = open_client(uri).download_artifacts(run_id, tracked.FOLD_TABLE, scratch)
        rows = json.loads(Path(path).read_text())["folds"]
    return tuple(rows)


def _parent(run: Any) -> ParentRun:
    ended_ms = run.info.end_time
    return ParentRun(
        run_id=run.info.run_id,
        name=run.info.run_name or run.data.tags.get(tracked.RUN_KEY, run.info.run_id),
        status=run.info.status,
        figures=dict(run.data.metrics),
        params=dict(run.data.params),
        tags=dict(run.data.tags),
        began_s=(run.info.start_time or 0) / 1000,
        ended_s=ended_ms / 1000 if ended_ms else None,
    )
