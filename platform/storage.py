"""Addresses: folders on disk and prefixes on an S3 service.

Reading goes through pyarrow, uploading through boto3. Credentials, endpoint and region are those
that boto3 finds, as AWS's own tools do (``AWS_ACCESS_KEY_ID``, ``AWS_SECRET_ACCESS_KEY``,
``AWS_ENDPOINT_URL``, ``AWS_DEFAULT_REGION``, or a profile); secrets are never logged.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pyarrow.fs as pafs

from calsweep.datasets.manifest import MANIFEST_FILE, Manifest

if TYPE_CHECKING:
    from botocore.exceptions import ClientError
    from mypy_boto3_s3 import S3Client

CONNECT_TIMEOUT_S = 5
REQUEST_TIMEOUT_S = 30
PREFLIGHT_TIMEOUT_S = 5


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


def local_path(address: str | Path, /) -> Path:
    """Give the path that an address on this machine means, in full.

    Raises
    ------
    StorageRefused
        If it is an address of some service.

    Examples
    --------
    >>> local_path("/data/mice/../m1").name
    'm1'
    >>> local_path("gs://lab/m1")
    Traceback (most recent call last):
    calsweep.platform.storage.StorageRefused: gs://lab/m1 cannot be used: a path on this machine \
is needed here, and of other addresses only s3://BUCKET/NAME is known, for datasets.
    """
    # A `Path` made of gs://lab/m1 has become gs:/lab/m1.
    text = re.sub(r"^([A-Za-z][A-Za-z0-9+.-]+):/(?!/)", r"\1://", str(address))
    if "://" in text:
        reason = (
            "a path on this machine is needed here, and of other addresses only "
            "s3://BUCKET/NAME is known, for datasets."
        )
        raise StorageRefused(text, reason)
    return Path(text).expanduser().resolve()


def nearest_folder(place: Path, /) -> Path:
    """Give the folder closest above a place that is there: a file beside it can be renamed to it.

    Raises
    ------
    NotADirectoryError
        If a file is in the way.
    """
    folder = next(above for above in place.parents if above.exists())
    if not folder.is_dir():
        raise NotADirectoryError(
            f"{place} must lie in a folder, but {folder} is a file: choose another place."
        )
    return folder


def locate(address: str, /) -> Location:
    """Give a location to read a dataset from, after a look whether it can be reached at all.

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
        path = str(local_path(address))
        return Location(address=address, filesystem=pafs.LocalFileSystem(), path=path)
    bucket, prefix = _bucket_and_prefix(address)
    preflight(address)
    with _answering(address):
        filesystem = _s3_filesystem(address)
    path = f"{bucket}/{prefix}"
    _check_readable(address, filesystem=filesystem, path=f"{path}/{MANIFEST_FILE}")
    return Location(address=address, filesystem=filesystem, path=path)


def preflight(address: str, /) -> None:
    """Check credentials and endpoint of an S3 address with one short call.

    Raises
    ------
    StorageRefused
        If they are missing or wrong, the bucket is not there, or nothing answers in time.
    """
    bucket, _ = _bucket_and_prefix(address)
    with _answering(address):
        _require_credentials(address)
        client = _client(address, connect_timeout_s=PREFLIGHT_TIMEOUT_S, attempts=1)
        client.head_bucket(Bucket=bucket)


def publish(
    folder: Path,
    /,
    *,
    address: str,
    replace: bool = False,
    on_file: Callable[[int, int], None] | None = None,
) -> None:
    """Put a finished dataset folder in its place, all of it or nothing.

    On disk the folder is renamed. On S3 the manifest goes up last, and a broken upload takes its
    shards away again.

    Parameters
    ----------
    folder
        A folder with shards and ``manifest.json``; on disk it is moved, so it must lie in the
        same file system (see `workspace`).
    address
        Where it is to be.
    replace
        Whether a dataset that is there may be replaced.
    on_file
        Called with files uploaded and files in all.

    Raises
    ------
    FileExistsError
        If something is there already and may not be replaced.
    StorageRefused
        If the address cannot be written to.
    """
    if is_remote(address):
        _upload(folder, address, replace=replace, on_file=on_file)
        return
    place = local_path(address)
    _check_place(place, address, replace=replace)
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.exists():
        _swap(folder, place)
    else:
        folder.rename(place)


