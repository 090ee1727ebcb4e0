"""An S3 service: the only module that knows boto3.

Credentials, endpoint and region are those that boto3 finds, as AWS's own tools do
(``AWS_ACCESS_KEY_ID``, ``AWS_SECRET_ACCESS_KEY``, ``AWS_ENDPOINT_URL``, ``AWS_DEFAULT_REGION``, or
a profile); secrets are never logged. Every call has a limit: a connection that breaks, a service
that is silent, throttles or fails is asked again, a little later each time, until the deadline.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from calsweep.datasets.store import Store
from calsweep.platform.address import StorageRefused
from calsweep.platform.block_file import BlockFile

if TYPE_CHECKING:
    from botocore.exceptions import ClientError
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import (
        CompletedPartTypeDef,
        GetObjectOutputTypeDef,
        HeadObjectOutputTypeDef,
    )
    from tenacity import RetryCallState

CONNECT_TIMEOUT_S = 5.0
SILENCE_S = 10.0
DEADLINE_S = 120.0
PREFLIGHT_TIMEOUT_S = 5.0
PART_BYTES = 16 * 2**20
N_CONNECTIONS = 16
_N_PARTS_AT_ONCE = 4
_PIECE_BYTES = 2**20
_SHA256 = "sha256"
_T = TypeVar("_T")


class Bucket:
    """The files below one ``s3://BUCKET/NAME``.

    Parameters
    ----------
    address
        Of the files.
    deadline_s
        Limit of one call, with all its attempts.
    silence_s
        How long a service may say nothing before it is asked again.

    Raises
    ------
    StorageRefused
        By every method, if the service does not do what is asked.
    """

    def __init__(
        self, address: str, /, *, deadline_s: float = DEADLINE_S, silence_s: float = SILENCE_S
    ) -> None:
        self._address = address
        self._bucket, self._prefix = _bucket_and_prefix(address)
        self._deadline_s = deadline_s
        self._silence_s = silence_s
        self._lock = threading.Lock()

    @property
    def address(self) -> str:
        """As it was given."""
        return self._address

    def preflight(self) -> None:
        """Check credentials and endpoint with one short call, within 15 s."""
        with self._answering():
            _require_credentials(self._address)
            client = _client(
                self._address, connect_s=PREFLIGHT_TIMEOUT_S, silence_s=PREFLIGHT_TIMEOUT_S
            )
            client.head_bucket(Bucket=self._bucket)

    def read(self, name: str, /) -> bytes:
        """Give a file's bytes.

        Raises
        ------
        FileNotFoundError
            If there is none of this name.
        """
        with self._answering():
            return self._retried(lambda give_up: self._get(name, give_up=give_up))

    def open(self, name: str, /) -> BlockFile:
        """Open a file to read parts of it; each part is asked for as `read` asks for the whole.

        Once it is replaced, no more is read of it: parts of two files are never mixed.

        Parameters
        ----------
        name
            Of the file; empty if the address is that of a file itself.

        Raises
        ------
        FileNotFoundError
            If there is none of this name.
        """
        with self._answering():
            there = self._retried(lambda _: self._head(name))
        etag, n_bytes = there["ETag"], there["ContentLength"]

        def read_range(start: int, stop: int) -> bytes:
            with self._answering():
                return self._retried(
                    lambda give_up: self._get_range(name, start, stop, etag=etag, give_up=give_up)
                )

        version = f"not taken, streamed: ETag {etag}, {n_bytes} bytes"
        return BlockFile(read_range, n_bytes=n_bytes, version=version)

    def names(self) -> list[str]:
        """List the files."""
        with self._answering():
            return self._retried(lambda _: self._list())

    def upload(self, file: Path, /) -> None:
        """Put a file, unless the same lies there; an upload that broke off goes on.

        A file larger than `PART_BYTES` goes up in parts, and parts that are there are not sent
        again. What is there counts as the same if its size and SHA-256 are.
        """
        with self._answering():
            sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
            if self._retried(lambda _: self._has(file, sha256=sha256)):
                return
            if file.stat().st_size > PART_BYTES:
                self._upload_parts(file, sha256=sha256)
            else:
                self._retried(lambda _: self._put(file, sha256=sha256))

    def delete(self, names: Iterable[str], /) -> None:
        """Remove files, and what was sent of those that never became whole."""
        with self._answering():
            for name in sorted(names):
                self._remove(self._key(name))

    @cached_property
    def _client(self) -> S3Client:
        with self._lock:  # boto3's session is not for several threads
            return _client(self._address, silence_s=self._silence_s)

    def _key(self, name: str) -> str:
        return f"{self._prefix}/{name}" if name else self._prefix

    @contextlib.contextmanager
    def _answering(self) -> Iterator[None]:
        """Turn every error of boto into a refused address; its own text may name too much."""
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except (Boto3Error, BotoCoreError, ClientError) as error:
            raise StorageRefused(self._address, _reason(error, self._address)) from error

    def _retried(self, call: Callable[[float], _T]) -> _T:
        """Call until it goes well, an error stays, or the deadline has passed."""
        import tenacity

        give_up = time.monotonic() + self._deadline_s
        attempts = tenacity.Retrying(
            stop=tenacity.stop_before_delay(self._deadline_s),
            wait=tenacity.wait_random_exponential(multiplier=0.2, max=5),
            retry=_Patience(),
            reraise=True,
        )
        return attempts(call, give_up)

    def _get(self, name: str, *, give_up: float) -> bytes:
        try:
            answer = self._client.get_object(Bucket=self._bucket, Key=self._key(name))
        except self._client.exceptions.NoSuchKey as error:
            raise self._missing(name) from error
        return self._body(answer, give_up=give_up)

    def _get_range(self, name: str, start: int, stop: int, *, etag: str, give_up: float) -> bytes:
        answer = self._client.get_object(
            Bucket=self._bucket,
            Key=self._key(name),
            Range=f"bytes={start}-{stop - 1}",
            IfMatch=etag,
        )
        if not answer.get("ContentRange", "").startswith(f"bytes {start}-{stop - 1}/"):
            answer["Body"].close()  # the whole file may be on its way
            raise StorageRefused(self._address, "the service gives no parts of files.")
        return self._body(answer, give_up=give_up)

    def _head(self, name: str) -> HeadObjectOutputTypeDef:
        from botocore.exceptions import ClientError

        try:
            return self._client.head_object(Bucket=self._bucket, Key=self._key(name))
        except ClientError as error:
            if _code(error) in {"404", "NoSuchKey"}:
                raise self._missing(name) from error
            raise

    def _missing(self, name: str) -> FileNotFoundError:
        return FileNotFoundError(
            f"There is no file {'/'.join(filter(None, (self._address, name)))}."
        )

    def _body(self, answer: GetObjectOutputTypeDef, *, give_up: float) -> bytes:
        from botocore.exceptions import ReadTimeoutError

        pieces = []
        with contextlib.closing(answer["Body"]) as body:
            for piece in body.iter_chunks(_PIECE_BYTES):
                pieces.append(piece)
                if time.monotonic() > give_up:  # it says something all the time, and never ends
                    raise ReadTimeoutError(endpoint_url=self._client.meta.endpoint_url)
        return b"".join(pieces)

    def _list(self) -> list[str]:
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=f"{self._prefix}/"
        )
        found = [item["Key"] for page in pages for item in page.get("Contents", [])]
        return [key.removeprefix(f"{self._prefix}/") for key in found]

    def _has(self, file: Path, *, sha256: str) -> bool:
        try:
            there = self._head(file.name)
        except FileNotFoundError:
            return False
        same_size = there["ContentLength"] == file.stat().st_size
        return same_size and there["Metadata"].get(_SHA256) == sha256

    def _put(self, file: Path, *, sha256: str) -> None:
        self._client.put_object(
            Bucket=self._bucket,
            Key=self._key(file.name),
            Body=file.read_bytes(),
            Metadata={_SHA256: sha256},
        )

    def _upload_parts(self, file: Path, *, sha256: str) -> None:
        key = self._key(file.name)
        upload_id, there = self._retried(lambda _: self._unfinished(key))
        if not upload_id:
            begun = self._retried(
                lambda _: self._client.create_multipart_upload(
                    Bucket=self._bucket, Key=key, Metadata={_SHA256: sha256}
                )
            )
            upload_id = begun["UploadId"]

        def send(number: int) -> CompletedPartTypeDef:
            with file.open("rb") as opened:
                opened.seek((number - 1) * PART_BYTES)
                data = opened.read(PART_BYTES)
            etag = there.get(number, "")
            if etag.strip('"') != hashlib.md5(data, usedforsecurity=False).hexdigest():
                sent = self._retried(
                    lambda _: self._client.upload_part(
                        Bucket=self._bucket,
                        Key=key,
                        UploadId=upload_id,
                        PartNumber=number,
                        Body=data,
                    )
                )
                etag = sent["ETag"]
            return {"PartNumber": number, "ETag": etag}

        n_parts = -(-file.stat().st_size // PART_BYTES)
        with ThreadPoolExecutor(_N_PARTS_AT_ONCE, thread_name_prefix="upload") as pool:
            parts = list(pool.map(send, range(1, n_parts + 1)))
        self._retried(
            lambda _: self._client.complete_multipart_upload(
                Bucket=self._bucket,
                Key=key,
                UploadId=upload_id,
                MultipartUpload={"Parts": parts},
            )
        )

    def _unfinished(self, key: str) -> tuple[str, dict[int, str]]:
        """Give the upload of a file that broke off last, and the tag of each part that is there."""
        listing = self._client.list_multipart_uploads(Bucket=self._bucket, Prefix=key)
        uploads = [upload for upload in listing.get("Uploads", []) if upload["Key"] == key]
        if not uploads:
            return "", {}
        upload_id = max(uploads, key=lambda upload: upload["Initiated"])["UploadId"]
        pages = self._client.get_paginator("list_parts").paginate(
            Bucket=self._bucket, Key=key, UploadId=upload_id
        )
        parts = [part for page in pages for part in page.get("Parts", [])]
        return upload_id, {part["PartNumber"]: part["ETag"] for part in parts}

    def _remove(self, key: str) -> None:
        self._retried(lambda _: self._delete(key))

    def _delete(self, key: str) -> None:
        listing = self._client.list_multipart_uploads(Bucket=self._bucket, Prefix=key)
        for upload in listing.get("Uploads", []):
            if upload["Key"] == key:
                self._client.abort_multipart_upload(
                    Bucket=self._bucket, Key=key, UploadId=upload["UploadId"]
                )
        self._client.delete_object(Bucket=self._bucket, Key=key)


_: type[Store] = Bucket

_NO_CREDENTIALS = (
    "no credentials were found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE."
)
_PASSING = {
    "429",
    "500",
    "502",
    "503",
    "504",
    "InternalError",
    "RequestTimeout",
    "RequestTimeTooSkewed",
    "ServiceUnavailable",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "TooManyRequests",
}
_N_REFUSALS = 3  # some services answer 403 where they are only busy


class _Patience:
    """Says after each error of one call whether to ask again; refusals are counted apart."""

    def __init__(self) -> None:
        self._n_refusals = 0

    def __call__(self, state: RetryCallState) -> bool:
        from botocore import exceptions as boto

        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, boto.ClientError):
            code = _code(error)
            if code in _REFUSED or code == "AccessDenied":
                self._n_refusals += 1
                return self._n_refusals < _N_REFUSALS
            return code in _PASSING
        passing = (boto.HTTPClientError, boto.ConnectionError, boto.IncompleteReadError)
        return isinstance(error, passing)


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _bucket_and_prefix(address: str) -> tuple[str, str]:
    bucket, _, prefix = address.removeprefix("s3://").strip("/").partition("/")
    if not bucket or not prefix:
        raise StorageRefused(address, "it must have the form s3://BUCKET/NAME.")
    return bucket, prefix


_REFUSED = {"401", "403", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken"}
_ELSEWHERE = {"301", "PermanentRedirect", "AuthorizationHeaderMalformed"}


def _reason(error: BaseException, address: str) -> str:
    from botocore import exceptions as boto

    if isinstance(error, boto.ClientError):
        return _answer(error, bucket=_bucket_and_prefix(address)[0])
    if isinstance(error, boto.ProfileNotFound):
        return f"AWS's settings have no profile {error.kwargs['profile']!r}: check AWS_PROFILE."
    if isinstance(error, (boto.NoCredentialsError, boto.PartialCredentialsError)):
        return _NO_CREDENTIALS
    broken = (boto.ResponseStreamingError, boto.IncompleteReadError, boto.ConnectionClosedError)
    if isinstance(error, broken):
        return f"the connection breaks off again and again ({_kind(error)}): try again later."
    if isinstance(error, (boto.HTTPClientError, boto.ConnectionError)):
        host = _host(str(error.kwargs.get("endpoint_url", "")))
        return f"{host} did not answer in time ({_kind(error)}): check AWS_ENDPOINT_URL."
    if isinstance(error, boto.ParamValidationError):
        return "that is no name of a bucket: a bucket has 3 to 63 small letters, digits, . and -."
    return f"AWS's settings do not work ({_kind(error)}): check the AWS_ variables and ~/.aws."


def _host(url: str) -> str:
    """Give host and port of a URL, without a password that may stand before them."""
    return urlsplit(url).netloc.rpartition("@")[2] or "its service"


def _kind(error: BaseException) -> str:
    return type(error).__name__


def _answer(error: ClientError, *, bucket: str) -> str:
    code = _code(error)
    call = error.operation_name
    if code in {"412", "PreconditionFailed"}:
        return "a file was replaced while it was read: begin again."
    if code in {"404", "NoSuchBucket"}:
        return f"there is no bucket {bucket!r}: create it first."
    if code in _REFUSED:
        return "the credentials were refused: check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
    if code == "AccessDenied":
        return f"the credentials do not allow {call}: have it allowed, or use others."
    if code in _ELSEWHERE:
        return f"the bucket {bucket!r} is in another region: set AWS_DEFAULT_REGION."
    return f"the service answered {code} to {call}: try again, or ask who runs it."


def _require_credentials(address: str) -> None:
    import boto3

    if boto3.Session().get_credentials() is None:
        raise StorageRefused(address, _NO_CREDENTIALS)


def _client(
    address: str, *, connect_s: float = CONNECT_TIMEOUT_S, silence_s: float = SILENCE_S
) -> S3Client:
    import boto3
    from botocore.config import Config

    config = Config(
        connect_timeout=connect_s,
        read_timeout=silence_s,
        retries={"total_max_attempts": 1},  # `Bucket` asks again itself, bodies included
        max_pool_connections=N_CONNECTIONS,
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
