"""``calsweep predict``: a model on new recordings."""

from __future__ import annotations

from pathlib import Path

import click

from calsweep.datasets.dataset import open_dataset
from calsweep.platform.champion.load import load_model
from calsweep.platform.commands import option
from calsweep.platform.job_folder import is_lost_with_job
from calsweep.platform.object_storage.address import local_path
from calsweep.platform.object_storage.storage import locate
from calsweep.platform.places import cache_folder, open_cache
from calsweep.platform.prediction import write_intervals, write_predictions


@click.command()
@click.argument("model")
@click.argument("dataset")
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--intervals",
    type=click.Path(path_type=Path),
    help="CSV to write too: first and last frame of each stretch of a class other than 0.",
)
@click.option(
    "--min-frames",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Shorter intervals are left out.",
)
@option.home
@option.tracking
def predict(
    model: str,
    dataset: str,
    out: Path,
    intervals: Path | None,
    min_frames: int,
    home: Path,
    tracking_uri: str,
) -> None:
    """Use MODEL on DATASET and write recording, frame and probability to OUT (Parquet).

    MODEL is the NAME of a model in the registry, which means its champion, models:/NAME@ALIAS,
    models:/NAME/VERSION, or the folder of a model. With more than two classes there is a
    probability of each.
    """
    for place in filter(None, (out, intervals)):  # refused before anything is read
        if is_lost_with_job(local_path(str(place))):
            raise ValueError(
                f"{place} lies in this job's own folder and would be lost with it: name a whole "
                "path that every node reaches."
            )
        if local_path(str(place)).exists():
            raise FileExistsError(
                f"{place} is there already and is left as it is: name another file."
            )
    opened = open_dataset(locate(dataset), cache=open_cache(cache_folder(home)))
    loaded = load_model(model, home=home, uri=tracking_uri)
    n_frames = write_predictions(loaded, opened, out)
    click.echo(
        f"{out}: probability of {loaded.view.target} at {n_frames} frames of "
        f"{len(opened.spans)} recordings, by {model}."
    )
    if intervals:
        n_intervals = write_intervals(out, intervals, min_frames=min_frames)
        click.echo(f"{intervals}: {n_intervals} intervals of at least {min_frames} frames.")
