"""`calsweep ingest`: files of a lab become a dataset; bad ones are told and leave nothing."""

import json
import os
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import click
import numpy as np
import pytest

from calsweep.datasets.catalog import sources
from calsweep.datasets.dataset import read_manifest
from calsweep.datasets.shard import read_shard
from calsweep.datasets.store import FolderStore
from calsweep.platform.commands.dataclass_option import values_of
from calsweep.platform.commands.ingest import ingest
from calsweep.platform.object_storage.bucket import Bucket
from tests.faults import FaultProxy

RNG = np.random.default_rng(0)


def write_npz(folder, name, *, n_frames=100, **arrays):
    folder.mkdir(exist_ok=True)
    defaults = {
        "traces": RNG.normal(size=(n_frames, 4)).astype(np.float32),
        "rate_hz": 10.0,
        "running": np.arange(n_frames) % 20 < 10,
    }
    np.savez(folder / name, **{**defaults, **arrays})


def test_npz_files_become_a_dataset(calsweep, tmp_path):
    for name in ("m1_a.npz", "m1_b.npz", "m2_a.npz"):
        write_npz(tmp_path / "recordings", name, area=np.array(["V1", "M2", "V1", "M2"]))
    code, out, err = calsweep(
        "ingest", "npz", "recordings", "m", "--order-units-by", "area", "--resample-hz", "5"
    )
    assert (code, err) == (0, "")
    assert "3/3 m2_a" in out
    assert "m: 3 recordings of 2 subjects, 150 frames of 4 units at 5 Hz." in out
    assert "datasets.target=running" in out
    manifest = read_manifest(FolderStore(tmp_path / "m"))
    assert manifest.subjects == ("m1", "m2")
    assert manifest.units == ("M2_1", "M2_2", "V1_1", "V1_2")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m", "recordings"]


def test_csv_files_become_a_dataset_with_names_from_a_pattern(calsweep, tmp_path):
    rows = ["frame,n1,n2,footstep"] + [f"{i},{i / 7:.3f},{-i},{i % 3 == 0:d}" for i in range(60)]
    (tmp_path / "20230101-mouseA.csv").write_text("\n".join(rows))
    code, _, err = calsweep(
        "ingest", "csv", "20230101-mouseA.csv", "m", "--rate-hz", "15",
        "--names", r"(?P<recording>\d+)-(?P<subject>.+)",
    )  # fmt: skip
    assert (code, err) == (0, "")
    manifest = read_manifest(FolderStore(tmp_path / "m"))
    assert manifest.subjects == ("mouseA",)
    assert manifest.recordings[0].label_counts == {"footstep": {0: 40, 1: 20}}
    code, out, _ = calsweep("data", "check", "m")
    assert code == 0
    assert "0: 67%, 1: 33%" in out
    assert "not possible: 5 groups need at least 5 animals" in out


BAD_CSV = {
    "empty": ("", "is empty: there is no recording in it"),
    "ragged": ("frame,a,label\n0,1.0,0\n1,2.0\n", "line 3 has 2"),
    "not a number": ("frame,a,label\n0,1.0,0\n1,high,0\n", "line 3, column 2"),
    "NaN": ("frame,a,label\n0,nan,0\n1,2.0,1\n", "must be finite"),
    "infinite": ("frame,a,label\n0,inf,0\n1,2.0,1\n", "must be finite"),
}


