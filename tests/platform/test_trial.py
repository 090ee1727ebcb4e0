"""A fold's training under Ray Train: one process, or several that come to the same."""

from dataclasses import replace

import pytest
import ray
import torch

from calsweep.datasets.fold import WindowDraw, animal_folds
from calsweep.datasets.mask import UnitMask
from calsweep.platform.fold.fold_run import run_fold
from calsweep.platform.fold.fold_stack import FoldStack
from calsweep.platform.fold.fold_task import FoldTask, fold_seed
from calsweep.platform.fold.stacked_run import run_folds
from calsweep.platform.fold.training import Training
from calsweep.platform.plain import to_plain
from calsweep.platform.provenance import code_version
from calsweep.platform.record import FoldRecord
from calsweep.platform.resources import Resources
from calsweep.platform.settings import Settings
from calsweep.platform.trial import FoldsOverdue, train_folds
from calsweep.search_spaces.population import Program
from calsweep.trainables.recurrent import Cell, Recurrent


@pytest.fixture
def tasks(mice, tmp_path):
    plan = animal_folds(mice.manifest, target="run")
    settings = Settings(
        trainables=Recurrent(cell=Cell.GRU, n_hidden=8),
        datasets=mice.view(length=11),
        training=Training(epochs=2, learning_rate=5e-3),
    )
    return [
        FoldTask(
            settings=to_plain(settings),
            fold=fold,
            seed=fold_seed(0, fold.index),
            dataset_hash=mice.manifest.content_hash,
            plan_hash=plan.content_hash,
            code=code_version(),
            folder=tmp_path / "folds",
            cache=tmp_path / "cache",
        )
        for fold in plan.folds
    ]


def test_key_says_what_decides_the_result(tasks, tmp_path):
    task = tasks[0]
    assert len({task.key for task in tasks}) == 20
    assert replace(task, folder=tmp_path, cache=tmp_path).key == task.key
    assert replace(task, seed=task.seed + 1).key != task.key
    assert replace(task, dataset_hash="other").key != task.key
    assert replace(task, code="other").key != task.key
    elsewhere = {**task.settings["datasets"], "address": "s3://lab/mice"}
    assert replace(task, settings={**task.settings, "datasets": elsewhere}).key == task.key
    masked = {**task.settings["datasets"], "mask": to_plain(UnitMask(keep="FLa&HLa"))}
    assert replace(task, settings={**task.settings, "datasets": masked}).key != task.key
    last = task.fold.train[-1]
    train = (*task.fold.train[:-1], replace(last, stop_frame=last.stop_frame - 1))
    assert replace(task, fold=replace(task.fold, train=train)).key != task.key
    draws = [WindowDraw(seed=seed, validation_share=0.1, test_share=0.1) for seed in (0, 1)]
    drawn = [replace(task, fold=replace(task.fold, draw=draw)).key for draw in draws]
    assert len({task.key, *drawn}) == 3
    longer = {**task.settings["training"], "epochs": 3}
    assert replace(task, settings={**task.settings, "training": longer}).key != task.key


@pytest.mark.slow
def test_two_workers_come_to_the_loss_of_one(tasks, tmp_path, local_ray):
    one = [replace(tasks[0], folder=tmp_path / "one")]
    two = [replace(tasks[0], folder=tmp_path / "two")]
    (alone,) = train_folds(one, resources=Resources())
    (shared,) = train_folds(two, resources=Resources(num_workers=2))
    assert [row.train_loss for row in shared.curve] == pytest.approx(
        [row.train_loss for row in alone.curve], rel=1e-4
    )
    assert [row.validation.loss for row in shared.curve] == pytest.approx(
        [row.validation.loss for row in alone.curve], rel=1e-4
    )
    assert shared.test.auc == pytest.approx(alone.test.auc, abs=1e-4)
    assert shared.n_windows == alone.n_windows
    assert shared.process != alone.process


def test_folds_stacked_come_to_what_each_does_alone(tasks, tmp_path, local_ray):
    """Three of them; the first was done before, and is not trained again."""
    alone = [replace(task, folder=tmp_path / "alone") for task in tasks[:3]]
    stacked = [replace(task, folder=tmp_path / "stacked") for task in tasks[:3]]
    run_fold(stacked[0])
    written = (stacked[0].place / "fold.json").stat().st_mtime_ns
    for task in alone:
        run_fold(task)
    as_one = Resources(folds=Program.STACKED)
    found = sorted(train_folds(stacked, resources=as_one), key=lambda fold: fold.fold)
    assert (stacked[0].place / "fold.json").stat().st_mtime_ns == written
    assert found[1].process == found[2].process
    for fold, task in zip(found, alone, strict=True):
        its = FoldRecord.read(task.place)
        assert fold.key == its.key
        assert [row.train_loss for row in fold.curve] == pytest.approx(
            [row.train_loss for row in its.curve], rel=1e-4
        )
        assert fold.validation.loss == pytest.approx(its.validation.loss, rel=1e-4)
        assert fold.test.auc == pytest.approx(its.test.auc, abs=1e-4)
        assert fold.n_windows == its.n_windows
        assert (task.folder / task.key / "predictions.parquet").exists()


