"""The choice is made on validation; a plan without groups has no nested choice and says so."""

import json

import pytest

from calsweep.datasets.audit import Finding, Kind, Verdict
from calsweep.datasets.fold import Fold, FoldPlan, HeldOut, PartName, Stretch
from calsweep.platform.commands.leaderboard import print_leaderboard
from calsweep.platform.leaderboard import has_nested_choice, leaderboard, nested_choice
from calsweep.platform.plain import to_plain
from calsweep.platform.record import FoldRecord, Record, read_sweep
from calsweep.platform.score import Epoch, Score

WHOLE = (Stretch(recording="a", start_frame=0, stop_frame=100),)
LEAK = Finding(
    kind=Kind.WINDOWS,
    is_leak=True,
    is_asked_for=True,
    parts=(PartName.TRAIN, PartName.TEST),
    where=("a",),
    n_where=1,
    n_frames=90,
    folds=(0,),
)


def write_sweep(home, *, groups, verdict, mask=None):
    """Write a sweep of two configurations on one fold."""
    test, validation = (0, 1) if groups else (None, None)
    fold = Fold(
        index=0,
        test_group=test,
        validation_group=validation,
        train=WHOLE,
        validation=WHOLE,
        test=WHOLE,
    )
    plan = FoldPlan(name="p", holds_out=HeldOut.NOTHING, groups=groups, folds=(fold,))
    description = {
        "settings": {"seed": 0},
        "dataset": {"target": "run"},
        "plan": to_plain(plan),
        "plan_hash": plan.content_hash,
        "code_version": "1",
        "verdict": to_plain(verdict),
        "n_planned": 2,
    }
    with Record(home / "sweeps" / "s") as record:
        record.begin(json.loads(json.dumps(description)))
        for number, name in enumerate(("baseline", "trial 1")):
            score = Score(loss=0.5, auc=0.7 + number / 10, accuracy=0.6)
            folder = home / "sweeps" / "s" / "folds" / f"k{number}"
            folder.mkdir(parents=True)
            FoldRecord(
                key=f"k{number}",
                fold=0,
                test_group=test,
                validation_group=validation,
                seed=0,
                best_epoch=1,
                curve=(Epoch(epoch=1, train_loss=0.5, validation=score),),
                validation=score,
                test=score,
                n_windows=1,
                train_seconds=1.0,
                process="here:1",
            ).write(folder)
            settings = {"trainables": {"_target_": "calsweep.trainables.linear.Linear"}}
            if mask:
                settings["datasets"] = {"mask": mask}
            record.append(
                {
                    "event": "trial", "trial": number, "name": name, "values": {},
                    "settings": settings, "verdict": to_plain(verdict),
                }
            )  # fmt: skip
            record.append({"event": "fold", "trial": number, "key": f"k{number}"})
            record.append(
                {"event": "end", "trial": number, "state": "done", "error": "", "may_pass": False}
            )
    return read_sweep(home, "s")


def test_plan_without_groups_has_no_nested_choice_and_says_so(tmp_path, capsys):
    sweep = write_sweep(tmp_path, groups=(), verdict=Verdict(findings=(LEAK,)))
    assert nested_choice(sweep) == ()
    assert not has_nested_choice(sweep.plan)
    assert [row.trial.name for row in leaderboard(sweep)] == ["trial 1", "baseline"]
    print_leaderboard(sweep)
    out = " ".join(capsys.readouterr().out.split())
    assert "A nested choice does not apply" in out
    assert "Leak: 90 frames of a are in windows of the training and the test part (fold 0)." in out
    assert "LEAKY FOLDS" in out


def test_every_row_says_what_the_audit_came_to(tmp_path, capsys):
    mask = {"_target_": "calsweep.datasets.mask.UnitMask", "keep": "M2&M1"}
    sweep = write_sweep(tmp_path, groups=(("x",), ("y",)), verdict=Verdict(), mask=mask)
    print_leaderboard(sweep)
    rows = [
        line for line in capsys.readouterr().out.splitlines() if "linear [mask: only M2&M1]" in line
    ]
    assert len(rows) == 2
    assert all(row.split("│")[-2].strip() == "clean" for row in rows)
    assert "±" not in rows[0]  # one fold has no spread


@pytest.mark.parametrize(("groups", "n"), [((("x",), ("y",)), 1), ((), 0)])
def test_nested_choice_is_of_the_groups_that_test(tmp_path, groups, n):
    sweep = write_sweep(tmp_path, groups=groups, verdict=Verdict())
    assert [choice.trial.name for choice in nested_choice(sweep)] == ["trial 1"] * n
