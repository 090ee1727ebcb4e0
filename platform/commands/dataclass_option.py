"""Options of a command, from the fields of a frozen dataclass."""

from __future__ import annotations

import dataclasses
import inspect
import re
import types
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

import click


def options_of(kind: type, /) -> list[click.Option]:
    """Give one option a field: its type, its default, and its line of the docstring.

    A flag is an option without a value, a tuple one that may be repeated, a mapping one that may be
    repeated as ``NAME=VALUE``, an enum a choice. ``rate_hz`` becomes ``--rate-hz``; what may be
    repeated loses its plural s. ``field(metadata={"option": "unit"})`` names an option otherwise.

    Parameters
    ----------
    kind
        A dataclass with the section ``Attributes`` in its docstring.

    Examples
    --------
    >>> from calsweep.datasets.csv import CsvSource
    >>> [option.opts[0] for option in options_of(CsvSource)]
    ['--rate-hz', '--label', '--names']
    """
    hints, texts = get_type_hints(kind), attributes_of(kind)
    fields = dataclasses.fields(kind)
    names = {field.name: _name(field, hints[field.name]) for field in fields}
    return [
        _option(
            field,
            hints[field.name],
            name=names[field.name],
            text=_plain(texts.get(field.name, ""), names=names),
        )
        for field in fields
    ]


def values_of(kind: type, given: Mapping[str, Any], /) -> dict[str, Any]:
    """Turn what the options of a command took into fields of the dataclass.

    Raises
    ------
    ValueError
        If a ``NAME=VALUE`` has no ``=``, or its value is not of the field's type.
    """
    hints = get_type_hints(kind)
    return {
        field.name: _value(
            hints[field.name], given[field.name], name=_name(field, hints[field.name])
        )
        for field in dataclasses.fields(kind)
    }


def help_of(kind: type, /, *, example: str) -> str:
    """Give the text of a command's help: the docstring down to its sections, and the example."""
    prose = re.split(r"\n\n\w[^\n]*\n-{3,}", inspect.getdoc(kind) or "")[0]
    # click keeps the lines of a paragraph that begins with this mark.
    return f"{_plain(prose, names={})}\n\n\b\n{example}"


def attributes_of(kind: type, /) -> dict[str, str]:
    """Give the text of each field in the section ``Attributes`` of a docstring.

    Examples
    --------
    >>> from calsweep.datasets.csv import CsvSource
    >>> attributes_of(CsvSource)["rate_hz"]
    'Frames per second; a table does not say.'
    """
    section = re.search(
        r"\nAttributes\n-{3,}\n(.*?)(?=\n\n\w[^\n]*\n-{3,}|\Z)", inspect.getdoc(kind) or "", re.S
    )
    texts: dict[str, str] = {}
    names: list[str] = []
    for line in section[1].splitlines() if section else ():
        if line and not line.startswith(" "):
            names = [name.strip() for name in line.partition(":")[0].split(",")]
        else:
            texts.update({name: f"{texts.get(name, '')} {line.strip()}".strip() for name in names})
    return texts


def _option(field: dataclasses.Field[Any], hint: Any, *, name: str, text: str) -> click.Option:
    default = _default(field)
    required = default is dataclasses.MISSING
    shared: dict[str, Any] = {
        "help": text,
        "required": required,
        "show_default": default not in (None, "", (), {}, False) and not required,
    }
    if hint is bool:
        flags = f"--{name}/--no-{name}" if default is True else f"--{name}"
        return click.Option([flags, field.name], is_flag=True, default=bool(default), **shared)
    if not required:
        shared["default"] = _shown(default)
    kind = _bare(hint)
    if _is_mapping(kind):
        metavar = f"NAME={name.rpartition('-')[2].upper()}"
        return click.Option([f"--{name}", field.name], multiple=True, metavar=metavar, **shared)
    item, is_repeated = _item(kind)
    return click.Option(
        [f"--{name}", field.name],
        type=_click_type(item),
        multiple=is_repeated,
        metavar=field.metadata.get("metavar"),
        **shared,
    )


def _value(hint: Any, given: Any, *, name: str) -> Any:
    kind = _bare(hint)
    if given is None:
        return None
    if _is_mapping(kind):
        item = get_args(kind)[1]
        return dict(_pair(text, item=item, name=name) for text in given)
    item, is_repeated = _item(kind)
    if isinstance(item, type) and issubclass(item, Enum):
        return tuple(map(item, given)) if is_repeated else item(given)
    return given


def _pair(text: str, *, item: type, name: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    form = f"--{name} NAME={name.rpartition('-')[2].upper()}"
    if not equals:
        raise ValueError(f"`{form}` is the form, but got {text!r}.")
    try:
        return key, item(value)
    except ValueError as error:
        raise ValueError(f"`{form}` takes {item.__name__} values, but got {text!r}.") from error


def _name(field: dataclasses.Field[Any], hint: Any) -> str:
    kind = _bare(hint)
    is_repeated = _is_mapping(kind) or (_item(kind)[1])
    singular = field.name.removesuffix("s") if is_repeated else field.name
    return str(field.metadata.get("option", singular)).replace("_", "-")


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def _shown(default: Any) -> Any:
    """Give a default as one would write it."""
    if isinstance(default, Enum):
        return default.value
    if isinstance(default, Mapping):
        return tuple(f"{key}={value}" for key, value in default.items())
    if isinstance(default, tuple):
        return tuple(item.value if isinstance(item, Enum) else item for item in default)
    return default


def _bare(hint: Any) -> Any:
    """Give a type without its `None`."""
    if get_origin(hint) in (Union, types.UnionType):
        return next(kind for kind in get_args(hint) if kind is not type(None))
    return hint


def _is_mapping(kind: Any) -> bool:
    origin = get_origin(kind)
    return isinstance(origin, type) and issubclass(origin, Mapping)


def _item(kind: Any) -> tuple[Any, bool]:
    """Give the type of one value, and whether there may be several."""
    return (get_args(kind)[0], True) if get_origin(kind) is tuple else (kind, False)


def _click_type(kind: Any) -> Any:
    if isinstance(kind, type) and issubclass(kind, Enum):
        return click.Choice([member.value for member in kind])
    if kind is Path:
        return click.Path(path_type=Path)
    return kind


def _plain(text: str, *, names: Mapping[str, str]) -> str:
    """Give text of a docstring as one writes it on a terminal."""

    def shown(match: re.Match[str]) -> str:
        word = match[1]
        return f"--{names[word]}" if word in names else word

    return re.sub(r"(?<!`)`([^`]+)`(?!`)", shown, text).replace("``", "`")
