"""A sweep's record survives what cuts it short, and tells what may be tried again."""

import json

import pytest

from calsweep.datasets.audit import Finding, Kind, Verdict
from calsweep.datasets.fold import Fold, FoldPlan, Stretch
from calsweep.platform.ownership.change import Change, identity
from calsweep.platform.ownership.lease import SweepTaken
from calsweep.platform.plain import to_plain
from calsweep.platform.record import TrialState
from calsweep.platform.record_reader import read_sweep
from calsweep.platform.record_writer import Record


def frames(recording):
    return (Stretch(recording=recording, start_frame=0, stop_frame=100),)


def noted(*notes):
    findings = tuple(Finding(kind=Kind.STEPS, is_leak=False, what=note) for note in notes)
    return to_plain(Verdict(findings=findings))


PLAN = FoldPlan(
    name="one fold",
    groups=(("a",), ("b",), ("c",)),
    folds=(
        Fold(
            index=0,
            test_group=0,
            validation_group=1,
            train=frames("c"),
            validation=frames("b"),
            test=frames("a"),
        ),
    ),
)
DESCRIPTION = {
    "settings": {"seed": 0, "training": {"epochs": 1}},
    "dataset": {"address": "m1"},
    "plan": to_plain(PLAN),
    "plan_hash": PLAN.content_hash,
    "code_version": "0.1.0+abc",
    "verdict": noted("detrended"),
    "n_planned": 2,
}


def began(number, **more):
    name = "baseline" if number == 0 else f"trial {number}"
    return {
        "event": "trial", "trial": number, "name": name, "values": {}, "settings": {},
        "verdict": noted(), **more,
    }  # fmt: skip


def ended(number, state="done", *, error="", may_pass=False):
    return {
        "event": "end", "trial": number, "state": state, "error": error, "may_pass": may_pass,
    }  # fmt: skip


def write(home, *lines):
    with Record(home / "sweeps" / "s") as record:
        record.begin(DESCRIPTION)
        for line in lines:
            record.append(line)


def write_other(home, description, *lines):
    with Record(home / "sweeps" / "s") as record:
        assert record.begin(description)
        for line in lines:
            record.append(line)


def test_line_that_was_cut_short_takes_no_other_with_it(tmp_path):
    write(tmp_path, began(0))
    path = tmp_path / "sweeps" / "s" / "record.jsonl"
    with path.open("a") as file:
        file.write('{"event": "end", "tri')  # a full disk
    write(tmp_path, ended(0), began(1))
    states = [trial.state for trial in read_sweep(tmp_path, "s").trials]
    assert states == [TrialState.DONE, TrialState.RUNNING]


def test_event_of_a_trial_whose_beginning_was_lost_is_left_out(tmp_path):
    write(tmp_path, began(0), ended(0), {"event": "fold", "trial": 7, "key": "k"}, ended(7))
    assert [trial.number for trial in read_sweep(tmp_path, "s").trials] == [0]


@pytest.mark.parametrize(("may_pass", "is_over"), [(False, True), (True, False)])
def test_failure_that_may_pass_is_tried_again(tmp_path, may_pass, is_over):
    failed = ended(1, "failed", error="OSError: disk full", may_pass=may_pass)
    write(tmp_path, began(0), ended(0), began(1), failed)
    assert read_sweep(tmp_path, "s").is_over is is_over


def test_notes_of_trials_stand_with_those_of_the_sweep(tmp_path):
    first, second = noted("detrended"), noted("detrended", "z-scored")
    write(tmp_path, began(0, verdict=first), began(1, verdict=second))
    sweep = read_sweep(tmp_path, "s")
    assert sweep.verdict.notes == ("detrended", "z-scored")
    assert sweep.trials[0].verdict.notes == ("detrended",)


def test_sweep_that_never_began_leaves_nothing(tmp_path):
    write(tmp_path)
    assert list((tmp_path / "sweeps").iterdir()) == []


def test_other_settings_are_named_and_nothing_is_changed(tmp_path):
    write(tmp_path, began(0))
    before = (tmp_path / "sweeps" / "s" / "sweep.json").read_bytes()
    other = {**DESCRIPTION, "settings": {"seed": 1, "training": {"epochs": 2}}}
    with (
        Record(tmp_path / "sweeps" / "s") as record,
        pytest.raises(SweepTaken, match=r"other settings \(seed, training\.epochs\)"),
    ):
        record.begin(other)
    assert (tmp_path / "sweeps" / "s" / "sweep.json").read_bytes() == before


