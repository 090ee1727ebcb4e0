"""``calsweep report``: a sweep as one HTML file that needs nothing but itself."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path

import click
import plotly.graph_objects as go

from calsweep.dashboards import figure, summary
from calsweep.dashboards.calibration import calibration_curves
from calsweep.dashboards.class_table import ClassLine, class_lines
from calsweep.dashboards.comparison import (
    arm_boxes,
    arm_rocs,
    difference_matrix,
    read_arm_rocs,
)
from calsweep.dashboards.confusion import (
    class_roc_curves,
    class_rocs,
    confusion_matrix,
    count_decoded,
)
from calsweep.dashboards.explanation_figures import explanation_figures
from calsweep.dashboards.learning_curve import learning_curves
from calsweep.dashboards.lineage import population_figures
from calsweep.dashboards.page import Plate, plate_of, render_page, write_page
from calsweep.dashboards.prediction import RocCurve, read_predictions, roc
from calsweep.dashboards.recorded import dataset_of, recorded_of
from calsweep.dashboards.repeat import command_to_repeat
from calsweep.dashboards.roc import roc_curves
from calsweep.dashboards.scroll import activity_map, add_decoded, decoded_stretch
from calsweep.dashboards.setting_figures import setting_figures
from calsweep.dashboards.shown_trial import shown_trial
from calsweep.dashboards.stretch import prediction_stretch
from calsweep.dashboards.style import held_out
from calsweep.dashboards.track import Track, choose_stretch
from calsweep.platform.arm import default_arms, default_reference
from calsweep.platform.commands import option
from calsweep.platform.comparison import WHAT_TO_TRUST, Comparison, compare
from calsweep.platform.finding import findings, telling_method
from calsweep.platform.leaderboard import (
    NESTED_DOES_NOT_APPLY,
    Row,
    has_nested_choice,
    interval_of,
    leaderboard,
    nested_choice,
)
from calsweep.platform.object_storage.address import is_remote
from calsweep.platform.population.lineage import Lineage
from calsweep.platform.record import FoldRecord, SweepRecord, TrialRecord
from calsweep.platform.record_reader import read_sweep


@click.command()
@click.argument("sweep")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File to write.  [default: report.html in the sweep's folder]",
)
@click.option(
    "--min-frames",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Shorter intervals are left out of precision and recall of intervals.",
)
@option.home
def report(sweep: str, out: Path | None, min_frames: int, home: Path) -> None:
    """Write SWEEP as one HTML file: tables and figures, readable without any service."""
    record = read_sweep(home, sweep)
    place = out or record.folder / "report.html"
    click.echo(str(write_report(record, place, min_frames=min_frames)))


def write_report(sweep: SweepRecord, out: Path, /, *, min_frames: int = 1) -> Path:
    """Write a sweep, finished or not, as one HTML file.

    Parameters
    ----------
    sweep
        Its record.
    out
        The file; one of this name is replaced when the new one is whole.
    min_frames
        Shorter intervals are left out.

    Returns
    -------
    out
        The file.
    """
    page = render(sweep, min_frames=min_frames)
    return write_page(page, out)


def render(sweep: SweepRecord, /, *, min_frames: int = 1) -> str:
    """Give the page of a sweep."""
    rows = leaderboard(sweep)
    choices = nested_choice(sweep)
    shown = shown_trial(sweep, rows)
    compared = compared_arms(sweep)
    return render_page(
        "report.html",
        sweep=sweep,
        facts=summary.facts(sweep),
        state=summary.state(sweep),
        warnings=summary.warnings(sweep),
        places=summary.places(sweep, rows),
        nested=summary.nested_places(sweep, choices),
        interval_of=interval_of(rows),
        nested_auc=summary.nested_auc(choices),
        nested_within=summary.nested_within(choices),
        nested_reason=summary.nested_reason(sweep.plan),
        nested_missing=(
            "No configuration is finished yet."
            if has_nested_choice(sweep.plan)
            else NESTED_DOES_NOT_APPLY
        ),
        held_out=held_out(sweep.plan),
        compared=compared,
        what_to_trust=WHAT_TO_TRUST,
        contrasts=summary.contrasts(compared) if compared else (),
        findings=findings(compared) if compared else (),
        methods=summary.methods(compared) if compared else (),
        interval_level=summary.interval_level(compared) if compared else "",
        method=summary.method(sweep),
        training_notes=summary.training_notes(shown),
        command=command_to_repeat(sweep, name=f"{sweep.name}-again"),
        shown=shown,
        class_lines=_class_lines(sweep, shown, min_frames=min_frames),
        min_frames=min_frames,
        n_folds=len(sweep.plan.folds),
        plates=_plates(sweep, rows, shown),
        explanations=explanation_plates(sweep),
    )


def compared_arms(sweep: SweepRecord, /) -> Comparison | None:
    """Compare a sweep's finished configurations with the linear baseline, if there are several."""
    arms = default_arms(sweep)
    return compare(arms, reference=default_reference(arms)) if len(arms) > 1 else None


