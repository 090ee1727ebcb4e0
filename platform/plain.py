"""Typed configuration to plain data and back, for YAML, records and saved models.

Only frozen dataclasses under ``calsweep.`` are ever built: what a file names is looked up, never
unpickled.
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import importlib
import json
import types
from collections.abc import Hashable, Iterable, Mapping
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any, Union, cast, get_args, get_origin, get_type_hints

TARGET = "_target_"


def to_plain(value: object, /) -> Any:
    """Turn typed configuration into JSON data that names its types.

    Parameters
    ----------
    value
        A frozen dataclass of calsweep, or what such a dataclass may hold.

    Returns
    -------
    plain
        Dictionaries (with ``_target_``), lists, strings, numbers, booleans and ``None``.

    Examples
    --------
    >>> from calsweep.datasets.window import Window
    >>> to_plain(Window(length=21))
    {'_target_': 'calsweep.datasets.window.Window', 'length': 21, 'shift': 0}
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        kind = type(value)
        fields = {f.name: to_plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return {TARGET: f"{kind.__module__}.{kind.__qualname__}", **fields}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_plain(item) for item in value]
    return value


def content_hash(value: object, /) -> str:
    """Give the SHA-256 of typed configuration or plain data, in hexadecimal.

    Examples
    --------
    >>> content_hash({"b": 1, "a": 2}) == content_hash({"a": 2, "b": 1})
    True
    """
    text = json.dumps(to_plain(value), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def from_plain(plain: Any, /, *, at: str = "") -> Any:
    """Build typed configuration from plain data.

    Parameters
    ----------
    plain
        What `to_plain` gives. Left-out fields take their defaults.
    at
        Dotted name of this place in the whole configuration, for messages.

    Raises
    ------
    ValueError
        If a type is not one of calsweep's, a field is unknown, missing, or of the wrong type.

    Examples
    --------
    >>> from_plain({"_target_": "calsweep.datasets.window.Window", "length": 21})
    Window(length=21, shift=0)
    """
    if isinstance(plain, Mapping) and TARGET in plain:
        return _build(_lookup(str(plain[TARGET]), at=at), plain, at=at)
    if isinstance(plain, Mapping):
        return {key: from_plain(item, at=_join(at, key)) for key, item in plain.items()}
    if isinstance(plain, (list, tuple)):
        return tuple(from_plain(item, at=_join(at, str(i))) for i, item in enumerate(plain))
    return plain


def overlay(config: Any, changes: Mapping[str, Any], /) -> Any:
    """Give a copy of typed configuration with some dotted names set to other values, all at once.

    Raises
    ------
    ValueError
        If a name is not in the configuration, or a value does not suit it.

    Examples
    --------
    >>> from calsweep.datasets.window import Window
    >>> overlay(Window(), {"length": 5})
    Window(length=5, shift=0)
    """
    return _replace(config, [(name.split("."), value) for name, value in changes.items()], at="")


def nearest(name: str, known: Iterable[str]) -> str:
    """Say which known name is nearest, as the end of a message."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    listing = f"There are: {', '.join(known)}."
    return f"Did you mean `{close[0]}`? {listing}" if close else listing


def _replace(config: Any, changes: Iterable[tuple[list[str], Any]], *, at: str) -> Any:
    hints = _hints(type(config))
    values = {name: getattr(config, name) for name in hints}
    inside: dict[str, list[tuple[list[str], Any]]] = {}
    for (name, *rest), value in changes:
        here = _join(at, name)
        if name not in hints:
            raise ValueError(f"`{here}` is not a setting. {nearest(name, hints)}")
        if rest:
            inside.setdefault(name, []).append((rest, value))
        else:
            values[name] = _suit(from_plain(value, at=here), hints[name], at=here)
    for name, others in inside.items():
        here = _join(at, name)
        if not dataclasses.is_dataclass(values[name]):
            raise ValueError(
                f"`{here}.{'.'.join(others[0][0])}` cannot be set, since `{here}` is "
                f"{values[name]!r}."
            )
        values[name] = _replace(values[name], others, at=here)
    return _construct(type(config), values, at=at)


def _lookup(target: str, *, at: str) -> type:
    module, _, name = target.rpartition(".")
    if not module.startswith("calsweep."):
        raise ValueError(f"`{at}` names {target!r}, but only types of calsweep are built.")
    try:
        kind = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"`{at}` names {target!r}, which is not in calsweep.") from error
    if not (isinstance(kind, type) and dataclasses.is_dataclass(kind)):
        raise ValueError(f"`{at}` names {target!r}, which is not a configuration.")
    return kind


def _build(kind: type, plain: Mapping[str, Any], *, at: str) -> Any:
    hints = _hints(kind)
    given = {name: item for name, item in plain.items() if name != TARGET}
    for name in given:
        if name not in hints:
            raise ValueError(f"`{_join(at, name)}` is not a setting. {nearest(name, hints)}")
    values = {}
    for name, item in given.items():
        here = _join(at, name)
        value = from_plain(_over_default(kind, name, item, hints[name]), at=here)
        values[name] = _suit(value, hints[name], at=here)
    missing = [
        _join(at, f.name)
        for f in dataclasses.fields(kind)
        if f.name not in values
        and f.default is dataclasses.MISSING
        and f.default_factory is dataclasses.MISSING
    ]
    if missing:
        first = missing[0]
        raise ValueError(f"`{first}` has to be set, and is not: add `{first}=VALUE`.")
    return _construct(kind, values, at=at)


def _over_default(kind: type, name: str, item: Any, hint: Any) -> Any:
    """Lay part of a nested configuration over the field's default, or name its type."""
    if not isinstance(item, Mapping) or TARGET in item:
        return item
    field = next(f for f in dataclasses.fields(kind) if f.name == name)
    default = field.default
    if field.default_factory is not dataclasses.MISSING:
        default = field.default_factory()
    if dataclasses.is_dataclass(default):
        return {**to_plain(default), **item}
    if dataclasses.is_dataclass(hint):
        target = cast("type", hint)
        return {TARGET: f"{target.__module__}.{target.__qualname__}", **item}
    return item


def _construct(kind: type, values: Mapping[str, Any], *, at: str) -> Any:
    try:
        return kind(**values)
    except ValueError as error:
        reason = str(error).replace("self.", "")  # a user knows the setting, not the object
        raise ValueError(f"{at}: {reason}" if at else reason) from error


def _suit(value: Any, hint: Any, *, at: str) -> Any:
    """Check a value against a field's type, and convert what YAML cannot say (enums, paths)."""
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint is Path and isinstance(value, str):
        return Path(value)
    if isinstance(hint, type) and issubclass(hint, Enum) and not isinstance(value, hint):
        return _member(hint, value, at=at)
    if get_origin(hint) is tuple:
        return _suit_tuple(value, get_args(hint), at=at)
    if get_origin(hint) in (Union, types.UnionType):
        return _suit_any(value, get_args(hint), at=at)
    wanted = hint if hint is not None else type(None)
    if wanted in (int, float, str, bool, type(None)) and (
        not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool)
    ):
        raise ValueError(f"`{at}` must be of type {wanted.__name__}, but got {value!r}.")
    if isinstance(hint, type) and dataclasses.is_dataclass(hint) and not isinstance(value, hint):
        raise ValueError(f"`{at}` must be a {hint.__name__}, but got {value!r}.")
    if getattr(hint, "_is_protocol", False) and not _is_of(value, hint):
        raise ValueError(f"`{at}` must be a {hint.__name__}, but got {value!r}.")
    return value


