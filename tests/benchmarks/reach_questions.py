"""What is asked of the experiments on simulated recordings, and how each is made small.

Written down before the figures were seen.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from calsweep.datasets.footsteps import Footsteps
from calsweep.datasets.recording import Recording
from calsweep.datasets.simulation import Simulation
from calsweep.datasets.widefield_images import WidefieldImages


@dataclass(frozen=True, kw_only=True)
class Claim:
    """That one configuration is above another, or is not."""

    one: str
    other: str
    is_above: bool = True

    def __str__(self) -> str:
        return f"{self.one} {'above' if self.is_above else 'not above'} {self.other}"


@dataclass(frozen=True, kw_only=True)
class Question:
    """An experiment, how it is made small, and what is asked of its figures.

    Attributes
    ----------
    dataset
        Name of the simulated dataset.
    overrides
        What differs from the experiment.
    variant
        Tells questions apart that have the same experiment and dataset.
    figure
        Of the test.
    is_tested
        Whether folds are enough for a test.
    claims
        Which configuration is above which.
    bounds
        Lowest and highest mean of configurations.
    planted
        What made the images of which a map of cut-outs is asked for.
    """

    dataset: str
    overrides: tuple[str, ...]
    variant: str = ""
    figure: str = "auc"
    is_tested: bool = True
    claims: tuple[Claim, ...] = ()
    bounds: Mapping[str, tuple[float, float]] | None = None
    planted: WidefieldImages | None = None


def above(one: str, *others: str) -> tuple[Claim, ...]:
    """Claim that one configuration is above others."""
    return tuple(Claim(one=one, other=other) for other in others)


def none_above(other: str, *ones: str) -> tuple[Claim, ...]:
    """Claim that no configuration is above another."""
    return tuple(Claim(one=one, other=other, is_above=False) for one in ones)


def in_time(recording: str, *, n_frames: int = 3000, gap: int = 32) -> tuple[str, ...]:
    """Divide a recording as at random, 70, 15 and 15 %, but in time: test at its end, then begin.

    A window lies between the parts.
    """
    cuts = (0, int(0.7 * n_frames), int(0.85 * n_frames), n_frames)
    parts = [(start + gap * (start > 0), stop) for start, stop in itertools.pairwise(cuts)]
    turned = [(n_frames - stop, n_frames - start) for start, stop in parts]
    names = ("train", "validation", "test")
    folds = [
        {name: [[recording, *part]] for name, part in zip(names, way, strict=True)}
        for way in (parts, turned)
    ]
    return listed(folds, holds_out="frames")


def by_mice(*, n_mice: int, n_folds: int) -> tuple[str, ...]:
    """List folds of the mice in turn: three test it, the next two validate it, all others train."""
    folds = []
    for fold in range(n_folds):
        turned = [f"mouse{1 + (3 * fold + i) % n_mice}_r1" for i in range(n_mice)]
        folds.append({"train": turned[5:], "validation": turned[3:5], "test": turned[:3]})
    return listed(folds, holds_out="animals")


def listed(folds: Sequence[Mapping[str, Sequence[object]]], *, holds_out: str) -> tuple[str, ...]:
    """Write folds out as overrides."""
    return (
        "datasets/folds=listed",
        f"datasets.folds.holds_out={holds_out}",
        "datasets.folds.folds=" + json.dumps(folds).replace('"', ""),
    )


# Epochs enough to end near the lowest validation loss at three times the paper's learning rate.
REGIONS = ("training.epochs=8", "training.learning_rate=3e-3")
# Of windows, those too short for what is simulated beside those of W.
LENGTHS = ("1", "3", "11", "31", "61")
SHIFTS = tuple(str(shift) for shift in range(-60, 61, 10))
# EfficientNet-B0 with a quarter of its channels and one block where it repeats them.
SMALL_CNN = ("width=0.25", "depth=0.25", "norm_momentum=0.1")
IMAGES = (
    *by_mice(n_mice=12, n_folds=4),
    *(f"trainables.cnn.{part}" for part in SMALL_CNN),
    "trainables.n_hidden=32",
    "first_training.batch_size=32",
    "first_training.learning_rate=3e-3",
    "first_training.run_length=1",
    "training.epochs=2",
)
# The CNN alone, without squares of a quarter of the image's side, 64 as in W. At three times W's
# learning rate the validation AUC of a first fold was 0.98, at W's 0.92.
CUT_OUTS = (
    *by_mice(n_mice=12, n_folds=2),
    "trainables=cnn",
    "~trainables.cnn",
    *(f"trainables.{part}" for part in SMALL_CNN),
    "datasets.window.length=3",
    "datasets.mask.size_px=8",
    "datasets.mask.stride_px=4",
    "training.learning_rate=3e-3",
    "training.run_length=1",
)
# As H trained: the hybrid until its validation loss has not fallen for seven of 500 epochs.
AS_PUBLISHED = ("training.precision=bfloat16",)
# At ten times H's learning rate, and for few epochs: as many for both.
TEN_TIMES = (*AS_PUBLISHED, "search_spaces.arms.*.training.learning_rate=1e-3")
STEPS = (*TEN_TIMES, "search_spaces.arms.*.training.epochs=12")
# Four times the windows, a quarter of them an epoch. After 12 of them the hybrid's validation loss
# still fell.
LONG_STEPS = (
    *TEN_TIMES,
    "search_spaces.arms.*.training.epochs=24",
    "search_spaces.arms.*.training.epoch_fraction=0.25",
)
STEP_RECORDINGS = ("mouse1_r1", "mouse1_r2", "mouse2_r1", "mouse2_r2")
LONG_FRAMES = 12_000


def step_recording(name: str) -> Iterable[Recording]:
    """Give one of the four; another mouse's neurons are others."""
    return (recording for recording in Footsteps().recordings() if recording.name == name)


