"""A recording as trials side by side, which is how models of dynamics see it."""

from __future__ import annotations

import dataclasses
import itertools
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from calsweep.datasets.dataset import Dataset
from calsweep.datasets.recording import MISSING_LABEL, Recording, is_label, trial_borders

# R trial, T bin, N neuron

LEAST_NEURONS = 20
"""Neurons that a bin should have for the state of a network to be told from it (R)."""


class UnequalTrials(Enum):
    """What becomes of trials of unequal length.

    ``REFUSE``: an error. ``PAD``: bins that a trial does not have are not sampled.
    """

    REFUSE = "refuse"
    PAD = "pad"


class FewNeurons(UserWarning):
    """Bins have fewer neurons than a state can be told from."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TrialView:
    """Trials of one recording, each from its first bin.

    Attributes
    ----------
    recording
        Its name.
    activity_RTN
        NaN where a neuron was not sampled.
    rate_hz
        Bins per second.
    units
        Name of each neuron.
    condition_R
        Condition of each trial, -1 where it is not known; all 0 if there are none.
    measures
        Name of a behavior, as a latent or a position, to its values, shape ``(trial, bin)``; NaN
        where it is not known.
    train_R, valid_R
        Which trials a model learns from, and which validate it.

    Raises
    ------
    ValueError
        If a neuron was never sampled in a trial to learn from, or a trial is on both sides.
    """

    recording: str
    activity_RTN: NDArray[np.float32]
    rate_hz: float
    units: tuple[str, ...]
    condition_R: NDArray[np.int64]
    measures: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    train_R: NDArray[np.int64]
    valid_R: NDArray[np.int64]

    def __post_init__(self) -> None:
        both = np.intersect1d(self.train_R, self.valid_R)
        if both.size:
            raise ValueError(
                f"{self.recording}: trials must train or validate, but {both.size} do both "
                f"(first: trial {both[0]})."
            )
        if not self.train_R.size or not self.valid_R.size:
            raise ValueError(
                f"{self.recording}: there must be trials to train and to validate, but there are "
                f"{self.train_R.size} and {self.valid_R.size}."
            )
        is_never_N = np.isnan(self.activity_RTN[self.train_R]).all(axis=(0, 1))
        if is_never_N.any():
            first = self.units[int(np.argmax(is_never_N))]
            raise ValueError(
                f"{self.recording}: {np.count_nonzero(is_never_N)} of {len(self.units)} neurons "
                f"were never sampled in a trial to learn from (first: `{first}`): leave them out."
            )

    def counts(self) -> TrialView:
        """Give the same trials with events cast to `counts`."""
        return dataclasses.replace(self, activity_RTN=counts(self.activity_RTN))


def counts(events: NDArray[np.float32], /) -> NDArray[np.float32]:
    """Cast events to counts as R does: 0 stays 0, up to 2 becomes 1, above is rounded down.

    Raises
    ------
    ValueError
        If an event is negative.

    Examples
    --------
    >>> counts(np.array([0.0, 0.1, 1.9, 2.0, 3.7, np.nan], dtype=np.float32)).tolist()
    [0.0, 1.0, 1.0, 2.0, 3.0, nan]
    """
    if (events < 0).any():
        raise ValueError(
            f"events must not be negative to be counted, but {np.count_nonzero(events < 0)} are: "
            "deconvolve the traces first (`calsweep ingest --deconvolve`)."
        )
    cast: NDArray[np.float32] = np.where((events > 0) & (events < 2), 1, np.floor(events))
    return cast.astype(np.float32)


def split_trials(
    n_trials: int, /, *, valid_share: float = 0.2, seed: int = 0
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw which trials train and which validate; both come in increasing order.

    Examples
    --------
    >>> train_R, valid_R = split_trials(10, seed=1)
    >>> len(train_R), len(valid_R)
    (8, 2)
    """
    if not 0 < valid_share < 1 or n_trials < 2:
        raise ValueError(
            "`0 < valid_share < 1` and at least two trials must hold, "
            f"but got {valid_share=} and {n_trials=}."
        )
    order = np.random.default_rng(seed).permutation(n_trials)
    n_valid = min(max(round(valid_share * n_trials), 1), n_trials - 1)
    return np.sort(order[n_valid:]), np.sort(order[:n_valid])


