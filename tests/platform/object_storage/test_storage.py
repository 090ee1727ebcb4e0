"""Addresses on disk and on a real S3 service; each wrong one is told within 15 s."""

import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest

from calsweep.datasets.dataset import read_manifest, read_timelines
from calsweep.datasets.recording import Recording
from calsweep.datasets.shard_writer import write_dataset
from calsweep.datasets.store import FolderStore
from calsweep.platform.object_storage.address import StorageRefused, local_path
from calsweep.platform.object_storage.bucket import Bucket
from calsweep.platform.object_storage.storage import locate, publish, workspace
from calsweep.platform.prediction import write_predictions

needs_s3 = pytest.mark.skipif(
    "CALSWEEP_TEST_S3" not in os.environ, reason="CALSWEEP_TEST_S3 names no S3 endpoint"
)


def write(folder, **files):
    folder.mkdir()
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


def write_recording(folder, *, value):
    """A whole dataset of one recording of three frames."""
    recording = Recording(
        subject="m1",
        name="m1_d1",
        activity_TN=np.full((3, 2), value, np.float32),
        behavior={"run": np.array([0, 1, 1])},
        rate_hz=30.0,
        units=("a", "b"),
        trial_T=np.zeros(3, np.int32),
    )
    return write_dataset([recording], folder=folder)


def files_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_folder_is_renamed_into_place(tmp_path):
    address = str(tmp_path / "m1")
    with workspace(address) as folder:
        write(folder, manifest__json="{}")
        publish(folder, address=address)
    assert (tmp_path / "m1" / "manifest.json").read_text() == "{}"
    assert [p.name for p in tmp_path.iterdir()] == ["m1"]


def test_failure_leaves_nothing_behind(tmp_path):
    with pytest.raises(RuntimeError), workspace(str(tmp_path / "m1")) as folder:
        write(folder, a__parquet="half")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_failure_below_a_new_folder_leaves_nothing_behind(tmp_path):
    with pytest.raises(RuntimeError), workspace(str(tmp_path / "deep" / "er" / "m1")) as folder:
        assert folder.parent == tmp_path
        write(folder, a__parquet="half")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_parents_are_made_when_all_is_done(tmp_path):
    address = str(tmp_path / "deep" / "er" / "m1")
    with workspace(address) as folder:
        write(folder, manifest__json="{}")
        publish(folder, address=address)
    assert (tmp_path / "deep" / "er" / "m1" / "manifest.json").exists()
    assert [p.name for p in tmp_path.iterdir()] == ["deep"]


def test_file_above_the_place_is_told(tmp_path):
    (tmp_path / "notes").write_text("")
    with pytest.raises(NotADirectoryError, match="notes is a file"):
        with workspace(str(tmp_path / "notes" / "m1")):
            pytest.fail("the workspace opened")


def test_what_is_there_is_kept(tmp_path):
    write_recording(tmp_path / "m1", value=1)
    before = files_of(tmp_path / "m1")
    with pytest.raises(FileExistsError, match="left as it is.*--replace"):
        with workspace(str(tmp_path / "m1")):
            pytest.fail("the workspace opened")
    assert files_of(tmp_path / "m1") == before


def test_replace_puts_the_new_in_place_of_the_old(tmp_path):
    address = str(tmp_path / "m1")
    write_recording(tmp_path / "m1", value=1)
    with workspace(address, replace=True) as folder:
        new = write_recording(folder, value=2)
        publish(folder, address=address, replace=True)
    assert read_timelines(FolderStore(Path(address)))["run"].manifest == new
    assert len(list((tmp_path / "m1").iterdir())) == 2
    assert [p.name for p in tmp_path.iterdir()] == ["m1"]


def test_old_comes_back_if_the_new_cannot_be_put_there(tmp_path):
    write_recording(tmp_path / "m1", value=1)
    before = files_of(tmp_path / "m1")
    with pytest.raises(FileNotFoundError):
        publish(tmp_path / "nothing", address=str(tmp_path / "m1"), replace=True)
    assert files_of(tmp_path / "m1") == before
    assert [p.name for p in tmp_path.iterdir()] == ["m1"]


NO_DATASET = {
    "recordings": ({"m1_a.csv": "1", "m1_b.csv": "2"}, "holds m1_a.csv and 1 more and no manifest"),
    "another manifest": ({"manifest.json": "{}"}, "manifest.json that is not a dataset's"),
    "no JSON": ({"manifest.json": "old"}, "manifest.json that is not a dataset's"),
    "hidden file": ({".git": ""}, "holds .git and no manifest.json"),
}


@pytest.mark.parametrize("replace", [False, True])
@pytest.mark.parametrize("kind", NO_DATASET)
def test_only_a_dataset_is_ever_replaced(tmp_path, kind, replace):
    files, message = NO_DATASET[kind]
    (tmp_path / "m1").mkdir()
    for name, text in files.items():
        (tmp_path / "m1" / name).write_text(text)
    before = files_of(tmp_path / "m1")
    with pytest.raises(FileExistsError, match=f"Only a dataset.*{message}.*another address"):
        with workspace(str(tmp_path / "m1"), replace=replace):
            pytest.fail("the workspace opened")
    write_recording(tmp_path / "new", value=1)
    with pytest.raises(FileExistsError, match="Only a dataset"):
        publish(tmp_path / "new", address=str(tmp_path / "m1"), replace=replace)
    assert files_of(tmp_path / "m1") == before


