"""``calsweep report``: a sweep as one HTML file that needs nothing but itself."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from pathlib import Path

import click
import plotly.graph_objects as go

from calsweep.dashboards import figure, summary
from calsweep.dashboards.calibration import calibration_curves
from calsweep.dashboards.class_table import ClassLine, class_lines
from calsweep.dashboards.comparison import (
    ArmRocs,
    arm_boxes,
    arm_rocs,
    difference_matrix,
    rocs_shown,
)
from calsweep.dashboards.confusion import (
    class_roc_curves,
    class_rocs,
    confusion_matrix,
    count_decoded,
)
from calsweep.dashboards.curve import (
    is_worth_drawing,
    maps_worth_drawing,
    numeric_settings,
    setting_curve,
    setting_map,
    setting_name,
)
from calsweep.dashboards.explanation import (
    attention_curve,
    completeness,
    cut_out_importance,
    image_importance,
    importance_map,
    unit_bars,
)
from calsweep.dashboards.learning_curve import learning_curves
from calsweep.dashboards.lineage import population_figures
from calsweep.dashboards.page import Plate, plate_of, render_page, write_page
from calsweep.dashboards.prediction import RocCurve, read_predictions, roc
from calsweep.dashboards.recorded import dataset_of, recorded_of
from calsweep.dashboards.repeat import command_to_repeat
from calsweep.dashboards.roc import roc_curves
from calsweep.dashboards.scroll import activity_map, add_decoded, decoded_stretch
from calsweep.dashboards.shown_trial import shown_trial
from calsweep.dashboards.stretch import prediction_stretch
from calsweep.dashboards.style import held_out
from calsweep.dashboards.track import Track, choose_stretch
from calsweep.platform.arm import default_arms, default_reference
from calsweep.platform.commands import option
from calsweep.platform.comparison import WHAT_TO_TRUST, Comparison, compare
from calsweep.platform.explanations.explain import Explained, read_explained
from calsweep.platform.explanations.explanation import Kind
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
from calsweep.platform.record import FoldRecord, SweepRecord, TrialRecord, read_sweep


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
    plates += [plate_of(*drawn) for drawn in population_figures(sweep)]
    plates += _setting_plates(sweep)
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
    shown = rocs_shown(comparison)
    if _is_binary(sweep):
        rocs = [
            ArmRocs(arm=arm, curves=[_curve(sweep, fold) for fold in arm.trial.folds])
            for arm in shown
        ]
        title = "Mean ROC curves of configurations"
        plates.append(plate_of("arm-rocs", title, arm_rocs(comparison, rocs=rocs)))
    return plates


def _setting_plates(sweep: SweepRecord) -> list[Plate]:
    """Draw curves over the searched settings that are numbers."""
    plates = [
        plate_of(f"curve-{name}", f"Along {setting_name(name)}", setting_curve(sweep, name))
        for name in numeric_settings(sweep)
        if is_worth_drawing(sweep, name)
    ]
    for along, up in maps_worth_drawing(sweep):
        title = f"Along {setting_name(along)} and {setting_name(up)}"
        plates.append(plate_of(f"map-{along}-{up}", title, setting_map(sweep, (along, up))))
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


def explanation_plates(
    sweep: SweepRecord, /, *, trials: Sequence[TrialRecord] | None = None
) -> tuple[Plate, ...]:
    """Draw the explanations that are stored with folds (`calsweep explain`), trial by trial.

    Parameters
    ----------
    sweep
        Its record.
    trials
        Whose explanations; by default all.
    """
    plates: list[Plate] = []
    for trial in sweep.trials if trials is None else trials:
        for kind, draw in _EXPLANATION.items():
            explained = read_explained(sweep, trial, kind)
            if explained is not None:
                plates += draw(explained)
    return tuple(plates)


def _shap_plates(explained: Explained) -> list[Plate]:
    of = f"shap-{explained.trial.number}"
    what = explained.trial.name
    sums = plate_of(f"{of}-sums", f"Do attributions of {what} add up?", completeness(explained))
    if not explained.facts["units"]:
        image = image_importance(explained)
        return [plate_of(f"{of}-image", f"Pixels that matter to {what}", image), sums]
    bars, by_step = unit_bars(explained), importance_map(explained)
    return [
        plate_of(f"{of}-units", f"Units that matter to {what}", bars),
        plate_of(f"{of}-map", f"Units and times that matter to {what}", by_step),
        sums,
    ]


def _attention_plates(explained: Explained) -> list[Plate]:
    trial = explained.trial
    title = f"Times that the attention of {trial.name} reads"
    return [plate_of(f"attention-{trial.number}", title, attention_curve(explained))]


def _cut_out_plates(explained: Explained) -> list[Plate]:
    trial = explained.trial
    title = f"Places that {trial.name} cannot do without"
    return [plate_of(f"cut-out-{trial.number}", title, cut_out_importance(explained))]


_EXPLANATION: dict[Kind, Callable[[Explained], list[Plate]]] = {
    Kind.SHAP: _shap_plates,
    Kind.ATTENTION: _attention_plates,
    Kind.CUT_OUT: _cut_out_plates,
}


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
