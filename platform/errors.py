"""Errors of others as a person reads them: one line, without passwords."""

from __future__ import annotations

from collections.abc import Iterable


def first_line(error: BaseException, /) -> str:
    r"""Give the first line of an error's text, or the name of its type if it has none.

    Examples
    --------
    >>> first_line(ValueError("no such bucket\nTraceback ...")), first_line(MemoryError())
    ('no such bucket', 'MemoryError')
    """
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def without_logins(overrides: Iterable[str], /) -> list[str]:
    """Leave users and passwords of addresses out of overrides, which are kept and shown.

    Examples
    --------
    >>> without_logins(["seed=1", "tracking_uri=https://me:secret@lab.org"])
    ['seed=1', 'tracking_uri=https://lab.org']
    """
    return [hide_login(item, uri=item.partition("=")[2]) for item in overrides]


def hide_login(text: str, /, *, uri: str) -> str:
    """Leave out user and password of an address wherever a text holds them.

    Examples
    --------
    >>> uri = "https://me:secret@lab.org/mlflow"
    >>> hide_login(f"No answer from {uri}.", uri=uri)
    'No answer from https://lab.org/mlflow.'
    >>> hide_login("sqlite:////data/me@lab/mlflow.db", uri="sqlite:////data/me@lab/mlflow.db")
    'sqlite:////data/me@lab/mlflow.db'
    """
    host = uri.partition("://")[2].partition("/")[0]
    login, at, _ = host.rpartition("@")
    return text.replace(login + at, "") if at else text
