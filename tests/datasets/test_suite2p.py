"""Folders as suite2p writes them, read back equal; pickles in them are never unpickled."""

import os
import pathlib

import numpy as np
import pytest
import scipy.io

from calsweep.datasets.suite2p import Suite2pSource, Trace

F_NT = np.arange(24, dtype=np.float32).reshape(3, 8)
FNEU_NT = np.ones((3, 8), dtype=np.float32)
ISCELL = np.array([[1, 0.9], [0, 0.2], [1, 0.6]], dtype=np.float32)


def write_plane(folder, *, f=F_NT, neuropil=FNEU_NT, iscell=ISCELL, ops=(), stat=None):
    """Write what suite2p's `run_plane` saves, in the types it saves it in."""
    folder.mkdir(parents=True)
    np.save(folder / "F.npy", f)
    np.save(folder / "Fneu.npy", neuropil)
    np.save(folder / "spks.npy", f * 10)
    np.save(folder / "iscell.npy", iscell)
    default = [
        {
            "ypix": np.arange(3) + 10 * i,
            "xpix": np.arange(3),
            "lam": np.ones(3, dtype=np.float32),
            "med": [np.float64(10.0 * i), np.float64(5.0)],
            "npix": 3,
            "footprint": np.float32(1.0),
            "soma_crop": np.ones(3, dtype=bool),
        }
        for i in range(len(f))
    ]
    np.save(folder / "stat.npy", np.array(default if stat is None else stat, dtype=object))
    settings = {
        "fs": 15.0,
        "nplanes": 1,
        "Ly": 100,
        "Lx": 50,
        "save_path": str(folder),
        "ops_path": pathlib.PurePosixPath(folder) / "ops.npy",
        "meanImg": np.zeros((100, 50), dtype=np.float32),
        "frames_per_folder": np.array([f.shape[-1]], dtype=np.int32),
        "filelist": ["a.tif", "b.tif"],
        **dict(ops),
    }
    np.save(folder / "ops.npy", settings)
    return folder


@pytest.fixture
def recording(tmp_path):
    write_plane(tmp_path / "m1_d1" / "suite2p" / "plane0")
    return tmp_path / "m1_d1"


def read(folder, **options):
    return Suite2pSource(**{"behavior": False, **options}).read(folder)


def test_reads_cells_with_rate_places_and_phases(recording):
    got = read(recording)
    assert (got.subject, got.name) == ("m1", "m1_d1")
    assert got.rate_hz == 15.0
    assert got.units == ("roi0", "roi2")
    assert got.activity_TN.dtype == np.float32
    assert got.activity_TN == pytest.approx((F_NT - 0.7)[[0, 2]].T)
    assert got.positions_ND.tolist() == [[0.0, 5.0], [20.0, 5.0]]
    assert got.position_unit == "pixel"
    assert got.phase_N == pytest.approx([0.0, 0.2])
    assert got.trial_T.tolist() == [0] * 8
    assert got.steps == (
        "activity is suite2p's `F` less 0.7 of `Fneu`",
        "1 of 3 ROIs of plane0 left out by iscell.npy",
    )
    assert len(got.source_sha256["m1_d1"]) == 64


@pytest.mark.parametrize("below", ["", "suite2p", "suite2p/plane0"])
def test_recording_is_named_by_its_folder_wherever_one_points(recording, below):
    assert read(recording / below).name == "m1_d1"


def test_recordings_of_a_folder_are_found(tmp_path, recording):
    write_plane(tmp_path / "m2_d1" / "plane0")
    (tmp_path / "notes").mkdir()
    source = Suite2pSource()
    assert source.files(tmp_path) == (tmp_path / "m1_d1", tmp_path / "m2_d1")
    assert source.files(recording) == (recording,)
    assert read(tmp_path / "m2_d1").subject == "m2"


def test_options_choose_traces_and_cells(recording):
    assert np.array_equal(read(recording, activity=Trace.F).activity_TN, F_NT[[0, 2]].T)
    assert np.array_equal(read(recording, activity=Trace.SPKS).activity_TN, F_NT[[0, 2]].T * 10)
    half = read(recording, neuropil_factor=0.5)
    assert np.array_equal(half.activity_TN, F_NT[[0, 2]].T - 0.5)
    assert read(recording, all_cells=True).units == ("roi0", "roi1", "roi2")
    assert read(recording, min_probability=0.7).units == ("roi0",)
    assert read(recording, all_cells=True, min_probability=0.5).units == ("roi0", "roi2")
    assert read(recording, rate_hz=30.0).rate_hz == 30.0


def test_planes_stand_side_by_side(tmp_path):
    for plane, n_frames in ((0, 8), (2, 8), (10, 7)):
        write_plane(
            tmp_path / "m1" / "suite2p" / f"plane{plane}",
            f=F_NT[:, :n_frames], neuropil=FNEU_NT[:, :n_frames], ops={"nplanes": 11},
        )  # fmt: skip
    (tmp_path / "m1" / "suite2p" / "combined").mkdir()
    got = read(tmp_path / "m1")
    assert got.units == tuple(f"plane{p}_roi{i}" for p in (0, 2, 10) for i in (0, 2))
    assert got.activity_TN.shape == (7, 6)
    assert got.phase_N[2:4] == pytest.approx([2 / 11, 2.2 / 11])
    assert "last frame left out: `plane10` has none" in got.steps
    assert read(tmp_path / "m1", planes=("plane2",)).units == ("roi0", "roi2")
    with pytest.raises(ValueError, match="no plane `plane3`. Planes: plane0, plane2, plane10"):
        read(tmp_path / "m1", planes=("plane3",))


