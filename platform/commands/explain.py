"""``calsweep explain``: what the decoders of a sweep read their answer from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from calsweep.platform.arm import BEST, find_trial
from calsweep.platform.commands import option
from calsweep.platform.errors import hide_login
from calsweep.platform.explanations.cut_out import find_cut_outs
from calsweep.platform.explanations.explain import (
    Null,
    explain_attention,
    explain_cut_out,
    explain_shap,
)
from calsweep.platform.explanations.explained import Explained, explained_folders
from calsweep.platform.explanations.explanation import Kind
from calsweep.platform.explanations.importance import ALPHA, UnitImportance
from calsweep.platform.explanations.shap import ShapOptions
from calsweep.platform.places import cache_folder, default_home
from calsweep.platform.record import FoldRecord, SweepRecord, TrialRecord
from calsweep.platform.record_reader import read_sweep
from calsweep.platform.tracking.address import sweep_tracking_uri
from calsweep.platform.tracking.tracking import Tracker, refusals
from calsweep.platform.tracking.tracking_errors import TrackingRefused

UNITS_SHOWN = 10

_trial = click.option(
    "--trial",
    default=BEST,
    show_default=True,
    help="Which configuration: a number, a name, `baseline`, or `best` by validation.",
)
_folds = click.option(
    "--fold", "numbers", type=int, multiple=True, help="Only this fold; may be repeated."
)
_frames = click.option(
    "--frames",
    default=ShapOptions.n_frames,
    show_default=True,
    help="Test windows of each fold, drawn at random.",
)
_seed = click.option("--seed", default=0, show_default=True, help="Of what is drawn.")


@click.group()
def explain() -> None:
    """Show what decoders read their answer from; kept with each fold, in MLflow and the report."""


@explain.command()
@click.argument("sweep")
@_trial
@_folds
@_frames
@click.option(
    "--background",
    default=ShapOptions.n_background,
    show_default=True,
    help="Training windows that each test window is compared with.",
)
@click.option(
    "--class",
    "class_index",
    default=ShapOptions.class_index,
    show_default=True,
    help="The class whose logit is explained.",
)
@click.option(
    "--null",
    type=click.Choice([null.value for null in Null]),
    default=Null.AUTO.value,
    show_default=True,
    help="Models of permuted labels beside it: the sweep's control, or trained here.",
)
@_seed
@option.home
@option.tracking
def shap(
    sweep: str,
    trial: str,
    numbers: tuple[int, ...],
    frames: int,
    background: int,
    class_index: int,
    null: str,
    seed: int,
    home: Path,
    tracking_uri: str,
) -> None:
    """Show how much each unit of SWEEP's decoder matters, by Deep SHAP, beside null models."""
    options = ShapOptions(
        n_frames=frames, n_background=background, class_index=class_index, seed=seed
    )
    record = read_sweep(home, sweep)
    chosen = choose_trial(record, trial)
    explained = explain_shap(
        record,
        chosen,
        folds=_chosen_folds(chosen, numbers),
        options=options,
        null=Null(null),
        cache=cache_folder(home),
    )
    for line in _shap_lines(explained):
        click.echo(line)
    if explained.facts["units"]:
        Console(width=None if Console().is_terminal else 120).print(_unit_table(explained))
    _attach(record, explained, Kind.SHAP, home=home, uri=tracking_uri)


@explain.command()
@click.argument("sweep")
@_trial
@_folds
@_frames
@_seed
@option.home
@option.tracking
def attention(
    sweep: str,
    trial: str,
    numbers: tuple[int, ...],
    frames: int,
    seed: int,
    home: Path,
    tracking_uri: str,
) -> None:
    """Show which steps of the window the attention of SWEEP's decoder reads, class by class."""
    record = read_sweep(home, sweep)
    chosen = choose_trial(record, trial)
    explained = explain_attention(
        record,
        chosen,
        folds=_chosen_folds(chosen, numbers),
        n_frames=ShapOptions(n_frames=frames, seed=seed).n_frames,
        seed=seed,
        cache=cache_folder(home),
    )
    for line in attention_lines(explained):
        click.echo(line)
    _attach(record, explained, Kind.ATTENTION, home=home, uri=tracking_uri)


@explain.command()
@click.argument("sweep")
@click.option(
    "--trial",
    default="",
    help="Which configuration sees whole images: a number or a name.  [default: the one with the "
    "most squares cut out]",
)
@click.option(
    "--regions",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Region of each pixel, whole numbers in a .npy file (0: none): drawn as outlines.",
)
@option.home
@option.tracking
def cutout(sweep: str, trial: str, regions: Path | None, home: Path, tracking_uri: str) -> None:
    """Map where SWEEP's images show behavior, from decoders that do not see a square of them."""
    record = read_sweep(home, sweep)
    name = find_trial(record, trial).name if trial else ""
    explained = explain_cut_out(record, find_cut_outs(record, trial=name), regions=regions)
    map_YX = explained.mean("importance_YX")
    click.echo(
        f"{explained.trial.name}: test AUC lost without a place, mean over "
        f"{len(explained.folds)} folds, each cell the mean over its squares."
    )
    for row in map_YX:
        click.echo(" ".join(f"{value:+.3f}" for value in row))
    _attach(record, explained, Kind.CUT_OUT, home=home, uri=tracking_uri)


