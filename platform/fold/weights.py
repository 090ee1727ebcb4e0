"""Starting weights of decoders, brought to this machine from wherever they lie."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from calsweep.datasets.cache import Cache
from calsweep.platform.object_storage.address import is_remote
from calsweep.platform.object_storage.storage import locate

_FIELD = "weights"

_T = TypeVar("_T")


def with_local_weights(decoder: _T, /, *, cache: Cache) -> _T:
    """Give a decoder whose starting weights lie in a file of this machine.

    Parameters
    ----------
    decoder
        Its field ``weights``, or that of a decoder inside, may be an address (``s3://``); any other
        stays as it is.
    cache
        Of this machine.

    Raises
    ------
    StorageRefused
        If the address cannot be read.
    FileNotFoundError
        If there is no such file.
    """
    changes: dict[str, Any] = {}
    for item in dataclasses.fields(decoder):  # type: ignore[arg-type]
        value = getattr(decoder, item.name)
        if dataclasses.is_dataclass(value):
            changes[item.name] = with_local_weights(value, cache=cache)
        elif item.name == _FIELD and isinstance(value, str) and is_remote(value):
            changes[item.name] = str(_fetched(value, cache=cache))
    return dataclasses.replace(decoder, **changes) if changes else decoder  # type: ignore[type-var]


def said_of(decoder: object, /) -> tuple[str, ...]:
    """Give what a decoder says of where its training starts; most start at random and say nothing.

    Examples
    --------
    >>> from calsweep.trainables.cnn import Cnn
    >>> said_of(Cnn())
    ('The CNN starts from random weights.',)
    """
    note = str(getattr(decoder, "note", ""))
    return (note,) if note else ()


def without_weights(decoder: _T, /) -> _T:
    """Give a decoder that starts from random weights, to be replaced by trained ones.

    Where those were trained, the starting weights need not be.
    """
    changes: dict[str, Any] = {}
    for item in dataclasses.fields(decoder):  # type: ignore[arg-type]
        value = getattr(decoder, item.name)
        if dataclasses.is_dataclass(value):
            changes[item.name] = without_weights(value)
        elif item.name == _FIELD and isinstance(value, str):
            changes[item.name] = ""
    return dataclasses.replace(decoder, **changes) if changes else decoder  # type: ignore[type-var]


def _fetched(address: str, *, cache: Cache) -> Path:
    folder, _, name = address.rpartition("/")
    data = locate(folder, preflight=False).read(name)

    def build(path: Path) -> None:
        path.write_bytes(data)

    # By content: a file that is replaced at the address is another.
    digest = hashlib.sha256(data).hexdigest()
    entry = f"weights/{digest}{PurePosixPath(name).suffix}"
    return cache.keep(entry, n_bytes=len(data), build=build)
