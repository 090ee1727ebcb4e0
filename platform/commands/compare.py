"""``calsweep compare``: configurations side by side, and whether they differ."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from calsweep.datasets.audit import Standing
from calsweep.datasets.cache import beside
from calsweep.platform.arm import (
    FIGURES,
    Arm,
    best_arm,
    default_arms,
    default_reference,
    figure_name,
    find_arm,
)
from calsweep.platform.commands import option
from calsweep.platform.comparison import ALPHA, WHAT_TO_TRUST, Comparison, Method, Pair, PValue
from calsweep.platform.comparison import compare as compare_arms
from calsweep.platform.equal_budget import Measure
from calsweep.platform.equal_budget import equal_budget as cut_to_equal
from calsweep.platform.finding import findings
from calsweep.platform.leaderboard import n_folds
from calsweep.platform.record import SweepRecord
from calsweep.platform.record_reader import read_sweep
from calsweep.platform.statistics import Summary

FINDINGS_SAID = 10
"""Pairs: of more, the table tells."""


@click.command()
@click.argument("sweeps", nargs=-1, metavar="[SWEEP]...")
@click.option(
    "--arm",
    "named",
    multiple=True,
    metavar="SWEEP:TRIAL",
    help="A configuration: a number, a name, `baseline`, `best` or `nested` (chosen for each test "
    "group without it); again for more. Without `SWEEP:` of the one sweep.",
)
@click.option(
    "--reference",
    metavar="SWEEP:TRIAL",
    help="What all others are compared with.  [default: the linear baseline of one sweep, the best "
    "of the first of several]",
)
@click.option(
    "--equal-budget",
    type=click.Choice([measure.value for measure in Measure]),
    help="Cut each sweep (of one sweep, each arm) to the device- or CPU-seconds of the one that "
    "used least, in the order of its record, and compare the best of what is left.",
)
@click.option("--all-pairs", is_flag=True, help="Compare every two, as papers do.")
@click.option(
    "--figure", type=click.Choice(FIGURES), default="auc", show_default=True, help="Of the test."
)
@click.option("--alpha", type=float, default=ALPHA, show_default=True, help="Significance level.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write it to a file too: .csv (a line a pair) or .json (all of it).",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON in place of the tables.")
@option.home
def compare(
    sweeps: tuple[str, ...],
    named: tuple[str, ...],
    reference: str | None,
    equal_budget: str | None,
    all_pairs: bool,
    figure: str,
    alpha: float,
    out: Path | None,
    as_json: bool,
    home: Path,
) -> None:
    """Test whether configurations differ, over folds and over animals.

    Of one SWEEP all configurations are compared (of more than 10 the best 10 and the linear
    baseline), of several the best of each. Test figures are compared; `best` is by validation.
    """
    if out is not None and out.suffix not in {".csv", ".json"}:
        raise ValueError(f"`--out` must name a file .csv or .json, but got {out}.")
    if all_pairs and reference is not None:
        raise ValueError(
            f"`--all-pairs` has no reference, but got `--reference {reference}`: leave one out."
        )
    cut = None
    if equal_budget is not None:
        if named or reference is not None:
            raise ValueError("`--equal-budget` chooses what is compared: name sweeps alone.")
        whole = [read_sweep(home, name) for name in dict.fromkeys(sweeps)]
        cut = cut_to_equal(whole, Measure(equal_budget))
    arms = cut.arms if cut else choose_arms(sweeps, named, home=home)
    against = None
    if reference is not None:
        against = _find(reference, sweeps, home=home)
        # By name: a sweep that runs may have gone on since its arms were read.
        arms = arms if against.name in {arm.name for arm in arms} else (*arms, against)
    elif not all_pairs and arms:
        against = default_reference(arms)
    comparison = compare_arms(arms, reference=against, figure=figure, alpha=alpha)
    if cut:
        comparison = replace(comparison, notes=(cut.sentence, *comparison.notes))
    if out is not None:
        _write(comparison, out)
    if as_json:
        click.echo(json.dumps(as_plain(comparison), indent=1, ensure_ascii=False))
        return
    print_comparison(comparison)
    if out is not None:
        click.echo(f"Written: {out}")


def choose_arms(sweeps: Sequence[str], named: Sequence[str], /, *, home: Path) -> tuple[Arm, ...]:
    """Give the configurations to compare.

    Parameters
    ----------
    sweeps
        Names of sweeps; one of which a configuration is named gives no other.
    named
        ``SWEEP:TRIAL``, or ``TRIAL`` where one sweep is named.
    home
        Holds the sweeps.
    """
    if not sweeps and not named:
        raise ValueError(
            "`calsweep compare` needs a sweep, or `--arm SWEEP:TRIAL`, but got none: "
            "`calsweep compare SWEEP` compares its configurations."
        )
    found = [_find(name, sweeps, home=home) for name in named]
    have_arms = {arm.sweep.name for arm in found}
    whole = [read_sweep(home, name) for name in dict.fromkeys(sweeps) if name not in have_arms]
    if len(whole) == 1 and not found:
        return default_arms(whole[0])
    return (*map(best_arm, whole), *found)


def print_comparison(comparison: Comparison, /) -> None:
    """Print the arms, the tests between them, and what to know of both."""
    console = Console(width=None if Console().is_terminal else 140)
    console.print(_arms_table(comparison))
    if any(pair.p for pair in comparison.pairs):
        console.print(_pairs_table(comparison))
    sentences = [*comparison.notes]
    if len(comparison.pairs) <= FINDINGS_SAID:
        sentences = [*findings(comparison), *sentences]
    if any(pair.differences for pair in comparison.pairs):
        sentences.insert(0, WHAT_TO_TRUST)
    for sweep in {arm.sweep.name: arm.sweep for arm in comparison.arms}.values():
        sentences += [f"Leak in {sweep.name}: {leak.sentence}." for leak in sweep.verdict.leaks]
    for sentence in sentences:
        console.print(sentence, highlight=False, markup=False)


def as_plain(comparison: Comparison, /) -> dict[str, Any]:
    """Give a comparison as JSON data; what does not apply is ``None``."""
    return {
        "figure": comparison.figure,
        "alpha": comparison.alpha,
        "unit": comparison.unit,
        "arms": [
            _plain_arm(arm, summary)
            for arm, summary in zip(comparison.arms, comparison.summaries, strict=True)
        ],
        "pairs": [_plain_pair(pair) for pair in comparison.pairs],
        "notes": list(comparison.notes),
    }


def _find(name: str, sweeps: Sequence[str], *, home: Path) -> Arm:
    sweep, _, trial = name.rpartition(":")
    if not sweep and len(set(sweeps)) != 1:
        raise ValueError(
            f"`SWEEP:TRIAL` must name a configuration where not one sweep is named, but got "
            f"{name!r}: write for instance `{sweeps[0] if sweeps else 'SWEEP'}:{trial}`."
        )
    return find_arm(read_sweep(home, sweep or sweeps[0]), trial)


def _arms_table(comparison: Comparison) -> Table:
    sweeps = {arm.sweep.name: arm.sweep for arm in comparison.arms}
    leaky = " · LEAKY FOLDS" if any(sweep.verdict.leaks for sweep in sweeps.values()) else ""
    target = comparison.arms[0].sweep.dataset["target"]
    table = Table(
        title=escape(
            f"{', '.join(sweeps)}: test {figure_name(comparison.figure)} of {target} over "
            f"{_folds(list(sweeps.values()))}{leaky}"
        )
    )
    words = ("configuration", "audit")
    for column in ("configuration", "mean ± SD", "median", "quartiles", "IQR", "audit"):
        table.add_column(column, justify="left" if column in words else "right")
    for arm, summary in zip(comparison.arms, comparison.summaries, strict=True):
        mask = f" [mask: {arm.trial.mask}]" if arm.trial.mask else ""
        table.add_row(
            escape(f"{comparison.name(arm)}: {arm.trial.decoder}{mask}"),
            _mean(summary),
            f"{summary.median:.4f}",
            f"{summary.lower_quartile:.4f} to {summary.upper_quartile:.4f}",
            f"{summary.iqr:.4f}",
            _standing(arm),
            style="dim" if arm.trial.is_baseline else "",
        )
    return table


def _folds(sweeps: Sequence[SweepRecord]) -> str:
    counts = dict.fromkeys(n_folds(sweep.plan) for sweep in sweeps)
    return " and ".join(counts)


def _mean(summary: Summary) -> str:
    """Write mean and spread; one fold has no spread."""
    return f"{summary.mean:.4f} ± {summary.sd:.4f}" if summary.n > 1 else f"{summary.mean:.4f}"


def _standing(arm: Arm) -> str:
    standing = arm.trial.verdict.standing
    return "LEAKY" if standing is Standing.LEAKY else standing.value


def _pairs_table(comparison: Comparison) -> Table:
    methods = [m for m in Method if any(m in pair.p for pair in comparison.pairs)]
    has_interval = any(pair.sign_flip for pair in comparison.pairs)
    references = {comparison.name(pair.reference) for pair in comparison.pairs}
    to = f" to {references.pop()}" if len(references) == 1 else ""
    n, figure = len(comparison.pairs), figure_name(comparison.figure)
    table = Table(
        title=escape(
            f"Difference of test {figure}{to}, and p after Holm's correction for {n} "
            f"comparison{'s' if n > 1 else ''} (p of each by itself); * p ≤ {comparison.alpha:g}"
        )
    )
    table.add_column("configuration")
    table.add_column("difference", justify="right")
    if has_interval:
        table.add_column(_interval_title(comparison), justify="right")
    for method in methods:
        table.add_column(method.value, justify="right")
    for pair in comparison.pairs:
        name = comparison.name(pair.arm)
        against = "" if to else f" - {comparison.name(pair.reference)}"
        interval = [_interval(pair)] if has_interval else []
        p = [_p(pair.p.get(method), alpha=comparison.alpha) for method in methods]
        table.add_row(escape(name + against), f"{pair.mean_difference:+.4f}", *interval, *p)
    return table


def _interval_title(comparison: Comparison) -> str:
    levels = {pair.sign_flip.level for pair in comparison.pairs if pair.sign_flip}
    said = " to ".join(f"{100 * level:.1f}" for level in sorted(levels))
    return f"{said} % interval ({comparison.unit})"


def _interval(pair: Pair) -> str:
    if pair.sign_flip is None:
        return "-"
    return f"{pair.sign_flip.low:+.4f} to {pair.sign_flip.high:+.4f}"


def _p(p: PValue | None, *, alpha: float) -> str:
    if p is None:
        return "-"
    return f"{_short(p.holm)}{'*' if p.holm <= alpha else ''} ({_short(p.raw)})"


def _short(p: float) -> str:
    return f"{p:.3f}" if p >= 0.001 else f"{p:.0e}"


def _write(comparison: Comparison, out: Path) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    with beside(out) as partial:
        if out.suffix == ".json":
            text = json.dumps(as_plain(comparison), indent=1, ensure_ascii=False)
            partial.write_text(text, encoding="utf-8")
            return
        with partial.open("w", newline="", encoding="utf-8") as file:
            lines = list(_lines(comparison))
            writer = csv.DictWriter(file, list(lines[0]))
            writer.writeheader()
            writer.writerows(lines)


def _lines(comparison: Comparison) -> Iterator[dict[str, Any]]:
    """Give a flat line a pair."""
    names = [arm.name for arm in comparison.arms]
    summary = dict(zip(names, comparison.summaries, strict=True))
    for pair in comparison.pairs:
        line: dict[str, Any] = {"figure": comparison.figure}
        for role, arm in (("arm", pair.arm), ("reference", pair.reference)):
            plain = _plain_arm(arm, summary[arm.name])
            line |= {role if key == "name" else f"{role}_{key}": plain[key] for key in plain}
        for key, value in _plain_pair(pair).items():
            if isinstance(value, dict):
                line |= {f"{key}_{name}": item for name, item in value.items()}
            elif key not in ("arm", "reference"):
                line[key] = value
        yield line


def _plain_arm(arm: Arm, summary: Summary) -> dict[str, Any]:
    return {
        "name": arm.name,
        "decoder": arm.trial.decoder,
        "mask": arm.trial.mask,
        "audit": arm.trial.verdict.standing.value,
        "plan_hash": arm.sweep.plan_hash,
        "n_folds": summary.n,
        "mean": summary.mean,
        "sd": summary.sd,
        "median": summary.median,
        "lower_quartile": summary.lower_quartile,
        "upper_quartile": summary.upper_quartile,
    }


def _plain_pair(pair: Pair) -> dict[str, Any]:
    t, flip = pair.corrected_t, pair.sign_flip
    tests = {
        method.value.replace("-", "_").replace(" ", "_"): {
            "p": pair.p[method].raw if method in pair.p else None,
            "holm": pair.p[method].holm if method in pair.p else None,
        }
        for method in Method
    }
    tests["corrected_t"] |= {
        "low": _number(t.low if t else None),
        "high": _number(t.high if t else None),
    }
    tests["sign_flip"] |= {
        "low": _number(flip.low if flip else None),
        "high": _number(flip.high if flip else None),
        "level": flip.level if flip else None,
        "n": flip.n if flip else None,
        "smallest_p": flip.smallest_p if flip else None,
    }
    return {
        "arm": pair.arm.name,
        "reference": pair.reference.name,
        "mean_difference": pair.mean_difference,
        **tests,
    }


def _number(value: float | None) -> float | None:
    """Give what JSON has a form of."""
    return value if value is not None and math.isfinite(value) else None
