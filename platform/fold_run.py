"""The training of one fold, from its task to its folder in the sweep's record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import nn

from calsweep.datasets.cache import beside
from calsweep.datasets.dataset import Dataset, open_dataset
from calsweep.datasets.split import FoldData
from calsweep.datasets.view import split_fold
from calsweep.platform.checkpoint import Checkpoint
from calsweep.platform.errors import first_line
from calsweep.platform.fold_task import FoldTask
from calsweep.platform.loop import TrainedFold, train_fold
from calsweep.platform.model import FoldModel
from calsweep.platform.plain import from_plain
from calsweep.platform.probability import to_columns
from calsweep.platform.record import FoldRecord, code_version, process_name
from calsweep.platform.score import Epoch
from calsweep.platform.settings import Settings, open_cache
from calsweep.platform.storage import locate
from calsweep.platform.trainee import Shares
from calsweep.platform.training import Training

_FEWER = 4


class CodeChanged(ValueError):
    """The code is not the one that the sweep began with."""

    def __init__(self, then: str, now: str) -> None:
        super().__init__(then, now)
        self.then = then
        self.now = now

    def __str__(self) -> str:
        return (
            f"The sweep began with calsweep {self.then}, but this process has {self.now}: "
            "leave the code as it is while a sweep runs, and begin a new sweep with the new."
        )


class DatasetChanged(ValueError):
    """A dataset is not the one that the sweep began with."""

    def __init__(self, address: str, then: str, now: str) -> None:
        super().__init__(address, then, now)
        self.address = address
        self.then = then
        self.now = now

    def __str__(self) -> str:
        return (
            f"The dataset at {self.address} was {self.then[:12]} when the sweep began and is "
            f"{self.now[:12]} now: begin a new sweep."
        )


def run_fold(
    task: FoldTask,
    /,
    *,
    device: str = "cpu",
    shares: Shares = Shares(),  # noqa: B008 - frozen
    checkpoint_s: float = 30.0,
    wrap: Callable[[nn.Module], nn.Module] | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> None:
    """Train one fold and leave its figures, predictions and model in the sweep's folder.

    Several processes may train it together; the first writes. If it was killed, training goes on
    from the last checkpoint, written every `checkpoint_s` seconds at most. The other arguments are
    those of `train_fold`.

    Raises
    ------
    CodeChanged
        If this process has other code than the sweep began with.
    DatasetChanged
        If the dataset is another than the sweep began with.
    """
    if code_version() != task.code:
        raise CodeChanged(task.code, code_version())
    settings: Settings = from_plain(task.settings)
    view = settings.datasets
    dataset = _dataset(view.address, task.dataset_hash, task.cache)
    data = split_fold(dataset, view, task.fold, seed=task.seed, cache=open_cache(task.cache))
    checkpoint = Checkpoint(path=task.folder / f".{task.key}.checkpoint", every_s=checkpoint_s)

    def train(training: Training) -> TrainedFold:
        return train_fold(
            settings.trainables,
            data=data,
            training=training,
            seed=task.seed,
            device=device,
            shares=shares,
            wrap=wrap,
            on_epoch=on_epoch,
            checkpoint=checkpoint,
        )

    trained, notes = _with_less_memory(train, settings.training, alone=shares.world_size == 1)
    if shares.rank == 0:
        if not task.place.exists():
            task.folder.mkdir(parents=True, exist_ok=True)
            _save(task, settings, trained, notes, dataset=dataset, data=data)
        checkpoint.remove()


def _with_less_memory(
    train: Callable[[Training], TrainedFold], training: Training, *, alone: bool
) -> tuple[TrainedFold, tuple[str, ...]]:
    """Train; where memory does not suffice, once more with smaller pieces of a batch, and say so.

    Processes that train together would have to agree on it, so they are left to fail.
    """
    notes: tuple[str, ...] = ()
    if alone:
        try:
            return train(training), notes
        except (RuntimeError, MemoryError) as error:
            if not _is_out_of_memory(error):
                raise
            notes = (
                f"memory did not suffice ({first_line(error)}); trained again with each batch in "
                f"{_FEWER} times as many pieces",
            )
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    smaller = replace(training, accumulation=training.accumulation * _FEWER) if notes else training
    return train(smaller), notes


def _is_out_of_memory(error: Exception) -> bool:
    # On a CPU torch has no type for it.
    is_of_cpu = "not enough memory" in str(error) or "can't allocate memory" in str(error)
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or is_of_cpu


@lru_cache(maxsize=2)
def _dataset(address: str, content_hash: str, cache: Path) -> Dataset:
    dataset = open_dataset(locate(address), cache=open_cache(cache))
    now = dataset.manifest.content_hash
    if now != content_hash:
        raise DatasetChanged(address, content_hash, now)
    return dataset


def _save(
    task: FoldTask,
    settings: Settings,
    trained: TrainedFold,
    notes: tuple[str, ...],
    *,
    dataset: Dataset,
    data: FoldData,
) -> None:
    image_shape = data.frame_shape if len(data.frame_shape) == 2 else None
    model = FoldModel(
        decoder=settings.trainables,
        view=settings.datasets,
        units=() if image_shape else dataset.manifest.units,
        image_shape=image_shape,
        rate_hz=dataset.manifest.rate_hz,
        scaling=data.scaling,
        state=trained.state_dict,
        n_classes=data.n_classes,
    )
    try:
        with beside(task.place) as partial:
            partial.mkdir()
            _record(task, trained, notes).write(partial)
            _write_predictions(partial / "predictions.parquet", trained, dataset=dataset, data=data)
            model.save(partial / "model")
    except OSError:
        if not task.place.exists():  # another attempt at the same fold may have been first
            raise


def _record(task: FoldTask, trained: TrainedFold, notes: tuple[str, ...]) -> FoldRecord:
    return FoldRecord(
        key=task.key,
        fold=task.fold.index,
        test_group=task.fold.test_group,
        validation_group=task.fold.validation_group,
        seed=task.seed,
        best_epoch=trained.best_epoch,
        curve=trained.curve,
        validation=trained.validation,
        test=trained.test,
        n_windows=trained.n_windows_trained,
        train_seconds=trained.train_seconds,
        process=process_name(),
        notes=notes,
    )


def _write_predictions(
    path: Path, trained: TrainedFold, *, dataset: Dataset, data: FoldData
) -> None:
    """Write one row a test window: the frame it decodes, the label there, the probabilities."""
    targets_W = data.test.targets_W
    names = list(dataset.spans)
    starts = np.array([span.start for span in dataset.spans.values()])
    recording_W = np.searchsorted(starts, targets_W, side="right") - 1
    table = pa.table(
        {
            "recording": pa.DictionaryArray.from_arrays(
                pa.array(recording_W, pa.int32()), pa.array(names)
            ),
            "frame": pa.array(targets_W - starts[recording_W], pa.int64()),
            "label": pa.array(data.test.labels_W, pa.int8()),
            **{k: pa.array(p) for k, p in to_columns(trained.test_probability_WC).items()},
        }
    )
    pq.write_table(table, path, compression="zstd", write_page_checksum=True)
