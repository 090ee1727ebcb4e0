"""What a sweep took of machines, and what of it came to nothing."""

from __future__ import annotations

from dataclasses import dataclass

from calsweep.platform.compute import Compute, ComputeSpent, total
from calsweep.platform.record import FoldRecord, SweepRecord, TrialRecord

CHANCE_AUC = 0.5


@dataclass(frozen=True, kw_only=True)
class Spending:
    """What a sweep took.

    Attributes
    ----------
    listed
        For folds that stand in its record.
    unlisted
        For folds that are trained and stand in no trial: of a trial that was pruned or ended
        meanwhile, or first steps of decoders of two.
    wasted
        In attempts that did not come to their end, or have not yet.
    n_retries
        Of these, attempts at folds that another attempt has trained since.
    """

    listed: Compute
    unlisted: Compute
    wasted: Compute
    n_retries: int

    @property
    def total(self) -> Compute:
        """All of it."""
        return self.listed + self.unlisted + self.wasted

    @property
    def sentence(self) -> str:
        """All of it, for a person."""
        parts = [
            f"Spent: {hours(self.total.device_seconds)} device-hours, "
            f"{hours(self.total.cpu_seconds)} CPU-hours, {_bytes(self.total.bytes_read)} read, "
            f"in {self.total.n_attempts} attempts at folds"
        ]
        if self.unlisted.n_attempts:
            parts.append(
                f"{hours(self.unlisted.device_seconds)} device-hours went into "
                f"{self.unlisted.n_attempts} folds that stand in no row"
            )
        if self.wasted.n_attempts:
            parts.append(
                f"{hours(self.wasted.device_seconds)} device-hours into {self.wasted.n_attempts} "
                f"attempts that did not come to their end, {self.n_retries} of them at folds "
                "trained since"
            )
        return "; ".join(parts) + "."


def spending(sweep: SweepRecord, /) -> Spending:
    """Give what a sweep took."""
    listed = {fold.key: _took(fold) for trial in sweep.trials for fold in trial.folds}
    spent = ComputeSpent(sweep.folder, known=listed)
    trained, unfinished = spent.trained(), spent.unfinished()
    return Spending(
        listed=total(listed.values()),
        unlisted=total(trained[key] for key in trained.keys() - listed.keys()),
        wasted=total(unfinished.values()),
        n_retries=sum(took.n_attempts for key, took in unfinished.items() if key in trained),
    )


def trial_compute(trial: TrialRecord, /) -> Compute:
    """Give what the folds of a trial took."""
    return total(_took(fold) for fold in trial.folds)


def merit_per_hour(auc: float, compute: Compute, /) -> float:
    """Give the AUC above chance for each hour of devices.

    Examples
    --------
    >>> round(merit_per_hour(0.9, Compute(device_seconds=1800.0)), 3)
    0.8
    """
    used = compute.device_seconds / 3600
    return (auc - CHANCE_AUC) / used if used else float("nan")


def hours(seconds: float, /) -> str:
    """Write seconds as hours.

    Examples
    --------
    >>> hours(5400.0), hours(2.0)
    ('1.5', '0.000556')
    """
    return f"{seconds / 3600:.3g}"


def _took(fold: FoldRecord) -> Compute:
    """Give what a fold took; of one of an older version, the seconds in training."""
    return fold.compute or Compute(device_seconds=fold.train_seconds, n_attempts=1)


def _bytes(n_bytes: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if n_bytes < 1000:
            return f"{n_bytes:.3g} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:.3g} TB"
