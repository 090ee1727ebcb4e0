"""A search ends where its budget is used up, says so, and goes on with a larger one."""

import json

import pytest

from calsweep.platform.budget import STOP_FILE, Budget, BudgetWatch, worked_seconds
from calsweep.platform.command import main
from calsweep.platform.compute import Attempt, Compute, ComputeSpent
from calsweep.platform.record import TrialState
from calsweep.platform.record_reader import read_sweep


class Clock:
    """A clock that a test turns on."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def lines(folder, *worked):
    text = [
        json.dumps({"event": "owner", "token": token, "worked_s": worked_s})
        for token, worked_s in worked
    ]
    (folder / "record.jsonl").write_text("\n".join(text) + "\n")


def trained(folder, key, device_seconds):
    (folder / "folds" / key).mkdir(parents=True)
    compute = {"device_seconds": device_seconds, "cpu_seconds": 1.0, "n_attempts": 1}
    (folder / "folds" / key / "fold.json").write_text(json.dumps({"compute": compute}))


def test_hours_are_those_of_all_who_worked_on_it(tmp_path):
    lines(tmp_path, (1, 10.0), (1, 600.0), (2, 5.0), (2, 1200.0))
    assert worked_seconds(tmp_path) == 1800.0
    clock = Clock()
    watch = BudgetWatch(Budget(hours=1.0), tmp_path, clock=clock)
    clock.now += 1799.0
    assert watch.why_over() == ""
    clock.now += 1.0
    assert watch.why_over() == "budget.hours=1 are used up"


def test_hours_of_devices_count_what_came_to_nothing(tmp_path):
    trained(tmp_path, "a", 1800.0)
    clock = Clock()
    watch = BudgetWatch(Budget(device_hours=1.0), tmp_path, clock=clock)
    clock.now += 2.0
    assert watch.why_over() == ""
    trained(tmp_path, "b", 900.0)
    died = {"key": "c", "device_seconds": 900.0, "cpu_seconds": 1.0, "n_attempts": 1}
    (tmp_path / "folds" / ".c.0123abcd.attempt").write_text(json.dumps(died))
    clock.now += 2.0
    assert watch.why_over() == "budget.device_hours=1 are used up (1)"


def test_wish_to_end_is_heard_and_one_of_before_is_not(tmp_path):
    (tmp_path / STOP_FILE).touch()
    clock = Clock()
    watch = BudgetWatch(Budget(), tmp_path, clock=clock)
    clock.now += 2.0
    assert watch.why_over() == ""
    (tmp_path / STOP_FILE).touch()
    clock.now += 2.0
    assert watch.why_over() == "stopped by hand"


@pytest.mark.parametrize("cap", ["hours", "device_hours"])
def test_cap_of_nothing_is_refused(cap):
    with pytest.raises(ValueError, match=f"`{cap} > 0` must hold"):
        Budget(**{cap: 0.0})


def test_attempt_that_does_not_end_leaves_what_it_took(tmp_path):
    attempt = Attempt(folder=tmp_path / "folds", key="k", n_devices=2.0)
    attempt.tell()  # it just began
    assert ComputeSpent(tmp_path).unfinished() == {}
    sum(i * i for i in range(200_000))
    attempt.tell(is_last=True)
    left = ComputeSpent(tmp_path).unfinished()["k"]
    assert left.n_attempts == 1
    assert left.device_seconds > 0
    assert left.cpu_seconds > 0
    attempt.forget()
    assert ComputeSpent(tmp_path).total() == Compute()


def calsweep(*arguments):
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    assert ended.value.code == 0


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_search_ends_with_its_budget_and_goes_on_with_a_larger_one(
    mice, tmp_path, local_ray, capsys
):
    calsweep(
        "sweep", f"home={tmp_path}", "name=short", f"datasets.address={mice.folder}",
        "datasets.window.length=11", "training.epochs=1", "training.batch_size=64",
        "baseline_training.epochs=1", "n_trials=2", "budget.device_hours=0.001",
    )  # fmt: skip
    said = " ".join(capsys.readouterr().out.split())
    assert "The search ends: budget.device_hours=0.001 are used up (0.0" in said
    assert "The search was ended before its time" in said
    short = read_sweep(tmp_path, "short")
    assert short.stopped.startswith("budget.device_hours=0.001 are used up")
    assert not short.is_over
    before = {path: path.stat().st_mtime_ns for path in (short.folder / "folds").glob("[!.]*")}
    assert ComputeSpent(short.folder).total().device_seconds >= 3.6
    calsweep("status", "short", "--home", tmp_path)
    assert "stopped: budget.device_hours=0.001 are used up" in capsys.readouterr().out

    calsweep("resume", "short", "--device-hours", "1", "--home", tmp_path)
    whole = read_sweep(tmp_path, "short")
    assert (whole.stopped, whole.is_over) == ("", True)
    assert [trial.state for trial in whole.trials] == [TrialState.DONE] * 3
    assert [len(trial.folds) for trial in whole.trials] == [20] * 3
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert all(fold.compute.device_seconds > 0 for trial in whole.trials for fold in trial.folds)

    calsweep("resume", "short", "--n-trials", "3", "--home", tmp_path)
    longer = read_sweep(tmp_path, "short")
    assert [trial.name for trial in longer.finished] == [
        "baseline",
        "trial 1",
        "trial 2",
        "trial 3",
    ]
    assert longer.trials[:3] == whole.trials
