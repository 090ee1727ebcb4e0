"""A model used on a dataset: the probability of each frame, and intervals of frames."""

from __future__ import annotations

import csv
import uuid
from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from calsweep.datasets.cache import beside
from calsweep.datasets.dataset import Dataset
from calsweep.datasets.split import FrameArray, FrameStretch
from calsweep.datasets.view import prepare_images
from calsweep.platform.fold.model import TrainedModel
from calsweep.platform.fold.probability import columns, from_columns, in_order, to_columns
from calsweep.platform.interval import intervals
from calsweep.platform.object_storage.address import local_path, nearest_folder
from calsweep.trainables.metrics import decide

RATE_TOLERANCE = 0.01
PIECE_MB = 64.0


class RateDiffers(ValueError):
    """Recordings have another frame rate than a model was trained on."""

    def __init__(self, model_hz: float, dataset_hz: float) -> None:
        super().__init__(model_hz, dataset_hz)
        self.model_hz = model_hz
        self.dataset_hz = dataset_hz

    def __str__(self) -> str:
        return (
            f"The model was trained at {self.model_hz:g} Hz, but the dataset has "
            f"{self.dataset_hz:g} Hz: ingest it again with --resample-hz {self.model_hz:g}."
        )


def predict_dataset(
    model: TrainedModel,
    dataset: Dataset,
    /,
    *,
    piece_mb: float = PIECE_MB,
    only: Collection[str] | None = None,
) -> Iterator[pa.Table]:
    """Give the probability of the behavior at each frame that a whole window decodes.

    Parameters
    ----------
    model
        A fold's, or an ensemble.
    dataset
        Open.
    piece_mb
        Megabytes of traces that are held at a time; a model whose steps need a whole recording
        (detrending) holds that.
    only
        Names of recordings; by default all.

    Yields
    ------
    table
        One a recording or piece of it, in order, with the columns ``recording``, ``frame`` (from
        the recording's start) and ``probability``, or with more than two classes
        ``probability_0`` and so on.

    Raises
    ------
    RateDiffers
        If the frame rate is not the one the model was trained on.
    UnitsDiffer
        If units of the model are missing.
    ValueError
        If the model reads images of another size, or the dataset has none.
    """
    schema = _schema(model.n_classes)
    rate_hz = dataset.manifest.rate_hz
    if abs(rate_hz / model.rate_hz - 1) > RATE_TOLERANCE:
        raise RateDiffers(model.rate_hz, rate_hz)
    for name, frames, within in _pieces(model, dataset, piece_mb=piece_mb, only=only):
        trial_T = dataset.trial_T[dataset.spans[name]][within]
        probability_TC = model.probabilities(frames, trial_T=trial_T)
        frames = np.flatnonzero(~np.isnan(probability_TC[:, 0]))
        columns_out = {
            "recording": pa.array([name] * len(frames), schema.field("recording").type),
            "frame": pa.array(frames + within.start),
            **to_columns(probability_TC[frames]),
        }
        yield pa.table(columns_out, schema=schema)


def _pieces(
    model: TrainedModel, dataset: Dataset, *, piece_mb: float, only: Collection[str] | None
) -> Iterator[tuple[str, FrameArray, slice]]:
    """Give the frames that the model reads, by recording, and where they lie in it.

    Neighboring pieces share the frames of a window less one, so that each window is in one piece.
    """
    spans = {name: span for name, span in dataset.spans.items() if only is None or name in only}
    if model.image_shape is not None:
        frames = _images(model, dataset)
        for name, span in spans.items():
            images = FrameStretch(frames, span)
            yield name, images, slice(0, len(images))
        return
    units = dataset.manifest.units
    columns = model.columns(units)
    n_starts = max(1, int(piece_mb * 1e6 / (4 * len(units))))
    shared = model.view.window.length - 1
    is_whole = bool(list(model.view.transforms.recorded))
    for name, span in spans.items():
        n_frames = span.stop - span.start
        n = n_frames if is_whole else n_starts
        for first in range(0, max(n_frames - shared, 1), n):
            within = slice(first, min(first + n + shared, n_frames))
            yield name, dataset.copy_recording(name, frames=within)[:, columns], within


