"""The contract of sources: each reads back what its ecosystem's own writer wrote, or tells why not.

A source joins by an entry in `EXAMPLES`; a source without one fails.
"""

import json
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import h5py
import numpy as np
import pynwb
import pytest
import scipy.io
import scipy.sparse
import tifffile
from pynwb.ophys import DfOverF, ImageSegmentation, OpticalChannel

from calsweep.datasets.catalog import sources
from calsweep.datasets.shard_writer import write_dataset

# Four frames (bins) of two units; what cannot hold traces holds four images of 2 x 3 pixels.
ACTIVITY_TN = np.array([[0.5, 1.0], [1.5, 2.0], [2.5, 3.0], [3.5, 4.0]])
RUN_T = np.array([0, 1, 1, 0])
SPEED_T = np.array([0.25, 1.5, 2.0, 0.0])
IMAGES_THW = np.arange(24, dtype=np.uint16).reshape(4, 2, 3)
TABLE = "run,speed_cm_s\n0,0.25\n1,1.5\n1,2\n0,0\n"


@dataclass(frozen=True, kw_only=True)
class Example:
    """A recording named m1_d1 as a lab would have it, and ways to spoil it.

    `write(folder, activity, leave_out)` writes the recording and gives what `read` takes.
    """

    write: Callable[..., Path]
    options: Mapping[str, object] = field(default_factory=dict)
    behavior: Mapping[str, np.ndarray] = field(
        default_factory=lambda: {"run": RUN_T, "speed_cm_s": SPEED_T}
    )
    units: tuple[str, ...] = ("unit1", "unit2")
    rate_hz: float = 30.0
    missing: str = ""
    """What is left out by `leave_out`, as the message names it."""
    has_images: bool = False
    says_its_length: bool = True
    spoil: Callable[[Path], Path] = lambda file: file
    """Of a recording, the file to spoil."""


def write_csv(folder, *, activity=ACTIVITY_TN, leave_out=False):
    rows = [
        ",".join(map(str, [i, *units] if leave_out else [i, *units, run]))
        for i, (units, run) in enumerate(zip(activity.tolist(), RUN_T, strict=True))
    ]
    file = folder / "m1_d1.csv"
    file.write_text("\n".join(["frame,unit1,unit2,run", *rows]))
    return file


def write_npz(folder, *, activity=ACTIVITY_TN, leave_out=False):
    arrays = {"traces": activity, "rate_hz": 30.0, "run": RUN_T, "speed_cm_s": SPEED_T}
    if leave_out:
        del arrays["traces"]
    np.savez(folder / "m1_d1.npz", **arrays)
    return folder / "m1_d1.npz"


def write_mat(folder, *, activity=ACTIVITY_TN, leave_out=False, **how):
    variables = {"dat_roi": activity.T, "runrest": RUN_T[None], "speed_rs": SPEED_T[:, None]}
    if leave_out:
        del variables["runrest"]
    scipy.io.savemat(folder / "m1_d1.mat", variables, **how)
    return folder / "m1_d1.mat"


def write_npz_frames(folder, *, activity=None, leave_out=False):
    recording = folder / "m1_d1"
    recording.mkdir()
    for i, image_HW in enumerate(IMAGES_THW):
        arrays = {"image": np.stack([image_HW - 1, image_HW, image_HW + 1]), "label": RUN_T[i]}
        if leave_out and i == 2:
            del arrays["label"]
        np.savez(recording / f"m1_d1_{i + 9}.npz", **arrays)
    return recording


def write_npy(folder, *, activity=ACTIVITY_TN, leave_out=False):
    np.save(folder / "m1_d1.npy", activity.astype(np.float32))
    if not leave_out:
        (folder / "m1_d1.csv").write_text(TABLE)
    return folder / "m1_d1.npy"


def write_tiff(folder, *, activity=None, leave_out=False, **how):
    tifffile.imwrite(folder / "m1_d1.tif", IMAGES_THW, **{"photometric": "minisblack", **how})
    if not leave_out:
        (folder / "m1_d1.csv").write_text(TABLE)
    return folder / "m1_d1.tif"


