"""Promotion: past a gate, a model becomes the champion that everyone loads by name.

Promoters of one home take turns by a lock. A change is written into the history before the alias
moves; what a crash broke off is finished by the next, or given up if the alias had not moved yet.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from calsweep.datasets.cache import file_lock
from calsweep.platform.champion.candidate import Candidate
from calsweep.platform.champion.fresh import Repeated, Trial, try_out
from calsweep.platform.champion.gate import (
    Evidence,
    Gate,
    NotPromoted,
    check_finished,
    evidence_as_plain,
    judge,
)
from calsweep.platform.champion.history import (
    Action,
    Change,
    Ending,
    History,
    as_markdown,
    iso_time,
    line_of,
)
from calsweep.platform.champion.registry import CHALLENGER, CHAMPION, RegisteredModel, Registry
from calsweep.platform.errors import hide_login
from calsweep.platform.places import cache_folder, tracking_uri
from calsweep.platform.record import SweepRecord
from calsweep.platform.tracking.address import sweep_tracking_uri
from calsweep.platform.tracking.tracked import check_model_name
from calsweep.platform.tracking.tracking import Tracker, refusals
from calsweep.platform.tracking.tracking_errors import ModelNotFound

LOCK_DEADLINE_S = 1800.0


@dataclass(frozen=True, kw_only=True)
class Promotion:
    """What was promoted.

    Attributes
    ----------
    model
        The version that is champion now.
    former
        Version that was before; empty if none was, or it is the same.
    evidence
        What the gate found; ``None`` if the candidate was champion already.
    repeated
        Figures of its folds in a fresh process.
    mended
        What an earlier promotion had left undone, in sentences.
    uri
        Address of the MLflow that holds it, without user and password.
    """

    model: RegisteredModel
    former: str
    evidence: Evidence | None
    repeated: tuple[Repeated, ...]
    mended: tuple[str, ...]
    uri: str


def promote(
    candidate: Candidate,
    /,
    *,
    home: Path,
    name: str,
    gate: Gate = Gate(),  # noqa: B008 - frozen
    because: str = "",
    uri: str = "",
) -> Promotion:
    """Make a candidate the champion if it passes the gate.

    Parameters
    ----------
    candidate
        A fold's model, or an ensemble.
    home
        Folder of sweeps.
    name
        Of the model in the registry.
    gate
        What the candidate has to show.
    because
        Why it is promoted, for the history.
    uri
        MLflow's address; by default the one that the sweep was given, then as `tracking_uri` says.

    Raises
    ------
    NotPromoted
        If it does not pass the gate; the champion stays.
    ModelFails
        If its model does not load, predict or come to its figures in a fresh process.
    TrackingRefused
        If MLflow cannot be reached or does not take the model.
    LockTimeout
        If another promotion does not end.
    ValueError
        If the registry does not take the name.
    """
    check_model_name(name)
    check_finished(candidate, gate)
    address = uri or sweep_tracking_uri(candidate.sweep, home=home)
    shown = hide_login(address, uri=address)
    with _turn(home, name, address) as (registry, history):
        mended = _mend(registry, history, name=name)
        champion = registry.aliased(name, CHAMPION)
        if champion and champion.key == candidate.key:
            return Promotion(
                model=champion, former="", evidence=None, repeated=(), mended=mended, uri=shown
            )
        evidence = judge(
            candidate,
            gate=gate,
            champion=f"version {champion.version}" if champion else "",
            tags=champion.tags if champion else {},
        )
        Tracker(address, home=home, sweep=candidate.sweep.name).sync(candidate.sweep)
        model = registry.copy(candidate, name=name)
        repeated = _try_out(registry, model, what=candidate.name, candidate=candidate, home=home)
        found = {
            **evidence_as_plain(evidence),
            "test": gate.test.value,
            "margin": gate.margin,
            "level": gate.level,
            "figure": gate.figure,
            "fresh_process": [vars(row) for row in repeated],
        }
        _check_unmoved(registry, name, champion)
        _move(
            registry,
            history,
            model,
            action=Action.PROMOTE,
            former=champion.version if champion else "",
            what=candidate.name,
            because=because,
            evidence=found,
        )
    return Promotion(
        model=registry.version(name, model.version),
        former=champion.version if champion else "",
        evidence=evidence,
        repeated=repeated,
        mended=mended,
        uri=shown,
    )


def roll_back(name: str, /, *, home: Path, because: str, to: str = "", uri: str = "") -> Promotion:
    """Make a former champion the champion again, if it still loads and predicts.

    Parameters
    ----------
    name
        Of the model in the registry.
    home
        Folder of sweeps.
    because
        Why, for the history.
    to
        Version; by default the champion before the present one.
    uri
        MLflow's address; by default as `tracking_uri` says.

    Raises
    ------
    ModelNotFound
        If there is no champion, none before it, or no such version.
    ModelFails
        If it does not load or predict in a fresh process; the champion stays.
    TrackingRefused
        If MLflow cannot be reached.
    """
    check_model_name(name)
    address = tracking_uri(home, uri)
    with _turn(home, name, address) as (registry, history):
        mended = _mend(registry, history, name=name)
        champion = registry.aliased(name, CHAMPION)
        if champion is None:
            raise ModelNotFound(f"models:/{name}@{CHAMPION}", "there is no champion to take back.")
        before = line_of(history.read())[:-1]
        if not to and not before:
            raise ModelNotFound(
                f"models:/{name}", f"version {champion.version} is the first champion of it here."
            )
        model = registry.version(name, to or before[-1])
        if model.version == champion.version:
            raise ValueError(f"version {to} of {name} is the champion: name another with `--to`.")
        what = f"version {model.version} of {name}"
        _try_out(registry, model, what=what, candidate=None, home=home)
        _check_unmoved(registry, name, champion)
        _move(
            registry,
            history,
            model,
            action=Action.ROLLBACK,
            former=champion.version,
            what=what,
            because=because,
            evidence={},
        )
    return Promotion(
        model=registry.version(name, model.version),
        former=champion.version,
        evidence=None,
        repeated=(),
        mended=mended,
        uri=hide_login(address, uri=address),
    )


def champion_of(name: str, /, *, home: Path, uri: str = "") -> dict[str, RegisteredModel]:
    """Give the versions that are champion and challenger, by alias.

    Raises
    ------
    ModelNotFound
        If there is no champion of this name.
    TrackingRefused
        If MLflow cannot be reached.
    """
    address = tracking_uri(home, uri)
    with refusals(address):
        registry = Registry(address)
        registry.check_alias(name, CHAMPION)
        found = {alias: registry.aliased(name, alias) for alias in (CHAMPION, CHALLENGER)}
    return {alias: model for alias, model in found.items() if model}


def attach_report(
    sweep: SweepRecord, model: RegisteredModel, /, *, home: Path, uri: str = ""
) -> None:
    """Put a sweep's report, which is drawn, with the run of a version.

    Raises
    ------
    TrackingRefused
        If MLflow cannot be reached or does not take it.
    """
    address = uri or sweep_tracking_uri(sweep, home=home)
    with refusals(address):
        registry = Registry(address)
        registry.attach(model, sweep.folder / "report.html", under="report")
        said = {"calsweep.report": "report/report.html among the artifacts of its run"}
        registry.tag(model.name, model.version, said)


@contextlib.contextmanager
def _turn(home: Path, name: str, uri: str) -> Iterator[tuple[Registry, History]]:
    history = History(home, name)
    with refusals(uri), file_lock(history.folder / "lock", deadline_s=LOCK_DEADLINE_S):
        yield Registry(uri), history


def _mend(registry: Registry, history: History, *, name: str) -> tuple[str, ...]:
    """Finish or give up what a crash broke off, and note a champion that was set elsewhere."""
    said = []
    champion = registry.aliased(name, CHAMPION)
    version = champion.version if champion else ""
    for change in history.read():
        if change.ending is not Ending.UNDER_WAY:
            continue
        if change.version == version:
            _finish(registry, history, change, name=name, ending=Ending.MENDED)
            said.append(f"The change to version {version} had been broken off and is finished.")
        else:
            history.end(change, Ending.GIVEN_UP)
            said.append(
                f"A change to version {change.version} had been broken off before the alias moved, "
                "and is given up."
            )
    known = line_of(history.read())
    if champion and version != (known[-1] if known else ""):
        change = history.begin(
            Action.ELSEWHERE,
            version=version,
            former=known[-1] if known else "",
            what=f"version {version} of {name}",
            because="The alias was found so: another home, or a hand, moved it.",
            evidence={},
        )
        history.end(change, Ending.DONE)
        said.append(f"Version {version} was made champion elsewhere; the history notes it.")
    return tuple(said)


def _try_out(
    registry: Registry,
    model: RegisteredModel,
    *,
    what: str,
    candidate: Candidate | None,
    home: Path,
) -> tuple[Repeated, ...]:
    """Try the very files out that the registry gives."""
    with tempfile.TemporaryDirectory(prefix="calsweep-candidate-") as scratch:
        trial = Trial(model=str(registry.fetch(model, Path(scratch))))
        if candidate:
            trial = Trial(
                model=trial.model,
                home=str(home.expanduser().resolve()),
                sweep=candidate.sweep.name,
                trial=candidate.trial.number,
                folds=tuple(fold.fold for fold in candidate.folds),
                cache=str(cache_folder(home)),
            )
        return try_out(trial, what=what)


def _check_unmoved(registry: Registry, name: str, judged: RegisteredModel | None) -> None:
    """Look once more: promoters of another home do not wait for the lock of this one."""
    now = registry.aliased(name, CHAMPION)
    if (now.version if now else "") != (judged.version if judged else ""):
        raise NotPromoted(
            name,
            "the champion is another since it was compared: somebody promoted from another home.",
            "Give the command again.",
        )


def _move(
    registry: Registry,
    history: History,
    model: RegisteredModel,
    *,
    action: Action,
    former: str,
    what: str,
    because: str,
    evidence: Mapping[str, Any],
) -> None:
    change = history.begin(
        action,
        version=model.version,
        former=former,
        what=what,
        because=because,
        evidence=evidence,
    )
    registry.set_alias(model.name, CHAMPION, model.version)
    _finish(registry, history, change, name=model.name, ending=Ending.DONE)


def _finish(
    registry: Registry, history: History, change: Change, *, name: str, ending: Ending
) -> None:
    """Do all that follows the move of the alias; doing it again changes nothing."""
    if change.former:
        registry.set_alias(name, CHALLENGER, change.former)
        since = {"calsweep.champion_until": iso_time(change.at)}
        registry.tag(name, change.former, {**since, "calsweep.succeeded_by": change.version})
    tags = {
        "calsweep.champion_since": iso_time(change.at),
        "calsweep.champion_by": change.by,
        "calsweep.champion_how": change.action.value,
        "calsweep.champion_because": change.because,
        "calsweep.champion_evidence": str(change.evidence.get("comparison", "")),
        **{
            f"calsweep.overruled.{what}": str(why)
            for what, why in change.evidence.get("overruled", {}).items()
        },
    }
    registry.tag(name, change.version, {key: text for key, text in tags.items() if text})
    ended = replace(change, ending=ending)
    changes = (ended if there.id == change.id else there for there in history.read())
    registry.describe(name, as_markdown(changes))
    history.end(change, ending)
