"""Experiments of R: methods side by side over simulated Lorenz systems that differ in one thing."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calsweep.datasets.cache import beside
from calsweep.datasets.lorenz import Form, Lorenz
from calsweep.datasets.trial_view import view_trials
from calsweep.platform.dynamics.inferred import read_inferred
from calsweep.platform.dynamics.recovery import (
    MEASURES,
    TrueStates,
    best_lag,
    smoothed,
)
from calsweep.platform.dynamics.settings import DynamicsSettings, datasets_of
from calsweep.platform.ingestion import simulate
from calsweep.platform.plain import nearest
from calsweep.platform.statistics import paired_t

SMOOTHING = "smoothing"
SMOOTHED_FLUORESCENCE = "smoothed fluorescence"
_BASELINES = (SMOOTHING, SMOOTHED_FLUORESCENCE)


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """What differs, and the methods that are compared.

    Attributes
    ----------
    along
        Name of what differs, with its unit.
    values
        Each value to the simulator's settings (`calsweep.datasets.lorenz.Lorenz`).
    methods
        Each method to the ``form`` of the recording it sees, and ``overrides`` of
        `calsweep lfads`. Events of frames, and fluorescence, smoothed in time, stand beside them.
    """

    along: str
    values: Mapping[str, Mapping[str, Any]]
    methods: Mapping[str, Mapping[str, Any]]

    def __post_init__(self) -> None:
        for value, settings in self.values.items():
            float(value)
            Lorenz(**settings)
        for name, method in self.methods.items():
            if set(method) != {"form", "overrides"} or name in _BASELINES:
                raise ValueError(
                    "a method must give `form` and `overrides`, and smoothing stands beside all, "
                    f"but got {name!r}: {dict(method)}."
                )
            Form(method["form"])


@dataclass(frozen=True, kw_only=True)
class Finding:
    """How well a method told the state at one value.

    Attributes
    ----------
    value, method
        Which.
    lag_ms
        By how much rates are read after the state.
    r2
        Dimension of the state to the coefficient of determination of each fold of trials.
    """

    value: str
    method: str
    lag_ms: float
    r2: Mapping[str, tuple[float, ...]]


def run_experiment(
    experiment: Experiment,
    /,
    *,
    name: str,
    folder: Path,
    run: Callable[[Sequence[str]], DynamicsSettings],
    only: Sequence[str] = (),
    seed: int = 0,
    simulation: Mapping[str, Any] | None = None,
    say: Callable[[str], None] = print,
) -> tuple[Finding, ...]:
    """Simulate, train every method on every value, and score them as R does.

    Rates of every method, those of whole frames interpolated, are mapped to the true state in bins
    of 10 ms, at the lag at which smoothed events tell it best; smoothed fluorescence, which has
    another, at its own. What is there is not done again: an experiment that was interrupted goes
    on.

    Parameters
    ----------
    experiment
        What to do.
    name
        Begins the names of populations.
    folder
        For the recordings and `findings.json`.
    run
        Trains a population with overrides of `calsweep lfads` and gives its settings.
    only
        Some of the values; by default all.
    seed
        Of the simulator.
    simulation
        What else differs from the simulator's settings, as fewer trials.
    say
        Told of progress.

    Raises
    ------
    ValueError
        If a value is not one of the experiment's, or a setting none of the simulator's.
    """
    unknown = [value for value in only if value not in experiment.values]
    if unknown:
        known = ", ".join(experiment.values)
        raise ValueError(f"{unknown[0]!r} is no value of the experiment. There are: {known}.")
    settable = [field.name for field in fields(Lorenz) if field.name not in ("form", "seed")]
    for key in simulation or {}:
        if key not in settable:
            raise ValueError(f"`simulation.{key}` is no setting. {nearest(key, settable)}")
    findings: list[Finding] = []
    for value in only or experiment.values:
        settings = {**experiment.values[value], **(simulation or {}), "seed": seed}
        for method, lag_ms, r2_FD in _scored(
            experiment,
            settings,
            said=f"{experiment.along} {value}",
            name=f"{name}-{value}",
            folder=folder / value,
            run=run,
            say=say,
        ):
            r2 = {name: tuple(r2_FD[:, d].tolist()) for d, name in enumerate(MEASURES)}
            findings.append(Finding(value=value, method=method, lag_ms=lag_ms, r2=r2))
            say(f"  {method}: R² of z {_mean(r2['z']):.3f}")
    _write(folder / "findings.json", experiment, findings)
    return tuple(findings)


def order_of_methods(findings: Sequence[Finding], /, *, measure: str = "") -> list[str]:
    """Say for each value whether each method is above the next, in the order of their means.

    Of Lorenz systems by z, the fastest dimension; otherwise by the first measure.
    """
    measure = measure or ("z" if "z" in findings[0].r2 else next(iter(findings[0].r2)))
    said = []
    for value in dict.fromkeys(one.value for one in findings):
        here = sorted(
            (one for one in findings if one.value == value),
            key=lambda one: -_mean(one.r2[measure]),
        )
        for better, worse in itertools.pairwise(here):
            test = paired_t(better.r2[measure], worse.r2[measure])
            said.append(
                f"{value}: {better.method} {_mean(better.r2[measure]):.3f} above {worse.method} "
                f"{_mean(worse.r2[measure]):.3f}, paired t over folds, one-sided p = {test.p:.2g}"
            )
    return said


def _scored(
    experiment: Experiment,
    settings: Mapping[str, Any],
    *,
    said: str,
    name: str,
    folder: Path,
    run: Callable[[Sequence[str]], DynamicsSettings],
    say: Callable[[str], None],
) -> Iterator[tuple[str, float, NDArray[np.float64]]]:
    """Give each method as it is done, the lag, and R² of each fold and dimension."""
    simulators = {form: Lorenz(**settings, form=form) for form in Form}
    folders = {form: folder.with_name(f"{folder.name}-{form.value}") for form in Form}
    for form, simulator in simulators.items():
        if not (folders[form] / "manifest.json").exists():
            simulate(simulator, address=str(folders[form]), replace=True)
    states = TrueStates.of(simulators[Form.FRAMES])
    lag_ms: float | None = None
    for method, how in experiment.methods.items():
        say(f"{said}, {method}")
        form = Form(how["form"])
        done = run(
            [
                f"datasets.address={folders[form]}",
                "datasets.condition=condition",
                f"datasets.measures=[{','.join(MEASURES)}]",
                f"name={name}-{_plain(method)}",
                *how["overrides"],
            ]
        )
        if lag_ms is None:
            frames = done.with_addresses(str(folders[Form.FRAMES]))
            (view,) = frames.datasets.views(datasets_of(frames), seed=frames.seed)
            smoothed_RBN = states.in_bins(smoothed(view), Form.FRAMES)
            lag_ms = best_lag(states, smoothed_RBN)
            say(f"  Rates are read {lag_ms:g} ms after the state, where events tell it best.")
            yield SMOOTHING, lag_ms, states.decoded(smoothed_RBN, lag_ms=lag_ms)
            yield SMOOTHED_FLUORESCENCE, *_of_fluorescence(simulators[Form.FRAMES], states)
        rates_RTN = np.concatenate(
            list(read_inferred(done.file_of(simulators[form].name), "rates"))
        )
        yield method, lag_ms, states.decoded(states.in_bins(rates_RTN, form), lag_ms=lag_ms)


def _of_fluorescence(simulator: Lorenz, states: TrueStates) -> tuple[float, NDArray[np.float64]]:
    """Score fluorescence, smoothed and not deconvolved, at the lag at which it tells most itself.

    That of events would put it at a disadvantage: they come later than the spikes.
    """
    (recording,) = replace(simulator, deconvolution=None).recordings()
    smoothed_RBN = states.in_bins(smoothed(view_trials(recording)), simulator.form)
    lag_ms = best_lag(states, smoothed_RBN)
    return lag_ms, states.decoded(smoothed_RBN, lag_ms=lag_ms)


def _plain(text: str) -> str:
    return re.sub(r"\W+", "-", text.lower())


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _write(path: Path, experiment: Experiment, findings: Sequence[Finding]) -> None:
    with beside(path) as partial:
        partial.write_text(
            json.dumps(
                {
                    "along": experiment.along,
                    "findings": [
                        {
                            "value": one.value,
                            "method": one.method,
                            "lag_ms": one.lag_ms,
                            "r2": dict(one.r2),
                        }
                        for one in findings
                    ],
                },
                indent=1,
            )
        )


def read_findings(path: Path, /) -> tuple[str, tuple[Finding, ...]]:
    """Read what an experiment left: what differs in it, and what was found."""
    plain = json.loads(path.read_text())
    findings = tuple(
        Finding(
            value=one["value"],
            method=one["method"],
            lag_ms=one["lag_ms"],
            r2={name: tuple(values) for name, values in one["r2"].items()},
        )
        for one in plain["findings"]
    )
    return plain["along"], findings