def write_lfads(folder, *, activity=ACTIVITY_TN, leave_out=False):
    """Trials of two bins; the second is of the validation part."""
    trials_RTN = activity.reshape(2, 2, 2)
    file = folder / "m1_d1.h5"
    with h5py.File(file, "w") as opened:
        opened["train_encod_data"] = opened["train_recon_data"] = trials_RTN[:1]
        opened["train_speed_cm_s"] = SPEED_T.reshape(2, 2)[:1]
        opened["valid_speed_cm_s"] = SPEED_T.reshape(2, 2)[1:]
        if not leave_out:
            opened["valid_encod_data"] = opened["valid_recon_data"] = trials_RTN[1:]
    return file


def write_caiman(folder, *, activity=ACTIVITY_TN, leave_out=False, **more):
    """As CaImAn's `save_dict_to_hdf5` does: None is text, sparse matrices are groups."""
    file = folder / "m1_d1.hdf5"
    with h5py.File(file, "w") as opened:
        estimates = opened.create_group("estimates")
        if not leave_out:
            estimates["C"] = activity.T
        estimates["S"] = activity.T * 2
        estimates["F_dff"] = "NoneType"
        estimates["idx_components"] = np.array([0, 1])
        opened["dims"] = np.array([2, 3])
        opened["params/data/fr"] = 30
        footprints = scipy.sparse.csc_matrix(
            # pixels of a 2 x 3 image, column by column
            np.array([[1.0, 0.0], [0.0, 0.0], [1.0, 0.0], [0.0, 0.0], [0.0, 1.0], [0.0, 3.0]])
        )
        for name in ("data", "indices", "indptr", "shape"):
            estimates[f"A/{name}"] = np.asarray(getattr(footprints, name))
        for name, values in more.items():
            del estimates[name]
            estimates[name] = values
    (folder / "m1_d1.csv").write_text(TABLE)
    return file


def write_nwb(folder, *, activity=ACTIVITY_TN, leave_out=False):
    nwb = pynwb.NWBFile(
        session_description="simulated", identifier="1",
        session_start_time=datetime(2024, 1, 1, tzinfo=UTC),
    )  # fmt: skip
    green = OpticalChannel(name="green", description="", emission_lambda=510.0)
    imaging = nwb.create_imaging_plane(
        name="imaging", optical_channel=green, description="", device=nwb.create_device(name="a"),
        excitation_lambda=920.0, indicator="GCaMP6f", location="V1",
    )  # fmt: skip
    ophys = nwb.create_processing_module("ophys", "traces")
    segmentation, dff = ImageSegmentation(), DfOverF()
    ophys.add([segmentation, dff])
    plane = segmentation.create_plane_segmentation(
        name="plane0", description="", imaging_plane=imaging
    )
    for i in range(2):
        plane.add_roi(pixel_mask=[(i, 1, 1.0)])
    rois = plane.create_roi_table_region(region=[0, 1], description="all")
    if not leave_out:
        dff.create_roi_response_series(
            name="plane0", data=activity, rois=rois, unit="n.a.", rate=30.0
        )
    behavior = nwb.create_processing_module("behavior", "what it did")
    behavior.add(pynwb.TimeSeries(name="run", data=RUN_T, unit="n/a", rate=30.0))
    behavior.add(pynwb.TimeSeries(name="speed_cm_s", data=SPEED_T, unit="cm/s", rate=30.0))
    with pynwb.NWBHDF5IO(folder / "m1_d1.nwb", "w") as opened:
        opened.write(nwb)
    return folder / "m1_d1.nwb"


def write_suite2p(folder, *, activity=ACTIVITY_TN, leave_out=False):
    plane = folder / "m1_d1" / "suite2p" / "plane0"
    plane.mkdir(parents=True)
    traces_NT = activity.T.astype(np.float32)
    arrays = {"F": traces_NT, "Fneu": traces_NT * 0, "spks": traces_NT, "iscell": np.ones((2, 2))}
    for name, array in arrays.items():
        if not (leave_out and name == "iscell"):
            np.save(plane / f"{name}.npy", array)
    np.save(plane / "ops.npy", {"fs": 30.0, "nplanes": 1, "Ly": 4, "Lx": 4})
    np.save(plane / "stat.npy", np.array([{"med": [0.0, 1.0]}, {"med": [2.0, 1.0]}]))
    (folder / "m1_d1.csv").write_text(TABLE)
    return folder / "m1_d1"


