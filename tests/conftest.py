"""Recordings of five simulated mice, and a local Ray, for tests in several folders."""

from dataclasses import dataclass
from pathlib import Path

import pyarrow.fs as pafs
import pytest

from calsweep.datasets.dataset import read_manifest
from calsweep.datasets.manifest import Manifest
from calsweep.datasets.shard import write_dataset
from calsweep.datasets.simulation import Simulation
from calsweep.datasets.transform import MinMax, Transforms
from calsweep.datasets.view import View
from calsweep.datasets.window import Window


@dataclass(frozen=True)
class Mice:
    """A dataset of five short simulated recordings."""

    folder: Path
    manifest: Manifest

    def view(self, *, length: int) -> View:
        return View(
            address=str(self.folder),
            target="run",
            window=Window(length=length),
            transforms=Transforms(scaling=MinMax()),
        )


@pytest.fixture(scope="session")
def mice(tmp_path_factory) -> Mice:
    folder = tmp_path_factory.mktemp("mice") / "dataset"
    simulation = Simulation(n_mice=5, recordings_per_mouse=1, n_frames=900, seed=1)
    write_dataset(simulation.recordings(), folder=folder)
    return Mice(folder, read_manifest(pafs.LocalFileSystem(), str(folder)))


@pytest.fixture(scope="module")
def local_ray():
    from calsweep.platform.cluster import cluster
    from calsweep.platform.resources import Resources

    with cluster(Resources()):
        yield
