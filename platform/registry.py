"""Promotion: the best fold's model becomes the champion that everyone loads by name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from calsweep.platform.errors import hide_login
from calsweep.platform.fold.model import FoldModel
from calsweep.platform.leaderboard import best_fold, best_trial
from calsweep.platform.record import FoldRecord, SweepRecord, TrialRecord
from calsweep.platform.settings import tracking_uri
from calsweep.platform.tracking.tracked import check_model_name
from calsweep.platform.tracking.tracking import RegisteredModel, Tracker, download_model, refusals


@dataclass(frozen=True, kw_only=True)
class Promotion:
    """What was promoted.

    Attributes
    ----------
    model
        The registered version.
    trial, fold
        Where it comes from.
    uri
        Address of the MLflow that holds it, without user and password.
    """

    model: RegisteredModel
    trial: TrialRecord
    fold: FoldRecord
    uri: str


def promote(sweep: SweepRecord, /, *, home: Path, name: str, uri: str = "") -> Promotion:
    """Register the best fold of the best configuration as champion, chosen on validation only.

    Parameters
    ----------
    sweep
        Its record.
    home
        Folder of sweeps.
    name
        Of the model in the registry.
    uri
        MLflow's address; by default the one that the sweep was given, then as `tracking_uri` says.

    Raises
    ------
    LookupError
        If no configuration is finished.
    TrackingRefused
        If MLflow cannot be reached or does not take the model.
    ValueError
        If the registry does not take the name.
    """
    check_model_name(name)
    trial = best_trial(sweep)
    fold = best_fold(trial)
    address = uri or sweep_tracking_uri(sweep, home=home)
    with refusals(address):
        tracker = Tracker(address, home=home, sweep=sweep.name)
        model = tracker.register(sweep, trial, fold, name=name)
    return Promotion(model=model, trial=trial, fold=fold, uri=hide_login(address, uri=address))


def sweep_tracking_uri(sweep: SweepRecord, /, *, home: Path) -> str:
    """Give the address of the MLflow that a sweep was tracked with.

    Returns
    -------
    uri
        From the file ``tracking_uri`` in the sweep's folder, which holds no user and password: they
        are those of ``MLFLOW_TRACKING_URI`` where this is the same address. Without the file, as
        `tracking_uri` says.
    """
    usual = tracking_uri(home)
    file = sweep.folder / "tracking_uri"
    recorded = file.read_text().strip() if file.exists() else ""
    return usual if recorded in {"", hide_login(usual, uri=usual)} else recorded


def load_model(address: str, /, *, home: Path, uri: str = "") -> FoldModel:
    """Load a model from the registry (``models:/NAME@champion``), a run, or a folder.

    Raises
    ------
    ModelNotFound
        If the registry has none.
    TrackingRefused
        If MLflow cannot be reached.
    ValueError
        If a folder holds none, or a damaged one.
    """
    if "://" in address or address.startswith(("models:/", "runs:/")):
        return FoldModel.load(download_model(address, tracking_uri=tracking_uri(home, uri)))
    return FoldModel.load(Path(address))
