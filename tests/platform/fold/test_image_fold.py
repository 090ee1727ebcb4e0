"""A fold of images: shards in any order of the seed, scaled, cut out, trained on and predicted."""

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from calsweep.datasets.mask import CutOut, UnitMask
from calsweep.datasets.split import ShardedFrames
from calsweep.datasets.transform import PixelScale, Scope, Transforms
from calsweep.platform.fold.batch import draw, epoch_batches
from calsweep.platform.fold.fold_run import run_fold
from calsweep.platform.fold.loop import train_fold
from calsweep.platform.fold.model import FoldModel
from calsweep.platform.fold.training import Training
from calsweep.platform.prediction import predict_dataset, write_intervals, write_predictions
from calsweep.platform.record import FoldRecord
from calsweep.platform.settings import Settings
from calsweep.trainables.linear import Linear

QUICK = Training(epochs=2, batch_size=32, run_length=4)


def test_batches_hold_the_frames_of_their_windows(image_mice):
    data = image_mice.fold_data(image_mice.view(transforms=Transforms()))
    assert isinstance(data.train.frames, ShardedFrames)
    assert data.frame_shape == (image_mice.side, image_mice.side)
    whole = image_mice.dataset.images()[np.arange(3 * image_mice.n_frames)]
    for runs in epoch_batches(data.train, training=QUICK, seed=0, epoch=1)[:3]:
        batch = draw(
            data.train, runs, scaling=data.scaling, run_length=4, window_length=3, device="cpu"
        )
        for r, (first, n) in enumerate(zip(runs.first_R, runs.n_windows_R, strict=True)):
            start = data.train.starts_W[first]
            expected = whole[start : start + n + 2]
            np.testing.assert_array_equal(batch.frames[r, : n + 2].numpy(), expected)


def test_epoch_takes_every_window_once_and_few_shards_at_a_time(image_mice):
    data = image_mice.fold_data(image_mice.view())
    batches = epoch_batches(data.train, training=QUICK, seed=0, epoch=1)
    windows = [
        first + k
        for runs in batches
        for first, n in zip(runs.first_R, runs.n_windows_R, strict=True)
        for k in range(n)
    ]
    assert sorted(windows) == list(range(len(data.train.starts_W)))
    borders = data.train.frames.shard_borders
    shard_of = np.searchsorted(borders, data.train.starts_W[windows], side="right") - 1
    opened = [np.flatnonzero(shard_of == shard) for shard in np.unique(shard_of)]
    assert len(opened) == 7
    for positions in opened:  # the windows of a shard come close together
        assert positions.max() - positions.min() < len(windows) / 2
    assert epoch_batches(data.train, training=QUICK, seed=0, epoch=1)[0].first_R.tolist() == (
        batches[0].first_R.tolist()
    )


def test_trained_from_shards_as_from_memory(image_mice):
    data = image_mice.fold_data(image_mice.view())
    trained = train_fold(Linear(), data=data, training=QUICK, seed=0)
    again = train_fold(Linear(), data=data, training=QUICK, seed=0)
    assert trained.curve == again.curve
    assert trained.test.auc > 0.6


@pytest.mark.parametrize("over", Scope)
def test_model_predicts_what_the_fold_stored(image_mice, over):
    view = image_mice.view(transforms=Transforms(scaling=PixelScale(over=over)))
    task = image_mice.task(Settings(trainables=Linear(), datasets=view, training=QUICK))
    run_fold(task)
    model = FoldModel.load(task.place / "model")
    assert (model.image_shape, model.units) == ((image_mice.side, image_mice.side), ())
    rows = pq.read_table(task.place / "predictions.parquet").to_pandas()
    predicted = {
        (name, frame): probability
        for table in predict_dataset(model, image_mice.dataset)
        for name, frame, probability in zip(*(c.to_pylist() for c in table.columns), strict=True)
    }
    again = [predicted[key] for key in zip(rows.recording, rows.frame, strict=True)]
    np.testing.assert_allclose(again, rows.probability, atol=1e-5)
    assert FoldRecord.read(task.place).test.auc > 0.6


def test_what_is_cut_out_is_not_seen(image_mice):
    cut = CutOut(compartment=5, size_px=16, stride_px=8)
    data = image_mice.fold_data(image_mice.view(mask=cut))
    masked_HW = cut.masked(image_mice.dataset.manifest.images)
    runs = epoch_batches(data.train, training=QUICK, seed=0, epoch=1)[0]
    batch = draw(
        data.train, runs, scaling=data.scaling, run_length=4, window_length=3, device="cpu"
    )
    frames = batch.frames.numpy()
    assert np.all(frames[..., masked_HW] == 0)
    assert np.mean(frames[..., ~masked_HW] != 0) > 0.9


def test_nothing_cut_out_is_as_no_mask(image_mice):
    plain, none = (image_mice.fold_data(image_mice.view(mask=m)) for m in (UnitMask(), CutOut()))
    assert np.array_equal(plain.scaling.scale_N, none.scaling.scale_N)


def test_mask_of_units_is_refused(image_mice):
    with pytest.raises(ValueError, match="a mask of images cuts squares out"):
        image_mice.fold_data(image_mice.view(mask=UnitMask(keep="M2&M1")))


def test_predicted_frames_become_intervals(image_mice, tmp_path):
    run_fold(
        task := image_mice.task(
            Settings(trainables=Linear(), datasets=image_mice.view(), training=QUICK)
        )
    )
    out, table = tmp_path / "p.parquet", tmp_path / "deep" / "i.csv"
    write_predictions(FoldModel.load(task.place / "model"), image_mice.dataset, out)
    n_intervals = write_intervals(out, table, min_frames=3)
    rows = pd.read_csv(table)
    assert list(rows) == ["recording", "first_frame", "last_frame", "class"]
    assert len(rows) == n_intervals > 0
    frames = pq.read_table(out).to_pandas().set_index(["recording", "frame"])["probability"]
    for row in rows.itertuples():
        assert row.last_frame - row.first_frame >= 2
        own = [frames[row.recording, t] for t in range(row.first_frame, row.last_frame + 1)]
        assert min(own) > 0.5
        after = frames.get((row.recording, row.last_frame + 1), 0.0)
        before = frames.get((row.recording, row.first_frame - 1), 0.0)
        assert max(before, after) <= 0.5
    with pytest.raises(FileExistsError, match="is there already"):
        write_intervals(out, table)
