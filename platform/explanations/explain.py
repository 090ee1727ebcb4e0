"""Explanations of a sweep's folds: made where they are missing, kept with each fold, read back."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calsweep.datasets.manifest import ImageFormat
from calsweep.platform.explanations.attention_weights import attention_weights
from calsweep.platform.explanations.cut_out import CutOuts, cut_out_map, square_importance
from calsweep.platform.explanations.explained import NULL, Explained, ExplainedFold
from calsweep.platform.explanations.explanation import (
    Explanation,
    ExplanationDamaged,
    Kind,
    read_explanation,
)
from calsweep.platform.explanations.region_map import read_region_map
from calsweep.platform.explanations.shap import METHOD, ShapOptions, attribute
from calsweep.platform.fold.model import FoldModel
from calsweep.platform.fold.trained_fold import TrainedFold, control_of, train_permuted
from calsweep.platform.progress import Progress
from calsweep.platform.provenance import code_version
from calsweep.platform.record import FoldRecord, SweepRecord, TrialRecord

# F folds, L steps in a window, N units


class Null(Enum):
    """What a model is compared with."""

    AUTO = "auto"
    CONTROL = "control"
    TRAIN = "train"
    NONE = "none"


def explain_shap(
    sweep: SweepRecord,
    trial: TrialRecord,
    /,
    *,
    folds: Sequence[FoldRecord],
    options: ShapOptions,
    null: Null,
    cache: Path,
) -> Explained:
    """Explain folds of a trial by Deep SHAP, and their null models; what is stored is not repeated.

    Parameters
    ----------
    sweep, trial
        The record, and the configuration.
    folds
        Those to explain.
    options
        How finely.
    null
        What they are compared with: the sweep's control (the same configuration on permuted
        labels), models trained here on permuted labels, either of the two, or nothing.
    cache
        Folder for decoded frames.

    Raises
    ------
    ValueError
        If the sweep has no control that was asked for, a model or explanation cannot be used, or
        the dataset is another now.
    """
    control = control_of(sweep, trial) if null in (Null.AUTO, Null.CONTROL) else None
    if null is Null.CONTROL and control is None:
        raise ValueError(
            f"`--null control` needs a trial of the sweep with the settings of {trial.name} and "
            "permuted labels, but there is none: add datasets.labels=permuted as an arm, or take "
            "`--null train`."
        )
    has_null = null is not Null.NONE
    plain = dataclasses.asdict(options)

    def compute(folder: Path) -> Explanation:
        return _shap(sweep, TrainedFold.read(folder), options=options, cache=cache)

    done = []
    with Progress(n_trials=1 + has_null, n_folds=len(folds)) as progress:
        for fold in folds:
            explanation, is_stored = _made(
                Kind.SHAP, sweep.fold_folder(fold), plain, compute, progress
            )
            progress.fold_done(trial=trial.name, trials_done=0, is_stored=is_stored)
            done.append(ExplainedFold(record=fold, explanation=explanation))
        if has_null and control is None:
            progress.say(
                f"The sweep has no control of {trial.name}: its folds are trained on permuted "
                "labels here, which takes as long as training them did (`--null none` leaves "
                "the null models out)."
            )
        for i, fold in enumerate(folds if has_null else ()):
            if control is not None:
                place = sweep.fold_folder(control.fold(fold.fold))
            else:
                place = train_permuted(sweep, trial, fold, cache=cache)
            explanation, is_stored = _made(Kind.SHAP, place, plain, compute, progress)
            done[i] = _with_null(sweep, done[i], place, explanation)
            progress.fold_done(trial=f"null of {trial.name}", trials_done=1, is_stored=is_stored)
    return Explained(trial=trial, folds=tuple(done))


def explain_attention(
    sweep: SweepRecord,
    trial: TrialRecord,
    /,
    *,
    folds: Sequence[FoldRecord],
    n_frames: int,
    seed: int,
    cache: Path,
) -> Explained:
    """Average the attention weights of folds of a trial; what is stored is not repeated.

    Raises
    ------
    ValueError
        If the decoder has no attention, a model cannot be read, or the dataset is another now.
    """

    def compute(folder: Path) -> Explanation:
        fold = TrainedFold.read(folder)
        found = attention_weights(
            fold.model.module(),
            data=fold.data(sweep, cache=cache),
            n_frames=n_frames,
            seed=seed,
            decoder=type(fold.model.decoder).__name__,
        )
        return Explanation(
            kind=Kind.ATTENTION,
            options=options,
            facts={
                **_facts(sweep, fold),
                "method": "softmax of the attention scores, mean over queries and test windows",
                "n_windows": int(found.n_windows_C.sum()),
            },
            arrays={"weight_CHL": found.weight_CHL, "n_windows_C": found.n_windows_C},
        )

    options = {"n_frames": n_frames, "seed": seed}
    done = []
    with Progress(n_trials=1, n_folds=len(folds)) as progress:
        for fold in folds:
            explanation, is_stored = _made(
                Kind.ATTENTION, sweep.fold_folder(fold), options, compute, progress
            )
            progress.fold_done(trial=trial.name, trials_done=0, is_stored=is_stored)
            done.append(ExplainedFold(record=fold, explanation=explanation))
    return Explained(trial=trial, folds=tuple(done))


def explain_cut_out(
    sweep: SweepRecord, cut_outs: CutOuts, /, *, regions: Path | None = None
) -> Explained:
    """Draw the map of squares cut out, fold by fold, kept with the folds that see all.

    Parameters
    ----------
    sweep
        The record.
    cut_outs
        Its trials.
    regions
        Which region each pixel shows (`read_region_map`): kept with the map, which then shows
        their outlines.

    Raises
    ------
    NoCutOuts
        If a square is missing.
    BadRegionMap
        If the regions are not of these images.
    """
    done = []
    for fold in cut_outs.whole.folds:
        model = FoldModel.load(sweep.fold_folder(fold) / "model")
        assert model.image_shape is not None  # noqa: S101 - or there were no squares to cut out
        height, width = model.image_shape
        images = ImageFormat(height=height, width=width, dtype="uint8")
        importance_S = square_importance(
            cut_outs, fold, n_squares=cut_outs.mask.n_compartments(images)
        )
        explanation = Explanation(
            kind=Kind.CUT_OUT,
            options={"size_px": cut_outs.mask.size_px, "stride_px": cut_outs.mask.stride_px},
            facts={
                "method": "test AUC of the decoder that sees all, less that without a square; mean "
                "over the squares that hold a cell",
                "without": {str(s): trial.name for s, trial in cut_outs.without.items()},
                "code_version": code_version(),
            },
            arrays={
                "importance_S": importance_S,
                "importance_YX": cut_out_map(importance_S, mask=cut_outs.mask, images=images),
                **_mean_image(model),
                **_regions(regions, images),
            },
        )
        explanation.write(sweep.fold_folder(fold))
        done.append(ExplainedFold(record=fold, explanation=explanation))
    return Explained(trial=cut_outs.whole, folds=tuple(done))


def _shap(
    sweep: SweepRecord, fold: TrainedFold, *, options: ShapOptions, cache: Path
) -> Explanation:
    found = attribute(
        fold.model.module(),
        data=fold.data(sweep, cache=cache),
        options=options,
        decoder=type(fold.model.decoder).__name__,
    )
    return Explanation(
        kind=Kind.SHAP,
        options=dataclasses.asdict(options),
        facts={
            **_facts(sweep, fold),
            "method": METHOD,
            "n_windows": len(found.sum_E),
            "error": found.error,
        },
        arrays={
            "importance": found.importance,
            "direction": found.direction,
            "sum_E": found.sum_E,
            "difference_E": found.difference_E,
            "targets_E": found.targets_E,
        },
    )


def _facts(sweep: SweepRecord, fold: TrainedFold) -> dict[str, Any]:
    model = fold.model
    return {
        "units": list(model.units),
        "image_shape": model.image_shape,
        "target": model.view.target,
        "n_classes": model.n_classes,
        "rate_hz": model.rate_hz,
        "window_length": model.view.window.length,
        "target_offset": model.view.window.target_offset,
        "dataset_hash": str(sweep.dataset["content_hash"]),
        "code_version": code_version(),
    }


def _made(
    kind: Kind,
    folder: Path,
    options: Mapping[str, Any],
    compute: Callable[[Path], Explanation],
    progress: Progress,
) -> tuple[Explanation, bool]:
    """Read a fold's explanation, or make it; say which."""
    try:
        stored = read_explanation(kind, folder)
    except ExplanationDamaged as error:
        progress.say(f"Made again: {error}")
        stored = None
    if stored is not None and stored.options == options:
        return stored, True
    made = compute(folder)
    made.write(folder)
    return made, False


def _with_null(
    sweep: SweepRecord, fold: ExplainedFold, place: Path, null: Explanation
) -> ExplainedFold:
    """Note with a fold's explanation which model is its null model."""
    explanation = fold.explanation
    if explanation.facts.get(NULL) != place.name:
        facts = {**explanation.facts, NULL: place.name}
        explanation = dataclasses.replace(explanation, facts=facts)
        explanation.write(sweep.fold_folder(fold.record))
    return dataclasses.replace(fold, explanation=explanation, null=null)


def _regions(file: Path | None, images: ImageFormat) -> dict[str, NDArray[np.int32]]:
    if file is None:
        return {}
    return {"region_HW": read_region_map(file, height=images.height, width=images.width)}


def _mean_image(model: FoldModel) -> dict[str, NDArray[np.float32]]:
    """Give the mean image of the training part, where the scaling of the fold holds it."""
    offset_HW = model.scaling.offset_N
    return {"mean_image_HW": offset_HW} if np.ptp(offset_HW) > 0 else {}
