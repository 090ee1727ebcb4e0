"""`calsweep ingest --only --common-units`: some of the files, and units that all of them have."""

import numpy as np
import pytest

from calsweep.datasets.cache import Cache
from calsweep.datasets.dataset import open_dataset, read_manifest
from calsweep.datasets.store import FolderStore


@pytest.fixture
def days(tmp_path):
    """Three days of m1 and one of m2: in each frame a cell has ten times its number."""
    (tmp_path / "raw").mkdir()
    days = {
        "m1_d1": [4, 9, 1, -1],
        "m1_d2": [1, 4, 7],
        "m1_d3": [-1, 9, 4, 1, -1],
        "m2_d1": [1, 4],
    }
    for name, cells in days.items():
        traces_TN = np.tile(np.array(cells, dtype=np.float32) * 10, (20, 1))
        run = np.arange(20) % 2
        np.savez(tmp_path / "raw" / name, traces=traces_TN, rate_hz=10.0, run=run, cell=cells)


def test_cells_that_were_seen_on_every_day_are_kept(calsweep, tmp_path, days):
    code, out, err = calsweep(
        "ingest", "npz", "raw", "m", "--only", "m1_*", "--unit-ids", "cell", "--common-units"
    )
    assert (code, err) == (0, "")
    assert "All 3 recordings have 2 units in common, of 3." in out
    dataset = open_dataset(FolderStore(tmp_path / "m"), cache=Cache(tmp_path / "cache"))
    assert dataset.manifest.units == ("m1_1", "m1_4")
    assert [entry.name for entry in dataset.manifest.recordings] == ["m1_d1", "m1_d2", "m1_d3"]
    assert np.array_equal(dataset.activity_TN, np.tile([10.0, 40.0], (60, 1)))


def test_cells_of_two_animals_are_not_taken_for_the_same(calsweep, tmp_path, days):
    code, _, err = calsweep("ingest", "npz", "raw", "m", "--unit-ids", "cell", "--common-units")
    assert code == 2
    assert "m2_d1: with `--common-units` recordings must share units by name" in err
    assert "(`--only`)" in err
    assert not (tmp_path / "m").exists()


def test_without_common_units_other_cells_are_refused_with_the_way_out(calsweep, tmp_path, days):
    code, _, err = calsweep("ingest", "npz", "raw", "m", "--only", "m1_*", "--unit-ids", "cell")
    assert code == 2
    assert "1 of m1_d2 and 1 of m1_d1 are not in the other (3 and 3 units)" in err
    assert "`--common-units`" in err


def test_files_are_chosen_by_name(calsweep, tmp_path, days):
    only = ("--only", "m1_d2.npz", "--only", "*_d1.npz", "--unit-ids", "cell")
    assert calsweep("ingest", "npz", "raw", "m", *only)[0] == 2  # of other cells
    assert calsweep("ingest", "npz", "raw", "m", *only[:2])[0] == 0
    manifest = read_manifest(FolderStore(tmp_path / "m"))
    assert [entry.name for entry in manifest.recordings] == ["m1_d2"]


def test_a_pattern_that_no_file_has_is_told(calsweep, tmp_path, days):
    code, _, err = calsweep("ingest", "npz", "raw", "m", "--only", "m3_*")
    assert code == 2
    assert "`--only m3_*` must match the name of a file, but matches none of 4" in err
