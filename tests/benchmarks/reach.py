"""Whether the experiments find in simulated recordings what was put into them.

    python -m tests.benchmarks.reach                            all, some hours on two cores
    python -m tests.benchmarks.reach --only widefield_rnns footsteps

Each is run by its own command, `calsweep sweep +experiment=NAME`, made small by the overrides
that are printed with its figures: fewer epochs, at a higher learning rate. What is asked of the
figures (`reach_questions`) was written down before they were seen.

Where regions are decoded, "above" means that the signed-rank test over the 20 folds says so after
Holm's correction over all pairs of the experiment, which is W's test. Where folds are few, it means
the higher mean.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from calsweep.datasets.manifest import ImageFormat
from calsweep.datasets.shard_writer import write_dataset
from calsweep.datasets.simulation import CARRIERS
from calsweep.datasets.widefield_images import WidefieldImages
from calsweep.platform.arm import Arm
from calsweep.platform.comparison import ALPHA, Method, Pair, compare
from calsweep.platform.explanations.cut_out import cut_out_map, find_cut_outs, square_importance
from calsweep.platform.record import SweepRecord, TrialRecord
from calsweep.platform.record_reader import read_sweep
from tests.benchmarks.reach_questions import DATASETS, QUESTIONS, Question


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=QUESTIONS, default=list(QUESTIONS))
    parser.add_argument("--on", nargs="+", help="names of recordings, where there are several")
    parser.add_argument("--home", type=Path, help="kept; a second run goes on from there")
    options = parser.parse_args()
    found: dict[str, Answer] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for experiment in options.only:
            for question in QUESTIONS[experiment]:
                name = f"{question.dataset}-{question.variant}".rstrip("-")
                if not options.on or name in options.on:
                    home = options.home or Path(scratch)
                    found[f"{experiment}-{name}"] = answer(
                        experiment, question, home=home, name=f"{experiment}-{name}"
                    )
    for name, blocked in found.items():
        leaky = found.get(name.replace("footsteps_blocked", "footsteps"))
        if leaky and leaky is not blocked:
            tell_leak(name.partition("-")[2], leaky=leaky, blocked=blocked)


def answer(experiment: str, question: Question, *, home: Path, name: str) -> Answer:
    """Run an experiment, print its figures and what they say."""
    folder = home / question.dataset
    if not folder.exists():
        write_dataset(DATASETS[question.dataset](), folder=folder)
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
    if question.planted:
        tell_map(sweep, question.planted)
    return found


def tell_map(sweep: SweepRecord, simulated: WidefieldImages, /) -> None:
    """Print the map of cut-outs and say whether the planted regions stand out in it."""
    cut_outs = find_cut_outs(sweep)
    mask = cut_outs.mask
    images = ImageFormat(height=simulated.height, width=simulated.width, dtype="uint16")
    n = mask.n_compartments(images)
    maps_FYX = np.array(
        [
            cut_out_map(square_importance(cut_outs, fold, n_squares=n), mask=mask, images=images)
            for fold in cut_outs.whole.folds
        ]
    )
    map_YX = maps_FYX.mean(axis=0)
    truths = simulated.truth().recordings.values()
    planted_HW = np.mean([np.isin(truth["region_HW"], CARRIERS) for truth in truths], axis=0)
    # What each square hides of the planted regions, averaged over squares as importance is.
    hidden_S = np.array(
        [planted_HW[replace(mask, compartment=s).masked(images)].sum() for s in range(n)]
    )
    hidden_YX = cut_out_map(hidden_S, mask=mask, images=images)
    side = mask.stride_px
    rows, columns = map_YX.shape
    pixels_YX = planted_HW.reshape(rows, side, columns, side).sum(axis=(1, 3))
    print(f"  mean importance:\n{np.round(map_YX, 3)}")
    print(f"  planted pixels:\n{np.round(pixels_YX, 1)}")
    top, planted = (set(np.argsort(-of_YX.ravel())[:2].tolist()) for of_YX in (map_YX, pixels_YX))
    say("the two top cells are the two with most planted pixels", top == planted)
    hits = [pixels_YX.ravel()[fold_YX.argmax()] > 0 for fold_YX in maps_FYX]
    say(f"the top cell holds planted pixels in {sum(hits)} of {len(hits)} folds", all(hits))
    r = float(np.corrcoef(map_YX.ravel(), hidden_YX.ravel())[0, 1])
    say(f"importance follows what squares hide of the planted regions (r {r:.2f})", r > 0.7)


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
