"""What errors of an S3 service mean: whether to ask again, and what to tell a person."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from botocore.exceptions import ClientError
    from tenacity import RetryCallState

NO_CREDENTIALS = (
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
_REFUSED = {"401", "403", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken"}
_ELSEWHERE = {"301", "PermanentRedirect", "AuthorizationHeaderMalformed"}
_N_REFUSALS = 3  # some services answer 403 where they are only busy


class DeadlinePassed(TimeoutError):
    """The deadline came amid an answer."""


class Patience:
    """Says after each error of one call whether to ask again; refusals are counted apart.

    Attributes
    ----------
    last
        The error of the last attempt that the deadline did not end; none before the first.
    """

    def __init__(self) -> None:
        self._n_refusals = 0
        self.last: BaseException | None = None

    def __call__(self, state: RetryCallState) -> bool:
        """Judge the error of the last attempt."""
        from botocore import exceptions as boto

        error = state.outcome.exception() if state.outcome else None
        if not isinstance(error, DeadlinePassed):
            self.last = error
        if isinstance(error, boto.ClientError):
            code = code_of(error)
            if code in _REFUSED or code == "AccessDenied":
                self._n_refusals += 1
                return self._n_refusals < _N_REFUSALS
            return code in _PASSING
        passing = (boto.HTTPClientError, boto.ConnectionError, boto.IncompleteReadError)
        return isinstance(error, passing)


def code_of(error: ClientError) -> str:
    """Give the service's own word for an error, as ``SlowDown``."""
    return str(error.response.get("Error", {}).get("Code", ""))


def reason(error: BaseException, /, *, bucket: str) -> str:
    """Say what is wrong and what to do, without what boto's own text may tell too much."""
    from botocore import exceptions as boto

    if isinstance(error, boto.ClientError):
        return _answer(error, bucket=bucket)
    if isinstance(error, boto.ProfileNotFound):
        return f"AWS's settings have no profile {error.kwargs['profile']!r}: check AWS_PROFILE."
    if isinstance(error, (boto.NoCredentialsError, boto.PartialCredentialsError)):
        return NO_CREDENTIALS
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
    code = code_of(error)
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