def view_trials(
    source: Recording | Dataset,
    /,
    *,
    recording: str = "",
    condition: str = "",
    measures: Sequence[str] = (),
    valid_share: float = 0.2,
    seed: int = 0,
    listed: tuple[Sequence[int], Sequence[int]] | None = None,
    unequal: UnequalTrials = UnequalTrials.REFUSE,
    seen_N: NDArray[np.bool_] | None = None,
) -> TrialView:
    """Lay the trials of a recording side by side.

    Parameters
    ----------
    source, recording
        A recording, or a dataset and the name of one of its recordings.
    condition
        Label that says of which condition a trial is, by its first bin.
    measures
        Behaviors to keep.
    valid_share, seed
        Trials that validate are drawn: how many, and from which seed.
    listed
        Trials that train and that validate, instead.
    unequal
        What becomes of trials of unequal length.
    seen_N
        Which neurons are seen, all others left out; by default all.

    Warns
    -----
    FewNeurons
        If a bin has fewer than 20 sampled neurons, of a recording in which not all are always.

    Raises
    ------
    ValueError
        If trials are of unequal length and are to be refused, a behavior is not there, a listed
        trial is not, or a neuron was never sampled.
    """
    frames = _Frames.of(source, recording)
    if seen_N is not None:
        frames = frames.of_neurons(seen_N)
    borders = trial_borders(frames.trial_T)
    firsts, lengths = borders[:-1], np.diff(borders)
    if unequal is UnequalTrials.REFUSE and len(np.unique(lengths)) > 1:
        raise ValueError(
            f"{frames.name}: trials must be of one length, but have {lengths.min()} to "
            f"{lengths.max()} bins: cut them to one, or fill the shorter with bins that were not "
            "sampled (`unequal=pad`)."
        )
    at_RT = firsts[:, None] + np.arange(lengths.max())
    is_there_RT = np.arange(lengths.max()) < lengths[:, None]
    at_RT = np.where(is_there_RT, at_RT, 0)
    activity_RTN = frames.activity_TN[at_RT]
    activity_RTN[~is_there_RT] = np.nan
    train_R, valid_R = (
        split_trials(len(firsts), valid_share=valid_share, seed=seed)
        if listed is None
        else _listed(listed, n_trials=len(firsts), name=frames.name)
    )
    condition_R = np.zeros(len(firsts), dtype=np.int64)
    if condition:
        condition_R = frames.behavior_of(condition)[firsts].astype(np.int64)
    view = TrialView(
        recording=frames.name,
        activity_RTN=activity_RTN,
        rate_hz=frames.rate_hz,
        units=frames.units,
        condition_R=condition_R,
        measures={
            name: np.where(is_there_RT, frames.measure_of(name)[at_RT], np.nan) for name in measures
        },
        train_R=train_R,
        valid_R=valid_R,
    )
    warn_of_few_neurons(view)
    return view


def warn_of_few_neurons(view: TrialView, /) -> None:
    """Warn if a bin in which some neurons were sampled has fewer than 20 of them."""
    n_sampled_RT = np.count_nonzero(~np.isnan(view.activity_RTN), axis=2)
    n_some = n_sampled_RT[n_sampled_RT > 0]
    if n_some.size and n_some.min() == len(view.units):
        return  # whole frames: there are no more neurons to be had
    n_few = np.count_nonzero(n_some < LEAST_NEURONS)
    if n_few:
        warnings.warn(
            f"{view.recording}: {n_few} of {n_some.size} bins have fewer than {LEAST_NEURONS} "
            f"sampled neurons (the least: {n_some.min()}): latent states are uncertain there; "
            "take longer bins.",
            FewNeurons,
            stacklevel=3,
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Frames:
    """Frames of one recording, wherever they come from."""

    name: str
    activity_TN: NDArray[np.float32]
    trial_T: NDArray[np.int32]
    behavior: Mapping[str, NDArray[np.generic]]
    rate_hz: float
    units: tuple[str, ...]

    @classmethod
    def of(cls, source: Recording | Dataset, name: str, /) -> _Frames:
        """Take them from a recording or a dataset."""
        if isinstance(source, Recording):
            return cls(
                name=source.name,
                activity_TN=source.activity_TN,
                trial_T=source.trial_T,
                behavior=source.behavior,
                rate_hz=source.rate_hz,
                units=source.units,
            )
        if name not in source.spans:
            raise ValueError(
                f"there is no recording {name!r}. There are: {', '.join(source.spans)}."
            )
        span = source.spans[name]
        return cls(
            name=name,
            activity_TN=source.activity_TN[span],
            trial_T=source.trial_T[span],
            behavior={key: values[span] for key, values in source.behavior.items()},
            rate_hz=source.manifest.rate_hz,
            units=source.manifest.units,
        )

    def of_neurons(self, seen_N: NDArray[np.bool_], /) -> _Frames:
        """Give the same frames of some neurons."""
        return dataclasses.replace(
            self,
            activity_TN=self.activity_TN[:, seen_N],
            units=tuple(itertools.compress(self.units, seen_N)),
        )

    def behavior_of(self, name: str, /) -> NDArray[np.generic]:
        """Give a behavior by its name."""
        if name not in self.behavior:
            raise ValueError(
                f"{self.name}: there is no behavior {name!r}. "
                f"There are: {', '.join(self.behavior) or 'none'}."
            )
        return self.behavior[name]

    def measure_of(self, name: str, /) -> NDArray[np.float64]:
        """Give a behavior as numbers, NaN where it is not known."""
        values_T = self.behavior_of(name)
        measure_T = values_T.astype(np.float64)
        if is_label(values_T):
            measure_T[values_T == MISSING_LABEL] = np.nan
        return measure_T


def _listed(
    listed: tuple[Sequence[int], Sequence[int]], *, n_trials: int, name: str
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    train_R, valid_R = (np.asarray(part, dtype=np.int64) for part in listed)
    for part in (train_R, valid_R):
        is_outside = (part < 0) | (part >= n_trials)
        if is_outside.any():
            raise ValueError(
                f"{name}: there is no trial {part[is_outside][0]}: trials are 0 to {n_trials - 1}."
            )
    return train_R, valid_R
