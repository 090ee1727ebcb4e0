"""Whether the experiments find in simulated recordings what was put into them.

    python tests/benchmarks/reach.py                            all, about two hours on two cores
    python tests/benchmarks/reach.py --only widefield_rnns footsteps

Each is run by its own command, `calsweep sweep +experiment=NAME`, made small by the overrides
that are printed with its figures: fewer epochs, at a higher learning rate. What is asked of the
figures was written down before they were seen; the simulators are left at their defaults.

Where regions are decoded, "above" means that the signed-rank test over the 20 folds says so after
Holm's correction over all pairs of the experiment, which is W's test. Where folds are few, it means
the higher mean.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from calsweep.datasets.footsteps import Footsteps
from calsweep.datasets.recording import Recording
from calsweep.datasets.shard_writer import write_dataset
from calsweep.datasets.simulation import Simulation
from calsweep.datasets.widefield_images import WidefieldImages
from calsweep.platform.arm import Arm
from calsweep.platform.comparison import ALPHA, Method, Pair, compare
from calsweep.platform.record import TrialRecord, read_sweep


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The mean figures of an experiment, and the tests between its configurations, if any."""

    means: Mapping[str, float]
    pairs: Mapping[tuple[str, str], Pair]

    def is_above(self, one: str, other: str, /) -> bool:
        """Say whether one configuration decodes better than another."""
        is_higher = self.means[one] > self.means[other]
        return is_higher and (not self.pairs or self.p(one, other, Method.SIGNED_RANK) < ALPHA)

    def p(self, one: str, other: str, method: Method, /) -> float:
        """Give a p, corrected over all pairs."""
        pair = self.pairs.get((one, other)) or self.pairs[other, one]
        return pair.p[method].holm

    def said(self, one: str, other: str, /) -> str:
        """Give both means, and both p where there are any."""
        text = f"{self.means[one]:.3f} {self.means[other]:.3f}"
        if not self.pairs:
            return text
        signed, corrected = (
            self.p(one, other, method) for method in (Method.SIGNED_RANK, Method.CORRECTED_T)
        )
        return f"{text}, signed-rank p {signed:.2g}, corrected t p {corrected:.2g}"


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
    figure
        Of the test.
    is_tested
        Whether folds are enough for a test.
    claims
        Which configuration is above which.
    bounds
        Lowest and highest mean of configurations.
    """

    dataset: str
    overrides: tuple[str, ...]
    figure: str = "auc"
    is_tested: bool = True
    claims: tuple[Claim, ...] = ()
    bounds: Mapping[str, tuple[float, float]] | None = None


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
    listed = json.dumps(folds).replace('"', "")
    return (
        "datasets/folds=listed",
        "datasets.folds.holds_out=frames",
        f"datasets.folds.folds={listed}",
    )


# Epochs enough to end near the lowest validation loss at three times the paper's learning rate.
REGIONS = ("training.epochs=8", "training.learning_rate=3e-3")
# Of windows, those too short for what is simulated beside those of W.
LENGTHS = ("1", "3", "11", "31", "61")
SHIFTS = tuple(str(shift) for shift in range(-60, 61, 10))
IMAGES = (
    "datasets/folds=leave_one_animal_out",
    "trainables.cnn.width=0.25",
    "trainables.cnn.depth=0.25",
    "trainables.cnn.norm_momentum=0.1",
    "trainables.n_hidden=16",
    "first_training.batch_size=64",
    "training.epochs=1",
)
# At ten times the paper's.
STEPS = (
    "search_spaces.arms.*.training.epochs=12",
    "search_spaces.arms.*.training.learning_rate=1e-3",
)
STEP_RECORDINGS = ("mouse1_r1", "mouse1_r2", "mouse2_r1", "mouse2_r2")


def step_recording(name: str) -> Iterable[Recording]:
    """Give one of the four; another mouse's neurons are others."""
    return (recording for recording in Footsteps().recordings() if recording.name == name)


