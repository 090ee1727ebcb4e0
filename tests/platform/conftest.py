"""Images of three simulated mice in many small shards, folds of them, and a sweep of others."""

import os
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from calsweep.datasets.cache import Cache, file_lock
from calsweep.datasets.dataset import Dataset, open_dataset
from calsweep.datasets.fold_protocol import AnimalGroups
from calsweep.datasets.shard_writer import write_dataset
from calsweep.datasets.simulation import Simulation
from calsweep.datasets.split import FoldData
from calsweep.datasets.store import FolderStore
from calsweep.datasets.transform import PixelScale, Scope, Transforms
from calsweep.datasets.view import Inputs, View, plan_folds, split_fold
from calsweep.datasets.widefield_images import WidefieldImages
from calsweep.datasets.window import Window
from calsweep.platform.command import main
from calsweep.platform.fold.fold_task import FoldTask
from calsweep.platform.plain import to_plain
from calsweep.platform.provenance import code_version
from calsweep.platform.record_reader import read_sweep
from calsweep.platform.settings import Settings
from tests.platform import swept
from tests.platform.written_sweep import Writer


@dataclass(frozen=True)
class ImageMice:
    """A dataset of images, and what is made of it."""

    folder: Path
    dataset: Dataset
    scratch: Path
    side: int = 32
    n_frames: int = 240

    def view(self, *, length: int = 3, **settings) -> View:
        view = View(
            address=str(self.folder),
            target="run",
            inputs=Inputs.IMAGES,
            window=Window(length=length),
            transforms=Transforms(scaling=PixelScale(over=Scope.RECORDING)),
            folds=AnimalGroups(k_groups=3),
        )
        return replace(view, **settings)

    def fold_data(self, view: View) -> FoldData:
        plan = plan_folds(self.dataset.timeline("run"), [view])
        return split_fold(self.dataset, view, plan.folds[0], seed=0, cache=self.dataset.cache)

    def task(self, settings: Settings, *, fold: int = 0) -> FoldTask:
        plan = plan_folds(self.dataset.timeline("run"), [settings.datasets])
        return FoldTask(
            settings=to_plain(settings),
            fold=plan.folds[fold],
            seed=0,
            dataset_hash=self.dataset.manifest.content_hash,
            plan_hash=plan.content_hash,
            code=code_version(),
            folder=self.scratch / "folds",
            cache=self.scratch / "cache",
        )


@pytest.fixture
def calsweep(capsys, tmp_path, monkeypatch):
    """Run the command line in an empty folder; it gives exit code, output and errors."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        shown = capsys.readouterr()
        return ended.value.code, shown.out, shown.err

    return run


@pytest.fixture
def ask_mlflow(monkeypatch):
    """Let MLflow look into a home; the variable that it sets must not reach the next sweep."""
    import mlflow

    def ask(home):
        uri = f"sqlite:///{home}/mlflow.db"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        mlflow.set_tracking_uri(uri)

    return ask


@pytest.fixture(scope="module")
def image_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images") / "dataset"
    mice = Simulation(n_mice=3, recordings_per_mouse=1, n_frames=240, seed=2)
    write_dataset(
        WidefieldImages(mice=mice, height=32, width=32).recordings(), folder=folder, shard_mb=0.08
    )
    return folder


@pytest.fixture
def image_mice(image_folder, tmp_path):
    dataset = open_dataset(FolderStore(image_folder), cache=Cache(tmp_path / "cache"))
    return ImageMice(image_folder, dataset, tmp_path)


@pytest.fixture(scope="module")
def mlflow_home(tmp_path_factory):
    """Give one home, whose MLflow has its tables made once."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def writer(mlflow_home, request):
    """Give a writer of a sweep of this test's own."""
    return Writer(home=mlflow_home, name=request.node.name.replace("[", "-").rstrip("]"))


@pytest.fixture(scope="module")
def uri(mlflow_home):
    return f"sqlite:///{mlflow_home / 'mlflow.db'}"


@pytest.fixture(scope="session")
def undisturbed(mice, tmp_path_factory):
    """A small sweep that nothing befell; processes that run tests side by side share one."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    home = shared / "undisturbed"
    with file_lock(shared / "undisturbed.lock", deadline_s=2 * swept.WAIT_S):
        if not (home / "said.txt").exists():
            said = swept.run(mice.folder, home)
            (home / "said.txt").write_text(said)
    return read_sweep(home, "small")
