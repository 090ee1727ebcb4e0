"""How good the rates of a population of models of dynamics are, beside events smoothed in time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calsweep.datasets.trial_view import TrialView
from calsweep.platform.dynamics.coherence import WINDOW_BINS, Coherence, coherence
from calsweep.platform.dynamics.condition_mean import (
    condition_mean_correlation,
    finite_mean,
    subgroup_distance_ratio,
)
from calsweep.platform.dynamics.inferred import read_inferred
from calsweep.platform.dynamics.reaction_time import predict_onsets
from calsweep.platform.dynamics.settings import DynamicsSettings, datasets_of
from calsweep.platform.dynamics.state_decoding import StateDecoding, decode_states
from calsweep.platform.dynamics.trajectory import Trajectories, trajectories
from calsweep.platform.statistics import PairedT, paired_t
from calsweep.trainables.smoothing import smooth

# R trial, T bin, N neuron, D dimension

INFERRED = "inferred"
SMOOTHED = "smoothed events"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What rates are compared with, where the dataset has it.

    Attributes
    ----------
    lag_ms
        By how much rates come later than the state; R takes 30 in simulations.
    smooth_ms
        Standard deviation of the Gaussian of the baseline; R takes 6 in simulations, 40 otherwise.
    subgroup
        Label that divides a condition, by a trial's first bin.
    onset
        Label that is 1 from the begin of the movement on.
    """

    lag_ms: float = 0.0
    smooth_ms: float = 40.0
    subgroup: str = ""
    onset: str = ""


@dataclass(frozen=True, kw_only=True)
class Better:
    """Whether inferred rates do something better than smoothed events.

    Attributes
    ----------
    what
        What they do, to stand behind "rates".
    over
        What is paired.
    n
        How many pairs.
    test
        That inferred rates are above.
    """

    what: str
    over: str
    n: int
    test: PairedT


@dataclass(frozen=True, kw_only=True, eq=False)
class RateScores:
    """Scores of one recording, each method's beside the other's.

    Attributes
    ----------
    recording
        Its name.
    measures
        Dimensions of the state that was read from rates.
    bin_s
        Duration of a bin, seconds.
    condition_R
        Condition of each trial.
    states
        Method to how well its rates tell the state; empty without measures.
    better
        Whether inferred rates are above smoothed events in each score that there is.
    coherences
        Method to the coherence of true and read measures, where trials are long enough.
    correlations
        Method to the correlation of each neuron with the mean of its condition's other trials.
    ratios
        Method to distance ratios, shape ``(trial, bin)``; empty without subgroups.
    paths
        Method to trials as paths; empty with a single condition, and without a method of which
        some rates are negative, as those of a Gaussian may be, and have no logarithm.
    onset_s, predicted_s
        True onset of each trial and method to predicted ones, seconds from a trial's begin.
    """

    recording: str
    measures: tuple[str, ...]
    bin_s: float
    condition_R: NDArray[np.int64]
    states: Mapping[str, StateDecoding] = field(default_factory=dict)
    better: tuple[Better, ...] = ()
    coherences: Mapping[str, Coherence] = field(default_factory=dict)
    correlations: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    ratios: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    paths: Mapping[str, Trajectories] = field(default_factory=dict)
    onset_s: NDArray[np.float64] | None = None
    predicted_s: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)


def score_rates(settings: DynamicsSettings, asked: Asked, /) -> tuple[RateScores, ...]:
    """Score what a population inferred, recording by recording.

    Parameters
    ----------
    settings
        It was run with.
    asked
        What rates are compared with.

    Raises
    ------
    FileNotFoundError
        If nothing was inferred yet.
    ValueError
        If a label is not there, or trials are too few.
    """
    datasets = datasets_of(settings)
    labels = tuple(filter(None, (asked.subgroup, asked.onset)))
    more = (*settings.datasets.measures, *labels)
    views = settings.datasets.with_measures(more).views(datasets, seed=settings.seed)
    return tuple(_score(view, settings, asked) for view in views)


def _score(view: TrialView, settings: DynamicsSettings, asked: Asked) -> RateScores:
    file = settings.file_of(view.recording)
    if not file.exists():
        raise FileNotFoundError(
            f"{file} is not there yet: give the command that began {settings.run_name} again, and "
            "it goes on."
        )
    smoothed_RTN = smooth(view.activity_RTN, rate_hz=view.rate_hz, sd_ms=asked.smooth_ms)
    rates = {
        INFERRED: np.concatenate(list(read_inferred(file, "rates"))).astype(np.float64),
        # Where a neuron was not sampled for long nothing is known of it: its mean stands there.
        SMOOTHED: np.where(
            np.isnan(smoothed_RTN), np.nanmean(smoothed_RTN, axis=(0, 1)), smoothed_RTN
        ),
    }
    found = RateScores(
        recording=view.recording,
        measures=settings.datasets.measures,
        bin_s=1 / view.rate_hz,
        condition_R=view.condition_R,
    )
    n_bins_R = _n_bins(view)
    n_shared = int(n_bins_R.min())
    shared = {name: rates_RTN[:, :n_shared] for name, rates_RTN in rates.items()}
    parts = (
        _states(view, rates, settings.datasets.measures, lag_ms=asked.lag_ms),
        _conditions(view, shared),
        _subgroups(view, shared, asked.subgroup),
        _onsets(view, rates, asked.onset, n_bins_R=n_bins_R),
    )
    values = {key: value for part in parts for key, value in part.items()}
    found = replace(found, **values)
    return replace(found, better=tuple(_better(found)))


