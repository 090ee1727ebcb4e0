"""A dataset is predicted piece by piece, and comes to what it is in one."""

import csv
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from calsweep.datasets.cache import Cache
from calsweep.datasets.dataset import open_dataset
from calsweep.datasets.split import Scaling
from calsweep.datasets.store import FolderStore
from calsweep.datasets.transform import Detrend, Transforms
from calsweep.platform.fold.model import FoldModel
from calsweep.platform.prediction import (
    RateDiffers,
    predict_dataset,
    write_intervals,
    write_predictions,
)
from calsweep.trainables.decoder import Problem
from calsweep.trainables.recurrent import Cell, Recurrent

LENGTH = 11


@pytest.fixture
def dataset(mice, tmp_path):
    return open_dataset(FolderStore(mice.folder), cache=Cache(tmp_path / "cache"))


@pytest.fixture
def model(mice):
    n_units = len(mice.manifest.units)
    torch.manual_seed(0)
    decoder = Recurrent(cell=Cell.GRU, n_hidden=4)
    problem = Problem(frame_shape=(n_units,), window_length=LENGTH, class_shares=(0.5, 0.5))
    return FoldModel(
        decoder=decoder,
        view=mice.view(length=LENGTH),
        units=mice.manifest.units,
        rate_hz=mice.manifest.rate_hz,
        scaling=Scaling(
            offset_N=np.zeros(n_units, np.float32), scale_N=np.ones(n_units, np.float32)
        ),
        state=decoder.build(problem).state_dict(),
    )


def predicted(model, dataset, **settings):
    return pa.concat_tables(predict_dataset(model, dataset, **settings)).to_pandas()


def test_pieces_come_to_the_whole(model, dataset, mice):
    whole = predicted(model, dataset)
    assert len(whole) == 5 * (900 - LENGTH + 1)
    kilobyte = 0.001 * 70 * 4 * len(mice.manifest.units)  # pieces of 70 windows
    tables = list(predict_dataset(model, dataset, piece_mb=kilobyte / 1000))
    assert [table.num_rows for table in tables[:13]] == [70] * 12 + [50]
    pieces = pa.concat_tables(tables).to_pandas()
    assert list(pieces.recording) == list(whole.recording)
    assert list(pieces.frame) == list(whole.frame)
    np.testing.assert_allclose(pieces.probability, whole.probability, atol=1e-6)


def test_steps_over_a_recording_see_all_of_it(model, dataset):
    view = replace(model.view, transforms=Transforms(detrend=Detrend(length_frames=301)))
    detrending = replace(model, view=view)
    tables = list(predict_dataset(detrending, dataset, piece_mb=0.001))
    assert [table.num_rows for table in tables] == [900 - LENGTH + 1] * 5


def test_dataset_that_a_model_does_not_fit_is_told(model, dataset, tmp_path):
    with pytest.raises(RateDiffers, match="at 60 Hz, but the dataset has 30 Hz"):
        write_predictions(replace(model, rate_hz=60.0), dataset, tmp_path / "out.parquet")
    n = len(model.units)
    other = replace(model, units=("nowhere", *model.units[1:]))
    said = f"needs {n} units by name, but of these 1 are missing among the {n} of the dataset"
    with pytest.raises(ValueError, match=said):
        write_predictions(other, dataset, tmp_path / "out.parquet")
    assert not list(tmp_path.glob("*out*"))


def test_intervals_do_not_end_at_borders_of_row_groups(tmp_path):
    table = pa.table(
        {
            "recording": pa.array(["a"] * 5 + ["b"] * 3).dictionary_encode(),
            "frame": [0, 1, 2, 3, 4, 0, 1, 2],
            "probability": pa.array([0.1, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.1], pa.float32()),
        }
    )
    pq.write_table(table, tmp_path / "p.parquet", row_group_size=3, write_page_checksum=True)
    assert write_intervals(tmp_path / "p.parquet", tmp_path / "i.csv") == 2
    with (tmp_path / "i.csv").open() as file:
        assert list(csv.reader(file)) == [
            ["recording", "first_frame", "last_frame", "class"],
            ["a", "1", "4", "1"],
            ["b", "0", "1", "1"],
        ]
