"""What the pages of models say in words and tables."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from typing import Any

from calsweep.dashboards.champion import champion_folds
from calsweep.dashboards.page import Plate, plate_of
from calsweep.dashboards.web.asked import Answer
from calsweep.platform.champion.history import Change, line_of
from calsweep.platform.champion.version_tag import read_facts, read_figures
from calsweep.platform.errors import first_line
from calsweep.platform.progress import minutes

CHAMPION, CHALLENGER = "champion", "challenger"
Catalog = Mapping[str, Any]
"""Name of a model to its `calsweep.platform.champion.catalog.CatalogEntry`."""


def away(answer: Answer[Catalog], /, *, uri: str) -> str:
    """Say that MLflow is not there, and what is shown instead; empty if it is."""
    if answer.error is not None:
        why = first_line(answer.error).rstrip(".")
        return f"{why}. What follows is from this home's own history; the page asks again."
    if answer.is_waiting:
        return (
            f"MLflow at {uri} has not answered yet. What follows is from this home's own history; "
            "the page asks again."
        )
    return ""


def lines(histories: Mapping[str, tuple[Change, ...]], catalog: Catalog, /) -> list[dict[str, Any]]:
    """Give a line for each model."""
    return [
        _line(name, histories.get(name, ()), catalog.get(name))
        for name in sorted({*histories, *catalog})
    ]


def _line(name: str, changes: Sequence[Change], entry: Any) -> dict[str, Any]:
    moved = [change for change in changes if change.has_moved]
    last = moved[-1] if moved else None
    known = line_of(changes)
    found = entry.aliased(CHAMPION) if entry else None
    aliases = entry.aliases if entry else {}
    return {
        "name": name,
        "champion": aliases.get(CHAMPION, "") if entry else (known[-1] if known else ""),
        "challenger": aliases.get(CHALLENGER, "") if entry else (last.former if last else ""),
        "decoder": found.tags.get("calsweep.decoder", "") if found else "",
        "test_auc": _auc(found.tags) if found else "",
        "since": last.when if last else "",
        "by": last.by if last else "",
        "evidence": (last.evidence.get("comparison", "") or last.because) if last else "",
        "n_changes": len(moved),
    }


def one(name: str, changes: Sequence[Change], entry: Any, /) -> dict[str, Any]:
    """Say what is known of a model.

    Parameters
    ----------
    name
        Of the model.
    changes
        Its history in this home.
    entry
        Of MLflow's registry; ``None`` where that is not known.
    """
    line = _line(name, changes, entry)
    roles = []
    for alias in (CHAMPION, CHALLENGER):
        model = entry.aliased(alias) if entry else None
        version = line[alias]
        if version:
            facts = read_facts(model.tags) if model else []
            auc = _auc(model.tags) if model else ""
            roles.append({"alias": alias, "version": version, "facts": facts, "auc": auc})
    moved = [change for change in changes if change.has_moved]
    return {
        **line,
        "roles": roles,
        "evidence_rows": _evidence(moved[-1]) if moved else (),
        "fresh": moved[-1].evidence.get("fresh_process", ()) if moved else (),
        "history": [_change(change) for change in reversed(changes)],
        "versions": [_version(model, entry) for model in (entry.versions if entry else ())],
        "back": list(reversed(line_of(changes)[:-1])),
        "plates": _plates(entry),
    }


def change_said(change: Any, /) -> dict[str, Any] | None:
    """Say how a change stands that was begun from the page."""
    if change is None:
        return None
    return {
        "what": change.what,
        "model": change.model,
        "state": change.state.value,
        "gone": minutes(time.time() - change.begun_s),
        "said": change.said,
    }


def _evidence(change: Change) -> list[tuple[str, str]]:
    found = change.evidence
    rows = [
        ("comparison", found.get("comparison", "")),
        ("audit", found.get("verdict", "")),
        ("test", found.get("test", "")),
        ("figure", found.get("figure", "")),
        ("margin", _number(found.get("margin"))),
        ("level", _number(found.get("level"))),
        ("mean difference", _number(found.get("mean_difference"), sign="+")),
        ("p", _number(found.get("p"))),
    ]
    rows += [(f"overruled: {what}", str(why)) for what, why in found.get("overruled", {}).items()]
    return [(label, str(text)) for label, text in rows if text]


def _number(value: Any, *, sign: str = "") -> str:
    return "" if value is None else f"{value:{sign}.3g}"


def _change(change: Change) -> dict[str, str]:
    overruled = "; ".join(
        f"{what} overruled: {why}" for what, why in change.evidence.get("overruled", {}).items()
    )
    said = [change.because, str(change.evidence.get("comparison", "")), overruled]
    return {
        "when": change.when,
        "how": change.action.value,
        "version": change.version,
        "former": change.former or "–",
        "what": change.what,
        "by": f"{change.by} ({change.process})",
        "why": " · ".join(filter(None, said)),
        "ending": change.ending.value,
    }


def _version(model: Any, entry: Any) -> dict[str, Any]:
    return {
        "version": model.version,
        "aliases": [alias for alias, version in entry.aliases.items() if version == model.version],
        "decoder": model.tags.get("calsweep.decoder", ""),
        "sweep": model.tags.get("calsweep.sweep", ""),
        "folds": model.tags.get("calsweep.folds", ""),
        "verdict": model.tags.get("calsweep.verdict", ""),
        "test_auc": _auc(model.tags),
    }


def _auc(tags: Mapping[str, str]) -> str:
    values = read_figures(tags, "auc")
    if len(values) < 2:
        return f"{values[0]:.3f}" if values else ""
    return f"{statistics.fmean(values):.3f} ± {statistics.stdev(values):.3f}"


def _plates(entry: Any) -> list[Plate]:
    """Draw champion and challenger where both were tested on the same folds."""
    champion, challenger = (
        (entry.aliased(CHAMPION), entry.aliased(CHALLENGER)) if entry else (None, None)
    )
    if champion is None or challenger is None:
        return []
    mine, theirs = read_figures(champion.tags, "auc"), read_figures(challenger.tags, "auc")
    plans = {model.tags.get("calsweep.plan_hash") for model in (champion, challenger)}
    if not mine or len(mine) != len(theirs) or len(plans) > 1:
        return []
    names = (
        f"version {champion.version} (champion)",
        f"version {challenger.version} (challenger)",
    )
    drawn = champion_folds(mine, theirs, names=names)
    return [plate_of("champion-folds", "Champion and challenger, fold by fold", drawn)]
