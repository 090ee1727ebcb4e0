"""``calsweep rates``: what LFADS or RADICaL inferred, scored, as a table and one HTML file."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np

from calsweep.dashboards.page import Plate, plate_of, render_page, write_page
from calsweep.dashboards.rates import (
    coherence_curves,
    condition_mean_scatter,
    distance_ratios,
    onset_scatter,
    score_curve,
    state_scores,
    trajectory_paths,
)
from calsweep.platform.commands import option
from calsweep.platform.dynamics.condition_mean import finite_mean
from calsweep.platform.dynamics.experiment import Finding, order_of_methods, read_findings
from calsweep.platform.dynamics.fewer_neurons import score_fewer_neurons
from calsweep.platform.dynamics.rate_scores import (
    INFERRED,
    SMOOTHED,
    Asked,
    RateScores,
    score_rates,
)
from calsweep.platform.dynamics.settings import DynamicsSettings
from calsweep.platform.population.population_run import read_dynamics

NEURONS = "neurons seen"


@dataclass(frozen=True, kw_only=True)
class Line:
    """A score as the table says it."""

    what: str
    inferred: str
    smoothed: str


@dataclass(frozen=True, kw_only=True)
class Part:
    """A recording on the page."""

    recording: str
    lines: tuple[Line, ...]
    better: tuple[str, ...]
    plates: tuple[Plate, ...]


@click.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@click.option(
    "--lag-ms",
    type=click.FloatRange(min=0),
    default=Asked().lag_ms,
    show_default=True,
    help="By how much rates come later than the measures.",
)
@click.option(
    "--smooth-ms",
    type=click.FloatRange(min=0, min_open=True),
    default=Asked().smooth_ms,
    show_default=True,
    help="Standard deviation of the Gaussian of smoothed events.",
)
@click.option("--subgroup", default="", help="Label that divides conditions.")
@click.option("--onset", default="", help="Label that is 1 once the movement has begun.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File to write.  [default: rates.html beside the rates]",
)
@option.home
def rates(
    names: tuple[str, ...],
    lag_ms: float,
    smooth_ms: float,
    subgroup: str,
    onset: str,
    out: Path | None,
    home: Path,
) -> None:
    """Score the rates that `calsweep lfads` left under NAME, or draw an experiment of that name.

    Of several NAMEs, which saw more and fewer neurons of the same trials, it draws what rates tell
    of the measures by the number of neurons.
    """
    name, *others = dict.fromkeys(names)
    asked = Asked(lag_ms=lag_ms, smooth_ms=smooth_ms, subgroup=subgroup, onset=onset)
    if others:
        populations = [read_dynamics(home, one) for one in (name, *others)]
        findings = score_fewer_neurons(populations, asked)
        for said in order_of_methods(findings):
            click.echo(said)
        page = render_findings(NEURONS, findings, name=", ".join((name, *others)))
        click.echo(str(write_page(page, out or populations[0].folder / "neurons.html")))
        return
    folder = home / "experiments" / name
    if (folder / "findings.json").exists():
        along, findings = read_findings(folder / "findings.json")
        page = render_findings(along, findings, name=name)
        click.echo(str(write_page(page, out or folder / "rates.html")))
        return
    settings = read_dynamics(home, name)
    scores = score_rates(settings, asked)
    for score in scores:
        click.echo(f"{score.recording:50} {INFERRED:>20} {SMOOTHED:>20}")
        for line in lines_of(score):
            click.echo(f"  {line.what:48} {line.inferred:>20} {line.smoothed:>20}")
        for said in better(score):
            click.echo(f"  {said}")
    place = out or settings.folder / "rates.html"
    click.echo(str(write_page(render(settings, asked, scores), place)))


def render(settings: DynamicsSettings, asked: Asked, scores: Iterable[RateScores], /) -> str:
    """Give the page of a population's rates."""
    best = json.loads((settings.folder / "best.json").read_text())
    return render_page(
        "rates.html",
        name=settings.run_name,
        state=(
            f"Member {best['member']} of generation {best['generation']}, validation loss "
            f"{best['loss']:.5g} nats a value."
        ),
        facts=_facts(settings, asked, best),
        parts=[
            Part(
                recording=score.recording,
                lines=lines_of(score),
                better=better(score),
                plates=_plates(score),
            )
            for score in scores
        ],
    )


