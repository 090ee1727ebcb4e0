"""A fold of images: shards in any order of the seed, scaled, cut out, trained on and predicted."""

from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest

from calsweep.datasets.cache import Cache
from calsweep.datasets.dataset import open_dataset
from calsweep.datasets.fold_protocol import AnimalGroups
from calsweep.datasets.mask import CutOut, UnitMask
from calsweep.datasets.shard import write_dataset
from calsweep.datasets.simulation import Simulation
from calsweep.datasets.split import ShardedFrames
from calsweep.datasets.store import FolderStore
from calsweep.datasets.transform import PixelScale, Scope, Transforms
from calsweep.datasets.view import Inputs, View, plan_folds, split_fold
from calsweep.datasets.widefield_images import WidefieldImages
from calsweep.datasets.window import Window
from calsweep.platform.batch import draw, epoch_batches
from calsweep.platform.fold_run import run_fold
from calsweep.platform.fold_task import FoldTask
from calsweep.platform.loop import train_fold
from calsweep.platform.model import FoldModel
from calsweep.platform.plain import to_plain
from calsweep.platform.prediction import predict_dataset
from calsweep.platform.record import FoldRecord, code_version
from calsweep.platform.settings import Settings
from calsweep.platform.training import Training
from calsweep.trainables.linear import Linear

QUICK = Training(epochs=2, batch_size=32, run_length=4)
SIDE, N_FRAMES = 32, 240


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images") / "dataset"
    mice = Simulation(n_mice=3, recordings_per_mouse=1, n_frames=N_FRAMES, seed=2)
    simulated = WidefieldImages(mice=mice, height=SIDE, width=SIDE)
    write_dataset(simulated.recordings(), folder=folder, shard_mb=0.08)
    return folder


@pytest.fixture
def dataset(folder, tmp_path):
    return open_dataset(FolderStore(folder), cache=Cache(tmp_path / "cache"))


def view_of(folder, **settings):
    return replace(
        View(
            address=str(folder),
            target="run",
            inputs=Inputs.IMAGES,
            window=Window(length=3),
            transforms=Transforms(scaling=PixelScale(over=Scope.RECORDING)),
            folds=AnimalGroups(k_groups=3),
        ),
        **settings,
    )


def fold_data(dataset, view):
    plan = plan_folds(dataset.timeline("run"), [view])
    return split_fold(dataset, view, plan.folds[0], seed=0, cache=dataset.cache)


def test_batches_hold_the_frames_of_their_windows(dataset, folder):
    data = fold_data(dataset, view_of(folder, transforms=Transforms()))
    assert isinstance(data.train.frames, ShardedFrames)
    assert data.frame_shape == (SIDE, SIDE)
    whole = dataset.images()[np.arange(3 * N_FRAMES)]
    for runs in epoch_batches(data.train, training=QUICK, seed=0, epoch=1)[:3]:
        batch = draw(
            data.train, runs, scaling=data.scaling, run_length=4, window_length=3, device="cpu"
        )
        for r, (first, n) in enumerate(zip(runs.first_R, runs.n_windows_R, strict=True)):
            start = data.train.starts_W[first]
            expected = whole[start : start + n + 2]
            np.testing.assert_array_equal(batch.frames[r, : n + 2].numpy(), expected)


def test_epoch_takes_every_window_once_and_few_shards_at_a_time(dataset, folder):
    data = fold_data(dataset, view_of(folder))
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


def test_trained_from_shards_as_from_memory(dataset, folder):
    data = fold_data(dataset, view_of(folder))
    trained = train_fold(Linear(), data=data, training=QUICK, seed=0)
    again = train_fold(Linear(), data=data, training=QUICK, seed=0)
    assert trained.curve == again.curve
    assert trained.test.auc > 0.6


@pytest.mark.parametrize("over", Scope)
def test_model_predicts_what_the_fold_stored(dataset, folder, tmp_path, over):
    view = view_of(folder, transforms=Transforms(scaling=PixelScale(over=over)))
    task = task_of(dataset, view, tmp_path)
    run_fold(task)
    model = FoldModel.load(task.place / "model")
    assert (model.image_shape, model.units) == ((SIDE, SIDE), ())
    rows = pq.read_table(task.place / "predictions.parquet").to_pandas()
    predicted = {
        (name, frame): probability
        for table in predict_dataset(model, dataset)
        for name, frame, probability in zip(*(c.to_pylist() for c in table.columns), strict=True)
    }
    again = [predicted[key] for key in zip(rows.recording, rows.frame, strict=True)]
    np.testing.assert_allclose(again, rows.probability, atol=1e-5)
    assert FoldRecord.read(task.place).test.auc > 0.6


def test_what_is_cut_out_is_not_seen(dataset, folder, tmp_path):
    cut = CutOut(compartment=5, size_px=16, stride_px=8)
    data = fold_data(dataset, view_of(folder, mask=cut))
    masked_HW = cut.masked(dataset.manifest.images)
    runs = epoch_batches(data.train, training=QUICK, seed=0, epoch=1)[0]
    batch = draw(
        data.train, runs, scaling=data.scaling, run_length=4, window_length=3, device="cpu"
    )
    frames = batch.frames.numpy()
    assert np.all(frames[..., masked_HW] == 0)
    assert np.mean(frames[..., ~masked_HW] != 0) > 0.9


def test_nothing_cut_out_is_as_no_mask(dataset, folder):
    plain, none = (fold_data(dataset, view_of(folder, mask=m)) for m in (UnitMask(), CutOut()))
    assert np.array_equal(plain.scaling.scale_N, none.scaling.scale_N)


def test_mask_of_units_is_refused(dataset, folder):
    with pytest.raises(ValueError, match="a mask of images cuts squares out"):
        fold_data(dataset, view_of(folder, mask=UnitMask(keep="M2&M1")))


def task_of(dataset, view, tmp_path):
    plan = plan_folds(dataset.timeline("run"), [view])
    settings = Settings(trainables=Linear(), datasets=view, training=QUICK)
    return FoldTask(
        settings=to_plain(settings),
        fold=plan.folds[0],
        seed=0,
        dataset_hash=dataset.manifest.content_hash,
        plan_hash=plan.content_hash,
        code=code_version(),
        folder=tmp_path / "folds",
        cache=tmp_path / "cache",
    )