def test_stacked_folds_go_on_where_they_were_killed(tasks, tmp_path):
    whole = [replace(task, folder=tmp_path / "whole") for task in tasks[:2]]
    killed = [replace(task, folder=tmp_path / "killed") for task in tasks[:2]]
    run_folds(whole, checkpoint_s=0.0)

    def kill():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_folds(killed, checkpoint_s=0.0, on_epoch=kill)
    assert len(list((tmp_path / "killed").glob(".*.checkpoint"))) == 2
    run_folds(killed, checkpoint_s=0.0)
    assert not list((tmp_path / "killed").glob(".*.checkpoint"))
    for one, other in zip(whole, killed, strict=True):
        ours, theirs = (FoldRecord.read(task.place) for task in (one, other))
        assert ours.curve == theirs.curve
        assert ours.test == theirs.test


def test_folds_too_large_to_be_stacked_are_trained_alone_and_say_so(tasks, tmp_path, monkeypatch):
    alone, stacked = ([replace(t, folder=tmp_path / f) for t in tasks[:2]] for f in ("a", "b"))
    for task in alone:
        run_fold(task)

    def too_much(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried 3 GiB\nand more")

    monkeypatch.setattr(FoldStack, "train_epoch", too_much)
    run_folds(stacked)
    for one, its in zip(stacked, alone, strict=True):
        found, expected = FoldRecord.read(one.place), FoldRecord.read(its.place)
        assert found.curve == expected.curve
        assert found.notes == (
            "memory did not suffice for all folds together (CUDA out of memory. Tried 3 GiB); "
            "trained alone",
        )

    def broken(*_, **__):
        raise RuntimeError("shapes differ")

    monkeypatch.setattr(FoldStack, "train_epoch", broken)
    with pytest.raises(RuntimeError, match="shapes differ"):
        run_folds([replace(tasks[2], folder=tmp_path / "b")])


def test_folds_that_cannot_be_stacked_are_refused_with_why(tasks):
    mixed = to_plain(Training(epochs=2, mixup=0.2))
    task = replace(tasks[0], settings={**tasks[0].settings, "training": mixed})
    with pytest.raises(ValueError, match="`resources.folds=stacked` cannot be: training.mixup"):
        list(train_folds([task], resources=Resources(folds=Program.STACKED)))
    with pytest.raises(ValueError, match="stacked train in one process, but got .*num_workers=2"):
        Resources(folds=Program.STACKED, num_workers=2)


@pytest.mark.slow
def test_processes_are_reused_and_no_fold_is_trained_twice(tasks, local_ray):
    folds = list(train_folds(tasks, resources=Resources()))
    assert sorted(fold.fold for fold in folds) == list(range(20))
    assert len({fold.process for fold in folds}) <= 2
    written = {task.key: (task.place / "fold.json").stat().st_mtime_ns for task in tasks}
    again = list(train_folds(tasks, resources=Resources()))
    assert {fold.key: fold for fold in again} == {fold.key: fold for fold in folds}
    assert written == {task.key: (task.place / "fold.json").stat().st_mtime_ns for task in tasks}


@pytest.mark.slow
def test_fold_that_fails_is_told_with_its_own_error(tasks, local_ray):
    task = replace(tasks[0], dataset_hash="another")
    with pytest.raises(ray.exceptions.RayTaskError, match="begin a new sweep"):
        list(train_folds([task], resources=Resources(retries=0)))


@pytest.mark.slow
def test_folds_that_wait_are_dropped_where_one_fails(tasks, local_ray):
    wrong = [replace(task, dataset_hash="another") for task in tasks]
    for _ in range(5):  # Ray 2.60 ended this process now and then where they were cancelled
        with pytest.raises(ray.exceptions.RayTaskError, match="begin a new sweep"):
            list(train_folds([*wrong, *tasks], resources=Resources(retries=0)))
    wait_until_idle()
    assert not any(task.place.exists() for task in tasks)


@pytest.mark.slow
def test_folds_that_do_not_come_back_are_given_up(tasks, local_ray, monkeypatch):
    slow = to_plain(Training(epochs=10_000, learning_rate=1e-3))
    task = replace(tasks[0], settings={**tasks[0].settings, "training": slow})
    monkeypatch.setattr("calsweep.platform.trial.WAIT_S", 0.5)
    with pytest.raises(FoldsOverdue, match=r"\[0\].*within 2 s.*resources\.deadline_s"):
        list(train_folds([task], resources=Resources(deadline_s=2.0)))
    wait_until_idle()  # it ends with its epoch, of 10000
    assert not task.place.exists()


def wait_until_idle():
    import time

    deadline = time.monotonic() + 60
    while ray.available_resources().get("CPU", 0) < ray.cluster_resources()["CPU"]:
        assert time.monotonic() < deadline, "folds still run"
        time.sleep(0.2)


def test_record_is_read_as_it_was_written(tmp_path):
    from calsweep.platform.score import Epoch, Score

    score = Score(loss=0.5, auc=0.9, accuracy=0.8, precision=0.7, recall=0.6, f1=0.65)
    record = FoldRecord(
        key="k",
        fold=3,
        test_group=0,
        validation_group=4,
        seed=7,
        best_epoch=1,
        curve=(Epoch(epoch=1, train_loss=0.6, validation=score),),
        validation=score,
        test=score,
        n_windows=100,
        train_seconds=1.5,
        process="here:1",
    )
    record.write(tmp_path)
    assert FoldRecord.read(tmp_path) == record