def _class_lines(
    sweep: SweepRecord, shown: TrialRecord | None, *, min_frames: int
) -> tuple[ClassLine, ...]:
    if shown is None:
        return ()
    folds = [read_predictions(sweep.fold_folder(fold)) for fold in shown.folds]
    return class_lines(folds, min_frames=min_frames)


def _plates(
    sweep: SweepRecord, rows: Sequence[Row], shown: TrialRecord | None
) -> tuple[Plate, ...]:
    """Draw what can be drawn."""
    plates = []
    if rows:
        spread = figure.fold_spread(rows, plan=sweep.plan)
        plates.append(plate_of("spread", "Every fold of every configuration", spread))
    arms = default_arms(sweep)
    if len(arms) > 1:
        plates += _arm_plates(sweep, compare(arms, reference=None))
    plates += [
        plate_of(drawn.name, drawn.title, drawn.draw(None))
        for drawn in population_figures(Lineage(sweep.folder))
    ]
    plates += [plate_of(one.name, one.title, one.draw()) for one in setting_figures(sweep)]
    if shown is not None:
        plates += _shown_plates(sweep, shown)
    return tuple(plates)


def _arm_plates(sweep: SweepRecord, comparison: Comparison) -> list[Plate]:
    """Draw configurations side by side."""
    method = telling_method(comparison)
    boxes = arm_boxes(comparison)
    differences = difference_matrix(comparison, method=method)
    plates = [plate_of("boxes", "The same folds, configuration by configuration", boxes)]
    if len(comparison.arms) > 2:
        plates.append(plate_of("differences", "Differences between configurations", differences))
    if _is_binary(sweep):
        title = "Mean ROC curves of configurations"
        rocs = arm_rocs(comparison, rocs=read_arm_rocs(comparison))
        plates.append(plate_of("arm-rocs", title, rocs))
    return plates


def _shown_plates(sweep: SweepRecord, shown: TrialRecord) -> list[Plate]:
    """Draw the folds of one configuration."""
    plates = []
    if has_nested_choice(sweep.plan):
        title = f"Which {held_out(sweep.plan)} test, which validate"
        plates.append(plate_of("matrix", title, _matrix(sweep, shown), of_one=True))
    folds = [read_predictions(sweep.fold_folder(fold)) for fold in shown.folds]
    confusion = confusion_matrix(count_decoded(folds), target=_target(sweep))
    binary = _is_binary(sweep)
    rocs = _roc(sweep, shown) if binary else class_roc_curves(class_rocs(folds))
    plates += [
        plate_of("roc", "ROC curves", rocs, of_one=True),
        plate_of("confusion", "Classes observed and decoded", confusion, of_one=True),
        plate_of("calibration", "Calibration", calibration_curves(folds), of_one=True),
        plate_of("learning", "Learning curves", learning_curves(shown), of_one=True),
    ]
    return plates + _stretch_plates(sweep, typical_fold(shown))


