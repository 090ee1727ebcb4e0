"""A sweep whose decoders are explained, as `calsweep explain` leaves it."""

import numpy as np

from calsweep.platform.explanations.explanation import Explanation, Kind

UNITS = [f"region{i}" for i in range(1, 51)]
FACTS = {
    "units": UNITS,
    "image_shape": None,
    "n_classes": 2,
    "target": "run",
    "rate_hz": 10.0,
    "window_length": 5,
    "target_offset": 2,
    "error": 3e-7,
    "n_windows": 40,
}


def shap(rng, *, strong, facts=FACTS):
    importance = rng.uniform(0.01, 0.02, size=(5, 50)).astype(np.float32)
    if strong:
        importance[:, [5, 7]] += 0.1
    difference_E = rng.normal(size=40).astype(np.float32)
    return Explanation(
        kind=Kind.SHAP,
        options={"class_index": 1},
        facts=facts,
        arrays={
            "importance": importance,
            "direction": importance,
            "sum_E": difference_E,
            "difference_E": difference_E,
            "targets_E": np.arange(40),
        },
    )


def write_explained(written):
    """Write a sweep whose trial 1 is explained beside trial 2 as its null model."""
    written.begin()
    for number in (0, 1, 2):
        written.trial(number)
    sweep = written.read()
    one, null = sweep.trials[1], sweep.trials[2]
    rng = np.random.default_rng(0)
    for fold, other in zip(one.folds, null.folds, strict=True):
        facts = {**FACTS, "null_key": other.key}
        shap(rng, strong=True, facts=facts).write(sweep.fold_folder(fold))
        shap(rng, strong=False).write(sweep.fold_folder(other))
        weight_CHL = np.full((2, 3, 5), 0.2, np.float32)
        weight_CHL[1, :, 4] = 0.5
        Explanation(
            kind=Kind.ATTENTION,
            options={},
            facts=FACTS,
            arrays={"weight_CHL": weight_CHL, "n_windows_C": np.array([20, 20])},
        ).write(sweep.fold_folder(fold))
        map_YX = np.zeros((8, 8))
        map_YX[2, 3] = 0.05
        region_HW = np.zeros((128, 128), np.int32)
        region_HW[5:10, 10:30] = 6
        Explanation(
            kind=Kind.CUT_OUT,
            options={"size_px": 32, "stride_px": 16},
            facts={},
            arrays={
                "importance_S": np.zeros(64),
                "importance_YX": map_YX,
                "mean_image_HW": rng.uniform(size=(128, 128)).astype(np.float32),
                "region_HW": region_HW,
            },
        ).write(sweep.fold_folder(fold))
    return sweep
