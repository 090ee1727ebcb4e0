"""What a report says in words and tables, as plain text that a page may lay out."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

from calsweep.dashboards.style import group_name, held_out
from calsweep.datasets.fold import FoldPlan, HeldOut
from calsweep.platform.arm import Arm
from calsweep.platform.comparison import Comparison, Method, Pair, PValue
from calsweep.platform.leaderboard import NestedChoice, Row, n_folds, nested_interval
from calsweep.platform.record import BASELINE, SweepRecord, TrialRecord, TrialState
from calsweep.platform.statistics import Summary


@dataclass(frozen=True, kw_only=True)
class Place:
    """A line of the leaderboard as it is shown.

    Attributes
    ----------
    rank
        From 1; empty for a configuration that is not finished.
    name, decoder
        The configuration.
    validation_auc, test_auc, test_accuracy
        As text; empty for a configuration that is not finished.
    interval
        Of the mean test AUC over animals (`MeanInterval`); empty where there is none.
    note
        How far it is or why it failed; empty if it is finished.
    mask
        What the decoder sees, empty if all.
    is_baseline, is_best, has_failed, is_leaky
        What the line stands out for.
    """

    rank: str = ""
    name: str
    decoder: str = ""
    validation_auc: str = ""
    test_auc: str = ""
    interval: str = ""
    test_accuracy: str = ""
    note: str = ""
    is_baseline: bool = False
    is_best: bool = False
    has_failed: bool = False
    mask: str = ""
    is_leaky: bool = False


@dataclass(frozen=True, kw_only=True)
class NestedPlace:
    """The nested choice of one test group as it is shown."""

    group: str
    name: str
    decoder: str
    test_auc: str


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """An arm of a comparison and its tests against the reference, as they are shown.

    Attributes
    ----------
    name, decoder
        The configuration.
    spread
        Median and quartiles over the folds.
    difference, interval
        Mean difference to the reference, and the sign-flip test's interval of it; empty for the
        reference.
    p
        Of each test in the order of `methods`, after Holm's correction.
    is_leaky
        Whether its folds leak.
    """

    name: str
    decoder: str
    spread: str
    difference: str = ""
    interval: str = ""
    p: tuple[str, ...] = ()
    is_leaky: bool = False


def with_spread(mean: float, sd: float, /, *, n: int = 2) -> str:
    """Write a mean and its standard deviation; of a single figure there is none.

    Examples
    --------
    >>> with_spread(0.9741, 0.0138)
    '0.974 ± 0.014'
    """
    return f"{mean:.3f} ± {sd:.3f}" if n > 1 else f"{mean:.3f}"


def places(sweep: SweepRecord, rows: Sequence[Row], /) -> tuple[Place, ...]:
    """Give every configuration's line: ranked ones first, then those under way and failed.

    The linear baseline always has a line.
    """
    unranked = [trial for trial in sweep.trials if trial.state is not TrialState.DONE]
    best = next((row.rank for row in rows if not row.trial.is_control), 0)  # a control is no choice
    ranked = [_ranked(row, is_best=row.rank == best) for row in rows]
    lines = [*ranked, *(_unranked(sweep, trial) for trial in unranked)]
    if not any(line.is_baseline for line in lines):
        lines.append(Place(name=BASELINE, note="not begun", is_baseline=True))
    return tuple(lines)


def nested_places(
    sweep: SweepRecord, choices: Sequence[NestedChoice], /
) -> tuple[NestedPlace, ...]:
    """Give the nested choice of each test group."""
    return tuple(
        NestedPlace(
            group=group_name(sweep.plan.groups[choice.test_group]),
            name=choice.trial.name,
            decoder=choice.trial.decoder,
            test_auc=f"{choice.test_auc:.3f}",
        )
        for choice in choices
    )


def methods(comparison: Comparison, /) -> tuple[Method, ...]:
    """Give the tests that apply to some pair of a comparison."""
    return tuple(m for m in Method if any(m in pair.p for pair in comparison.pairs))


def contrasts(comparison: Comparison, /) -> tuple[Contrast, ...]:
    """Give each arm's line, with its tests against the reference."""
    pair_of = {pair.arm.name: pair for pair in comparison.pairs}
    return tuple(
        _contrast(comparison, arm, summary, pair_of.get(arm.name))
        for arm, summary in zip(comparison.arms, comparison.summaries, strict=True)
    )


