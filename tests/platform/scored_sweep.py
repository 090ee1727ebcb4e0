"""Sweeps whose folds have scores written out, in memory or on disk as a sweep records them."""

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from calsweep.datasets.audit import Finding, Kind, Verdict
from calsweep.datasets.fold import Fold, FoldPlan, HeldOut, PartName, Stretch
from calsweep.platform.plain import to_plain
from calsweep.platform.record import FoldRecord, SweepRecord, TrialRecord, TrialState
from calsweep.platform.record_reader import read_sweep
from calsweep.platform.record_writer import Record
from calsweep.platform.score import Epoch, Score

LINEAR = {"trainables": {"_target_": "calsweep.trainables.linear.Linear"}}
LEAK = Finding(
    kind=Kind.WINDOWS,
    is_leak=True,
    is_asked_for=True,
    parts=(PartName.TRAIN, PartName.TEST),
    where=("m0",),
    n_where=1,
    n_frames=90,
    folds=(0,),
)


def stretch(name: str, n_frames: int = 100) -> tuple[Stretch, ...]:
    return (Stretch(recording=name, start_frame=0, stop_frame=n_frames),)


def pair_plan(*, n: int = 5, members: int = 1, n_frames: int = 100) -> FoldPlan:
    """Every ordered pair of groups, each of one recording an animal."""
    groups = tuple(tuple(f"m{g}{'ab'[i]}" for i in range(members)) for g in range(n))

    def part(*numbers: int) -> tuple[Stretch, ...]:
        return sum((stretch(f"{m}_r", n_frames) for g in numbers for m in groups[g]), ())

    folds = [
        Fold(
            index=index,
            test_group=test,
            validation_group=validation,
            train=part(*(g for g in range(n) if g not in (test, validation))),
            validation=part(validation),
            test=part(test),
        )
        for index, (test, validation) in enumerate(itertools.permutations(range(n), 2))
    ]
    return FoldPlan(name="animals", groups=groups, folds=tuple(folds))


def recordings_plan() -> FoldPlan:
    """Each of the recordings of two animals tests once."""
    folds = []
    for animal in ("m0", "m1"):
        for i in range(3):
            names = [f"{animal}_{(i + j) % 3}" for j in range(3)]
            test, validation, train = map(stretch, names)
            folds.append(Fold(index=len(folds), train=train, validation=validation, test=test))
    return FoldPlan(name="r", holds_out=HeldOut.RECORDINGS, groups=(), folds=tuple(folds))


def scored_trial(
    plan: FoldPlan,
    number: int,
    score_of: Callable[[Fold], Score],
    *,
    state: TrialState = TrialState.DONE,
    n_folds: int | None = None,
    settings: Mapping[str, object] = LINEAR,
    verdict: Verdict | None = None,
) -> TrialRecord:
    """A configuration whose folds validate and test with the same score."""
    return TrialRecord(
        number=number,
        name=f"trial {number}" if number else "baseline",
        values={},
        settings=settings,
        state=state,
        folds=tuple(_scored(fold, number, score_of(fold)) for fold in plan.folds[:n_folds]),
        verdict=verdict or Verdict(),
    )


def scored_sweep(
    plan: FoldPlan,
    trials: Sequence[TrialRecord],
    *,
    name: str = "s",
    target: str = "run",
    dataset: str = "da7a",
    verdict: Verdict | None = None,
) -> SweepRecord:
    return SweepRecord(
        name=name,
        folder=Path("nowhere"),
        settings={"seed": 0},
        dataset={"target": target, "content_hash": dataset * 16},
        plan=plan,
        plan_hash=plan.content_hash,
        code_version="1",
        verdict=verdict or Verdict(),
        n_planned=len(trials),
        trials=tuple(trials),
    )


def write_sweep(home: Path, sweep: SweepRecord) -> SweepRecord:
    """Write a finished sweep as `calsweep sweep` does, and read it."""
    folder = home / "sweeps" / sweep.name
    description = {
        "settings": sweep.settings,
        "dataset": sweep.dataset,
        "plan": to_plain(sweep.plan),
        "plan_hash": sweep.plan_hash,
        "code_version": sweep.code_version,
        "verdict": to_plain(sweep.verdict),
        "n_planned": sweep.n_planned,
    }
    with Record(folder) as record:
        record.begin(json.loads(json.dumps(description)))
        for trial in sweep.trials:
            about = {"name": trial.name, "values": {}, "settings": trial.settings}
            verdict = to_plain(trial.verdict)
            record.append({"event": "trial", "trial": trial.number, **about, "verdict": verdict})
            for fold in trial.folds:
                (folder / "folds" / fold.key).mkdir(parents=True)
                fold.write(folder / "folds" / fold.key)
                record.add_fold(trial.number, key=fold.key)
            end = {"state": trial.state.value, "error": "", "may_pass": False}
            record.append({"event": "end", "trial": trial.number, **end})
    return read_sweep(home, sweep.name)


def _scored(fold: Fold, number: int, score: Score) -> FoldRecord:
    return FoldRecord(
        key=f"{number}-{fold.index}",
        fold=fold.index,
        test_group=fold.test_group,
        validation_group=fold.validation_group,
        seed=0,
        best_epoch=1,
        curve=(Epoch(epoch=1, train_loss=0.5, validation=score),),
        validation=score,
        test=score,
        n_windows=1,
        train_seconds=1.0,
        process="here:1",
    )