@pytest.mark.parametrize("name", ["m1_a.csv", "predictions.parquet"])
def test_dataset_with_a_file_of_the_user_is_not_replaced(tmp_path, name):
    write_recording(tmp_path / "m1", value=1)
    (tmp_path / "m1" / name).write_text("mine")
    with pytest.raises(FileExistsError, match=f"Only a dataset.*holds {name}: "):
        with workspace(str(tmp_path / "m1"), replace=True):
            pytest.fail("the workspace opened")
    assert (tmp_path / "m1" / name).read_text() == "mine"


@pytest.mark.parametrize("origin", ["m1", "m1/recordings", "m1/../m1/a.csv"])
def test_origin_at_the_address_is_refused(tmp_path, origin):
    with pytest.raises(StorageRefused, match="which is read from, lies there"):
        with workspace(str(tmp_path / "m1"), replace=True, origin=tmp_path / origin):
            pytest.fail("the workspace opened")


def test_dataset_may_lie_below_its_origin(tmp_path):
    with workspace(str(tmp_path / "m1"), origin=tmp_path) as folder:
        assert folder.parent == tmp_path


@pytest.mark.parametrize("address", ["gs://lab/m1", "S3://lab/m1", "file:///lab/m1"])
def test_other_schemes_are_refused(tmp_path, monkeypatch, address):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "new", manifest__json="{}")
    with pytest.raises(StorageRefused, match=f"{address} .*only s3://BUCKET/NAME"):
        locate(address)
    with pytest.raises(StorageRefused, match=f"{address} .*only s3://BUCKET/NAME"):
        publish(tmp_path / "new", address=address)
    with pytest.raises(StorageRefused, match=f"{address} .*only s3://BUCKET/NAME"):
        with workspace(address):
            pytest.fail("the workspace opened")
    assert [p.name for p in tmp_path.iterdir()] == ["new"]


def test_predictions_go_to_a_path_of_this_machine(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StorageRefused, match="s3://lab/out.parquet .*a path on this machine"):
        write_predictions(None, None, Path("s3://lab/out.parquet"))
    assert list(tmp_path.iterdir()) == []
    assert local_path("a:b/c") == tmp_path / "a:b" / "c"


def test_failed_predictions_below_a_new_folder_leave_nothing_behind(tmp_path):
    with pytest.raises(AttributeError):
        write_predictions(None, None, tmp_path / "deep" / "out.parquet")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("address", ["s3://", "s3://bucket", "s3://bucket/"])
def test_address_without_bucket_or_name_is_refused(address):
    with pytest.raises(StorageRefused, match="s3://BUCKET/NAME"):
        locate(address)


def test_missing_credentials_are_told_within_15_s(monkeypatch, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    begun = time.monotonic()
    with pytest.raises(StorageRefused, match="set AWS_ACCESS_KEY_ID"):
        Bucket("s3://lab/m1").preflight()
    assert time.monotonic() - begun < 15


def test_silent_endpoint_is_told_within_15_s(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "someone")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret-of-someone")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    begun = time.monotonic()
    with pytest.raises(StorageRefused, match="127.0.0.1:9 did not answer in time") as caught:
        Bucket("s3://lab/m1").preflight()
    assert time.monotonic() - begun < 15
    assert "secret-of-someone" not in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("AWS_PROFILE", "typo", "no profile 'typo': check AWS_PROFILE"),
        ("AWS_ENDPOINT_URL", "nonsense", "AWS_ENDPOINT_URL must be a URL"),
        ("AWS_DEFAULT_REGION", "no region", "AWS_DEFAULT_REGION a region's name"),
    ],
)
def test_wrong_setting_is_told(monkeypatch, variable, value, message):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "someone")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret-of-someone")
    monkeypatch.setenv(variable, value)
    with pytest.raises(StorageRefused, match=message) as caught:
        locate("s3://lab/m1")
    assert "secret-of-someone" not in str(caught.value)


def test_password_in_an_endpoint_is_not_told(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "someone")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret-of-someone")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://me:hidden@127.0.0.1:9")
    with pytest.raises(StorageRefused) as caught:
        Bucket("s3://lab/m1").preflight()
    assert "hidden" not in str(caught.value)


def test_name_that_no_bucket_has_is_told(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "someone")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret-of-someone")
    with pytest.raises(StorageRefused, match="no name of a bucket"):
        Bucket("s3://not a bucket/m1").preflight()


ADDRESS = "s3://calsweep-test/m1"


def keys(s3):
    listing = s3.list_objects_v2(Bucket="calsweep-test")
    return [item["Key"] for item in listing.get("Contents", [])]


