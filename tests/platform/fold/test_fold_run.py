"""A fold is trained on the frames and units that plan and mask say, and its model sees no more."""

from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest

from calsweep.datasets.cache import Cache
from calsweep.datasets.dataset import open_dataset
from calsweep.datasets.fold_in_time import StratifiedWindows, TimeBlocks, WholeEvents
from calsweep.datasets.fold_protocol import AnimalGroups
from calsweep.datasets.mask import UnitMask
from calsweep.datasets.store import FolderStore
from calsweep.datasets.transform import Transforms, ZScore
from calsweep.datasets.view import plan_folds
from calsweep.platform.fold.fold_run import run_fold
from calsweep.platform.fold.fold_task import FoldTask
from calsweep.platform.fold.model import FoldModel
from calsweep.platform.fold.training import Training
from calsweep.platform.plain import to_plain
from calsweep.platform.prediction import predict_dataset
from calsweep.platform.provenance import code_version
from calsweep.platform.record import FoldRecord
from calsweep.platform.settings import Settings
from calsweep.trainables.linear import Linear

LENGTH = 11


@pytest.fixture
def train(mice, tmp_path):
    dataset = open_dataset(FolderStore(mice.folder), cache=Cache(tmp_path / "cache"))

    def run(folds, mask=UnitMask()):  # noqa: B008 - frozen
        view = replace(
            mice.view(length=LENGTH),
            folds=folds,
            mask=mask,
            transforms=Transforms(scaling=ZScore()),
        )
        plan = plan_folds(dataset.timeline("run"), [view])
        settings = Settings(trainables=Linear(), datasets=view, training=Training(epochs=1))
        task = FoldTask(
            settings=to_plain(settings),
            fold=plan.folds[0],
            seed=0,
            dataset_hash=mice.manifest.content_hash,
            plan_hash=plan.content_hash,
            code=code_version(),
            folder=tmp_path / "folds",
            cache=tmp_path / "cache",
        )
        run_fold(task)
        return dataset, task

    return run


@pytest.mark.parametrize(
    "folds", [AnimalGroups(), TimeBlocks(), WholeEvents(k_groups=3), StratifiedWindows()], ids=str
)
def test_predictions_are_of_the_windows_inside_the_test_stretches(train, folds):
    dataset, task = train(folds)
    rows = pq.read_table(task.place / "predictions.parquet").to_pandas()
    record = FoldRecord.read(task.place)
    assert record.test_group == task.fold.test_group
    told = set(zip(rows.recording, rows.frame, strict=True))
    assert len(told) == len(rows)
    inside = {
        (s.recording, t)
        for s in task.fold.test
        for t in range(s.start_frame + LENGTH // 2, s.stop_frame - LENGTH // 2)
    }
    if task.fold.draw is None:
        assert told == inside
    else:
        assert told < inside
        assert len(told) == pytest.approx(0.15 * len(inside), abs=2)
    labels = {name: label_T.tolist() for name, label_T in dataset.timeline("run").labels.items()}
    assert [labels[r][t] for r, t in zip(rows.recording, rows.frame, strict=True)] == list(
        rows.label
    )
    predicted = {
        (name, frame): probability
        for table in predict_dataset(FoldModel.load(task.place / "model"), dataset)
        for name, frame, probability in zip(*(c.to_pylist() for c in table.columns), strict=True)
    }
    again = [predicted[key] for key in zip(rows.recording, rows.frame, strict=True)]
    np.testing.assert_allclose(again, rows.probability, atol=1e-5)


def test_scaling_is_fitted_on_training_stretches_alone(train):
    dataset, task = train(TimeBlocks())
    scaling = FoldModel.load(task.place / "model").scaling
    frames = [
        dataset.activity_TN[dataset.spans[s.recording]][s.start_frame : s.stop_frame]
        for s in task.fold.train
    ]
    np.testing.assert_allclose(scaling.offset_N, np.concatenate(frames).mean(axis=0), rtol=1e-4)


def test_model_of_masked_units_does_not_see_them(train):
    dataset, task = train(AnimalGroups(), UnitMask(keep="FLa&HLa"))
    model = FoldModel.load(task.place / "model")
    assert model.view.mask == UnitMask(keep="FLa&HLa")
    hidden_N = ~model.view.mask.seen(dataset.manifest)
    activity_TN = dataset.copy_recording("mouse1_r1")
    trial_T = np.zeros(len(activity_TN), dtype=np.int32)
    seen = model.probabilities(activity_TN, trial_T=trial_T)
    noise = np.random.default_rng(0).normal(size=activity_TN.shape).astype(np.float32)
    other = model.probabilities(np.where(hidden_N, 100 * noise, activity_TN), trial_T=trial_T)
    assert np.array_equal(seen, other, equal_nan=True)
    changed = model.probabilities(activity_TN + noise, trial_T=trial_T)
    assert not np.array_equal(seen, changed, equal_nan=True)