def test_folders_of_raw_data_are_trials(tmp_path):
    write_plane(tmp_path / "m1", ops={"frames_per_folder": np.array([5, 3])})
    assert read(tmp_path / "m1").trial_T.tolist() == [0, 0, 0, 0, 0, 1, 1, 1]


def test_behavior_lies_beside_the_folder(tmp_path, recording):
    rows = [f"{i % 2},{i / 4}" for i in range(8)]
    (tmp_path / "m1_d1.csv").write_text("\n".join(["run,speed_cm_s", *rows]))
    for folder in (recording, recording / "suite2p" / "plane0"):
        got = read(folder, behavior=True)
        assert got.behavior["run"].tolist() == [0, 1] * 4
        assert got.behavior_unit == {"run": "", "speed_cm_s": "cm/s"}
        assert set(got.source_sha256) == {"m1_d1", "m1_d1.csv"}


def test_places_and_rate_need_not_be_known(recording):
    plane = recording / "suite2p" / "plane0"
    (plane / "stat.npy").unlink()
    (plane / "ops.npy").unlink()
    with pytest.raises(ValueError, match=r"no number `fs` in ops.npy: give it with `--rate-hz`"):
        read(recording)
    got = read(recording, rate_hz=15.0)
    assert got.positions_ND is None
    assert got.phase_N is None


def test_strips_have_no_phase(tmp_path):
    write_plane(tmp_path / "m1" / "plane0", ops={"lines": np.arange(100)})
    got = read(tmp_path / "m1")
    assert got.positions_ND is not None
    assert got.phase_N is None


def test_fall_mat_is_not_needed_and_not_read(recording):
    plane = recording / "suite2p" / "plane0"
    everything = {"F": F_NT * 0, "iscell": ISCELL * 0, "ops": {"fs": 99.0}, "stat": [{"med": [0]}]}
    scipy.io.savemat(plane / "Fall.mat", everything)
    assert read(recording).rate_hz == 15.0


class Runs:
    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


def test_program_in_a_file_does_not_run(tmp_path):
    """Neither where a number is expected, nor instead of the whole file."""
    ran = tmp_path / "ran"
    stat = [{"med": [1.0, 2.0], "more": Runs(ran)} for _ in F_NT]
    plane = write_plane(tmp_path / "m1" / "plane0", ops={"other": Runs(ran)}, stat=stat)
    assert read(tmp_path / "m1").rate_hz == 15.0
    np.save(plane / "ops.npy", {"fs": Runs(ran)})
    with pytest.raises(ValueError, match="no number `fs`"):
        read(tmp_path / "m1")
    for name in ("ops", "stat", "iscell", "Fneu", "F"):
        whole = (plane / f"{name}.npy").read_bytes()
        np.save(plane / f"{name}.npy", np.array(Runs(ran), dtype=object))
        with pytest.raises(ValueError, match=f"{name}.npy"):
            read(tmp_path / "m1", rate_hz=15.0)
        (plane / f"{name}.npy").write_bytes(whole)
    assert not ran.exists()


BAD = {
    "neuropil": ({"neuropil": FNEU_NT[:2]}, r"Fneu.npy must have the shape of F.npy, \(3, 8\)"),
    "iscell": ({"iscell": ISCELL[:2]}, r"iscell.npy must have the shape \(roi, 2\) with 3 ROIs"),
    "stat": ({"stat": [{"med": [1, 2]}]}, "stat.npy: it must be of 3 ROIs, .* but is of 1"),
    "axes": ({"f": F_NT[0], "stat": []}, r"F.npy must have the shape \(roi, time\)"),
    "no cell": ({"iscell": ISCELL * 0}, "none is. Take all with `--all-cells`"),
    "NaN": ({"f": F_NT * np.nan}, "activity must be finite, but unit `roi0`"),
}


@pytest.mark.parametrize("kind", BAD)
def test_files_that_do_not_go_together_are_told(tmp_path, kind):
    changes, message = BAD[kind]
    write_plane(tmp_path / "m1" / "plane0", **changes)
    with pytest.raises(ValueError, match=message) as told:
        read(tmp_path / "m1")
    assert str(tmp_path / "m1") in str(told.value)


@pytest.mark.parametrize("name", ["F", "Fneu", "iscell", "stat", "ops"])
def test_truncated_file_is_told_by_name(recording, name):
    file = recording / "suite2p" / "plane0" / f"{name}.npy"
    file.write_bytes(file.read_bytes()[:-7])
    with pytest.raises(ValueError, match=f"{name}.npy"):
        read(recording)


@pytest.mark.parametrize("name", ["Fneu", "iscell"])
def test_missing_file_is_told_by_name(recording, name):
    (recording / "suite2p" / "plane0" / f"{name}.npy").unlink()
    with pytest.raises(ValueError, match=f"plane0: there is no {name}.npy"):
        read(recording)


def test_planes_of_two_rates_are_told(tmp_path):
    for plane, fs in ((0, 15.0), (1, 7.5)):
        write_plane(tmp_path / "m1" / f"plane{plane}", ops={"fs": fs})
    with pytest.raises(ValueError, match="one rate, but have: plane0 15 Hz, plane1 7.5 Hz"):
        read(tmp_path / "m1")


def test_no_results_are_told(tmp_path):
    with pytest.raises(ValueError, match="holds no results of suite2p"):
        Suite2pSource().files(tmp_path)
    with pytest.raises(ValueError, match="There is no folder"):
        Suite2pSource().files(tmp_path / "none")
