"""A sweep shows the epochs of folds that train just now, and what is shown decides nothing."""

import pytest

from calsweep.datasets.cache import Cache
from calsweep.datasets.dataset import open_dataset
from calsweep.datasets.store import FolderStore
from calsweep.datasets.view import plan_folds
from calsweep.platform.fold import under_way
from calsweep.platform.fold.fold_run import run_fold
from calsweep.platform.fold.fold_task import FoldTask
from calsweep.platform.fold.training import Training
from calsweep.platform.fold.under_way import (
    EpochFile,
    FoldUnderWay,
    epoch_path,
    folds_under_way,
    forget_under_way,
)
from calsweep.platform.plain import to_plain
from calsweep.platform.progress import Progress
from calsweep.platform.provenance import code_version
from calsweep.platform.settings import Settings
from calsweep.trainables.linear import Linear


class Clock:
    """Seconds as they are set."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def at_once(monkeypatch):
    monkeypatch.setattr(under_way, "EVERY_S", 0.0)


@pytest.fixture
def task(mice, tmp_path):
    """Give a fold of three epochs."""
    dataset = open_dataset(FolderStore(mice.folder), cache=Cache(tmp_path / "cache"))
    view = mice.view(length=11)
    plan = plan_folds(dataset.timeline("run"), [view])
    settings = Settings(trainables=Linear(), datasets=view, training=Training(epochs=3))
    return FoldTask(
        settings=to_plain(settings),
        fold=plan.folds[5],
        seed=0,
        dataset_hash=mice.manifest.content_hash,
        plan_hash=plan.content_hash,
        code=code_version(),
        folder=tmp_path / "folds",
        cache=tmp_path / "cache",
    )


def test_each_epoch_of_a_fold_is_told_and_nothing_is_left(task, at_once):
    seen = []
    run_fold(task, on_epoch=lambda _: seen.append(folds_under_way(task.folder)))
    assert seen == [(FoldUnderWay(fold=5, epoch=n, epochs=3),) for n in (1, 2, 3)]
    assert folds_under_way(task.folder) == ()


def test_fold_that_fails_is_under_way_no_more(task, at_once):
    def fail(_):
        raise InterruptedError

    with pytest.raises(InterruptedError):
        run_fold(task, on_epoch=fail)
    assert folds_under_way(task.folder) == ()


def test_short_epochs_are_not_told_one_by_one(tmp_path):
    file = EpochFile(path=tmp_path / ".a.epoch")
    file.tell(FoldUnderWay(fold=0, epoch=1, epochs=2))
    assert not file.path.exists()


def test_file_that_is_no_epoch_is_passed_over(tmp_path, at_once):
    EpochFile(path=epoch_path(tmp_path, "a")).tell(FoldUnderWay(fold=4, epoch=2, epochs=5))
    epoch_path(tmp_path, "b").write_text("{")
    epoch_path(tmp_path, "c").write_text("[1]")
    epoch_path(tmp_path, "d").write_text('{"fold": 1}')
    assert folds_under_way(tmp_path) == (FoldUnderWay(fold=4, epoch=2, epochs=5),)
    forget_under_way(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_line_tells_epochs_and_counts_them_into_what_is_left(capsys):
    clock = Clock()
    progress = Progress(n_trials=2, n_folds=20, clock=clock)
    clock.now = 9.0
    progress.look(lambda: pytest.fail("asked too soon"))
    clock.now = 60.0
    progress.look(lambda: [FoldUnderWay(fold=n, epoch=e, epochs=4) for n, e in ((0, 1), (1, 3))])
    assert capsys.readouterr().out == (
        "0/2 trials · 0/40 folds · epochs 1 to 3 of 4 · 1:00 gone · about 39:00 left\n"
    )
    clock.now = 120.0
    progress.look(list)
    assert capsys.readouterr().out == "0/2 trials · 0/40 folds · 2:00 gone\n"
