"""Whether a sweep that is begun again would do the same, and what differs if not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from calsweep.platform.plain import content_hash

# How long a search goes on is no part of what it does: it may be given more.
BUDGET = ("n_trials", "budget")


class Change(Enum):
    """What a sweep rests on, beside its settings, that may change while it is interrupted."""

    CODE = "code"
    DATA = "data"
    FOLDS = "folds"


@dataclass(frozen=True, kw_only=True)
class Changed:
    """One of these that is not as it was.

    Attributes
    ----------
    what
        Which.
    then, now
        As it was when the sweep began, and as it is.
    sentence
        Both, for a person.
    """

    what: Change
    then: str
    now: str
    sentence: str


def identity(description: Mapping[str, Any], /) -> str:
    """Give the hash of what a sweep would do: settings, code, data and folds.

    Neither its name nor its budget are part of it, nor where data and results lie.

    Parameters
    ----------
    description
        What ``sweep.json`` holds.
    """
    what = [
        without_budget(description["settings"]),
        description["dataset"].get("content_hash"),
        description.get("plan_hash"),
        description["code_version"],
    ]
    return content_hash(what)[:16]


def without_budget(settings: Mapping[str, Any], /) -> dict[str, Any]:
    """Give settings as plain data, without how long the search goes on."""
    return {key: value for key, value in settings.items() if key not in BUDGET}


def changed(there: Mapping[str, Any], here: Mapping[str, Any], /) -> tuple[Changed, ...]:
    """Give what of code, data and folds differs between two descriptions of a sweep."""
    found = []
    then, now = there["code_version"], here["code_version"]
    if then != now:
        sentence = f"it was begun with calsweep {then}, and this is {now}"
        found.append(Changed(what=Change.CODE, then=then, now=now, sentence=sentence))
    then, now = (str(each["dataset"].get("content_hash", "")) for each in (there, here))
    if then != now:
        sentence = _data_sentence(there["dataset"], here["dataset"])
        found.append(Changed(what=Change.DATA, then=then, now=now, sentence=sentence))
    then, now = (str(each.get("plan_hash", "")) for each in (there, here))
    if then != now:
        sentence = _folds_sentence(there, here)
        found.append(Changed(what=Change.FOLDS, then=then, now=now, sentence=sentence))
    return tuple(found)


def differing_settings(there: Any, here: Any, /, at: str = "") -> list[str]:
    """Give the dotted names of settings that differ."""
    if isinstance(there, Mapping) and isinstance(here, Mapping):
        return [
            name
            for key in sorted({*there, *here})
            for name in differing_settings(there.get(key), here.get(key), f"{at}.{key}".strip("."))
        ]
    return [] if there == here else [at]


def _data_sentence(there: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    """Say what became of a dataset, as far as its description tells."""
    hashes = [str(each.get("content_hash", ""))[:12] for each in (there, here)]
    more = [
        _came_and_went(there.get("recordings", ()), here.get("recordings", ())),
        *(
            f"{there[key]} {words} then, {here[key]} now"
            for key, words in (("n_frames", "frames"), ("n_units", "units"), ("rate_hz", "Hz"))
            if key in there and key in here and there[key] != here[key]
        ),
    ]
    said = "; ".join(part for part in more if part)
    return (
        f"the dataset at {here.get('address')} was {hashes[0]} and is {hashes[1]}"
        f"{f' ({said})' if said else ''}"
    )


def _came_and_went(then: Sequence[str], now: Sequence[str]) -> str:
    came, went = sorted({*now} - {*then}), sorted({*then} - {*now})
    parts = [
        f"{word} {', '.join(names[:3])}{' ...' if len(names) > 3 else ''}"
        for word, names in (("new:", came), ("gone:", went))
        if names
    ]
    return ", ".join(parts)


def _folds_sentence(there: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    plans = [each.get("plan", {}) for each in (there, here)]
    counts = [len(plan.get("folds", ())) for plan in plans]
    hashes = [str(each.get("plan_hash", ""))[:12] for each in (there, here)]
    said = f"{counts[0]} folds, now {counts[1]}" if counts[0] != counts[1] else "other frames"
    return f"the fold plan was {hashes[0]} and is {hashes[1]} ({said})"