def _images(model: TrainedModel, dataset: Dataset) -> FrameArray:
    frames = prepare_images(dataset, model.view.transforms, cache=dataset.cache)
    if frames.shape[1:] != model.image_shape:
        raise ValueError(
            f"the model reads images of {model.image_shape} pixels, but the dataset has "
            f"{frames.shape[1:]}: ingest the recordings at the same size."
        )
    return frames


def write_predictions(model: TrainedModel, dataset: Dataset, out: Path, /) -> int:
    """Write the predictions for a dataset as Parquet, beside its place and renamed.

    Returns
    -------
    n_frames
        Rows written.

    Raises
    ------
    FileExistsError
        If the file is there already.
    StorageRefused
        If the place is not on this machine.
    """
    place = local_path(out)
    if place.exists():
        raise FileExistsError(f"{out} is there already and is left as it is: name another file.")
    partial = nearest_folder(place) / f".{place.name}.{uuid.uuid4().hex[:8]}.partial"
    n_frames = 0
    try:
        schema = _schema(model.n_classes)
        with pq.ParquetWriter(
            partial, schema, compression="zstd", write_page_checksum=True
        ) as file:
            for table in predict_dataset(model, dataset):
                file.write_table(table)
                n_frames += table.num_rows
        place.parent.mkdir(parents=True, exist_ok=True)
        partial.rename(place)
    finally:
        partial.unlink(missing_ok=True)
    return n_frames


def write_intervals(predictions: Path, out: Path, /, *, min_frames: int = 1) -> int:
    """Write predicted frames as intervals: a table with the first and last frame of each.

    Parameters
    ----------
    predictions
        What `write_predictions` wrote.
    out
        CSV with ``recording``, ``first_frame``, ``last_frame`` and ``class``.
    min_frames
        Shorter intervals are left out.

    Returns
    -------
    n_intervals
        Rows written.

    Raises
    ------
    FileExistsError
        If the file is there already.
    """
    place = local_path(out)
    if place.exists():
        raise FileExistsError(f"{out} is there already and is left as it is: name another file.")
    place.parent.mkdir(parents=True, exist_ok=True)
    with beside(place) as partial, partial.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["recording", "first_frame", "last_frame", "class"])
        writer.writeheader()
        n_intervals = 0
        for name, table in _by_recording(predictions):
            probability_WC = from_columns(
                [table[n].to_numpy() for n in in_order(table.column_names)]
            )
            found = intervals(
                table["frame"].to_numpy(), decide(probability_WC), min_frames=min_frames
            )
            writer.writerows(
                {
                    "recording": name,
                    "first_frame": one.first_frame,
                    "last_frame": one.last_frame,
                    "class": one.label,
                }
                for one in found
            )
            n_intervals += len(found)
    return n_intervals


def _by_recording(predictions: Path) -> Iterator[tuple[str, pa.Table]]:
    """Give the predictions of one recording after the other; no more is held."""
    with pq.ParquetFile(predictions, page_checksum_verification=True) as file:
        held: list[pa.Table] = []
        name = ""
        for i in range(file.num_row_groups):
            table = file.read_row_group(i)
            for here in map(str, pc.unique(table["recording"]).to_pylist()):
                if held and here != name:
                    yield name, pa.concat_tables(held)
                    held = []
                name = here
                held.append(table.filter(pc.equal(table["recording"], pa.scalar(here))))
        if held:
            yield name, pa.concat_tables(held)


def _schema(n_classes: int) -> pa.Schema:
    probabilities = {name: pa.float32() for name in columns(n_classes)}
    return pa.schema(
        {"recording": pa.dictionary(pa.int32(), pa.string()), "frame": pa.int64(), **probabilities}
    )