@contextlib.contextmanager
def workspace(
    address: str, /, *, replace: bool = False, origin: Path | None = None
) -> Iterator[Path]:
    """Give a new folder to write a dataset in; whatever is left of it at the end is removed.

    Parameters
    ----------
    address
        Where the dataset is to be.
    replace
        Whether a dataset that is there may be replaced; nothing else ever is.
    origin
        Folder or file that the dataset is made from, which must not lie at the address.

    Raises
    ------
    FileExistsError
        If something is at the address already and may not be replaced.
    StorageRefused
        If the address cannot be written to.
    """
    if is_remote(address):
        preflight(address)
        with _answering(address):
            _check_prefix(_client(address), address, replace=replace)
        beside, name = Path(tempfile.gettempdir()), "dataset"
    else:
        place = local_path(address)
        _check_origin(place, address, origin=origin)
        _check_place(place, address, replace=replace)
        beside, name = nearest_folder(place), place.name
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
        f"There is a dataset at {address} already, and it is left as it is: "
        "choose another address, or add --replace."
    )


def _no_dataset(address: str, what: str) -> str:
    return (
        f"Only a dataset may be replaced ({MANIFEST_FILE} and the shards it names, nothing else), "
        f"but {address} holds {what}: choose another address, or move that away yourself."
    )


def _check_origin(place: Path, address: str, *, origin: Path | None) -> None:
    if origin is None:
        return
    path = origin.expanduser().resolve()
    if place == path or place in path.parents:
        reason = f"{origin}, which is read from, lies there: choose another address."
        raise StorageRefused(address, reason)


def _check_place(place: Path, address: str, *, replace: bool) -> None:
    """Refuse a place on disk that holds anything but a dataset that may be replaced."""
    if place.exists() and not place.is_dir():
        raise FileExistsError(f"A dataset is a folder, but {address} is a file: choose another.")
    if place.is_mount():
        raise StorageRefused(address, "it is a mount point: name a folder in it.")
    names = {path.name for path in place.iterdir()} if place.exists() else set()
    if not names:
        return
    if MANIFEST_FILE not in names:
        raise FileExistsError(_no_dataset(address, f"{_some(names)} and no {MANIFEST_FILE}"))
    manifest = _manifest((place / MANIFEST_FILE).read_bytes(), address)
    others = names - {MANIFEST_FILE} - _shard_names(manifest)
    if others:
        raise FileExistsError(_no_dataset(address, _some(others)))
    if not replace:
        raise FileExistsError(_exists(address))


def _some(names: set[str]) -> str:
    """Name the first of some files, and count the others."""
    return min(names) + (f" and {len(names) - 1} more" if len(names) > 1 else "")


def _manifest(data: bytes, address: str) -> Manifest:
    try:
        return Manifest.from_json(data.decode(errors="replace"))
    except ValueError as error:
        what = f"a {MANIFEST_FILE} that is not a dataset's ({str(error).rstrip('.')})"
        raise FileExistsError(_no_dataset(address, what)) from error


def _shard_names(manifest: Manifest | None) -> set[str]:
    return {shard.file for shard in manifest.shards} if manifest else set()


def _swap(folder: Path, place: Path) -> None:
    """Rename a folder to a place that is taken; the old one comes back if that fails."""
    retired = place.with_name(f".{place.name}.{uuid.uuid4().hex[:8]}.old")
    place.rename(retired)
    try:
        folder.rename(place)
    except BaseException:
        retired.rename(place)
        raise
    shutil.rmtree(retired)


