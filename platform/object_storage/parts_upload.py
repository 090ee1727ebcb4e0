"""Large files put on an S3 service in parts: an upload that broke off goes on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

PART_BYTES = 16 * 2**20
_N_PARTS_AT_ONCE = 4
_T = TypeVar("_T")


def is_large(file: Path, /) -> bool:
    """Say whether a file is put in more than one part."""
    return file.stat().st_size > PART_BYTES


class Retried(Protocol):
    """Calls until it goes well, or is given up."""

    def __call__(self, call: Callable[[float], _T], /) -> _T:
        """Give what the call gives; it is told by when it must end."""
        ...


@dataclass(frozen=True, kw_only=True)
class PartsUpload:
    """The uploads of one file.

    Attributes
    ----------
    client
        Of the service.
    bucket, key
        Where the file is to be.
    retried
        Wraps each call.
    """

    client: S3Client
    bucket: str
    key: str
    retried: Retried

    def send(self, file: Path, /, *, metadata: Mapping[str, str]) -> None:
        """Put a file; parts that are there from an upload that broke off are not sent again."""
        upload_id, there = self.retried(lambda _: self._unfinished())
        if not upload_id:
            begun = self.retried(
                lambda _: self.client.create_multipart_upload(
                    Bucket=self.bucket, Key=self.key, Metadata=metadata
                )
            )
            upload_id = begun["UploadId"]

        def send_part(number: int) -> CompletedPartTypeDef:
            return self._send_part(file, number, upload_id=upload_id, there=there)

        n_parts = -(-file.stat().st_size // PART_BYTES)
        with ThreadPoolExecutor(_N_PARTS_AT_ONCE, thread_name_prefix="upload") as pool:
            parts = list(pool.map(send_part, range(1, n_parts + 1)))
        self.retried(
            lambda _: self.client.complete_multipart_upload(
                Bucket=self.bucket,
                Key=self.key,
                UploadId=upload_id,
                MultipartUpload={"Parts": parts},
            )
        )

    def abort(self) -> None:
        """Remove what was sent of a file that never became whole."""
        listing = self.client.list_multipart_uploads(Bucket=self.bucket, Prefix=self.key)
        for upload in listing.get("Uploads", []):
            if upload["Key"] == self.key:
                self.client.abort_multipart_upload(
                    Bucket=self.bucket, Key=self.key, UploadId=upload["UploadId"]
                )

    def _send_part(
        self, file: Path, number: int, *, upload_id: str, there: Mapping[int, str]
    ) -> CompletedPartTypeDef:
        with file.open("rb") as opened:
            opened.seek((number - 1) * PART_BYTES)
            data = opened.read(PART_BYTES)
        etag = there.get(number, "")
        if etag.strip('"') != hashlib.md5(data, usedforsecurity=False).hexdigest():
            sent = self.retried(
                lambda _: self.client.upload_part(
                    Bucket=self.bucket,
                    Key=self.key,
                    UploadId=upload_id,
                    PartNumber=number,
                    Body=data,
                )
            )
            etag = sent["ETag"]
        return {"PartNumber": number, "ETag": etag}

    def _unfinished(self) -> tuple[str, dict[int, str]]:
        """Give the upload of a file that broke off last, and the tag of each part that is there."""
        listing = self.client.list_multipart_uploads(Bucket=self.bucket, Prefix=self.key)
        uploads = [upload for upload in listing.get("Uploads", []) if upload["Key"] == self.key]
        if not uploads:
            return "", {}
        upload_id = max(uploads, key=lambda upload: upload["Initiated"])["UploadId"]
        pages = self.client.get_paginator("list_parts").paginate(
            Bucket=self.bucket, Key=self.key, UploadId=upload_id
        )
        parts = [part for page in pages for part in page.get("Parts", [])]
        return upload_id, {part["PartNumber"]: part["ETag"] for part in parts}
