"""The command that does a sweep again, found from the settings in its record."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import combinations
from typing import Any

from calsweep.platform.config import (
    GROUPS,
    NESTED_GROUPS,
    compose_settings,
    experiments,
    variant_target,
    variants,
)
from calsweep.search_spaces.suggestion import Tuner

EMPTY = "empty"  # a search space that varies nothing by itself
# What Hydra reads as the very string it is; every other string is quoted for it.
PLAIN_WORD = re.compile(r"(?!(?:true|false|null|nan|inf)$)[a-z_/.][\w/.:\-]*", re.IGNORECASE)


def command_to_repeat(settings: Mapping[str, Any], /, *, name: str) -> str:
    r"""Give a `calsweep sweep` that composes the same settings.

    Parameters
    ----------
    settings
        A sweep's settings as plain data, as its record holds them.
    name
        The new sweep's name: under the old one, everything would be found done.

    Returns
    -------
    command
        For a shell; empty if this version of calsweep cannot compose these settings.

    Examples
    --------
    >>> settings = compose_settings(["trainables=lstm", "datasets.address=m1", "seed=3"]).intent
    >>> print(command_to_repeat(settings, name="again").replace(" datasets.", "\n  datasets."))
    calsweep sweep trainables=lstm datasets=widefield search_spaces=architecture
      datasets.address=m1
      datasets.target=run seed=3 name=again
    """
    try:
        starts = _starts(settings)
    except (KeyError, ValueError):  # another version named its types otherwise
        return ""
    found = [overrides for start in starts for overrides in _completed(start, settings)]
    if not found:
        return ""
    shortest = min(found, key=lambda overrides: len("".join(overrides)))
    return shlex.join(["calsweep", "sweep", *shortest, f"name={_word(name)}"])


def _starts(settings: Mapping[str, Any]) -> list[list[str]]:
    """Give what to begin a command with: the nearest variants, or the nearest experiment."""
    starts = [[f"{group}={_nearest_variant(group, settings[group])}" for group in GROUPS]]
    if settings["tuner"] == Tuner.GRID.value:  # as all experiments are
        starts.append([f"+experiment={_nearest_experiment(settings)}"])
    return starts


def _nearest_experiment(wanted: Mapping[str, Any]) -> str:
    def left_to_say(name: str) -> int:
        return len("".join(_differences(_experiment(name), wanted)))

    return min(experiments(), key=left_to_say)


@cache
def _experiment(name: str) -> Mapping[str, Any]:
    return compose_settings([f"+experiment={name}", "datasets.address=any"]).intent


def _completed(start: Sequence[str], settings: Mapping[str, Any]) -> Iterator[list[str]]:
    """Say what else it takes to compose the settings, if that is possible from here."""
    dataset = settings["datasets"]
    try:
        named = [f"datasets.{key}={_word(dataset[key])}" for key in ("address", "target")]
        overrides = [*start, *named]
        overrides += _nested_variants(compose_settings(overrides).intent, settings)
        overrides += _differences(compose_settings(overrides).intent, settings)
        if not list(_differences(compose_settings(overrides).intent, settings)):
            yield overrides
    except (KeyError, ValueError, StopIteration):
        return


def _nested_variants(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """Name the variant of each nested group whose type is another, and what it has to be given."""
    overrides = []
    for group, setting in NESTED_GROUPS.items():
        top, _, name = setting.partition(".")
        kind = wanted[top][name]["_target_"]
        if kind == found[top][name]["_target_"]:
            continue
        variant = next(v for v in variants(group) if variant_target(group, v) == kind)
        overrides.append(f"{group}={variant}")
        overrides += [
            f"{setting}.{key}={_word(value)}"
            for key, value in wanted[top][name].items()
            if key != "_target_"
        ]
    return overrides


def _nearest_variant(group: str, wanted: Mapping[str, Any]) -> str:
    def left_to_say(variant: str) -> int:
        return len("".join(_differences(_composed(group, variant), wanted)))

    return min(_choices(group), key=left_to_say)


@cache
def _composed(group: str, variant: str) -> Mapping[str, Any]:
    needed = ["datasets.address=any", "datasets.target=any"]
    section: Mapping[str, Any] = compose_settings([f"{group}={variant}", *needed]).intent[group]
    return section


def _choices(group: str) -> Sequence[str]:
    """Give the variants of a group; of search spaces, two may be joined."""
    names = [name for name in variants(group) if name != EMPTY]
    pairs = combinations(names, 2) if group == "search_spaces" else ()
    return [*names, *(f"[{one},{other}]" for one, other in pairs)]


def _differences(found: Any, wanted: Any, at: str = "") -> Iterator[str]:
    if not (isinstance(found, Mapping) and isinstance(wanted, Mapping)):
        if found != wanted:
            yield f"{at}={_word(wanted)}"
        return
    for key in {**found, **wanted}:
        name = f"{at}.{key}" if at else str(key)
        if key not in wanted:
            yield f"~{name}"
        else:
            yield from _differences(found.get(key), wanted[key], name)


def _word(value: Any) -> str:
    """Write a value as Hydra reads it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        escaped = value.replace("'", "\\'")
        return value if PLAIN_WORD.fullmatch(value) else f"'{escaped}'"
    if isinstance(value, (list, tuple)):
        return f"[{','.join(map(_word, value))}]"
    if isinstance(value, Mapping):
        return f"{{{','.join(f'{key}:{_word(item)}' for key, item in value.items())}}}"
    return repr(value)
