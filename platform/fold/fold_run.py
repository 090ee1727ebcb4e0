"""The training of one fold, from its task to its folder in the sweep's record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import nn

from calsweep.datasets.cache import beside, file_lock
from calsweep.datasets.dataset import Dataset, open_dataset
from calsweep.datasets.split import FoldData
from calsweep.datasets.view import split_fold
from calsweep.platform.compute import Attempt, Compute
from calsweep.platform.fold.checkpoint import Checkpoint
from calsweep.platform.fold.checksums import write_checksums
from calsweep.platform.fold.feed import Shares
from calsweep.platform.fold.fold_task import FoldTask
from calsweep.platform.fold.less_memory import with_less_memory
from calsweep.platform.fold.loop import TrainedFold, train_fold
from calsweep.platform.fold.model import FoldModel
from calsweep.platform.fold.probability import side_column, to_columns
from calsweep.platform.fold.training import Training
from calsweep.platform.fold.under_way import EpochFile, FoldUnderWay, epoch_path
from calsweep.platform.fold.weights import said_of, with_local_weights
from calsweep.platform.object_storage.storage import locate
from calsweep.platform.places import open_cache
from calsweep.platform.plain import from_plain, to_plain
from calsweep.platform.provenance import code_version, process_name
from calsweep.platform.record import FoldRecord
from calsweep.platform.score import Epoch
from calsweep.platform.settings import Settings
from calsweep.trainables.decoder import TwoStep

_FIRST_STEP_S = 6 * 3600.0


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
    n_devices: float = 1.0,
    checkpoint_s: float = 30.0,
    wrap: Callable[[nn.Module], nn.Module] | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
    notes: tuple[str, ...] = (),
) -> None:
    """Train one fold and leave its figures, predictions and model in the sweep's folder.

    Several processes may train it together; the first writes. If it was killed, training goes on
    from the last checkpoint, written every `checkpoint_s` seconds at most. What `n_devices` were
    used for is counted, and `notes` stand with its figures. The other arguments are those of
    `train_fold`.

    Raises
    ------
    CodeChanged
        If this process has other code than the sweep began with.
    DatasetChanged
        If the dataset is another than the sweep began with.
    """
    check_code(task)
    if shares.world_size == 1 and task.place.exists():
        return  # by another trial, as its first step
    how = _How(
        device=device,
        shares=shares,
        n_devices=n_devices,
        checkpoint_s=checkpoint_s,
        wrap=wrap,
        on_epoch=on_epoch,
    )
    settings: Settings = from_plain(task.settings)
    if settings.first is None:
        _run(task, settings, how, notes=notes)
        return
    first = _first_step(task, settings.first, how)
    decoder = settings.trainables
    assert isinstance(decoder, TwoStep)  # noqa: S101 - or there is no first step
    note = f"starts from the {type(settings.first.trainables).__name__} of the same fold"
    state = FoldModel.load(first / "model").state
    _run(
        task,
        settings,
        how,
        start=lambda module: decoder.start_from(module, state),
        notes=(*notes, note),
    )


def check_code(task: FoldTask, /) -> None:
    """Check that this process has the code that a sweep began with.

    Raises
    ------
    CodeChanged
        If not.
    """
    if code_version() != task.code:
        raise CodeChanged(task.code, code_version())


@dataclass(frozen=True, kw_only=True)
class _How:
    device: str
    shares: Shares
    n_devices: float
    checkpoint_s: float
    wrap: Callable[[nn.Module], nn.Module] | None
    on_epoch: Callable[[Epoch], None] | None


def _first_step(task: FoldTask, settings: Settings, how: _How) -> Path:
    """Give the folder of the trained first step; of all that need it, one trains it."""
    first = replace(task, settings=to_plain(settings))
    if how.shares.world_size > 1:
        # Every process trains its share, or none does: the first decides.
        if not _agreed(first.place.exists(), how):
            _run(first, settings, how)
            torch.distributed.barrier()
        return first.place
    task.folder.mkdir(parents=True, exist_ok=True)
    with file_lock(task.folder / f".{first.key}.lock", deadline_s=_FIRST_STEP_S):
        if not first.place.exists():
            _run(first, settings, how)
    return first.place


def _agreed(there: bool, how: _How) -> bool:
    said = torch.tensor([int(there)], device=how.device)
    torch.distributed.broadcast(said, src=0)
    return bool(said.item())


def _run(
    task: FoldTask,
    settings: Settings,
    how: _How,
    *,
    start: Callable[[nn.Module], None] | None = None,
    notes: tuple[str, ...] = (),
) -> None:
    attempt = Attempt(folder=task.folder, key=task.key, n_devices=how.n_devices)
    view = settings.datasets
    cache = open_cache(task.cache)
    dataset = unchanged_dataset(view.address, task.dataset_hash, task.cache)
    data = split_fold(dataset, view, task.fold, seed=task.seed, cache=cache)
    decoder = with_local_weights(settings.trainables, cache=cache)
    notes = (*said_of(settings.trainables), *notes)
    checkpoint = Checkpoint(path=task.folder / f".{task.key}.checkpoint", every_s=how.checkpoint_s)
    said = EpochFile(path=epoch_path(task.folder, task.key))

    def tell(epoch: Epoch) -> None:
        if how.shares.rank == 0:
            epochs = settings.training.epochs
            said.tell(FoldUnderWay(fold=task.fold.index, epoch=epoch.epoch, epochs=epochs))
            attempt.tell()
        if how.on_epoch:
            how.on_epoch(epoch)

    def train(training: Training) -> TrainedFold:
        return train_fold(
            decoder,
            data=data,
            training=training,
            seed=task.seed,
            device=how.device,
            shares=how.shares,
            wrap=how.wrap,
            start=start,
            on_epoch=tell,
            checkpoint=checkpoint,
        )

    try:
        if how.shares.world_size == 1:
            trained, more = with_less_memory(train, settings.training)
            notes = (*notes, *more)
        else:  # processes that train together would have to agree on it
            trained = train(settings.training)
    except BaseException:
        if how.shares.rank == 0:
            attempt.tell(is_last=True)
        raise
    finally:
        if how.shares.rank == 0:
            said.remove()
    if how.shares.rank == 0:
        if not task.place.exists():
            took = attempt.spent()
            save_fold(task, settings, trained, notes, dataset=dataset, data=data, compute=took)
        attempt.forget()
        checkpoint.remove()


@lru_cache(maxsize=2)
def unchanged_dataset(address: str, content_hash: str, cache: Path, /) -> Dataset:
    """Open the dataset that a sweep began with.

    Raises
    ------
    DatasetChanged
        If another lies at the address now.
    """
    store = locate(address, preflight=False)  # the sweep looked before it began
    dataset = open_dataset(store, cache=open_cache(cache))
    now = dataset.manifest.content_hash
    if now != content_hash:
        raise DatasetChanged(address, content_hash, now)
    return dataset


def save_fold(
    task: FoldTask,
    settings: Settings,
    trained: TrainedFold,
    notes: tuple[str, ...],
    /,
    *,
    dataset: Dataset,
    data: FoldData,
    compute: Compute | None = None,
) -> None:
    """Leave the figures, predictions and model of a trained fold in the sweep's folder."""
    task.folder.mkdir(parents=True, exist_ok=True)
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
            _record(task, trained, notes, compute).write(partial)
            _write_predictions(partial / "predictions.parquet", trained, dataset=dataset, data=data)
            model.save(partial / "model")
            write_checksums(partial)
    except OSError:
        if not task.place.exists():  # another attempt at the same fold may have been first
            raise


def _record(
    task: FoldTask, trained: TrainedFold, notes: tuple[str, ...], compute: Compute | None
) -> FoldRecord:
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
        compute=compute,
    )


def _write_predictions(
    path: Path, trained: TrainedFold, *, dataset: Dataset, data: FoldData
) -> None:
    """Write one row a test window: the frame it decodes, the label there, the probabilities.

    A class that has a head of its own has another column, of what that said.
    """
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
            **{side_column(c): pa.array(p) for c, p in trained.test_sides.items()},
        }
    )
    pq.write_table(table, path, compression="zstd", write_page_checksum=True)
