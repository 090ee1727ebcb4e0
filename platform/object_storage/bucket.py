"""Files on an S3 service.

Credentials, endpoint and region are those that boto3 finds, as AWS's own tools do
(``AWS_ACCESS_KEY_ID``, ``AWS_SECRET_ACCESS_KEY``, ``AWS_ENDPOINT_URL``, ``AWS_DEFAULT_REGION``, or
a profile); secrets are never logged. Every call has a limit: a connection that breaks, a service
that is silent, throttles or fails is asked again, a little later each time, until the deadline.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from calsweep.datasets.lent_memory import LENDER
from calsweep.datasets.store import Store
from calsweep.datasets.tally import TALLY, Counts
from calsweep.platform.object_storage.address import StorageRefused
from calsweep.platform.object_storage.block_file import BlockFile
from calsweep.platform.object_storage.parts_upload import PartsUpload, is_large
from calsweep.platform.object_storage.s3_client import (
    PREFLIGHT_TIMEOUT_S,
    SILENCE_S,
    new_client,
    require_credentials,
)
from calsweep.platform.object_storage.s3_errors import DeadlinePassed, Patience, code_of, reason

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import GetObjectOutputTypeDef, HeadObjectOutputTypeDef

DEADLINE_S = 120.0
_PIECE_BYTES = 2**20
# Services that check an object's own hash while they send the whole of it (OpenStack Swift does)
# take half as long again for it; of a part they do not, and readers verify what they get.
_HEAD_BYTES = 2**16
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
        """Check credentials and endpoint with a short call, within 15 s; it may fail in passing."""
        with self._answering():
            require_credentials(self._address)
            client = new_client(
                self._address, connect_s=PREFLIGHT_TIMEOUT_S, silence_s=PREFLIGHT_TIMEOUT_S
            )
            self._retried(
                lambda _: client.head_bucket(Bucket=self._bucket), deadline_s=PREFLIGHT_TIMEOUT_S
            )

    def read(self, name: str, /) -> memoryview:
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
                part = self._retried(
                    lambda give_up: self._get_range(name, start, stop, etag=etag, give_up=give_up)
                )
            return bytes(part)  # blocks of it are kept for long

        version = f"not taken, streamed: ETag {etag}, {n_bytes} bytes"
        return BlockFile(read_range, n_bytes=n_bytes, version=version)

    def names(self) -> list[str]:
        """List the files."""
        with self._answering():
            return self._retried(lambda _: self._list())

    def upload(self, file: Path, /) -> None:
        """Put a file, unless the same lies there; an upload that broke off goes on.

        A large file goes up in parts, and parts that are there are not sent again. What is there
        counts as the same if its size and SHA-256 are.
        """
        with self._answering():
            sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
            if self._retried(lambda _: self._has(file, sha256=sha256)):
                return
            if is_large(file):
                upload = self._parts_upload(self._key(file.name))
                upload.send(file, metadata={_SHA256: sha256})
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
            return new_client(self._address, silence_s=self._silence_s)

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
            raise StorageRefused(self._address, reason(error, bucket=self._bucket)) from error

    def _retried(self, call: Callable[[float], _T], *, deadline_s: float | None = None) -> _T:
        """Call until it goes well, an error stays, or the deadline has passed."""
        import tenacity
        from botocore.exceptions import ReadTimeoutError

        patience = Patience()
        deadline_s = self._deadline_s if deadline_s is None else deadline_s
        give_up = time.monotonic() + deadline_s
        attempts = tenacity.Retrying(
            stop=tenacity.stop_before_delay(deadline_s),
            wait=tenacity.wait_random_exponential(multiplier=0.2, max=5),
            retry=patience,
            before_sleep=lambda _: TALLY.add(Counts(storage_retries=1)),
            reraise=True,
        )
        try:
            return attempts(call, give_up)
        except DeadlinePassed as error:
            # What ended the attempts before tells more than that time was up amid the last.
            slow = ReadTimeoutError(endpoint_url=self._client.meta.endpoint_url)
            raise patience.last or slow from error

    def _get(self, name: str, *, give_up: float) -> memoryview:
        from botocore.exceptions import ClientError

        try:
            head = self._client.get_object(
                Bucket=self._bucket, Key=self._key(name), Range=f"bytes=0-{_HEAD_BYTES - 1}"
            )
            n_bytes = _whole_bytes(head)
            data = LENDER.bytes(n_bytes).data
            n_head = self._fill(data[: head["ContentLength"]], head, give_up=give_up)
            if n_head < n_bytes:
                rest = self._range(name, n_head, n_bytes, etag=head["ETag"])
                self._fill(data[n_head:], rest, give_up=give_up)
        except self._client.exceptions.NoSuchKey as error:
            raise self._missing(name) from error
        except ClientError as error:
            if code_of(error) not in _NOT_IN_PARTS:
                raise
            return self._get_whole(name, give_up=give_up)
        return data

    def _get_whole(self, name: str, *, give_up: float) -> memoryview:
        """Get a file that is empty, or was replaced between its parts."""
        answer = self._client.get_object(Bucket=self._bucket, Key=self._key(name))
        data = LENDER.bytes(answer["ContentLength"]).data
        self._fill(data, answer, give_up=give_up)
        return data

    def _get_range(
        self, name: str, start: int, stop: int, *, etag: str, give_up: float
    ) -> memoryview:
        answer = self._range(name, start, stop, etag=etag)
        data = LENDER.bytes(stop - start).data
        self._fill(data, answer, give_up=give_up)
        return data

    def _range(self, name: str, start: int, stop: int, *, etag: str) -> GetObjectOutputTypeDef:
        answer = self._client.get_object(
            Bucket=self._bucket,
            Key=self._key(name),
            Range=f"bytes={start}-{stop - 1}",
            IfMatch=etag,
        )
        if not answer.get("ContentRange", "").startswith(f"bytes {start}-{stop - 1}/"):
            answer["Body"].close()  # the whole file may be on its way
            raise StorageRefused(self._address, "the service gives no parts of files.")
        return answer

    def _head(self, name: str) -> HeadObjectOutputTypeDef:
        from botocore.exceptions import ClientError

        try:
            return self._client.head_object(Bucket=self._bucket, Key=self._key(name))
        except ClientError as error:
            if code_of(error) in {"404", "NoSuchKey"}:
                raise self._missing(name) from error
            raise

    def _missing(self, name: str) -> FileNotFoundError:
        return FileNotFoundError(
            f"There is no file {'/'.join(filter(None, (self._address, name)))}."
        )

    def _fill(self, data: memoryview, answer: GetObjectOutputTypeDef, *, give_up: float) -> int:
        n = 0
        with contextlib.closing(answer["Body"]) as body:
            while n < len(data):
                # It raises where the body ends before its length.
                # (The stubs take it for a file.)
                n += body.readinto(data[n : n + _PIECE_BYTES])  # type: ignore[arg-type]
                if time.monotonic() > give_up:  # it says something all the time, and never ends
                    raise DeadlinePassed
        return n

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

    def _remove(self, key: str) -> None:
        self._retried(lambda _: self._delete(key))

    def _delete(self, key: str) -> None:
        self._parts_upload(key).abort()
        self._client.delete_object(Bucket=self._bucket, Key=key)

    def _parts_upload(self, key: str) -> PartsUpload:
        return PartsUpload(client=self._client, bucket=self._bucket, key=key, retried=self._retried)


_: type[Store] = Bucket

# A part of an empty file, and of one that is there no more as it was.
_NOT_IN_PARTS = {"InvalidRange", "416", "PreconditionFailed", "412"}


def _whole_bytes(answer: GetObjectOutputTypeDef) -> int:
    """Give the length of a file of which a part was asked; some services give the whole at once."""
    length = answer.get("ContentRange", "").rpartition("/")[2]
    return int(length) if length.isdigit() else answer["ContentLength"]


def _bucket_and_prefix(address: str) -> tuple[str, str]:
    bucket, _, prefix = address.removeprefix("s3://").strip("/").partition("/")
    if not bucket or not prefix:
        raise StorageRefused(address, "it must have the form s3://BUCKET/NAME.")
    return bucket, prefix