@pytest.mark.parametrize("kind", BAD_CSV)
def test_bad_table_is_told_by_file_and_leaves_nothing(calsweep, tmp_path, kind):
    text, message = BAD_CSV[kind]
    (tmp_path / "m1_a.csv").write_text(text)
    code, _, err = calsweep("ingest", "csv", "m1_a.csv", "m", "--rate-hz", "15")
    assert code == 2
    assert message in err
    assert "m1_a" in err
    assert len(err.strip().splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["m1_a.csv"]


def test_second_file_that_is_bad_leaves_nothing_of_the_first(calsweep, tmp_path):
    write_npz(tmp_path / "recordings", "m1_a.npz")
    write_npz(tmp_path / "recordings", "m2_a.npz", traces=np.full((100, 4), np.nan, np.float32))
    code, _, err = calsweep("ingest", "npz", "recordings", "m")
    assert code == 2
    assert "m2_a" in err
    assert "must be finite" in err
    assert [path.name for path in tmp_path.iterdir()] == ["recordings"]


def test_no_file_is_told(calsweep, tmp_path):
    code, _, err = calsweep("ingest", "npz", "nowhere", "m")
    assert code == 2
    assert "nowhere" in err
    (tmp_path / "empty").mkdir()
    code, _, err = calsweep("ingest", "npz", "empty", "m")
    assert code == 2
    assert "empty" in err
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


def test_dataset_that_is_there_is_kept(calsweep, tmp_path):
    write_npz(tmp_path / "recordings", "m1_a.npz")
    assert calsweep("ingest", "npz", "recordings", "m")[0] == 0
    before = (tmp_path / "m" / "manifest.json").read_bytes()
    write_npz(tmp_path / "recordings", "m2_a.npz")
    code, _, err = calsweep("ingest", "npz", "recordings", "m")
    assert code == 2
    assert "--replace" in err
    assert (tmp_path / "m" / "manifest.json").read_bytes() == before
    assert calsweep("ingest", "npz", "recordings", "m", "--replace")[0] == 0
    assert len(json.loads((tmp_path / "m" / "manifest.json").read_text())["recordings"]) == 2


def test_recordings_are_never_replaced_by_their_dataset(calsweep, tmp_path):
    (tmp_path / "own").mkdir()
    text = "\n".join(f"{i},{i},{i % 2}" for i in range(9))
    (tmp_path / "own" / "m1_a.csv").write_text(text)
    for address in ("own", ".", "own/../own"):
        for options in ((), ("--replace",)):
            code, _, err = calsweep("ingest", "csv", "own", address, "--rate-hz", "30", *options)
            assert code == 2
            assert "own, which is read from, lies there: choose another address" in err
            assert len(err.strip().splitlines()) == 1
    assert (tmp_path / "own" / "m1_a.csv").read_text() == text


def test_folder_of_other_files_is_never_replaced(calsweep, tmp_path):
    write_npz(tmp_path / "recordings", "m1_a.npz")
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "text.tex").write_text("years")
    code, out, err = calsweep("ingest", "npz", "recordings", "thesis", "--replace")
    assert (code, out) == (2, "")
    assert "Only a dataset may be replaced" in err
    assert "thesis holds text.tex and no manifest.json: choose another address" in err
    assert (tmp_path / "thesis" / "text.tex").read_text() == "years"


def test_failure_below_a_new_folder_leaves_nothing(calsweep, tmp_path):
    (tmp_path / "m1_a.csv").write_text("frame,a,label\n0,nan,0\n")
    assert calsweep("ingest", "csv", "m1_a.csv", "deep/er/m", "--rate-hz", "15")[0] == 2
    assert [path.name for path in tmp_path.iterdir()] == ["m1_a.csv"]


def test_address_of_another_service_is_told(calsweep, tmp_path):
    write_npz(tmp_path / "recordings", "m1_a.npz")
    code, out, err = calsweep("ingest", "npz", "recordings", "gs://bucket/x")
    assert (code, out) == (2, "")
    assert "gs://bucket/x cannot be used" in err
    assert [path.name for path in tmp_path.iterdir()] == ["recordings"]


def test_profile_that_is_not_there_is_told(calsweep, monkeypatch):
    monkeypatch.setenv("AWS_PROFILE", "typo")
    code, out, err = calsweep("data", "check", "s3://b/x")
    assert (code, out) == (2, "")
    assert err == (
        "calsweep: s3://b/x cannot be used: AWS's settings have no profile 'typo': "
        "check AWS_PROFILE.\n"
    )


def test_upload_says_how_far_it_is(s3, calsweep, tmp_path):
    write_npz(tmp_path / "recordings", "m1_a.npz")
    code, out, err = calsweep("ingest", "npz", "recordings", "s3://calsweep-test/m")
    assert (code, err) == (0, "")
    assert "1/2 files uploaded\n2/2 files uploaded\n" in out
    assert "testing" not in out


