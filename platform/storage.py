"""Addresses: folders on disk and prefixes on an S3 service.

Reading goes through pyarrow, uploading through boto3. Credentials and endpoint come from the
environment, as AWS's own tools read them (``AWS_ACCESS_KEY_ID``, ``AWS_SECRET_ACCESS_KEY``,
``AWS_ENDPOINT_URL``, ``AWS_DEFAULT_REGION``); they are never logged.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.fs as pafs

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

CONNECT_TIMEOUT_S = 5
REQUEST_TIMEOUT_S = 30
PREFLIGHT_TIMEOUT_S = 5
MANIFEST = "manifest.json"


class StorageRefused(ValueError):
    """A storage address cannot be used, and why."""

    def __init__(self, address: str, reason: str) -> None:
        super().__init__(address, reason)
        self.address = address
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.address} cannot be used: {self.reason}"


@dataclass(frozen=True, kw_only=True)
class Location:
    """Where a dataset lies, ready to be read.

    Attributes
    ----------
    address
        As the user wrote it.
    filesystem
        What reads it.
    path
        Its path in that file system.
    """

    address: str
    filesystem: pafs.FileSystem
    path: str


def is_remote(address: str) -> bool:
    """Say whether an address is on an S3 service."""
    return address.startswith("s3://")


def locate(address: str, /) -> Location:
    """Give a location to read from, after a look whether it can be reached at all.

    Parameters
    ----------
    address
        A path, or ``s3://bucket/prefix``.

    Raises
    ------
    StorageRefused
        Within 15 s, if credentials are missing or wrong, or nothing answers.
    """
    if not is_remote(address):
        if "://" in address:
            raise StorageRefused(address, "only paths and s3:// addresses are known.")
        path = Path(address).expanduser().resolve()
        return Location(address=address, filesystem=pafs.LocalFileSystem(), path=str(path))
    bucket, prefix = _bucket_and_prefix(address)
    preflight(address)
    return Location(address=address, filesystem=_s3_filesystem(), path=f"{bucket}/{prefix}")


def preflight(address: str, /) -> None:
    """Check credentials and endpoint of an S3 address with one short call.

    Raises
    ------
    StorageRefused
        If they are missing or wrong, the bucket is not there, or nothing answers in time.
    """
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

    bucket, _ = _bucket_and_prefix(address)
    _require_credentials(address)
    try:
        _client(connect_timeout_s=PREFLIGHT_TIMEOUT_S, attempts=1).head_bucket(Bucket=bucket)
    except NoCredentialsError as error:
        raise StorageRefused(address, _NO_CREDENTIALS) from error
    except ClientError as error:
        raise StorageRefused(address, _reason(error.response, bucket=bucket)) from error
    except BotoCoreError as error:
        endpoint = os.environ.get("AWS_ENDPOINT_URL", "the default endpoint")
        reason = f"{endpoint} did not answer within {PREFLIGHT_TIMEOUT_S} s: set AWS_ENDPOINT_URL."
        raise StorageRefused(address, reason) from error


def publish(
    folder: Path,
    /,
    *,
    address: str,
    replace: bool = False,
    on_file: Callable[[int, int], None] | None = None,
) -> None:
    """Put a finished dataset folder in its place, all of it or nothing.

    On disk the folder is renamed. On S3 the manifest goes up last, so that a broken upload leaves
    no dataset behind.

    Parameters
    ----------
    folder
        A folder with shards and ``manifest.json``; on disk it is moved, so it must lie beside its
        place (see `workspace`).
    address
        Where it is to be.
    replace
        Whether a dataset that is there may be replaced.
    on_file
        Called with files done and files in all.

    Raises
    ------
    FileExistsError
        If something is there already and may not be replaced.
    """
    if is_remote(address):
        _upload(folder, address, replace=replace, on_file=on_file)
        return
    place = Path(address).expanduser().resolve()
    if place.exists() and any(place.iterdir()):
        if not replace:
            raise FileExistsError(_exists(address))
        retired = place.with_name(f".{place.name}.{uuid.uuid4().hex[:8]}.old")
        place.rename(retired)
        folder.rename(place)
        shutil.rmtree(retired)
        return
    folder.rename(place)


@contextlib.contextmanager
def workspace(address: str, /, *, replace: bool = False) -> Iterator[Path]:
    """Give a new folder to write a dataset in; whatever is left of it at the end is removed.

    Raises
    ------
    FileExistsError
        If something is at the address already and may not be replaced.
    StorageRefused
        If the address cannot be written to.
    """
    if is_remote(address):
        preflight(address)
        beside = Path(os.environ.get("TMPDIR", "/tmp"))  # noqa: S108 - the user's choice or the system's
        name = "dataset"
    else:
        place = Path(address).expanduser().resolve()
        place.parent.mkdir(parents=True, exist_ok=True)
        beside, name = place.parent, place.name
    if not replace and _is_taken(address):
        raise FileExistsError(_exists(address))
    folder = beside / f".{name}.{uuid.uuid4().hex[:8]}.partial"
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


_NO_CREDENTIALS = (
    "no credentials were found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE."
)


def _exists(address: str) -> str:
    return (
        f"There is something at {address} already, and it is left as it is: "
        "choose another address, or add --replace."
    )


def _is_taken(address: str) -> bool:
    if not is_remote(address):
        place = Path(address).expanduser().resolve()
        if place.exists() and not place.is_dir():
            raise FileExistsError(f"{address} is a file, but a dataset is a folder.")
        return place.exists() and any(place.iterdir())
    bucket, prefix = _bucket_and_prefix(address)
    listing = _client().list_objects_v2(Bucket=bucket, Prefix=f"{prefix}/{MANIFEST}", MaxKeys=1)
    return listing.get("KeyCount", 0) > 0


def _upload(
    folder: Path, address: str, *, replace: bool, on_file: Callable[[int, int], None] | None
) -> None:
    if not replace and _is_taken(address):
        raise FileExistsError(_exists(address))
    bucket, prefix = _bucket_and_prefix(address)
    client = _client()
    files = sorted(folder.iterdir(), key=lambda file: (file.name == MANIFEST, file.name))
    for i, file in enumerate(files):
        client.upload_file(str(file), bucket, f"{prefix}/{file.name}")
        if on_file is not None:
            on_file(i + 1, len(files))
    if replace:
        _delete_others(client, bucket, prefix, keep={file.name for file in files})


def _delete_others(client: S3Client, bucket: str, prefix: str, *, keep: set[str]) -> None:
    """Remove shards of the dataset that was replaced; only files a dataset writes are touched."""
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{prefix}/")
    for page in pages:
        for item in page.get("Contents", []):
            name = item["Key"].removeprefix(f"{prefix}/")
            if name.endswith(".parquet") and "/" not in name and name not in keep:
                client.delete_object(Bucket=bucket, Key=item["Key"])


def _bucket_and_prefix(address: str) -> tuple[str, str]:
    bucket, _, prefix = address.removeprefix("s3://").strip("/").partition("/")
    if not bucket or not prefix:
        raise StorageRefused(address, "it must have the form s3://BUCKET/NAME.")
    return bucket, prefix


def _reason(response: Any, *, bucket: str) -> str:
    code = str(response.get("Error", {}).get("Code", ""))
    if code in {"404", "NoSuchBucket"}:
        return f"there is no bucket {bucket!r}: create it first."
    if code in {"401", "403", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch"}:
        return "the credentials were refused: check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
    return f"the service answered {code}."


def _require_credentials(address: str) -> None:
    import boto3

    if boto3.Session().get_credentials() is None:
        raise StorageRefused(address, _NO_CREDENTIALS)


def _client(*, connect_timeout_s: int = CONNECT_TIMEOUT_S, attempts: int = 5) -> S3Client:
    import boto3
    from botocore.config import Config

    config = Config(
        connect_timeout=connect_timeout_s,
        read_timeout=REQUEST_TIMEOUT_S if attempts > 1 else connect_timeout_s,
        retries={"total_max_attempts": attempts, "mode": "standard"},
        # Services other than AWS's own often know no aws-chunked uploads.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        # With an endpoint of one's own there is seldom a DNS name for each bucket.
        s3={"addressing_style": "path" if os.environ.get("AWS_ENDPOINT_URL") else "auto"},
    )
    client: S3Client = boto3.Session().client("s3", config=config)
    return client


def _s3_filesystem() -> pafs.S3FileSystem:
    import boto3

    session = boto3.Session()
    credentials = session.get_credentials()
    assert credentials is not None  # noqa: S101 - preflight has just seen them
    frozen = credentials.get_frozen_credentials()
    return pafs.S3FileSystem(
        access_key=frozen.access_key,
        secret_key=frozen.secret_key,
        session_token=frozen.token,
        endpoint_override=os.environ.get("AWS_ENDPOINT_URL"),
        region=session.region_name or "us-east-1",
        connect_timeout=CONNECT_TIMEOUT_S,
        request_timeout=REQUEST_TIMEOUT_S,
        retry_strategy=pafs.AwsStandardS3RetryStrategy(max_attempts=5),
    )
