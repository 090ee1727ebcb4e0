"""What a result came from: the code that ran, and the process that ran it."""

from __future__ import annotations

import hashlib
import os
import socket
from functools import cache
from pathlib import Path

import calsweep


@cache
def code_version() -> str:
    """Give calsweep's version and a hash of the source that runs."""
    root = Path(calsweep.__file__).parent
    digest = hashlib.sha256()
    for folder in ("datasets", "trainables", "search_spaces", "platform"):
        for path in sorted((root / folder).rglob("*.py")):
            digest.update(path.relative_to(root).as_posix().encode())
            digest.update(path.read_bytes())
    return f"{calsweep.__version__}+{digest.hexdigest()[:12]}"


def process_name() -> str:
    """Name this process for records and messages."""
    return f"{socket.gethostname()}:{os.getpid()}"