def _n_bins(view: TrialView) -> NDArray[np.int64]:
    """Count the bins of each trial: those that a shorter one was filled up with are none."""
    is_there_RT = np.count_nonzero(np.isfinite(view.activity_RTN), axis=2) > 0
    return np.asarray(is_there_RT.shape[1] - is_there_RT[:, ::-1].argmax(axis=1))


def _better(found: RateScores) -> Iterator[Better]:
    """Test each score, paired over what it has one of for each method."""
    onset_s = np.nan if found.onset_s is None else found.onset_s
    scores: list[tuple[str, str, Mapping[str, NDArray[np.float64]]]] = [
        ("tell the state", "folds of trials", {k: s.by_fold for k, s in found.states.items()}),
        ("go with the mean of other trials", "neurons", found.correlations),
        (
            "keep trials with their subgroup",
            "trials",
            {name: finite_mean(ratio_BT, axis=1) for name, ratio_BT in found.ratios.items()},
        ),
        (
            "tell when movement begins",
            "trials",
            {name: -np.abs(at_R - onset_s) for name, at_R in found.predicted_s.items()},
        ),
    ]
    for what, over, of_method in scores:
        if not of_method:
            continue
        inferred, smoothed = of_method[INFERRED], of_method[SMOOTHED]
        is_pair = np.isfinite(inferred) & np.isfinite(smoothed)
        if np.count_nonzero(is_pair) > 1:
            test = paired_t(inferred[is_pair], smoothed[is_pair])
            yield Better(what=what, over=over, n=int(np.count_nonzero(is_pair)), test=test)


def _states(
    view: TrialView,
    rates: Mapping[str, NDArray[np.float64]],
    measures: tuple[str, ...],
    *,
    lag_ms: float,
) -> dict[str, Any]:
    if not measures:
        return {}
    states_RTD = np.stack([view.measures[name] for name in measures], axis=2)
    lag_bins = round(lag_ms / 1000 * view.rate_hz)
    states = {
        name: decode_states(rates_RTN, states_RTD, lag_bins=lag_bins)
        for name, rates_RTN in rates.items()
    }
    n_bins = states_RTD.shape[1] - lag_bins
    coherences = {}
    for name, decoding in states.items():
        read_RTD = decoding.predicted_BTD[:, :n_bins]
        whole_R = np.isfinite(read_RTD).all(axis=(1, 2))
        if n_bins >= WINDOW_BINS and whole_R.any():
            coherences[name] = coherence(
                states_RTD[whole_R, :n_bins], read_RTD[whole_R], rate_hz=view.rate_hz
            )
    return {"states": states, "coherences": coherences}


def _conditions(view: TrialView, rates: Mapping[str, NDArray[np.float64]]) -> dict[str, Any]:
    known_R = view.condition_R >= 0
    of_known = view.condition_R[known_R]
    if len(np.unique(of_known)) < 2:
        return {}
    events_N = (view.activity_RTN[known_R] > 0).sum(axis=(0, 1))
    correlations = {
        name: condition_mean_correlation(
            rates_RTN[known_R], rates[SMOOTHED][known_R], of_known, events_N=events_N
        )
        for name, rates_RTN in rates.items()
    }
    paths = {
        name: trajectories(rates_RTN[known_R], of_known, n_dimensions=min(3, rates_RTN.shape[2]))
        for name, rates_RTN in rates.items()
        if (rates_RTN[known_R] >= 0).all()
    }
    return {"correlations": correlations, "paths": paths, "condition_R": of_known}


def _subgroups(
    view: TrialView, rates: Mapping[str, NDArray[np.float64]], label: str
) -> dict[str, Any]:
    if not label:
        return {}
    subgroup_R = view.measures[label][:, 0]
    known_R = np.isfinite(subgroup_R)
    ratios = {
        name: subgroup_distance_ratio(
            rates_RTN[known_R], view.condition_R[known_R], subgroup_R[known_R]
        )
        for name, rates_RTN in rates.items()
    }
    return {"ratios": ratios}


def _onsets(
    view: TrialView,
    rates: Mapping[str, NDArray[np.float64]],
    label: str,
    *,
    n_bins_R: NDArray[np.int64],
) -> dict[str, Any]:
    if not label:
        return {}
    moves_RT = view.measures[label] >= 1
    has_R = moves_RT.any(axis=1)
    onset_R = moves_RT[has_R].argmax(axis=1)
    bin_s = 1 / view.rate_hz
    predicted = {
        name: bin_s
        * predict_onsets(rates_RTN[has_R], onset_R, bin_s=bin_s, n_bins_B=n_bins_R[has_R])
        for name, rates_RTN in rates.items()
    }
    return {"onset_s": onset_R * bin_s, "predicted_s": predicted}