def interval_level(comparison: Comparison, /) -> str:
    """Say how sure the intervals are and over what; empty where there are none.

    Of few animals it is the widest that they allow.
    """
    levels = {pair.sign_flip.level for pair in comparison.pairs if pair.sign_flip}
    return f"{100 * min(levels):.1f} % interval over {comparison.unit}" if levels else ""


def nested_reason(plan: FoldPlan, /) -> str:
    """Say why the nested choice is the figure to expect."""
    what = held_out(plan)
    expected = {
        HeldOut.ANIMALS: "a new animal",
        HeldOut.RECORDINGS: "a new recording of these animals",
    }.get(plan.holds_out, "another time of these recordings")
    return (
        f"The {what} that choose a configuration in one fold test it in another, so the best mean "
        f"of the table above has been picked with all of them in sight; here the configuration for "
        f"each group of test {what} is chosen on that group's own folds alone, in which these "
        f"{what} neither trained nor validated, and so this is the figure to expect of {expected}."
    )


def nested_auc(choices: Sequence[NestedChoice], /) -> str:
    """Give mean and standard deviation over the groups, empty without choices."""
    figures = [choice.test_auc for choice in choices]
    if not figures:
        return ""
    sd = statistics.stdev(figures) if len(figures) > 1 else 0.0
    return with_spread(statistics.fmean(figures), sd, n=len(figures))


def nested_within(choices: Sequence[NestedChoice], /) -> str:
    """Give the interval of the nested choice's mean and what it is over; empty without one."""
    interval = nested_interval(choices)
    return f"{interval.ends}, {interval.sentence}" if interval else ""


def facts(sweep: SweepRecord, /) -> tuple[tuple[str, str], ...]:
    """Give what the sweep stands on, as names and values."""
    dataset = sweep.dataset
    n_frames, rate_hz = int(dataset["n_frames"]), float(dataset["rate_hz"])
    plan = sweep.plan
    groups = "; ".join(group_name(subjects) for subjects in plan.groups)
    by_animal = plan.holds_out is HeldOut.ANIMALS and plan.groups
    in_groups = f" in {len(plan.groups)} groups: {groups}" if by_animal else ""
    return (
        ("Dataset", f"{dataset['address']}"),
        ("Dataset hash", f"{dataset['content_hash']}"),
        ("Target", f"{dataset['target']}"),
        ("Animals", f"{len(dataset['subjects'])}{in_groups}"),
        ("Recordings", f"{len(dataset['recordings'])}"),
        (
            "Frames",
            f"{n_frames:,} at {rate_hz:g} Hz ({_duration(n_frames / rate_hz)}), "
            f"{dataset['n_units']} units",
        ),
        ("Fold plan", f"{plan.name}, {n_folds(plan)}, holds out {plan.holds_out.value}"),
        ("Audit", sweep.verdict.standing.value),
        ("Fold-plan hash", sweep.plan_hash),
        ("Code", f"calsweep {sweep.code_version}"),
    )


def state(sweep: SweepRecord, /) -> str:
    """Say in a sentence how far the sweep is."""
    n_failed = sum(trial.state is TrialState.FAILED for trial in sweep.trials)
    n_pruned = sum(trial.state is TrialState.PRUNED for trial in sweep.trials)
    failed = f", {n_failed} failed" if n_failed else ""
    failed += f", {n_pruned} pruned" if n_pruned else ""
    n_folds = sum(len(trial.folds) for trial in sweep.trials)
    counts = (
        f"{len(sweep.finished)} of {sweep.n_planned} configurations are done{failed}; "
        f"{n_folds} folds are trained."
    )
    if sweep.stopped:
        return f"Ended before its time ({sweep.stopped}): {counts}"
    if sweep.is_over:
        return f"Finished: {counts}"
    return f"Not finished: {counts} Every figure below may still change."


