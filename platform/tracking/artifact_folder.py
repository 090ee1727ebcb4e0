"""Where MLflow keeps the files of a run or model, where that is a folder that is at hand.

Its client asks the server or database for the place of each file before it is written; here the
place is known already, and the same is written there.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit


def artifact_folder(location: str, /) -> Path | None:
    """Give the folder of an address of artifacts; ``None`` if it is not one of this machine.

    Examples
    --------
    >>> artifact_folder("file:///data/artifacts/a%20b")
    PosixPath('/data/artifacts/a b')
    >>> artifact_folder("s3://lab/mlflow") is None, artifact_folder("mlflow-artifacts:/1") is None
    (True, True)
    """
    parts = urlsplit(location)
    is_plain = not parts.netloc and not parts.query and not parts.fragment
    return Path(unquote(parts.path)) if parts.scheme == "file" and is_plain else None