def _upload(
    folder: Path, address: str, *, replace: bool, on_file: Callable[[int, int], None] | None
) -> None:
    bucket, prefix = _bucket_and_prefix(address)
    files = sorted(folder.iterdir(), key=lambda file: (file.name == MANIFEST_FILE, file.name))
    with _answering(address):
        client = _client(address)
        old = _check_prefix(client, address, replace=replace)
        tried: list[str] = []
        try:
            for i, file in enumerate(files, start=1):
                tried.append(file.name)
                client.upload_file(str(file), bucket, f"{prefix}/{file.name}")
                if on_file is not None:
                    on_file(i, len(files))
        except BaseException:
            _take_back(client, address, tried)
            raise
        _delete(client, address, _shard_names(old) - set(tried))


def _check_prefix(client: S3Client, address: str, *, replace: bool) -> Manifest | None:
    """Give the manifest of the dataset at an S3 address, if there is one and it may be replaced."""
    manifest = _remote_manifest(client, address)
    if manifest is not None and not replace:
        raise FileExistsError(_exists(address))
    return manifest


def _remote_manifest(client: S3Client, address: str) -> Manifest | None:
    bucket, prefix = _bucket_and_prefix(address)
    try:
        found = client.get_object(Bucket=bucket, Key=f"{prefix}/{MANIFEST_FILE}")
    except client.exceptions.NoSuchKey:
        return None
    return _manifest(found["Body"].read(), address)