def steps(dataset: str, overrides: tuple[str, ...], *, variant: str = "") -> Question:
    """Ask whether the hybrid is above the LSTM."""
    return Question(
        dataset=dataset,
        overrides=overrides,
        variant=variant,
        figure="accuracy",
        is_tested=False,
        claims=above("Hybrid", "LSTM"),
    )


# Many mice and few frames: neighboring frames are alike, and each mouse has its own drift.
SMALL_IMAGES = WidefieldImages(mice=Simulation(n_mice=12, n_frames=600), height=32, width=32)
# The planted regions alone carry the behavior, as a level that one image shows, above the drift.
PLANTED_IMAGES = WidefieldImages(
    mice=Simulation(n_mice=12, n_frames=250, rate_hz=10, spread=0, level=2, turn=0, stride=0),
    height=32,
    width=32,
)
ONE_WALK = partial(Footsteps, n_mice=1, recordings_per_mouse=1)
DATASETS: Mapping[str, Callable[[], Iterable[Recording]]] = {
    "regions": lambda: Simulation().recordings(),
    "images": lambda: SMALL_IMAGES.recordings(),
    "planted": lambda: PLANTED_IMAGES.recordings(),
    **{name: lambda name=name: step_recording(name) for name in STEP_RECORDINGS},  # type: ignore[misc]
    "long": lambda: ONE_WALK(n_frames=LONG_FRAMES).recordings(),
    # With neurons as various as H describes its own.
    "varied": lambda: ONE_WALK(lags_s=(-0.4, 0.4), transient=0.5).recordings(),
}
QUESTIONS: Mapping[str, Sequence[Question]] = {
    "widefield_rnns": [
        Question(
            dataset="regions",
            overrides=REGIONS,
            claims=(*above("gru", "simple", "baseline"), *above("lstm", "simple", "baseline")),
        )
    ],
    "widefield_controls": [
        Question(
            dataset="regions",
            overrides=REGIONS,
            claims=(*above("GRU", "Raw", "Random"), *above("Raw", "Random")),
            bounds={"Random": (0.45, 0.55)},
        )
    ],
    "widefield_regions": [
        Question(
            dataset="regions",
            overrides=REGIONS,
            claims=(
                *none_above("FLa&HLa", "all"),
                *above("FLa&HLa", "not FLa&HLa", "M2&M1", "V1&Vm", "PT&RS", "Vl&A1"),
                *above("FL&HL", "not FLa&HLa", "M2&M1", "V1&Vm", "PT&RS", "Vl&A1"),
            ),
            bounds={"PT&RS": (0.45, 0.65), "Vl&A1": (0.45, 0.65)},
        )
    ],
    "widefield_label_shift": [
        Question(
            dataset="regions",
            overrides=REGIONS,
            claims=(
                *none_above("0", *(shift for shift in SHIFTS if shift != "0")),
                *above("0", *(shift for shift in SHIFTS if abs(int(shift)) >= 20)),
            ),
        )
    ],
    "widefield_window_length": [
        Question(
            dataset="regions",
            overrides=(
                *REGIONS,
                f"search_spaces.datasets.window.length.choices=[{','.join(LENGTHS)}]",
            ),
            claims=(*above("11", "1", "3"), *above("31", "1", "3"), *none_above("31", "61")),
        )
    ],
    "widefield_detrending": [
        Question(
            dataset="regions",
            overrides=REGIONS,
            claims=(
                *none_above("1000", "30", "100", "300", "3000", "10000"),
                *above("1000", "30", "10000"),
            ),
        )
    ],
    "widefield_cnn_rnn": [
        Question(
            dataset="images",
            overrides=IMAGES,
            is_tested=False,
            claims=(*above("CNN-GRU", "CNN"), *above("CNN-LSTM", "CNN")),
        )
    ],
    "widefield_cut_out": [
        Question(
            dataset="planted",
            overrides=CUT_OUTS,
            is_tested=False,
            bounds={"None": (0.85, 1.0)},
            planted=PLANTED_IMAGES,
        )
    ],
    "footsteps": [
        *(steps(name, STEPS) for name in STEP_RECORDINGS),
        steps("long", LONG_STEPS),
        steps("varied", STEPS),
    ],
    "footsteps_blocked": [
        *(steps(name, (*STEPS, *in_time(name))) for name in STEP_RECORDINGS),
        steps("long", (*LONG_STEPS, *in_time("mouse1_r1", n_frames=LONG_FRAMES))),
        steps("varied", (*STEPS, *in_time("mouse1_r1"))),
        steps("mouse1_r1", (*AS_PUBLISHED, *in_time("mouse1_r1")), variant="as-published"),
    ],
}