def test_another_version_is_named_with_that_which_began(tmp_path):
    first = {**DESCRIPTION, "code_version": "0.1.0+abc"}
    with Record(tmp_path / "sweeps" / "s") as record:
        record.begin(first)
        record.append(began(0))
    versions = r"begun with calsweep 0\.1\.0\+abc, and this is 0\.2\.0\+def"
    with (
        Record(tmp_path / "sweeps" / "s") as record,
        pytest.raises(SweepTaken, match=versions),
    ):
        record.begin({**first, "code_version": "0.2.0+def"})


@pytest.mark.parametrize(
    ("now", "word", "said"),
    [
        (
            {"dataset": {**DESCRIPTION["dataset"], "content_hash": "0" * 64}},
            "data",
            r"the dataset at m1 was  and is 000000000000",
        ),
        (
            {"plan_hash": "1" * 64, "plan": {**to_plain(PLAN), "folds": []}},
            "folds",
            r"and is 111111111111 \(1 folds, now 0\)",
        ),
    ],
)
def test_what_changed_is_told_and_refused_unless_it_is_accepted(tmp_path, now, word, said):
    write(tmp_path, began(0), ended(0))
    other = {**DESCRIPTION, **now}
    with (
        Record(tmp_path / "sweeps" / "s") as record,
        pytest.raises(SweepTaken, match=rf"other {word} than now .*{said}.*changes=\[{word}\]"),
    ):
        record.begin(other)
    assert [trial.number for trial in read_sweep(tmp_path, "s").trials] == [0]
    with Record(tmp_path / "sweeps" / "s") as record:
        record.begin(other, accept=[Change(word)])
        record.append(began(1))
    sweep = read_sweep(tmp_path, "s")
    assert [trial.number for trial in sweep.trials] == [1]  # all is begun again
    assert len(sweep.changes) == 1
    write_other(tmp_path, other, ended(1))  # accepted once, it is as it is now


def test_other_code_that_is_accepted_leaves_what_is_done(tmp_path):
    write(tmp_path, began(0), ended(0))
    newer = {**DESCRIPTION, "code_version": "0.2.0+def"}
    with Record(tmp_path / "sweeps" / "s") as record:
        assert record.begin(newer, accept=[Change.CODE])
    sweep = read_sweep(tmp_path, "s")
    assert [trial.state for trial in sweep.trials] == [TrialState.DONE]
    assert (sweep.code_version, sweep.earlier_code) == ("0.2.0+def", ("0.1.0+abc",))
    assert sweep.changes == ("it was begun with calsweep 0.1.0+abc, and this is 0.2.0+def",)


def test_identity_is_of_what_a_sweep_would_do_and_not_of_how_long(tmp_path):
    longer = {**DESCRIPTION, "settings": {**DESCRIPTION["settings"], "n_trials": 40}}
    assert identity(longer) == identity(DESCRIPTION)
    assert identity({**DESCRIPTION, "code_version": "2"}) != identity(DESCRIPTION)
    assert identity({**DESCRIPTION, "plan_hash": "2"}) != identity(DESCRIPTION)
    assert identity({**DESCRIPTION, "dataset": {"content_hash": "2"}}) != identity(DESCRIPTION)
    write(tmp_path, began(0))
    write_other(tmp_path, {**longer, "n_planned": 41}, ended(0))
    assert read_sweep(tmp_path, "s").n_planned == 41


def test_name_is_held_by_one_at_a_time(tmp_path):
    with Record(tmp_path / "sweeps" / "s") as first:
        first.begin(DESCRIPTION)
        first.append(began(0))
        with (
            Record(tmp_path / "sweeps" / "s") as second,
            pytest.raises(SweepTaken, match="is being run by"),
        ):
            second.begin(DESCRIPTION)
        first.append(ended(0))
    lines = (tmp_path / "sweeps" / "s" / "record.jsonl").read_text().splitlines()
    assert [json.loads(line)["event"] for line in lines] == ["trial", "end"]