def upload(value, **options):
    with workspace(ADDRESS, **options) as folder:
        manifest = write_recording(folder, value=value)
        publish(folder, address=ADDRESS, **options)
    return manifest


@needs_s3
def test_upload_is_read_back(s3):
    seen = []
    with workspace(ADDRESS) as folder:
        manifest = write_recording(folder, value=1)
        publish(folder, address=ADDRESS, on_file=lambda done, n: seen.append((done, n)))
    store = locate(ADDRESS)
    assert read_timelines(store)["run"].manifest == manifest
    assert seen == [(1, 2), (2, 2)]


@needs_s3
def test_endpoint_of_s3_alone_or_of_a_profile_is_used(s3, tmp_path, monkeypatch):
    manifest = upload(1)
    endpoint = os.environ["AWS_ENDPOINT_URL"]
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    with monkeypatch.context() as context:
        context.setenv("AWS_ENDPOINT_URL_S3", endpoint)
        store = locate(ADDRESS)
        assert read_manifest(store) == manifest
    (tmp_path / "config").write_text(f"[profile lab]\nendpoint_url = {endpoint}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_PROFILE", "lab")
    store = locate(ADDRESS)
    assert read_manifest(store) == manifest


@needs_s3
def test_what_is_on_s3_is_kept_unless_replaced(s3):
    upload(1)
    s3.put_object(Bucket="calsweep-test", Key="m1/predictions.parquet", Body=b"mine")
    new = upload(2, replace=True)
    shard = f"m1/{new.shards[0].file}"
    assert sorted(keys(s3)) == sorted(["m1/manifest.json", "m1/predictions.parquet", shard])
    with pytest.raises(FileExistsError, match="--replace"), workspace(ADDRESS):
        pytest.fail("the workspace opened")


@needs_s3
@pytest.mark.parametrize("replace", [False, True])
def test_manifest_of_another_kind_on_s3_is_never_replaced(s3, replace):
    s3.put_object(Bucket="calsweep-test", Key="m1/manifest.json", Body=b"{}")
    with pytest.raises(FileExistsError, match="Only a dataset"):
        upload(1, replace=replace)
    assert keys(s3) == ["m1/manifest.json"]


@needs_s3
@pytest.mark.parametrize("name", ["z" * 255, "z.parquet"])
def test_broken_upload_leaves_nothing_behind(s3, tmp_path, name):
    """The service refuses a key of more than 1024 bytes; the other file cannot be read."""
    address = "/".join(["s3://calsweep-test", *["p" * 200] * 4])
    write_recording(tmp_path / "new", value=1)
    if name == "z.parquet":
        (tmp_path / "new" / name).symlink_to("nowhere")
        error, message = FileNotFoundError, "z.parquet"
    else:
        (tmp_path / "new" / name).write_text("too long a name")
        error, message = StorageRefused, "the service answered .* to "
    seen = []
    with pytest.raises(error, match=message):
        publish(tmp_path / "new", address=address, on_file=lambda done, _: seen.append(done))
    assert seen == [1]
    assert keys(s3) == []


@needs_s3
def test_broken_replacement_leaves_the_old_dataset_whole(s3, tmp_path):
    old = upload(1)
    before = keys(s3)
    write_recording(tmp_path / "old", value=1)
    write_recording(tmp_path / "new", value=2)
    shutil.copy(tmp_path / "old" / old.shards[0].file, tmp_path / "new")
    (tmp_path / "new" / "z.parquet").symlink_to("nowhere")
    with pytest.raises(FileNotFoundError):
        publish(tmp_path / "new", address=ADDRESS, replace=True)
    assert keys(s3) == before
    store = locate(ADDRESS)
    assert read_timelines(store)["run"].manifest == old


@needs_s3
def test_stopped_upload_leaves_nothing_behind(s3, tmp_path):
    def stop(*_):
        raise KeyboardInterrupt

    write_recording(tmp_path / "new", value=1)
    with pytest.raises(KeyboardInterrupt):
        publish(tmp_path / "new", address=ADDRESS, on_file=stop)
    assert keys(s3) == []


@needs_s3
@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("AWS_SECRET_ACCESS_KEY", "wrong", "credentials were refused"),
        ("AWS_ACCESS_KEY_ID", "test:nobody", "credentials were refused"),
    ],
)
def test_wrong_credentials_are_told(s3, monkeypatch, variable, value, message):
    monkeypatch.setenv(variable, value)
    with pytest.raises(StorageRefused, match=message):
        Bucket("s3://calsweep-test/m1").preflight()


@needs_s3
def test_missing_bucket_is_told(s3):
    with pytest.raises(StorageRefused, match="no bucket 'nowhere'"):
        Bucket("s3://nowhere/m1").preflight()


@needs_s3
def test_what_a_killed_upload_left_is_taken_away_by_the_next(s3):
    left = "m1/frames-00000-0123456789abcdef.parquet"
    s3.put_object(Bucket="calsweep-test", Key=left, Body=b"of other data")
    manifest = upload(1)
    assert keys(s3) == [f"m1/{manifest.shards[0].file}", "m1/manifest.json"]