def render_findings(along: str, findings: Sequence[Finding], /, *, name: str) -> str:
    """Give the page of what differs along a value: a curve for each measure, and the tests."""
    plates = []
    for measure in findings[0].r2:
        scores: dict[str, dict[float, Sequence[float]]] = {}
        for one in findings:
            scores.setdefault(one.method, {})[float(one.value)] = one.r2[measure]
        drawn = score_curve(scores, along=along, score=f"R² of {measure} on held-out trials")
        plates.append(plate_of(f"r2-{measure}", f"What rates tell of {measure}", drawn))
    tests = [("Is one method above the next?", line) for line in order_of_methods(findings)]
    part = Part(recording=name, lines=(), better=(), plates=tuple(plates))
    state = f"{len({one.method for one in findings})} methods along {along}."
    return render_page("rates.html", name=name, state=state, facts=tests, parts=[part])


def lines_of(score: RateScores, /) -> tuple[Line, ...]:
    """Say the scores of a recording, mean and standard deviation."""
    lines = []
    for d, measure in enumerate(score.measures if score.states else ()):
        of = {name: decoding.r2_FD[:, d] for name, decoding in score.states.items()}
        lines.append(_line(f"R² of {measure} (folds)", of))
    if score.correlations:
        lines.append(_line("r with means of other trials (neurons)", score.correlations))
    if score.ratios:
        means = {name: finite_mean(ratio, axis=0) for name, ratio in score.ratios.items()}
        lines.append(_line("distance to other subgroups / to own (bins)", means))
    if score.onset_s is not None:
        found = {
            name: np.array([_correlation(score.onset_s, predicted)])
            for name, predicted in score.predicted_s.items()
        }
        lines.append(_line("r of onsets", found))
    return tuple(lines)


def better(score: RateScores, /) -> tuple[str, ...]:
    """Say of each score whether inferred rates are better than smoothed events."""
    return tuple(
        f"Do inferred rates {one.what} better than smoothed events? Paired t over {one.n} "
        f"{one.over}: one-sided p = {one.test.p:.2g}. {_CAVEAT[one.over]}"
        for one in score.better
    )


_CAVEAT = {
    "folds of trials": "Folds share training trials, so it is too small by some.",
    "neurons": "Neurons share the trials, so it speaks for these trials alone.",
    "trials": "Trials share the model, so it speaks for this model alone.",
}


def _line(what: str, of: Mapping[str, Any]) -> Line:
    return Line(what=what, inferred=_spread(of[INFERRED]), smoothed=_spread(of[SMOOTHED]))


def _spread(values: Any) -> str:
    finite = values[np.isfinite(values)]
    if not len(finite):
        return "–"
    sd = f" ± {finite.std(ddof=1):.3f}" if len(finite) > 1 else ""
    return f"{finite.mean():.3f}{sd}"


def _correlation(one: Any, other: Any) -> float:
    there = np.isfinite(other)
    return float(np.corrcoef(one[there], other[there])[0, 1]) if there.sum() > 1 else math.nan


def _plates(score: RateScores) -> tuple[Plate, ...]:
    """Draw what the recording has."""
    name, plates = score.recording, []
    if score.states:
        drawn = state_scores(score.states, dimensions=score.measures)
        plates.append(plate_of(f"{name}-states", "What rates tell of the state", drawn))
    if score.coherences:
        drawn = coherence_curves(score.coherences)
        plates.append(plate_of(f"{name}-coherence", "How fast a state they follow", drawn))
    if score.correlations:
        pair = (score.correlations[INFERRED], score.correlations[SMOOTHED])
        drawn = condition_mean_scatter(*pair, names=(INFERRED, SMOOTHED))
        title = "Single trials and the mean of their condition"
        plates.append(plate_of(f"{name}-means", title, drawn))
    for method, paths in score.paths.items():
        if paths.trial_BTD.shape[2] > 1:
            drawn = trajectory_paths(paths, score.condition_R)
            title = f"Single trials as paths: {method}"
            plates.append(plate_of(f"{name}-paths-{method.split()[0]}", title, drawn))
    if score.ratios:
        drawn = distance_ratios(score.ratios, bin_s=score.bin_s)
        plates.append(plate_of(f"{name}-ratios", "Do trials keep to their subgroup?", drawn))
    if score.onset_s is not None:
        drawn = onset_scatter(score.onset_s, score.predicted_s, what="onset")
        plates.append(plate_of(f"{name}-onsets", "When movement begins", drawn))
    return tuple(plates)


def _facts(
    settings: DynamicsSettings, asked: Asked, best: Mapping[str, Any]
) -> list[tuple[str, str]]:
    values = ", ".join(
        f"{key.rpartition('.')[2]} {value:.3g}" for key, value in best["values"].items()
    )
    return [
        ("Model", type(settings.trainables.observation).__name__),
        ("Dataset", settings.datasets.address),
        ("Population", f"{settings.population.size} members, {best['generation']} generations"),
        ("Values of the best", values),
        ("Rates behind the state", f"{asked.lag_ms:g} ms"),
        ("Smoothed events", f"Gaussian, SD {asked.smooth_ms:g} ms"),
    ]
