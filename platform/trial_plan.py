"""What every trial of a sweep shares, and the folds that it makes of a configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from calsweep.datasets.fold import FoldPlan
from calsweep.platform.fold.fold_task import FoldTask, fold_seed
from calsweep.platform.pruning import Pruning, PruningMethod, fold_order
from calsweep.platform.resources import Resources


@dataclass(frozen=True, kw_only=True)
class TrialPlan:
    """What every trial of a sweep shares.

    Attributes
    ----------
    folds
        The fold plan.
    seed
        Of the sweep.
    dataset_hash, code
        Of the dataset, and the version of the code.
    earlier_code
        Versions that the sweep ran with before: what they have trained stays.
    pruning
        Whether trials may be ended before their last fold.
    folder
        Of the sweep's record.
    cache
        On each node, for decoded frames.
    resources
        What one fold's training takes.
    """

    folds: FoldPlan
    seed: int
    dataset_hash: str
    code: str
    folder: Path
    cache: Path
    resources: Resources
    earlier_code: tuple[str, ...] = ()
    pruning: Pruning = field(default_factory=Pruning)

    def tasks(self, settings: Mapping[str, Any], /) -> tuple[FoldTask, ...]:
        """Give the folds to train for one configuration, given as plain data.

        They come in the order in which they are to be trained: that of the plan, or, where trials
        may be pruned, a shuffled one that all trials share.
        """
        tasks = tuple(map(self._as_trained, self._tasks(settings)))
        if self.pruning.method is PruningMethod.NONE:
            return tasks
        order = fold_order(len(tasks), seed=self.seed, plan_hash=self.folds.content_hash)
        return tuple(tasks[i] for i in order)

    def _as_trained(self, task: FoldTask) -> FoldTask:
        before = (replace(task, code=code) for code in self.earlier_code)
        return next((other for other in before if other.place.exists()), task)

    def _tasks(self, settings: Mapping[str, Any]) -> tuple[FoldTask, ...]:
        return tuple(
            FoldTask(
                settings=settings,
                fold=fold,
                seed=fold_seed(self.seed, fold.index),
                dataset_hash=self.dataset_hash,
                plan_hash=self.folds.content_hash,
                code=self.code,
                folder=self.folder / "folds",
                cache=self.cache,
            )
            for fold in self.folds.folds
        )
