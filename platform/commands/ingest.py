"""``calsweep ingest``: a lab's files become a checked dataset."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from calsweep.datasets.csv import CsvSource
from calsweep.datasets.fold import check_target
from calsweep.datasets.manifest import Manifest
from calsweep.datasets.npz import NpzSource
from calsweep.datasets.source import Source
from calsweep.platform.ingestion import ingest as ingest_files


@click.group()
def ingest() -> None:
    """Read recordings FROM a folder or a file and write a dataset TO a folder or s3:// address."""


def _common(command: Callable[..., None]) -> Callable[..., None]:
    """Add what every source takes."""
    for decorate in reversed(_COMMON):
        command = decorate(command)
    return command


_COMMON = (
    click.argument("origin", metavar="FROM", type=click.Path(path_type=Path)),
    click.argument("address", metavar="TO"),
    click.option(
        "--names",
        default="",
        metavar="REGEX",
        help="Pattern of file names with the groups subject and recording, as in "
        r"'(?P<subject>[^_]+)_(?P<recording>.+)'.  [default: subject up to the first _]",
    ),
    click.option(
        "--resample-hz", type=float, help="Bring every recording to this rate, trial by trial."
    ),
    click.option("--trial-frames", type=int, help="Cut recordings into trials of so many frames."),
    click.option(
        "--replace",
        is_flag=True,
        help="Replace a dataset that is there already (nothing else ever is).",
    ),
)


@ingest.command()
@_common
@click.option("--activity", default="traces", show_default=True, help="Array (time, unit).")
@click.option("--rate", default="rate_hz", show_default=True, help="Array with frames per second.")
@click.option("--rate-hz", type=float, help="Frames per second, instead of an array.")
@click.option("--trials", help="Array that changes between trials.  [default: trial, if there]")
@click.option("--behavior", multiple=True, help="Array to keep (may be repeated).  [default: all]")
@click.option("--unit", multiple=True, metavar="NAME=UNIT", help="Physical unit of a behavior.")
@click.option("--order-units-by", help="Array of one value per unit to sort and name units by.")
def npz(
    origin: Path,
    address: str,
    names: str,
    resample_hz: float | None,
    trial_frames: int | None,
    replace: bool,
    activity: str,
    rate: str,
    rate_hz: float | None,
    trials: str | None,
    behavior: tuple[str, ...],
    unit: tuple[str, ...],
    order_units_by: str | None,
) -> None:
    """One .npz a recording, arrays by name.

    \b
    calsweep ingest npz recordings/ lab/flies --order-units-by roi_neuron_type --resample-hz 10
    """  # noqa: D301 - click's mark for a line that stays as it is
    source = NpzSource(
        activity=activity,
        rate=rate,
        rate_hz=rate_hz,
        trials=trials,
        behaviors=behavior,
        behavior_units=dict(_pair(text) for text in unit),
        order_units_by=order_units_by or "",
        names=names,
    )
    _run(source, origin, address, rate_hz=resample_hz, trial_frames=trial_frames, replace=replace)


@ingest.command()
@_common
@click.option("--rate-hz", type=float, required=True, help="Frames per second of the tables.")
@click.option("--label", help="Name of the last column.  [default: from the first line, or label]")
def csv(
    origin: Path,
    address: str,
    names: str,
    resample_hz: float | None,
    trial_frames: int | None,
    replace: bool,
    rate_hz: float,
    label: str | None,
) -> None:
    """One .csv a recording: the frame, one column a unit, the label last.

    \b
    calsweep ingest csv recordings/ s3://lab/m1 --rate-hz 15 --label footstep
    """  # noqa: D301
    source = CsvSource(rate_hz=rate_hz, label=label or "", names=names)
    _run(source, origin, address, rate_hz=resample_hz, trial_frames=trial_frames, replace=replace)


def _run(source: Source, origin: Path, address: str, **options: Any) -> None:
    manifest = ingest_files(source, origin=origin, address=address, say=click.echo, **options)
    click.echo(
        f"{address}: {len(manifest.recordings)} recordings of {len(manifest.subjects)} subjects, "
        f"{manifest.n_frames} frames of {len(manifest.units)} units at {manifest.rate_hz:g} Hz."
    )
    click.echo(f"\nNext: calsweep data check {address}")
    target = next((label for label in manifest.labels if _decodes(manifest, label)), "BEHAVIOR")
    click.echo(
        f"      calsweep sweep datasets=traces datasets.address={address} datasets.target={target}"
    )


def _decodes(manifest: Manifest, label: str) -> bool:
    try:
        check_target(manifest, target=label)
    except ValueError:
        return False
    return True


def _pair(text: str) -> tuple[str, str]:
    name, equals, unit = text.partition("=")
    if not equals:
        raise ValueError(f"`--unit NAME=UNIT` is the form, but got {text!r}.")
    return name, unit