def test_address_without_credentials_is_told_and_nothing_written(calsweep, tmp_path, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    write_npz(tmp_path / "recordings", "m1_a.npz")
    code, _, err = calsweep("ingest", "npz", "recordings", "s3://lab/m")
    assert code == 2
    assert "set AWS_ACCESS_KEY_ID" in err


@pytest.mark.skipif(
    "CALSWEEP_REAL_DATA" not in os.environ, reason="CALSWEEP_REAL_DATA names no recordings"
)
def test_flies_become_20_folds(calsweep, tmp_path):
    """19 flies, colours of the two populations swapped in some: columns ordered by neuron type."""
    flies = Path(os.environ["CALSWEEP_REAL_DATA"]).resolve() / "fly_heading_walking"
    code, _, err = calsweep(
        "ingest", "npz", flies, "flies", "--order-units-by", "roi_neuron_type",
        "--resample-hz", "10",
    )  # fmt: skip
    assert (code, err) == (0, "")
    manifest = read_manifest(FolderStore(tmp_path / "flies"))
    assert len(manifest.subjects) == 19
    assert manifest.units[0] == "EPG1"
    assert manifest.units[31] == "PEN1_16"
    code, out, _ = calsweep("data", "check", "flies")
    assert code == 0
    assert "animal_groups: 20 folds" in out


@pytest.mark.parametrize("name", sources())
def test_example_of_each_source_is_a_command_line_that_works(name):
    """Every source says of itself what `--help` shows, and its options are told apart."""
    entry = sources()[name]
    calsweep_, ingest_, name_, *arguments = shlex.split(entry.example)
    assert (calsweep_, ingest_, name_) == ("calsweep", "ingest", name)
    with click.Context(ingest) as group:
        command = ingest.get_command(group, name)
    context = command.make_context(name, arguments)
    common = {"origin", "address", "resample_hz", "trial_frames", "shard_mb", "replace"}
    given = {key: value for key, value in context.params.items() if key not in common}
    assert isinstance(entry.load()(**values_of(entry.load(), given)), entry.load())
    options = [opt for param in command.params for opt in (*param.opts, *param.secondary_opts)]
    assert len(set(options)) == len(options)
    assert all(param.help for param in command.params if isinstance(param, click.Option))


def test_help_shows_each_source_and_an_example(calsweep):
    code, out, _ = calsweep("ingest", "--help")
    assert code == 0
    for name, entry in sources().items():
        assert f"  {name} " in out
        assert f"  {entry.example}\n" in out
    code, out, _ = calsweep("ingest", "csv", "--help")
    assert code == 0
    assert sources()["csv"].example in out
    assert "Frames per second; a table does not say. [required]" in " ".join(out.split())


def test_readme_shows_the_example_of_each_source():
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    assert [name for name, entry in sources().items() if f"`{entry.example}`" not in readme] == []


def test_unknown_source_is_told_with_the_nearest(calsweep):
    code, _, err = calsweep("ingest", "nzp", "recordings", "m")
    assert code == 2
    assert "`nzp` is not a source. Did you mean `npz`?" in err


def test_help_of_ingest_imports_no_format():
    code = (
        "import sys; from calsweep.platform.command import cli\n"
        "cli.main(['ingest', '--help'], standalone_mode=False)\n"
        "print(sorted({'scipy', 'h5py', 'tifffile', 'pynwb', 'torch', 'ray'} & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert shown.stdout.splitlines()[-1] == "[]"


def write_nwb(file, *, seed=0, **fields):
    """Write a session with a large series of no use, as raw data are in an NWB file."""
    import pynwb
    from pynwb.ophys import DfOverF, ImageSegmentation, OpticalChannel

    file.parent.mkdir(exist_ok=True)
    nwb = pynwb.NWBFile(
        session_description="simulated", identifier="1",
        session_start_time=datetime(2024, 1, 1, tzinfo=UTC), **fields,
    )  # fmt: skip
    green = OpticalChannel(name="green", description="", emission_lambda=510.0)
    plane = nwb.create_imaging_plane(
        name="imaging", optical_channel=green, description="", device=nwb.create_device(name="a"),
        excitation_lambda=920.0, indicator="GCaMP6f", location="V1",
    )  # fmt: skip
    rng = np.random.default_rng(seed)
    raw = rng.integers(0, 2**16, size=(600, 200, 200), dtype=np.uint16)
    nwb.add_acquisition(
        pynwb.ophys.TwoPhotonSeries(
            name="raw", data=raw, imaging_plane=plane, rate=30.0, unit="n.a."
        )
    )
    ophys = nwb.create_processing_module("ophys", "traces")
    segmentation, dff = ImageSegmentation(), DfOverF()
    ophys.add(segmentation)
    ophys.add(dff)
    rois = segmentation.create_plane_segmentation(
        name="plane0", description="", imaging_plane=plane
    )
    for i in range(50):
        rois.add_roi(pixel_mask=[(i, j, 1.0) for j in range(10)])
    region = rois.create_roi_table_region(region=list(range(50)), description="all")
    traces = rng.normal(size=(6000, 50)).astype(np.float32)
    dff.create_roi_response_series(name="dff", data=traces, rois=region, unit="n.a.", rate=10.0)
    behavior = nwb.create_processing_module("behavior", "what it did")
    running = (np.arange(6000) // 500 % 2).astype(int)
    behavior.add(pynwb.TimeSeries(name="running", data=running, unit="n/a", rate=10.0))
    with pynwb.NWBHDF5IO(file, "w") as opened:
        opened.write(nwb)
    return traces


def upload(s3, folder):
    for file in folder.iterdir():
        s3.upload_file(str(file), "calsweep-test", f"{folder.name}/{file.name}")


def test_nwb_files_are_streamed_and_what_is_not_needed_stays_there(
    s3, calsweep, tmp_path, monkeypatch
):
    traces = write_nwb(tmp_path / "sessions" / "m1_a.nwb")
    write_nwb(tmp_path / "sessions" / "m2_a.nwb", seed=1)
    upload(s3, tmp_path / "sessions")
    proxy = FaultProxy(os.environ["CALSWEEP_TEST_S3"], lambda *_: "")
    with proxy.running():
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        code, out, err = calsweep("ingest", "nwb", "s3://calsweep-test/sessions/", "m")
    assert (code, err) == (0, "")
    assert "m: 2 recordings of 2 subjects, 12000 frames of 50 units at 10 Hz." in out
    store = FolderStore(tmp_path / "m")
    manifest = read_manifest(store)
    first = read_shard(manifest.shards[0], store=store)
    assert np.array_equal(np.asarray(first["unit.roi0"])[:6000], traces[:, 0])
    size = (tmp_path / "sessions" / "m1_a.nwb").stat().st_size
    source = manifest.recordings[0].source_sha256["m1_a.nwb"]
    assert source.startswith("not taken, streamed: ETag ")
    assert source.endswith(f"{size} bytes")
    n_gets = sum(method == "GET" for method, _ in proxy.requests)
    assert size > 48e6
    assert proxy.n_bytes < 5e6  # of 99e6; the traces alone are 2.4e6
    assert n_gets < 20


def test_one_nwb_file_on_s3_is_told_when_it_is_bad_and_leaves_nothing(s3, calsweep, tmp_path):
    s3.put_object(Bucket="calsweep-test", Key="a.nwb", Body=b"\x89HDF\r\n\x1a\n" + b"\0" * 900)
    code, _, err = calsweep("ingest", "nwb", "s3://calsweep-test/a.nwb", "m")
    assert code == 2
    assert "calsweep: s3://calsweep-test/a.nwb: this is no whole NWB file" in err
    code, _, err = calsweep("ingest", "nwb", "s3://calsweep-test/b.nwb", "m")
    assert (code, err) == (2, "calsweep: There is no file s3://calsweep-test/b.nwb.\n")
    code, _, err = calsweep("ingest", "nwb", "s3://calsweep-test/none/", "m")
    assert (code, err) == (2, "calsweep: s3://calsweep-test/none/ holds no .nwb file.\n")
    assert list(tmp_path.iterdir()) == []


def test_service_that_fails_while_a_file_is_streamed_is_told_as_such(
    s3, calsweep, tmp_path, monkeypatch
):
    write_nwb(tmp_path / "sessions" / "m1_a.nwb")
    upload(s3, tmp_path / "sessions")
    proxy = FaultProxy(
        os.environ["CALSWEEP_TEST_S3"],
        lambda *_: "503" if n_parts(proxy) > 3 else "",
    )
    monkeypatch.setattr(Bucket.__init__, "__kwdefaults__", {"deadline_s": 1.0, "silence_s": 4.0})
    with proxy.running():
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        code, _, err = calsweep("ingest", "nwb", "s3://calsweep-test/sessions/m1_a.nwb", "m")
    assert code == 2
    assert "the service answered ServiceUnavailable to GetObject: try again" in err
    assert len(err.strip().splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["sessions"]


def n_parts(proxy):
    return sum(method == "GET" and ".nwb" in path for method, path in proxy.requests)


def test_source_that_reads_whole_files_refuses_an_s3_origin(calsweep, tmp_path):
    code, _, err = calsweep("ingest", "npz", "s3://lab/sessions", "m")
    assert code == 2
    assert err == (
        "calsweep: s3://lab/sessions cannot be used: files of this format are read whole, on this "
        "machine: fetch them first, as with `aws s3 cp --recursive`.\n"
    )
    code, _, err = calsweep("ingest", "npz", "gs://lab/sessions", "m")
    assert code == 2
    assert "gs://lab/sessions cannot be used" in err
    assert list(tmp_path.iterdir()) == []


def test_recordings_on_s3_are_never_replaced_by_their_dataset(s3, calsweep):
    s3.put_object(Bucket="calsweep-test", Key="own/a.nwb", Body=b"years")
    for address in ("s3://calsweep-test/own", "s3://calsweep-test/own/"):
        code, _, err = calsweep("ingest", "nwb", "s3://calsweep-test/own/a.nwb", address)
        assert code == 2
        assert "s3://calsweep-test/own/a.nwb, which is read from, lies there" in err
