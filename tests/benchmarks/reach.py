"""Whether the experiments find in simulated recordings what was put into them.

    python tests/benchmarks/reach.py                            all, about half an hour on two cores
    python tests/benchmarks/reach.py --only widefield_rnns footsteps

Each is run by its own command, `calsweep sweep +experiment=NAME`, made small by the overrides
that are printed with its figures: fewer folds and epochs, at a higher learning rate. What is asked
of the figures was written down before they were seen; the simulators are left at their defaults.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from calsweep.datasets.footsteps import Footsteps
from calsweep.datasets.recording import Recording
from calsweep.datasets.shard_writer import write_dataset
from calsweep.datasets.simulation import Simulation
from calsweep.datasets.widefield_images import WidefieldImages
from calsweep.platform.record import TrialRecord, read_sweep

Figures = Mapping[str, float]


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
    claims
        Sentence to whether the means say so.
    """

    dataset: str
    overrides: tuple[str, ...]
    figure: str = "auc"
    claims: Mapping[str, Callable[[Figures], bool]]


# 5 folds, one a mouse, and 4 epochs at three times the paper's learning rate.
REGIONS = (
    "datasets/folds=leave_one_animal_out",
    "training.epochs=4",
    "training.learning_rate=3e-3",
)
IMAGES = (
    "datasets/folds=leave_one_animal_out",
    "trainables.cnn.width=0.25",
    "trainables.cnn.depth=0.25",
    "trainables.cnn.norm_momentum=0.1",
    "trainables.n_hidden=16",
    "first_training.batch_size=64",
    "training.epochs=1",
)
# Epochs enough to end near the lowest validation loss at ten times the papers' learning rate.
STEPS = (
    "search_spaces.arms.*.training.epochs=12",
    "search_spaces.arms.*.training.learning_rate=1e-3",
)
BLOCKS = ("datasets.folds.k_groups=3", "datasets.folds.n_blocks=6")

DATASETS: Mapping[str, Callable[[], Iterable[Recording]]] = {
    "regions": lambda: Simulation().recordings(),
    "images": lambda: WidefieldImages(
        mice=Simulation(n_mice=3, n_frames=1500), height=32, width=32
    ).recordings(),
    "steps": lambda: Footsteps(n_mice=1, recordings_per_mouse=1).recordings(),
}
QUESTIONS = {
    "widefield_rnns": Question(
        dataset="regions",
        overrides=REGIONS,
        claims={
            "GRU above simple": lambda f: f["gru"] > f["simple"],
            "LSTM above simple": lambda f: f["lstm"] > f["simple"],
        },
    ),
    "widefield_controls": Question(
        dataset="regions",
        overrides=REGIONS,
        claims={
            "detrended above raw": lambda f: f["GRU"] > f["Raw"],
            "permuted labels within 0.1 of 0.5": lambda f: abs(f["Random"] - 0.5) < 0.1,
        },
    ),
    "widefield_regions": Question(
        dataset="regions",
        overrides=REGIONS,
        claims={
            "FLa&HLa within 0.02 of all": lambda f: f["FLa&HLa"] > f["all"] - 0.02,
            "all others below FLa&HLa": lambda f: f["not FLa&HLa"] < f["FLa&HLa"],
            "regions without behavior (PT&RS, Vl&A1) below 0.65": lambda f: (
                max(f["PT&RS"], f["Vl&A1"]) < 0.65
            ),
        },
    ),
    "widefield_label_shift": Question(
        dataset="regions",
        overrides=REGIONS,
        claims={"highest at shift 0": lambda f: max(f, key=lambda key: f[key]) == "0"},
    ),
    "widefield_window_length": Question(
        dataset="regions",
        overrides=REGIONS,
        claims={
            "31 frames above 11": lambda f: f["31"] > f["11"],
            "from 31 to 61 less is gained than from 11 to 31": lambda f: (
                f["61"] - f["31"] < f["31"] - f["11"]
            ),
        },
    ),
    "widefield_detrending": Question(
        dataset="regions",
        overrides=REGIONS,
        claims={"1,000 frames above 30": lambda f: f["1000"] > f["30"]},
    ),
    "widefield_cnn_rnn": Question(
        dataset="images",
        overrides=IMAGES,
        claims={
            "CNN-GRU above CNN": lambda f: f["CNN-GRU"] > f["CNN"],
            "CNN-LSTM above CNN": lambda f: f["CNN-LSTM"] > f["CNN"],
        },
    ),
    "footsteps": Question(
        dataset="steps",
        overrides=STEPS,
        figure="accuracy",
        claims={"hybrid above LSTM": lambda f: f["Hybrid"] > f["LSTM"]},
    ),
    "footsteps_blocked": Question(
        dataset="steps",
        overrides=(*STEPS, *BLOCKS),
        figure="accuracy",
        claims={"hybrid above LSTM": lambda f: f["Hybrid"] > f["LSTM"]},
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=QUESTIONS, default=list(QUESTIONS))
    options = parser.parse_args()
    found: dict[str, Figures] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for name in options.only:
            found[name] = answer(name, home=Path(scratch))
    if {"footsteps", "footsteps_blocked"} <= set(found):
        leaky, blocked = found["footsteps"], found["footsteps_blocked"]
        for arm in ("LSTM", "Hybrid"):
            say(f"windows at random above blocks of time, {arm}", leaky[arm] > blocked[arm])


def answer(name: str, *, home: Path) -> Figures:
    """Run an experiment, print its figures and what they say, and give their means."""
    question = QUESTIONS[name]
    folder = home / question.dataset
    if not folder.exists():
        write_dataset(DATASETS[question.dataset](), folder=folder)
    subprocess.run(
        [
            sys.executable, "-m", "calsweep.platform", "sweep", f"+experiment={name}",
            f"datasets.address={folder}", f"home={home}", f"name={name}", *question.overrides,
        ],
        check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    print(f"\n{name} {' '.join(question.overrides)}")
    trials = {label(trial): trial for trial in read_sweep(home, name).trials}
    for key, trial in trials.items():
        values = figures(trial, question.figure)
        spread = statistics.stdev(values) if len(values) > 1 else 0.0
        print(
            f"  {key:12} {question.figure} {statistics.fmean(values):.3f} ± {spread:.3f} "
            f"({len(values)} folds)"
        )
    means = {key: statistics.fmean(figures(t, question.figure)) for key, t in trials.items()}
    for sentence, claim in question.claims.items():
        say(sentence, claim(means))
    return means


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
