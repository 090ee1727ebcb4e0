"""What MLflow, and what it stands on, reads from the environment when it is imported.

Modules that know MLflow import this before it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

_N_RETRIES = "MLFLOW_HTTP_REQUEST_MAX_RETRIES"

# No usage reports, no bars, no two lines for each fold.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
# MLflow would ask again by itself, for minutes and in silence, and make a run twice where the
# answer to the first asking was lost.
os.environ[_N_RETRIES] = "0"
os.environ.setdefault("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_BACKOFF_JITTER", "0.1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
os.environ.setdefault("PGCONNECT_TIMEOUT", "10")
# Services of S3 other than AWS's own do not know checksums that trail an upload.
os.environ.setdefault("AWS_REQUEST_CHECKSUM_CALCULATION", "when_required")
os.environ.setdefault("AWS_RESPONSE_CHECKSUM_VALIDATION", "when_required")


@contextlib.contextmanager
def asking_again() -> Iterator[None]:
    """Let MLflow ask again for the time of the block, in which nothing does harm when done twice.

    Otherwise each answer that fails in passing would have the whole fold be written anew, which
    where one in seven fails never comes to its end. Only the one that writes runs uses it: the
    variable, which MLflow reads at each request, is that of the process.
    """
    os.environ[_N_RETRIES] = "3"
    try:
        yield
    finally:
        os.environ[_N_RETRIES] = "0"
