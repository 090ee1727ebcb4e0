"""A model by its name in the registry, its address, or its folder."""

from __future__ import annotations

from pathlib import Path

from calsweep.platform.champion.registry import CHAMPION, download_model
from calsweep.platform.fold.ensemble import read_model
from calsweep.platform.fold.model import TrainedModel
from calsweep.platform.places import tracking_uri


def load_model(address: str, /, *, home: Path, uri: str = "") -> TrainedModel:
    """Load a model.

    Parameters
    ----------
    address
        A name in the registry, which means its champion; ``models:/NAME@ALIAS``,
        ``models:/NAME/VERSION``, an address of a run's artifacts; or a folder.
    home
        Folder of sweeps.
    uri
        MLflow's address; by default as `tracking_uri` says.

    Raises
    ------
    ModelNotFound
        If the registry has none.
    TrackingRefused
        If MLflow cannot be reached.
    ValueError
        If a folder holds none, or a damaged one.
    """
    is_address = "://" in address or address.startswith(("models:/", "runs:/"))
    if not is_address and (Path(address).exists() or Path(address).name != address):
        return read_model(Path(address))
    asked = address if is_address else f"models:/{address}@{CHAMPION}"
    return read_model(download_model(asked, tracking_uri=tracking_uri(home, uri)))
