"""Addresses on disk and on a real S3 service; each wrong one is told within 15 s."""

import os
import time

import pyarrow.fs as pafs
import pytest

from calsweep.platform.storage import StorageRefused, locate, preflight, publish, workspace

needs_s3 = pytest.mark.skipif(
    "CALSWEEP_TEST_S3" not in os.environ, reason="CALSWEEP_TEST_S3 names no S3 endpoint"
)


def write(folder, **files):
    folder.mkdir()
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


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


def test_what_is_there_is_kept(tmp_path):
    write(tmp_path / "m1", manifest__json="old")
    with pytest.raises(FileExistsError, match="left as it is.*--replace"):
        with workspace(str(tmp_path / "m1")):
            pytest.fail("the workspace opened")
    assert (tmp_path / "m1" / "manifest.json").read_text() == "old"


def test_replace_puts_the_new_in_place_of_the_old(tmp_path):
    address = str(tmp_path / "m1")
    write(tmp_path / "m1", manifest__json="old", old__parquet="old")
    with workspace(address, replace=True) as folder:
        write(folder, manifest__json="new")
        publish(folder, address=address, replace=True)
    assert [p.name for p in (tmp_path / "m1").iterdir()] == ["manifest.json"]
    assert (tmp_path / "m1" / "manifest.json").read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["m1"]


def test_other_schemes_are_refused():
    with pytest.raises(StorageRefused, match="only paths and s3:// addresses"):
        locate("gs://lab/m1")


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
        preflight("s3://lab/m1")
    assert time.monotonic() - begun < 15


def test_silent_endpoint_is_told_within_15_s(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "someone")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret-of-someone")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    begun = time.monotonic()
    with pytest.raises(StorageRefused, match="did not answer within") as caught:
        preflight("s3://lab/m1")
    assert time.monotonic() - begun < 15
    assert "secret-of-someone" not in str(caught.value)


@needs_s3
def test_upload_is_read_back_through_pyarrow(s3, tmp_path):
    address = "s3://calsweep-test/m1"
    with workspace(address) as folder:
        write(folder, manifest__json="{}", a__parquet="rows")
        publish(folder, address=address)
    location = locate(address)
    assert isinstance(location.filesystem, pafs.S3FileSystem)
    with location.filesystem.open_input_stream(f"{location.path}/a.parquet") as file:
        assert file.read() == b"rows"


@needs_s3
def test_what_is_on_s3_is_kept_unless_replaced(s3, tmp_path):
    address = "s3://calsweep-test/m1"
    for i, replace in enumerate((False, True)):
        with workspace(address, replace=replace) as folder:
            write(folder, manifest__json=str(i), **{f"shard{i}__parquet": "rows"})
            publish(folder, address=address, replace=replace)
    keys = [item["Key"] for item in s3.list_objects_v2(Bucket="calsweep-test")["Contents"]]
    assert keys == ["m1/manifest.json", "m1/shard1.parquet"]
    with pytest.raises(FileExistsError, match="--replace"), workspace(address):
        pytest.fail("the workspace opened")


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
        preflight("s3://calsweep-test/m1")


@needs_s3
def test_missing_bucket_is_told(s3):
    with pytest.raises(StorageRefused, match="no bucket 'nowhere'"):
        preflight("s3://nowhere/m1")