def choose_trial(sweep: SweepRecord, name: str, /) -> TrialRecord:
    """Give a trial with finished folds by name (`calsweep.platform.arm.find_trial`).

    Raises
    ------
    LookupError
        If there is none, or it has no fold yet.
    """
    found = find_trial(sweep, name)
    if not found.folds:
        raise LookupError(f"{found.name} of the sweep {sweep.name!r} has no trained fold yet.")
    return found


def attention_lines(explained: Explained, /) -> list[str]:
    """Say for each class which step of the window gets most attention, mean over folds."""
    offset, rate_hz = explained.facts["target_offset"], explained.facts["rate_hz"]
    attention = explained.attention()
    lines = [f"{explained.trial.name}: attention of {len(explained.folds)} folds."]
    for c in range(explained.facts["n_classes"]):
        if c not in attention:
            lines.append(f"class {c}: no test window among those drawn; `--frames` draws more.")
            continue
        weight_L = attention[c].mean(axis=0)
        step = int(weight_L.argmax())
        lines.append(
            f"class {c}: most on the step {(step - offset) / rate_hz:+.2f} s from the frame "
            f"decoded, {weight_L[step]:.3f} (even would be {1 / len(weight_L):.3f})."
        )
    return lines


def _chosen_folds(trial: TrialRecord, numbers: Sequence[int]) -> tuple[FoldRecord, ...]:
    known = {fold.fold: fold for fold in trial.folds}
    missing = [number for number in numbers if number not in known]
    if missing:
        raise LookupError(
            f"{trial.name} has no trained fold {missing[0]}: name some of "
            f"{', '.join(map(str, sorted(known)))}."
        )
    return tuple(known[number] for number in sorted(set(numbers) or known))


def _shap_lines(explained: Explained) -> list[str]:
    facts = explained.facts
    errors = [float(fold.explanation.facts["error"]) for fold in explained.folds]
    counts = [int(fold.explanation.facts["n_windows"]) for fold in explained.folds]
    n_classes, c = facts["n_classes"], explained.folds[0].explanation.options["class_index"]
    what = facts["target"] if n_classes == 2 else f"class {c} of {facts['target']}"
    return [
        f"{explained.trial.name}: {facts['method']} of {what}; {len(counts)} folds, "
        f"{sum(counts)} test windows.",
        "Completeness: attributions add up to output less mean output within "
        f"{max(errors):.1e} of it (root mean square, worst fold).",
    ]


def _unit_table(explained: Explained) -> Table:
    units = explained.units()
    ranked = sorted(units, key=lambda unit: -unit.mean)
    has_null = explained.folds[0].null is not None
    title = f"Units that matter most, {min(UNITS_SHOWN, len(units))} of {len(units)}"
    table = Table(
        title=title,
        caption=f"Mean absolute attribution (logit), mean ± SD over folds. Stars: above the null "
        f"models by both tests, Holm over units (* p < {ALPHA})."
        if has_null
        else "Mean absolute attribution (logit), mean ± SD over folds.",
    )
    columns = ("unit", "importance", "null model", "rank-sum p", "signed-rank p", "")
    for column in columns if has_null else columns[:2]:
        table.add_column(column, justify="left" if column in ("unit", "") else "right")
    for unit in ranked[:UNITS_SHOWN]:
        table.add_row(*(_cells(unit) if has_null else _cells(unit)[:2]))
    return table


def _cells(unit: UnitImportance) -> tuple[str, ...]:
    return (
        escape(unit.unit),
        f"{unit.mean:.4f} ± {unit.sd:.4f}",
        f"{unit.null_mean:.4f} ± {unit.null_sd:.4f}",
        f"{unit.rank_sum_p:.2g}",
        f"{unit.signed_rank_p:.2g}",
        unit.stars,
    )


def _attach(sweep: SweepRecord, explained: Explained, kind: Kind, *, home: Path, uri: str) -> None:
    """Put the explanations with the folds' runs; MLflow out of reach loses nothing."""
    address = uri or sweep_tracking_uri(sweep, home=home)
    folders = explained_folders(explained, sweep, kind)
    shown = hide_login(address, uri=address)
    try:
        with refusals(address):
            tracker = Tracker(address, home=home, sweep=sweep.name)
            tracker.attach(sweep, explained.trial, folders, under=f"explanations/{kind.value}")
        click.echo(f"Kept with each fold, and with its run in MLflow ({shown}).")
    except TrackingRefused as error:
        click.echo(f"Kept with each fold. MLflow does not have it yet: {error}", err=True)
        click.echo("Give the same command again to put it there.", err=True)
    where = f" --home {home}" if home != default_home() else ""
    click.echo(f"\nNext: calsweep report {sweep.name}{where}")
