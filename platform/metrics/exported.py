"""The metrics of a sweep that Ray gathers and Prometheus reads, each by its name.

Ray writes ``ray_`` before a name and ``_total`` after that of a counter, and `infra/` asks so.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from enum import Enum
from typing import Any

import ray
from ray.util import metrics

SWEEP = "sweep"


class Kind(Enum):
    """How a metric moves."""

    COUNTER = "counter"
    GAUGE = "gauge"


@dataclass(frozen=True, kw_only=True)
class Metric:
    """What is exported under one name.

    Attributes
    ----------
    name
        Without what Ray adds.
    about
        What it says, with its unit.
    kind
        How it moves.
    tags
        That it has beside that of the sweep.
    """

    name: str
    about: str
    kind: Kind = Kind.GAUGE
    tags: tuple[str, ...] = ()

    @property
    def exported_name(self) -> str:
        """As Prometheus has it.

        Examples
        --------
        >>> FOLDS_TRAINED.exported_name, FOLDS_DONE.exported_name
        ('ray_calsweep_folds_trained_total', 'ray_calsweep_folds_done')
        """
        return f"ray_{self.name}{'_total' if self.kind is Kind.COUNTER else ''}"


def _counter(name: str, about: str) -> Metric:
    return Metric(name=f"calsweep_{name}", about=about, kind=Kind.COUNTER)


def _gauge(name: str, about: str, *tags: str) -> Metric:
    return Metric(name=f"calsweep_{name}", about=about, tags=tags)


RUNNING = _gauge("running", "1 while a process runs the sweep, 0 when it has ended.")
LAST_PROGRESS = _gauge("last_progress_seconds", "When an epoch or a fold was last done, Unix time.")
FOLDS_TRAINED = _counter("folds_trained", "Folds that this run of the sweep has trained.")
FOLDS_DONE = _gauge("folds_done", "Folds that are done, those of earlier runs among them.")
FOLDS_PLANNED = _gauge("folds_planned", "Folds in all, as far as none is left out.")
TRIALS = _gauge("trials", "Trials that have ended, by how.", "state")
GENERATION = _gauge("generation", "Generations that a population has come through.")
GENERATIONS_PLANNED = _gauge("generations_planned", "Generations of a population at most.")
BEST_LOSS = _gauge("best_loss", "Lowest validation loss of a population's last generation.")
RETRIES = _counter("retries", "Attempts at folds or generations of members beyond the first.")
DEVICE_SECONDS = _counter("device_seconds", "Seconds of devices that trained.")
TRACKING_BACKLOG = _gauge("tracking_backlog", "Folds in the record that MLflow does not have yet.")
BYTES_READ = _counter("bytes_read", "Bytes of shards read, from disk or over a network.")
CACHE_HITS = _counter("cache_hits", "Entries of a node's cache that were there.")
CACHE_MISSES = _counter("cache_misses", "Entries of a node's cache that were made.")
STORAGE_RETRIES = _counter("storage_retries", "Calls to object storage that were made again.")

METRICS = (
    RUNNING, LAST_PROGRESS, FOLDS_TRAINED, FOLDS_DONE, FOLDS_PLANNED, TRIALS, GENERATION,
    GENERATIONS_PLANNED, BEST_LOSS, RETRIES, DEVICE_SECONDS, TRACKING_BACKLOG, BYTES_READ,
    CACHE_HITS, CACHE_MISSES, STORAGE_RETRIES,
)  # fmt: skip


class Exporter:
    """Gives metrics of one sweep to Ray; where Ray is not up, or cannot take them, nothing happens.

    Parameters
    ----------
    sweep
        Its name.
    """

    def __init__(self, sweep: str, /) -> None:
        self._sweep = sweep
        self._made: dict[str, Any] = {}
        self._totals: dict[str, float] = {}

    def put(self, metric: Metric, value: float, /, **tags: str) -> None:
        """Set a gauge."""
        with contextlib.suppress(Exception):  # what watches a sweep must not end it
            if ray.is_initialized():
                self._of(metric).set(float(value), {SWEEP: self._sweep, **tags})

    def add(self, metric: Metric, amount: float, /) -> None:
        """Raise a counter."""
        with contextlib.suppress(Exception):
            if amount > 0 and ray.is_initialized():
                self._of(metric).inc(float(amount), {SWEEP: self._sweep})

    def raise_to(self, metric: Metric, total: float, /, *, base: float = 0.0) -> None:
        """Raise a counter by what a total has grown since this was called last, or above a base."""
        self.add(metric, total - self._totals.get(metric.name, base))
        self._totals[metric.name] = max(total, self._totals.get(metric.name, base))

    def _of(self, metric: Metric) -> Any:
        if metric.name not in self._made:
            make = metrics.Counter if metric.kind is Kind.COUNTER else metrics.Gauge
            self._made[metric.name] = make(
                metric.name, description=metric.about, tag_keys=(SWEEP, *metric.tags)
            )
        return self._made[metric.name]
