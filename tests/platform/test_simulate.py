"""`calsweep simulate`: recordings from a seed become a dataset, their truth beside it."""

import numpy as np
import pytest

from calsweep.datasets.cache import Cache
from calsweep.datasets.dataset import open_dataset, read_manifest
from calsweep.datasets.shard import read_images
from calsweep.datasets.store import FolderStore
from calsweep.datasets.truth import TRUTH_FILE, read_truth

KINDS = {
    "widefield-regions": (("--mice", "3", "--frames", "90"), "3 recordings of 3 subjects", 30),
    "widefield-images": (
        ("--mice", "1", "--recordings", "2", "--frames", "40", "--pixels", "32"),
        "2 recordings of 1 subjects",
        30,
    ),
    "footsteps": (("--neurons", "20", "--frames", "300"), "4 recordings of 2 subjects", 15),
    "lorenz": (("--neurons", "40", "--trials", "2"), "1 recordings of 1 subjects", 100),
}


@pytest.mark.parametrize("kind", KINDS)
def test_recordings_become_a_dataset_with_its_truth(calsweep, tmp_path, kind):
    options, said, rate_hz = KINDS[kind]
    code, out, err = calsweep("simulate", kind, "lab/s", *options)
    assert (code, err) == (0, "")
    assert f"lab/s: {said}" in out
    assert "the truth is in lab/s/truth.npz" in out
    manifest = read_manifest(FolderStore(tmp_path / "lab" / "s"))
    assert manifest.rate_hz == rate_hz
    truth = read_truth(FolderStore(tmp_path / "lab" / "s"))
    assert list(truth.recordings) == [entry.name for entry in manifest.recordings]
    code, out, _ = calsweep("data", "check", "lab/s")
    assert code == 0
    assert "Whole: " in out


def test_images_come_back_as_they_were_made(calsweep, tmp_path):
    assert calsweep("simulate", "widefield-images", "s", *KINDS["widefield-images"][0])[0] == 0
    store = FolderStore(tmp_path / "s")
    manifest = read_manifest(store)
    images_THW = np.concatenate(
        [read_images(shard, store=store, images=manifest.images) for shard in manifest.image_shards]
    )
    assert images_THW.shape == (80, 32, 32)
    assert images_THW.dtype == np.uint16
    region_HW = read_truth(FolderStore(tmp_path / "s")).recordings["mouse1_r1"]["region_HW"]
    assert images_THW[:, region_HW > 0].mean() > 2 * images_THW[:, region_HW == 0].mean()


def test_lorenz_trials_come_back_with_their_gaps(calsweep, tmp_path):
    assert calsweep("simulate", "lorenz", "s", *KINDS["lorenz"][0])[0] == 0
    dataset = open_dataset(FolderStore(tmp_path / "s"), cache=Cache(tmp_path / "cache"))
    (entry,) = dataset.manifest.recordings
    assert (entry.n_trials, entry.n_frames, entry.longest_trial_frames) == (16, 1440, 90)
    assert entry.n_missing == {"activity": 2 * 16 * 30 * 40}
    assert np.isnan(dataset.activity_TN).sum() == entry.n_missing["activity"]
    assert len(entry.positions) == 40
    assert list(dataset.manifest.behaviors) == ["condition", "x", "y", "z"]
    assert dataset.manifest.labels == ("condition",)


def test_whole_frames_have_no_gaps_and_phases_by_row(calsweep, tmp_path):
    options = (*KINDS["lorenz"][0], "--form", "frames", "--speed-hz", "20")
    assert calsweep("simulate", "lorenz", "s", *options)[0] == 0
    (entry,) = read_manifest(FolderStore(tmp_path / "s")).recordings
    assert (entry.name, entry.n_frames, entry.n_missing) == ("lorenz_20hz", 16 * 30, {})
    assert np.unique(np.round(entry.phases, 3)).tolist() == [0.0, 0.333, 0.667]


def test_the_same_seed_makes_the_same_dataset(calsweep, tmp_path):
    for name, seed in (("a", "0"), ("b", "0"), ("c", "1")):
        options = (*KINDS["footsteps"][0], "--seed", seed)
        assert calsweep("simulate", "footsteps", name, *options)[0] == 0
    a, b, c = (read_manifest(FolderStore(tmp_path / name)).content_hash for name in "abc")
    assert a == b
    assert a != c


def test_a_dataset_with_its_truth_can_be_replaced_by_one_without(calsweep, tmp_path):
    options = KINDS["widefield-regions"][0]
    assert calsweep("simulate", "widefield-regions", "s", *options)[0] == 0
    code, _, err = calsweep("simulate", "widefield-regions", "s", *options)
    assert code == 2
    assert "--replace" in err
    assert calsweep("simulate", "widefield-regions", "s", *options, "--replace")[0] == 0
    assert (tmp_path / "s" / TRUTH_FILE).exists()
    (tmp_path / "m1_a.csv").write_text("frame,a,label\n0,1.0,0\n1,2.0,1\n")
    assert calsweep("ingest", "csv", "m1_a.csv", "s", "--rate-hz", "15", "--replace")[0] == 0
    assert not (tmp_path / "s" / TRUTH_FILE).exists()


def test_a_truth_alone_is_no_dataset_to_replace(calsweep, tmp_path):
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / TRUTH_FILE).write_bytes(b"years")
    code, _, err = calsweep("simulate", "footsteps", "s", "--replace")
    assert code == 2
    assert "s holds truth.npz and no manifest.json" in err


def test_a_number_that_makes_no_sense_is_told_and_leaves_nothing(calsweep, tmp_path):
    code, _, err = calsweep("simulate", "footsteps", "s", "--neurons", "0")
    assert code == 2
    assert "neurons must be at least 1" in err
    assert list(tmp_path.iterdir()) == []


def test_on_s3_the_truth_comes_and_goes_with_the_dataset(s3, calsweep, tmp_path):
    address, options = "s3://calsweep-test/s", KINDS["widefield-regions"][0]

    def names():
        listed = s3.list_objects_v2(Bucket="calsweep-test")["Contents"]
        return {item["Key"].removeprefix("s/") for item in listed}

    assert calsweep("simulate", "widefield-regions", address, *options)[0] == 0
    assert {TRUTH_FILE, "manifest.json"} < names()
    (tmp_path / "m1_a.csv").write_text("frame,a,label\n0,1.0,0\n1,2.0,1\n")
    assert calsweep("ingest", "csv", "m1_a.csv", address, "--rate-hz", "15", "--replace")[0] == 0
    assert TRUTH_FILE not in names()
    assert len(names()) == 2