EXAMPLES = {
    "caiman": Example(
        write=write_caiman,
        units=("component0", "component1"),
        missing="there is no array `C` for the activity (`--activity` takes another). Arrays: A/",
    ),
    "csv": Example(
        write=write_csv,
        options={"rate_hz": 30.0},
        behavior={"run": RUN_T},
        says_its_length=False,
        missing="every row must have 4 cells, but line 2 has 3",
    ),
    "lfads": Example(
        write=write_lfads,
        options={"rate_hz": 30.0, "behaviors": ("speed_cm_s",)},
        behavior={"valid_trial": np.array([0, 0, 1, 1]), "speed_cm_s": SPEED_T},
        missing="there is no array `valid_encod_data` for the activity",
    ),
    "mat": Example(
        write=write_mat,
        behavior={"runrest": RUN_T, "speed_rs": SPEED_T},
        units=("region1", "region2"),
        missing="there is no variable `runrest`. Variables: dat_roi (2, 4), speed_rs (4, 1).",
    ),
    "npy": Example(
        write=write_npy,
        options={"rate_hz": 30.0},
        missing="behavior must lie beside it in m1_d1.csv, but there is no such file",
    ),
    "npz": Example(
        write=write_npz,
        missing="there is no array `traces` for the activity",
    ),
    "npz-frames": Example(
        write=write_npz_frames,
        behavior={"label": RUN_T},
        units=(),
        missing="m1_d1_11.npz: there is no array `label`. Arrays: image.",
        has_images=True,
        spoil=lambda folder: folder / "m1_d1_10.npz",
    ),
    "nwb": Example(
        write=write_nwb,
        units=("roi0", "roi1"),
        missing="there is no RoiResponseSeries in it: no activity of ROIs.",
    ),
    "suite2p": Example(
        write=write_suite2p,
        units=("roi0", "roi1"),
        missing="plane0: there is no iscell.npy.",
        spoil=lambda folder: folder / "suite2p" / "plane0" / "F.npy",
    ),
    "tiff": Example(
        write=write_tiff,
        options={"rate_hz": 30.0},
        units=(),
        missing="behavior must lie beside it in m1_d1.csv, but there is no such file",
        has_images=True,
    ),
}


@pytest.fixture(params=sources())
def name(request):
    return request.param


@pytest.fixture
def example(name):
    assert name in EXAMPLES, f"write an example of a recording for the source {name}"
    return EXAMPLES[name]


@pytest.fixture
def source(name, example):
    return sources()[name].load()(**example.options)


def same(ours, theirs):
    return (ours.keys() == theirs.keys()) and all(
        ours[key].tolist() == theirs[key].tolist() for key in ours
    )