def warnings(sweep: SweepRecord, /) -> tuple[str, ...]:
    """Give what a reader must know before believing any figure."""
    found = []
    if str(sweep.settings["datasets"].get("labels", "")).lower() == "permuted":
        found.append(
            "labels=permuted: training and validation labels were shuffled, a control whose AUC "
            "should be 0.5."
        )
    if sweep.verdict.leaks:
        evidence = "; ".join(leak.sentence for leak in sweep.verdict.leaks)
        found.append(
            f"Leaky folds: the plan {sweep.plan.name!r} lets parts know of each other, and its "
            f"figures are higher than new data would give: {evidence}."
        )
    return tuple(found)


def method(sweep: SweepRecord, /) -> str:
    """Say in one line how the numbers were made."""
    plan = sweep.plan
    pairs = (
        f"{len(plan.groups)} groups of {held_out(plan)}, {n_folds(plan)}, each a pair of a test "
        "and a validation group with the others for training"
        if plan.groups
        else n_folds(plan)
    )
    return (
        f"Fold plan {plan.name!r}: {pairs}; AUC and accuracy over all test windows of a fold, "
        "mean ± SD over folds; epoch by validation loss and configuration by mean validation "
        "AUC, test figures never read by the search; seed "
        f"{sweep.settings['seed']}; calsweep {sweep.code_version}; dataset "
        f"{sweep.dataset['content_hash'][:12]}, fold plan {sweep.plan_hash[:12]}."
    )


def _contrast(comparison: Comparison, arm: Arm, summary: Summary, pair: Pair | None) -> Contrast:
    contrast = Contrast(
        name=comparison.name(arm),
        decoder=arm.trial.decoder,
        spread=(
            f"median {summary.median:.3f}, quartiles {summary.lower_quartile:.3f} to "
            f"{summary.upper_quartile:.3f}"
        ),
        is_leaky=bool(arm.trial.verdict.leaks),
    )
    if pair is None:
        return contrast
    flip = pair.sign_flip
    return replace(
        contrast,
        difference=f"{pair.mean_difference:+.3f}",
        interval=f"{flip.low:+.3f} to {flip.high:+.3f}" if flip else "–",
        p=tuple(_p(pair.p.get(m), alpha=comparison.alpha) for m in methods(comparison)),
    )


def _p(p: PValue | None, *, alpha: float) -> str:
    if p is None:
        return "–"
    said = f"{p.holm:.3f}" if p.holm >= 0.001 else "< 0.001"
    return f"{said} *" if p.holm <= alpha else said


def training_notes(trial: TrialRecord | None, /) -> tuple[str, ...]:
    """Give what is to be known of how a configuration's folds were trained, and of which."""
    if trial is None:
        return ()
    folds_of: dict[str, list[int]] = {}
    for fold in trial.folds:
        for note in fold.notes:
            folds_of.setdefault(note, []).append(fold.fold)
    notes = []
    for note, folds in folds_of.items():
        which = "" if len(folds) == len(trial.folds) else f"fold {', '.join(map(str, folds))}: "
        notes.append(f"{which}{note.rstrip('.')}.")
    return tuple(notes)


def _ranked(row: Row, *, is_best: bool) -> Place:
    n = len(row.trial.folds)
    return Place(
        rank=str(row.rank),
        name=row.trial.name,
        decoder=row.trial.decoder,
        validation_auc=with_spread(row.validation_auc, row.validation_auc_sd, n=n),
        test_auc=with_spread(row.test_auc, row.test_auc_sd, n=n),
        interval=row.interval.ends if row.interval else "",
        test_accuracy=f"{row.test_accuracy:.3f}",
        is_baseline=row.trial.is_baseline,
        is_best=is_best,
        mask=row.trial.mask,
        is_leaky=bool(row.trial.verdict.leaks),
    )


def _unranked(sweep: SweepRecord, trial: TrialRecord) -> Place:
    has_failed = trial.state is TrialState.FAILED
    n_planned = len(sweep.plan.folds)
    n_folds = f"{len(trial.folds)} of {n_planned} folds done"
    note = f"failed, {n_folds}: {trial.error}" if has_failed else f"not finished, {n_folds}"
    return Place(
        name=trial.name,
        decoder=trial.decoder,
        note=trial.pruned.sentence(n_planned=n_planned) if trial.pruned else note,
        is_baseline=trial.is_baseline,
        has_failed=has_failed,
        mask=trial.mask,
        is_leaky=bool(trial.verdict.leaks),
    )


def _duration(seconds: float) -> str:
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.1f} h"
