"""``calsweep predict``: a model on new recordings."""

from __future__ import annotations

from pathlib import Path

import click

from calsweep.datasets.dataset import open_dataset
from calsweep.platform.address import local_path
from calsweep.platform.commands import option
from calsweep.platform.prediction import write_predictions
from calsweep.platform.registry import load_model
from calsweep.platform.settings import cache_folder, open_cache
from calsweep.platform.storage import locate


@click.command()
@click.argument("model")
@click.argument("dataset")
@click.argument("out", type=click.Path(path_type=Path))
@option.home
@option.tracking
def predict(model: str, dataset: str, out: Path, home: Path, tracking_uri: str) -> None:
    """Use MODEL on DATASET and write recording, frame and probability to OUT (Parquet).

    MODEL is models:/NAME@champion, models:/NAME/VERSION, or the folder of a fold's model.
    """
    local_path(str(out))  # refused before anything is read
    opened = open_dataset(locate(dataset), cache=open_cache(cache_folder(home)))
    loaded = load_model(model, home=home, uri=tracking_uri)
    n_frames = write_predictions(loaded, opened, out)
    click.echo(
        f"{out}: probability of {loaded.view.target} at {n_frames} frames of "
        f"{len(opened.spans)} recordings, by {model}."
    )