def _take_back(client: S3Client, address: str, names: Iterable[str]) -> None:
    """Remove what a broken upload left, as far as the service lets us.

    The manifest there now, be it the old one or a new one whose answer was lost, keeps its shards.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    with contextlib.suppress(BotoCoreError, ClientError, FileExistsError):
        kept = _shard_names(_remote_manifest(client, address))
        _delete(client, address, set(names) - kept - {MANIFEST_FILE})


def _delete(client: S3Client, address: str, names: Iterable[str]) -> None:
    bucket, prefix = _bucket_and_prefix(address)
    for name in sorted(names):
        client.delete_object(Bucket=bucket, Key=f"{prefix}/{name}")


def _bucket_and_prefix(address: str) -> tuple[str, str]:
    bucket, _, prefix = address.removeprefix("s3://").strip("/").partition("/")
    if not bucket or not prefix:
        raise StorageRefused(address, "it must have the form s3://BUCKET/NAME.")
    return bucket, prefix


_REFUSED = {"401", "403", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken"}
_ELSEWHERE = {"301", "PermanentRedirect", "AuthorizationHeaderMalformed"}


@contextlib.contextmanager
def _answering(address: str) -> Iterator[None]:
    """Turn every error of boto into a refused address; its own text may name too much."""
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (Boto3Error, BotoCoreError, ClientError) as error:
        raise StorageRefused(address, _reason(error, address)) from error


def _reason(error: BaseException, address: str) -> str:
    from botocore import exceptions as boto

    if isinstance(error, boto.ClientError):
        return _answer(error, bucket=_bucket_and_prefix(address)[0])
    if isinstance(error, boto.ProfileNotFound):
        return f"AWS's settings have no profile {error.kwargs['profile']!r}: check AWS_PROFILE."
    if isinstance(error, (boto.NoCredentialsError, boto.PartialCredentialsError)):
        return _NO_CREDENTIALS
    if isinstance(error, (boto.HTTPClientError, boto.ConnectionError)):
        host = _host(str(error.kwargs.get("endpoint_url", "")))
        return f"{host} did not answer in time ({_kind(error)}): check AWS_ENDPOINT_URL."
    if isinstance(error, boto.ParamValidationError):
        return "that is no name of a bucket: a bucket has 3 to 63 small letters, digits, . and -."
    if isinstance(error.__context__, boto.ClientError):  # S3UploadFailedError says only its text
        return _reason(error.__context__, address)
    return f"AWS's settings do not work ({_kind(error)}): check the AWS_ variables and ~/.aws."


def _host(url: str) -> str:
    """Give host and port of a URL, without a password that may stand before them."""
    return urlsplit(url).netloc.rpartition("@")[2] or "its service"


def _kind(error: BaseException) -> str:
    return type(error).__name__


def _answer(error: ClientError, *, bucket: str) -> str:
    code = str(error.response.get("Error", {}).get("Code", ""))
    call = error.operation_name
    if code in {"404", "NoSuchBucket"}:
        return f"there is no bucket {bucket!r}: create it first."
    if code in _REFUSED:
        return "the credentials were refused: check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
    if code == "AccessDenied":
        return f"the credentials do not allow {call}: have it allowed, or use others."
    if code in _ELSEWHERE:
        return f"the bucket {bucket!r} is in another region: set AWS_DEFAULT_REGION."
    return f"the service answered {code} to {call}: try again, or ask who runs it."


def _check_readable(address: str, *, filesystem: pafs.FileSystem, path: str) -> None:
    """Let pyarrow look for a file once, for its errors are long."""
    try:
        filesystem.get_file_info(path)
    except OSError as error:
        found = re.search(r"AWS Error (\w+)", str(error))
        answer = found[1] if found else _kind(error)
        reason = (
            f"{MANIFEST_FILE} could not be read there ({answer}): check what the credentials "
            "allow, and AWS_DEFAULT_REGION."
        )
        raise StorageRefused(address, reason) from error


def _require_credentials(address: str) -> None:
    import boto3

    if boto3.Session().get_credentials() is None:
        raise StorageRefused(address, _NO_CREDENTIALS)


def _client(
    address: str, *, connect_timeout_s: int = CONNECT_TIMEOUT_S, attempts: int = 5
) -> S3Client:
    import boto3
    from botocore.config import Config

    config = Config(
        connect_timeout=connect_timeout_s,
        read_timeout=REQUEST_TIMEOUT_S if attempts > 1 else connect_timeout_s,
        retries={"total_max_attempts": attempts, "mode": "standard"},
        # Services other than AWS's own often know no aws-chunked uploads.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    session = boto3.Session()
    try:
        client: S3Client = session.client("s3", config=config)
    except ValueError as error:
        reason = (
            "AWS_ENDPOINT_URL must be a URL as https://HOST:PORT, and AWS_DEFAULT_REGION a "
            "region's name, but one is not."
        )
        raise StorageRefused(address, reason) from error
    if is_amazon(client.meta.endpoint_url) or _addressing_style(client) != "auto":
        return client
    # With an endpoint of one's own there is seldom a DNS name for each bucket.
    return session.client("s3", config=config.merge(Config(s3={"addressing_style": "path"})))


def _addressing_style(client: S3Client) -> str:
    return str((client.meta.config.s3 or {}).get("addressing_style") or "auto")  # type: ignore[attr-defined]


def is_amazon(endpoint_url: str, /) -> bool:
    """Say whether an endpoint is the one AWS has for everybody in a region.

    Examples
    --------
    >>> is_amazon("https://s3.eu-west-1.amazonaws.com")
    True
    >>> is_amazon("https://bucket.vpce-1a2b.s3.eu-west-1.vpce.amazonaws.com")
    False
    """
    host = urlsplit(endpoint_url).hostname or ""
    return re.fullmatch(r"s3([.-][a-z0-9-]+)?\.amazonaws\.com(\.cn)?", host) is not None


def _s3_filesystem(address: str) -> pafs.S3FileSystem:
    """Give pyarrow what boto3 found: by itself it reads fewer of AWS's settings."""
    import boto3

    credentials = boto3.Session().get_credentials()
    assert credentials is not None  # noqa: S101 - preflight has just seen them
    frozen = credentials.get_frozen_credentials()
    client = _client(address)
    style, endpoint = _addressing_style(client), client.meta.endpoint_url
    return pafs.S3FileSystem(
        access_key=frozen.access_key,
        secret_key=frozen.secret_key,
        session_token=frozen.token,
        endpoint_override=None if is_amazon(endpoint) and style != "path" else endpoint,
        force_virtual_addressing=style == "virtual",
        region=client.meta.region_name or "us-east-1",
        connect_timeout=CONNECT_TIMEOUT_S,
        request_timeout=REQUEST_TIMEOUT_S,
        retry_strategy=pafs.AwsStandardS3RetryStrategy(max_attempts=5),
    )
