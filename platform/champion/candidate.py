"""What may become champion: the model of one fold, or all folds of a configuration as one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from calsweep.platform.arm import FIGURES, Arm
from calsweep.platform.champion.version_tag import FIGURE, FOLDS, KEY
from calsweep.platform.fold.ensemble import Ensemble
from calsweep.platform.fold.model import FoldModel
from calsweep.platform.leaderboard import best_fold, best_trial, summarize
from calsweep.platform.plain import content_hash
from calsweep.platform.record import FoldRecord, SweepRecord, TrialRecord
from calsweep.platform.tracking import tracked

_DIGITS = 6


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A model that may become champion.

    Attributes
    ----------
    sweep, trial
        Where it comes from.
    folds
        One, or those that an ensemble is made of.
    """

    sweep: SweepRecord
    trial: TrialRecord
    folds: tuple[FoldRecord, ...]

    @property
    def is_ensemble(self) -> bool:
        """Whether its answer is the mean of several folds' models."""
        return len(self.folds) > 1

    @cached_property
    def key(self) -> str:
        """Content hash of all that decides what it says: that of its fold or folds."""
        keys = sorted(fold.key for fold in self.folds)
        return content_hash(keys)[:32] if self.is_ensemble else keys[0]

    @property
    def name(self) -> str:
        """Its sweep, configuration and fold in words."""
        which = f"the ensemble of {len(self.folds)} folds" if self.is_ensemble else self._fold
        return f"{self.sweep.name}: {self.trial.name}, {which}"

    @property
    def _fold(self) -> str:
        return f"fold {self.folds[0].fold}"

    @property
    def arm(self) -> Arm:
        """The configuration that it is of, as one side of a comparison."""
        return Arm(sweep=self.sweep, trial=self.trial)

    @property
    def run_key(self) -> str:
        """Key of its run: a fold has one of its own, an ensemble stands with its trial."""
        trial, fold = self.trial, self.folds[0]
        return tracked.trial_key(trial) if self.is_ensemble else tracked.fold_key(trial, fold)

    def figures(self) -> dict[str, tuple[float, ...]]:
        """Give the test figures of the configuration's folds, in the order of the plan.

        Of a promoted model they stand in the registry, rounded as here, so that a later candidate
        is compared with it wherever the sweep's record is.
        """
        found = {
            name: tuple(getattr(fold.test, name) for fold in self.trial.folds) for name in FIGURES
        }
        return {
            name: tuple(round(float(value), _DIGITS) for value in values)
            for name, values in found.items()
            if all(value is not None and math.isfinite(value) for value in values)
        }

    def save_ensemble(self, folder: Path, /) -> None:
        """Write the models of its folds as one into a new folder.

        Raises
        ------
        ValueError
            If one is missing or damaged.
        """
        places = [self.sweep.fold_folder(fold) / "model" for fold in self.folds]
        Ensemble(members=tuple(FoldModel.load(place) for place in places)).save(folder)

    def tags(self) -> dict[str, str]:
        """Give the tags of its version in the registry."""
        figures = {
            f"{FIGURE}.{name}": ",".join(f"{value:.{_DIGITS}f}" for value in values)
            for name, values in self.figures().items()
        }
        numbers = ",".join(str(fold.fold) for fold in self.folds)
        return {
            **tracked.provenance(self.sweep, self.trial),
            **figures,
            KEY: self.key,
            FOLDS: numbers,
            "calsweep.target": str(self.sweep.dataset["target"]),
            "calsweep.decoder": self.trial.decoder,
        }

    def description(self) -> str:
        """Say in Markdown what it is, and what a reader of its figures must know."""
        row, data, trial = summarize(self.trial, rank=0), self.sweep.dataset, self.trial
        what = (
            f"the mean of {len(self.folds)} folds' probabilities"
            if self.is_ensemble
            else f"{self._fold}, chosen on validation (AUC {self.folds[0].validation.auc:.3f})"
        )
        subjects = ", ".join(map(str, data.get("subjects", ())))
        leaks = "; ".join(leak.sentence for leak in trial.verdict.leaks)
        notes = "; ".join(note.strip().rstrip(".") for note in trial.verdict.notes)
        folds = [
            f"| {fold.fold} | {fold.validation.auc:.4f} | {fold.test.auc:.4f} | "
            f"{fold.test.accuracy:.4f} |"
            for fold in trial.folds
        ]
        paragraphs = [
            f"**LEAKY FOLDS**: {leaks}." if leaks else "",
            f"{trial.decoder} of sweep `{self.sweep.name}`: {what}.",
            f"Test AUC of the configuration {row.test_auc:.3f} ± {row.test_auc_sd:.3f} over "
            f"{len(trial.folds)} folds"
            + (
                "; an ensemble has no figure of its own, since no animal is new to all of it."
                if self.is_ensemble
                else f"; of this fold {self.folds[0].test.auc:.3f}."
            ),
            f"Decodes {data['target']} from {data['n_units']} units at {data['rate_hz']} Hz. "
            f"Data: {data['address']}" + (f", animals {subjects}." if subjects else "."),
            f"Mask: {trial.mask}." if trial.mask else "",
            f"Notes: {notes}." if notes else "",
            "| fold | validation AUC | test AUC | test accuracy |\n|---|---|---|---|\n"
            + "\n".join(folds),
        ]
        return "\n\n".join(filter(None, paragraphs))


def best_candidate(
    sweep: SweepRecord, /, *, ensemble: bool = False, trial: TrialRecord | None = None
) -> Candidate:
    """Give the best fold, or all folds, of the best configuration, chosen on validation only.

    Parameters
    ----------
    sweep
        Its record.
    ensemble
        Whether all folds are taken as one model.
    trial
        A configuration in place of the best.

    Raises
    ------
    LookupError
        If no configuration is finished.
    ValueError
        If the one that is given is not.
    """
    chosen = Arm(sweep=sweep, trial=trial).trial if trial else best_trial(sweep)
    return Candidate(
        sweep=sweep, trial=chosen, folds=chosen.folds if ensemble else (best_fold(chosen),)
    )