def _is_of(value: Any, protocol: Any) -> bool:
    """Say whether a value is a configuration, of a protocol that can be asked for that."""
    is_asked = getattr(protocol, "_is_runtime_protocol", False)
    return dataclasses.is_dataclass(value) and (not is_asked or isinstance(value, protocol))


def _suit_tuple(value: Any, hints: tuple[Any, ...], *, at: str) -> tuple[Any, ...]:
    """Check each item; `hints` are those of a tuple of any length, or of one for each place."""
    if not isinstance(value, tuple):
        raise ValueError(f"`{at}` must be a list, but got {value!r}.")
    each = hints[:1] * len(value) if hints[1:] == (...,) else hints
    if len(each) != len(value):
        raise ValueError(f"`{at}` must be a list of {len(each)}, but got {list(value)}.")
    return tuple(
        _suit(item, hint, at=_join(at, str(i)))
        for i, (item, hint) in enumerate(zip(value, each, strict=True))
    )


def _suit_any(value: Any, hints: tuple[Any, ...], *, at: str) -> Any:
    errors = []
    for hint in hints:
        try:
            return _suit(value, hint, at=at)
        except ValueError as error:
            errors.append(str(error))
    raise ValueError(errors[0])


def _member(kind: type[Enum], value: Any, *, at: str) -> Enum:
    try:
        return kind(value)
    except ValueError as error:
        known = [str(member.value) for member in kind]
        raise ValueError(f"`{at}` cannot be {value!r}. {nearest(str(value), known)}") from error


def _hints(kind: type) -> dict[str, Any]:
    return _hints_by_name(kind)


@cache
def _hints_by_name(kind: Hashable) -> dict[str, Any]:
    assert isinstance(kind, type)  # noqa: S101 - so it is called
    hints = get_type_hints(kind)
    return {f.name: hints[f.name] for f in dataclasses.fields(kind)}


def _join(at: str, name: str) -> str:
    return f"{at}.{name}" if at else name
