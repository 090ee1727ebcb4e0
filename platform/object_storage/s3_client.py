"""boto3's client of an S3 service, with limits of time."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from calsweep.platform.object_storage.address import StorageRefused
from calsweep.platform.object_storage.s3_errors import NO_CREDENTIALS

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

CONNECT_TIMEOUT_S = 5.0
SILENCE_S = 10.0
PREFLIGHT_TIMEOUT_S = 5.0
N_CONNECTIONS = 16


def require_credentials(address: str, /) -> None:
    """Look for credentials.

    Raises
    ------
    StorageRefused
        If none are found.
    """
    if find_credentials() is None:
        raise StorageRefused(address, NO_CREDENTIALS)


def find_credentials() -> str | None:
    """Say where credentials come from, as boto3 names it; ``None`` if there are none."""
    import boto3

    found = boto3.Session().get_credentials()
    return found.method if found else None


def new_client(
    address: str, /, *, connect_s: float = CONNECT_TIMEOUT_S, silence_s: float = SILENCE_S
) -> S3Client:
    """Make a client that asks once, and does not wait longer than it is told.

    Raises
    ------
    StorageRefused
        If endpoint or region cannot be ones.
    """
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
