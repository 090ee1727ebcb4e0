"""Names that come with data lead to no place but their own: `../x`, whole paths, NUL, very long."""

import json
from dataclasses import replace

import numpy as np
import pytest

from calsweep.datasets.cache import Cache
from calsweep.datasets.dataset import open_dataset, read_manifest
from calsweep.datasets.shard_writer import write_dataset
from calsweep.datasets.simulation import Simulation
from calsweep.datasets.store import FolderStore
from calsweep.platform.config import compose_settings

HOSTILE = {
    "above": "../x",
    "far above": "../../../../x",
    "whole": "/tmp/calsweep-hostile",
    "windows": "..\\x",
    "nul": "a\0b",
    "long": "x" * 5000,
    "dots": "..",
}


@pytest.fixture(params=HOSTILE.values(), ids=HOSTILE.keys())
def hostile(request):
    return request.param


def files_in(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("written") / "dataset"
    mice = Simulation(n_mice=2, recordings_per_mouse=1, n_frames=60, seed=1)
    write_dataset(mice.recordings(), folder=folder)
    return folder


def copied(written, folder, change):
    """Give a copy of a dataset whose manifest was changed by somebody."""
    folder.mkdir(parents=True)
    for file in written.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    manifest = json.loads((folder / "manifest.json").read_text())
    change(manifest["shards"][0])
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


@pytest.mark.parametrize("field", ["file", "sha256", "xxh3"])
def test_manifest_that_names_a_file_elsewhere_is_refused(written, tmp_path, hostile, field):
    value = hostile + ".parquet" if field == "file" else hostile

    def change(shard):
        shard[field] = value

    folder = copied(written, tmp_path / "in/dataset", change)
    before = files_in(tmp_path)
    with pytest.raises(ValueError, match="a shard must be a Parquet file|hexadecimal digits"):
        open_dataset(FolderStore(folder), cache=Cache(tmp_path / "in/cache"))
    assert files_in(tmp_path) == before


def test_dataset_with_hostile_names_of_all_that_is_named_stays_in_its_folder(tmp_path, hostile):
    """Names of recordings, animals, units and behavior are kept as they are, and name no file."""
    recording = next(Simulation(n_mice=1, recordings_per_mouse=1, n_frames=60, seed=1).recordings())
    named = replace(
        recording,
        name=hostile,
        subject=hostile,
        units=(hostile, *recording.units[1:]),
        behavior={**recording.behavior, hostile: recording.behavior["run"]},
    )
    write_dataset([named], folder=tmp_path / "in/dataset")
    dataset = open_dataset(FolderStore(tmp_path / "in/dataset"), cache=Cache(tmp_path / "in/cache"))
    assert dataset.manifest.recordings[0].name == hostile
    np.testing.assert_array_equal(dataset.behavior[hostile], recording.behavior["run"])
    assert all(name.startswith("in/") for name in files_in(tmp_path))
    assert read_manifest(FolderStore(tmp_path / "in/dataset")) == dataset.manifest


@pytest.mark.parametrize("name", ["../x", "/tmp/x", "a/b", "..", ".hidden", "a\0b", "x" * 300])
def test_sweep_with_a_name_that_is_no_folders_is_refused(tmp_path, name):
    settings = compose_settings(["datasets.address=m1", f"home={tmp_path}"])
    with pytest.raises(ValueError, match="`name` must be a plain name of a folder"):
        replace(settings, name=name)