class TestSource:
    def test_reads_back_what_was_written(self, example, source, tmp_path):
        file = example.write(tmp_path)
        assert source.files(file) == (file,)
        recording = source.read(file)
        assert (recording.subject, recording.name) == ("m1", "m1_d1")
        assert recording.rate_hz == example.rate_hz
        assert recording.units == example.units
        assert same(recording.behavior, example.behavior)
        kinds = {name: values.dtype.kind for name, values in recording.behavior.items()}
        assert kinds == {name: values.dtype.kind for name, values in example.behavior.items()}
        assert recording.behavior_unit.keys() == example.behavior.keys()
        assert all(len(sha256) == 64 for sha256 in recording.source_sha256.values())
        assert file.name in recording.source_sha256
        if example.has_images:
            assert recording.images.shape == (4, 2, 3)
            assert recording.images.dtype == np.uint16
            assert recording.images[0:4].tolist() == IMAGES_THW.tolist()
            assert recording.images[1:3].tolist() == IMAGES_THW[1:3].tolist()
        else:
            assert recording.activity_TN.tolist() == ACTIVITY_TN.tolist()

    def test_becomes_a_dataset(self, example, source, tmp_path):
        recording = source.read(example.write(tmp_path))
        manifest = write_dataset([recording], folder=tmp_path / "dataset")
        assert manifest.n_frames == 4
        assert json.loads((tmp_path / "dataset" / "manifest.json").read_text())

    def test_folder_holds_every_recording(self, example, source, tmp_path):
        for day in ("first", "second"):
            (tmp_path / day).mkdir()
        (tmp_path / "both").mkdir()
        for day in ("first", "second"):
            for item in example.write(tmp_path / day).parent.iterdir():
                item.rename(tmp_path / "both" / item.name.replace("m1_d1", f"m1_{day}"))
        found = source.files(tmp_path / "both")
        assert [file.stem for file in found] == ["m1_first", "m1_second"]
        assert [source.read(file).name for file in found] == ["m1_first", "m1_second"]

    def test_nothing_there_is_told(self, source, tmp_path):
        with pytest.raises(ValueError, match=f"{tmp_path} holds no"):
            source.files(tmp_path)
        with pytest.raises(ValueError, match="There is no (file or )?folder"):
            source.files(tmp_path / "nowhere")

    @pytest.mark.parametrize(
        "content", [b"", b"%PDF-1.7 a thesis, rather than a recording\n" * 40, bytes(4096)]
    )
    def test_file_of_another_kind_is_told(self, example, source, tmp_path, content):
        file = example.write(tmp_path)
        spoilt = example.spoil(file)
        spoilt.write_bytes(content)
        with pytest.raises(ValueError, match="\\w") as told:
            take_all(source.read(file))
        assert spoilt.name in str(told.value)

    def test_truncated_file_is_told(self, example, source, tmp_path):
        """Wherever a copy was broken off, it is refused, or nothing of it was lost."""
        if not example.says_its_length:
            pytest.skip("text does not say where it ends")
        file = example.write(tmp_path)
        spoilt = example.spoil(file)
        whole = spoilt.read_bytes()
        expected = take_all(source.read(file))
        refusals = []
        cuts = range(0, len(whole), max(1, len(whole) // 60))
        for n_bytes in cuts:
            spoilt.write_bytes(whole[:n_bytes])
            try:
                recording = take_all(source.read(file))
            except ValueError as error:
                refusals.append(str(error))
            else:
                assert recording == expected
        assert all(spoilt.name in refusal for refusal in refusals)
        assert len(refusals) > 0.8 * len(cuts)

    def test_flipped_byte_is_told_or_harmless(self, example, source, tmp_path):
        """Not every format has checksums; but none may fail in a way that no one explains."""
        file = example.write(tmp_path)
        spoilt = example.spoil(file)
        whole = spoilt.read_bytes()
        refusals = []
        for at in np.random.default_rng(0).choice(len(whole), min(200, len(whole)), replace=False):
            raw = bytearray(whole)
            raw[at] ^= (0x01, 0x80, 0xFF)[at % 3]
            spoilt.write_bytes(raw)
            try:
                take_all(source.read(file))
            except ValueError as error:
                refusals.append(str(error))
        assert refusals
        assert all("m1_d1" in refusal for refusal in refusals)

    def test_missing_part_is_told_by_name(self, example, source, tmp_path):
        file = example.write(tmp_path, leave_out=True)
        with pytest.raises(ValueError, match="\\w") as told:
            source.read(file)
        assert example.missing in str(told.value)
        assert str(file) in str(told.value)

    def test_activity_that_is_not_finite_is_told_by_unit(self, example, source, tmp_path):
        if example.has_images:
            pytest.skip("images only")
        for value in (np.nan, np.inf):
            activity_TN = ACTIVITY_TN.copy()
            activity_TN[2, 1] = value
            folder = tmp_path / str(value)
            folder.mkdir()
            file = example.write(folder, activity=activity_TN)
            with pytest.raises(ValueError, match="activity must be finite") as told:
                source.read(file)
            assert f"`{example.units[1]}`" in str(told.value) or "`unit2`" in str(told.value)
            assert str(file) in str(told.value)

    def test_nothing_is_ever_unpickled(self, example, source, tmp_path):
        file = example.write(tmp_path)
        spoilt = example.spoil(file)
        bomb = pickle.dumps(Bomb(tmp_path / "exploded"))
        spoilt.write_bytes(bomb)
        with pytest.raises(ValueError, match="\\w"):
            take_all(source.read(file))
        if spoilt.suffix in {".npz", ".npy"}:
            objects = np.array([[Bomb(tmp_path / "exploded")]], dtype=object)
            arrays = dict.fromkeys(("traces", "rate_hz", "image", "label"), objects)
            save = np.savez if spoilt.suffix == ".npz" else np.save
            save(spoilt, **arrays) if spoilt.suffix == ".npz" else save(spoilt, objects)
            with pytest.raises(ValueError, match="Python objects"):
                take_all(source.read(file))
        assert not (tmp_path / "exploded").exists()


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, file):
        self.file = str(file)

    def __reduce__(self):
        return (open, (self.file, "w"))


def take_all(recording):
    """Give all that a recording holds, its images too, to compare."""
    images = None if recording.images is None else recording.images[0 : recording.n_frames].tolist()
    behavior = {name: values.tolist() for name, values in recording.behavior.items()}
    return recording.activity_TN.tolist(), behavior, images, recording.units, recording.rate_hz
