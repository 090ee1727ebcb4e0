"""Promotion: the best fold's model becomes the champion that everyone loads by name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from calsweep.platform.leaderboard import best_fold, best_trial
from calsweep.platform.model import FoldModel
from calsweep.platform.record import FoldRecord, SweepRecord, TrialRecord
from calsweep.platform.settings import tracking_uri
from calsweep.platform.tracking import RegisteredModel, Tracker, download_model


@dataclass(frozen=True, kw_only=True)
class Promotion:
    """What was promoted.

    Attributes
    ----------
    model
        The registered version.
    trial, fold
        Where it comes from.
    """

    model: RegisteredModel
    trial: TrialRecord
    fold: FoldRecord


def promote(sweep: SweepRecord, /, *, home: Path, name: str, uri: str = "") -> Promotion:
    """Register the best fold of the best configuration as champion, chosen on validation only.

    Raises
    ------
    LookupError
        If no configuration is finished.
    """
    trial = best_trial(sweep)
    fold = best_fold(trial)
    tracker = Tracker(tracking_uri(home, uri), sweep=sweep.name, artifacts=home / "artifacts")
    model = tracker.register(sweep, trial, fold, name=name)
    return Promotion(model=model, trial=trial, fold=fold)


def load_model(address: str, /, *, home: Path, uri: str = "") -> FoldModel:
    """Load a model from the registry (``models:/NAME@champion``), a run, or a folder.

    Raises
    ------
    ModelNotFound
        If the registry has none.
    ValueError
        If a folder holds none.
    """
    if "://" in address or address.startswith(("models:/", "runs:/")):
        return FoldModel.load(download_model(address, tracking_uri=tracking_uri(home, uri)))
    return FoldModel.load(Path(address))