def explanation_plates(sweep: SweepRecord, /) -> tuple[Plate, ...]:
    """Draw the explanations that are stored with folds (`calsweep explain`), trial by trial.

    Parameters
    ----------
    sweep
        Its record.
    """
    return tuple(
        plate_of(drawn.name, drawn.title, drawn.draw(sweep, trial))
        for trial in sweep.trials
        for drawn in explanation_figures(sweep, trial)
    )


def _matrix(sweep: SweepRecord, trial: TrialRecord) -> go.Figure:
    return figure.group_matrix(trial, plan=sweep.plan)


def _roc(sweep: SweepRecord, trial: TrialRecord) -> go.Figure:
    curves = {figure.fold_name(fold, plan=sweep.plan): _curve(sweep, fold) for fold in trial.folds}
    baselines = [other for other in sweep.finished if other.is_baseline and other is not trial]
    baseline = [_curve(sweep, fold) for other in baselines for fold in other.folds]
    return roc_curves(curves, baseline=baseline)


def _is_binary(sweep: SweepRecord) -> bool:
    """Say whether a behavior of two classes is decoded."""
    fold = next(fold for trial in sweep.trials for fold in trial.folds)
    return read_predictions(sweep.fold_folder(fold)).n_classes == 2


def _curve(sweep: SweepRecord, fold: FoldRecord) -> RocCurve:
    predictions = read_predictions(sweep.fold_folder(fold))
    return roc(predictions.label_W, predictions.probability)


def _stretch_plates(sweep: SweepRecord, fold: FoldRecord) -> list[Plate]:
    """Draw a stretch of a fold's test part: as decoded, and what the units did meanwhile."""
    part = choose_stretch(read_predictions(sweep.fold_folder(fold)))
    target, rate_hz = _target(sweep), _rate_hz(sweep)
    whose = f", from the fold of median test AUC (fold {fold.fold}, {fold.test.auc:.3f})"
    if part.probability_WC.shape[1] == 2:
        drawn = prediction_stretch(part, target=target, rate_hz=rate_hz, about=whose)
    else:
        shown = _shown_frames(part)
        drawn = decoded_stretch(part, target=target, rate_hz=rate_hz, shown=shown, about=whose)
    plates = [plate_of("stretch", "Prediction over behavior", drawn, of_one=True)]
    activity = _activity(sweep, part)
    if activity is not None:
        title = "Activity, and what was decoded from it"
        plates.append(plate_of("activity", title, activity, of_one=True))
    return plates


def _activity(sweep: SweepRecord, part: Track) -> go.Figure | None:
    """Draw what the units did in a stretch; ``None`` if their traces are not on this machine."""
    if is_remote(str(sweep.dataset["address"])):
        return None  # a report does not wait for a dataset to be fetched
    try:
        there = recorded_of(dataset_of(sweep), part.recording, target=_target(sweep))
    except (LookupError, OSError, ValueError):
        return None  # gone, another by now, or images: the report stands by the record alone
    first, last = _shown_frames(part)
    drawn = activity_map(
        there.activity_TN[first : last + 1],
        units=there.units,
        mean_N=there.mean_N,
        sd_N=there.sd_N,
        rate_hz=_rate_hz(sweep),
        shown=(first, last),
    )
    return add_decoded(drawn, part, rate_hz=_rate_hz(sweep))


def _target(sweep: SweepRecord) -> str:
    return str(sweep.dataset["target"])


def _rate_hz(sweep: SweepRecord) -> float:
    return float(sweep.dataset["rate_hz"])


def _shown_frames(part: Track) -> tuple[int, int]:
    return int(part.frame_W[0]), int(part.frame_W[-1])


def typical_fold(trial: TrialRecord, /) -> FoldRecord:
    """Give the fold of median test AUC; of an even number, the lower of the middle two."""
    median = statistics.median_low(fold.test.auc for fold in trial.folds)
    return next(fold for fold in trial.folds if fold.test.auc == median)