DATASETS: Mapping[str, Callable[[], Iterable[Recording]]] = {
    "regions": lambda: Simulation().recordings(),
    "images": lambda: WidefieldImages(
        mice=Simulation(n_mice=3, n_frames=1500), height=32, width=32
    ).recordings(),
    **{name: lambda name=name: step_recording(name) for name in STEP_RECORDINGS},  # type: ignore[misc]
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
        Question(dataset="regions", overrides=REGIONS, claims=above("1000", "30"))
    ],
    "widefield_cnn_rnn": [
        Question(
            dataset="images",
            overrides=IMAGES,
            is_tested=False,
            claims=(*above("CNN-GRU", "CNN"), *above("CNN-LSTM", "CNN")),
        )
    ],
    "footsteps": [
        Question(
            dataset=name,
            overrides=STEPS,
            figure="accuracy",
            is_tested=False,
            claims=above("Hybrid", "LSTM"),
        )
        for name in STEP_RECORDINGS
    ],
    "footsteps_blocked": [
        Question(
            dataset=name,
            overrides=(*STEPS, *in_time(name)),
            figure="accuracy",
            is_tested=False,
            claims=above("Hybrid", "LSTM"),
        )
        for name in STEP_RECORDINGS
    ],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=QUESTIONS, default=list(QUESTIONS))
    parser.add_argument("--home", type=Path, help="kept; a second run goes on from there")
    options = parser.parse_args()
    found: dict[tuple[str, str], Answer] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for experiment in options.only:
            for question in QUESTIONS[experiment]:
                home = options.home or Path(scratch)
                found[experiment, question.dataset] = answer(experiment, question, home=home)
    for name in STEP_RECORDINGS:
        both = (found.get(("footsteps", name)), found.get(("footsteps_blocked", name)))
        if both[0] and both[1]:
            tell_leak(name, leaky=both[0], blocked=both[1])


def answer(experiment: str, question: Question, *, home: Path) -> Answer:
    """Run an experiment, print its figures and what they say."""
    folder = home / question.dataset
    if not folder.exists():
        write_dataset(DATASETS[question.dataset](), folder=folder)
    name = f"{experiment}-{question.dataset}"
    subprocess.run(
        [
            sys.executable, "-m", "calsweep.platform", "sweep", f"+experiment={experiment}",
            f"datasets.address={folder}", f"home={home}", f"name={name}", *question.overrides,
        ],
        check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    print(f"\n{experiment} on {question.dataset}: {' '.join(question.overrides)}")
    sweep = read_sweep(home, name)
    trials = {label(trial): trial for trial in sweep.trials}
    values = {key: figures(trial, question.figure) for key, trial in trials.items()}
    for key, of_folds in values.items():
        spread = statistics.stdev(of_folds) if len(of_folds) > 1 else 0.0
        print(
            f"  {key:12} {question.figure} {statistics.fmean(of_folds):.3f} ± {spread:.3f} "
            f"({len(of_folds)} folds)"
        )
    pairs: dict[tuple[str, str], Pair] = {}
    if question.is_tested:
        arms = [Arm(sweep=sweep, trial=trial) for trial in trials.values()]
        tested = compare(arms, reference=None, figure=question.figure).pairs
        pairs = {(label(pair.arm.trial), label(pair.reference.trial)): pair for pair in tested}
    means = {key: statistics.fmean(of_folds) for key, of_folds in values.items()}
    found = Answer(means=means, pairs=pairs)
    for claim in question.claims:
        holds = found.is_above(claim.one, claim.other) is claim.is_above
        say(f"{claim} ({found.said(claim.one, claim.other)})", holds)
    for key, (low, high) in (question.bounds or {}).items():
        say(f"{key} within {low} to {high} ({means[key]:.3f})", low <= means[key] <= high)
    return found


def tell_leak(recording: str, *, leaky: Answer, blocked: Answer) -> None:
    """Say whether windows at random read higher than blocks of time."""
    for arm in ("LSTM", "Hybrid"):
        both = leaky.means[arm], blocked.means[arm]
        say(
            f"{recording}, {arm}: at random {both[0]:.3f} above in time {both[1]:.3f}",
            both[0] > both[1],
        )


def label(trial: TrialRecord) -> str:
    """Name a configuration by its values; one direction goes without saying."""
    if trial.is_baseline:
        return "baseline"
    said = [str(value) for key, value in trial.values.items() if "bidirectional" not in key]
    both = trial.values.get("trainables.bidirectional", False)
    return " ".join(["bi"] * bool(both) + said)


def figures(trial: TrialRecord, figure: str) -> list[float]:
    return [float(getattr(fold.test, figure)) for fold in trial.folds]


def say(sentence: str, holds: bool) -> None:
    print(f"  {'holds' if holds else 'DOES NOT HOLD'}: {sentence}", flush=True)


if __name__ == "__main__":
    main()
