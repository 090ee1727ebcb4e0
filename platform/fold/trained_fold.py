"""A fold that was trained, opened again: its model, and the data it was trained and tested on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from calsweep.datasets.fold import Fold
from calsweep.datasets.split import FoldData
from calsweep.datasets.view import Labels, split_fold
from calsweep.platform.fold.fold_run import run_fold, unchanged_dataset
from calsweep.platform.fold.fold_task import FoldTask
from calsweep.platform.fold.model import FoldModel
from calsweep.platform.places import open_cache
from calsweep.platform.plain import from_plain, to_plain
from calsweep.platform.provenance import code_version
from calsweep.platform.record import FoldRecord, SweepRecord, TrialRecord, TrialState
from calsweep.platform.settings import Settings


@dataclass(frozen=True, kw_only=True)
class TrainedFold:
    """What a fold's folder and the sweep's record say of it.

    Attributes
    ----------
    record
        Its figures.
    folder
        Where model and predictions lie.
    model
        With its weights.
    """

    record: FoldRecord
    folder: Path
    model: FoldModel

    @classmethod
    def read(cls, folder: Path, /) -> TrainedFold:
        """Read a trained fold.

        Raises
        ------
        ValueError
            If its model is missing or damaged.
        """
        return cls(
            record=FoldRecord.read(folder), folder=folder, model=FoldModel.load(folder / "model")
        )

    def data(self, sweep: SweepRecord, /, *, cache: Path) -> FoldData:
        """Give the windows that it was trained and tested on, from the dataset of the sweep.

        Raises
        ------
        DatasetChanged
            If another dataset lies at the address now.
        """
        view = self.model.view
        dataset = unchanged_dataset(view.address, str(sweep.dataset["content_hash"]), cache)
        fold = planned(sweep, self.record.fold)
        return split_fold(dataset, view, fold, seed=self.record.seed, cache=open_cache(cache))


def planned(sweep: SweepRecord, fold: int, /) -> Fold:
    """Give a fold of a sweep's plan by its number."""
    return next(planned for planned in sweep.plan.folds if planned.index == fold)


def settings_of(trial: TrialRecord, /) -> Settings:
    """Give the typed settings of a trial."""
    plain: dict[str, Any] = {
        "_target_": f"{Settings.__module__}.{Settings.__qualname__}",
        **trial.settings,
    }
    settings: Settings = from_plain(plain)
    return settings


def control_of(sweep: SweepRecord, trial: TrialRecord, /) -> TrialRecord | None:
    """Find the finished trial that is the same as another but for permuted labels."""
    permuted = _permuted(trial)
    controls = [
        other
        for other in sweep.trials
        if other.is_control and other.state is TrialState.DONE and settings_of(other) == permuted
    ]
    return controls[0] if controls else None


def train_permuted(
    sweep: SweepRecord, trial: TrialRecord, fold: FoldRecord, /, *, cache: Path
) -> Path:
    """Train a fold of a trial on permuted labels, or find it trained, and give its folder.

    It lies among the sweep's folds and stands in no leaderboard.
    """
    task = FoldTask(
        settings=to_plain(_permuted(trial)),
        fold=planned(sweep, fold.fold),
        seed=fold.seed,
        dataset_hash=str(sweep.dataset["content_hash"]),
        plan_hash=sweep.plan_hash,
        code=code_version(),
        folder=sweep.folder / "folds",
        cache=cache,
    )
    run_fold(task)
    return task.place


def _permuted(trial: TrialRecord) -> Settings:
    settings = settings_of(trial)
    return replace(settings, datasets=replace(settings.datasets, labels=Labels.PERMUTED))
