"""Who may change a champion from the page: whoever knows the token it was started with."""

from __future__ import annotations

import hashlib
import hmac
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

VARIABLE = "CALSWEEP_PROMOTE_TOKEN"
LEAST_LENGTH = 16


@dataclass(frozen=True, kw_only=True)
class Permission:
    """What a person has to show; the token itself is not kept."""

    digest: bytes = field(repr=False)

    @classmethod
    def of(cls, token: str, /) -> Permission:
        """Ask for a token.

        Raises
        ------
        ValueError
            If it is short enough to be guessed.
        """
        if len(token) < LEAST_LENGTH:
            raise ValueError(
                f"the token must have {LEAST_LENGTH} characters or more, but has {len(token)}: "
                "`openssl rand -hex 16` prints one."
            )
        return cls(digest=_digest(token))

    def admits(self, token: str, /) -> bool:
        """Say whether it is the token, in a time that does not depend on how nearly."""
        return hmac.compare_digest(self.digest, _digest(token))


def read_permission(file: Path | None, /) -> Permission:
    """Read the token from a file, or from ``CALSWEEP_PROMOTE_TOKEN``, which is then unset.

    Raises
    ------
    ValueError
        If there is none, it is too short, or others may read its file.
    """
    token = os.environ.pop(VARIABLE, "")  # what this process starts must not inherit it
    if file is None:
        if not token:
            raise ValueError(
                f"`--allow-promote` needs a token, but {VARIABLE} is not set: set it to what "
                "`openssl rand -hex 16` prints, or write that into a file of your own and give "
                "`--token-file`."
            )
        return Permission.of(token.strip())
    mode = file.stat().st_mode
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ValueError(
            f"`--token-file` must be readable by its owner alone, but {file} has mode "
            f"{stat.S_IMODE(mode):03o}: `chmod 600 {file}`."
        )
    return Permission.of(file.read_text().strip())


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
