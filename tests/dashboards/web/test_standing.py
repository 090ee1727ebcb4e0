import json

import pytest

from calsweep.dashboards.web.standing import QUIET_S, SweepState, Unreadable, standing, standings
from calsweep.platform.record import sweeps_folder


def write_record(folder, lines):
    folder.mkdir(parents=True)
    description = {
        "n_planned": 3,
        "plan": {"folds": [{}] * 20},
        "dataset": {"target": "run", "address": "lab/m1"},
    }
    (folder / "sweep.json").write_text(json.dumps(description))
    (folder / "record.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return (folder / "record.jsonl").stat().st_mtime


def fold(trial, n, at):
    return {"event": "fold", "trial": trial, "key": f"{trial}-{n}", "at": at}


def test_time_left_follows_from_the_latest_folds(tmp_path):
    lines = [{"event": "trial", "trial": 0, "at": 1000.0}]
    lines += [fold(0, n, 1000.0 + 36 * (n + 1)) for n in range(11)]
    lines += [fold(0, 10, 9000.0)]  # told again after a restart: trained but once
    now_s = write_record(tmp_path / "one", lines) + 1
    found = standing(tmp_path / "one", now_s=now_s)
    assert (found.n_folds_done, found.n_folds) == (11, 60)
    assert found.folds_per_hour == pytest.approx(100.0)
    assert found.left_s == pytest.approx(49 * 36.0)
    assert found.state is SweepState.RUNNING
    assert found.began_s == 1000.0


def test_folds_of_a_failed_configuration_are_not_waited_for(tmp_path):
    end = {"event": "end", "trial": 0, "state": "failed", "error": "", "may_pass": False}
    lines = [{"event": "trial", "trial": 0, "at": 1.0}, fold(0, 0, 2.0), {**end, "at": 3.0}]
    write_record(tmp_path / "one", lines)
    found = standing(tmp_path / "one")
    assert (found.n_folds, found.n_failed, found.n_trials_done) == (41, 1, 0)


def test_pruned_configurations_are_counted_apart(tmp_path):
    end = {"event": "end", "trial": 0, "state": "pruned", "error": "", "may_pass": False}
    lines = [{"event": "trial", "trial": 0, "at": 1.0}, fold(0, 0, 2.0), {**end, "at": 3.0}]
    write_record(tmp_path / "one", [*lines, {"event": "stopped", "why": "budget", "at": 4.0}])
    found = standing(tmp_path / "one")
    assert (found.n_folds, found.n_failed, found.n_pruned) == (41, 0, 1)


def test_sweep_that_says_nothing_is_quiet_and_promises_no_end(tmp_path):
    lines = [{"event": "trial", "trial": 0, "at": 1.0}, fold(0, 0, 2.0), fold(0, 1, 3.0)]
    latest_s = write_record(tmp_path / "one", lines)
    found = standing(tmp_path / "one", now_s=latest_s + QUIET_S + 1)
    assert found.state is SweepState.QUIET
    assert found.left_s is None


def test_one_that_cannot_be_read_leaves_the_others(tmp_path):
    write_record(sweeps_folder(tmp_path) / "good", [])
    broken = sweeps_folder(tmp_path) / "broken"
    broken.mkdir()
    (broken / "sweep.json").write_text('{"n_planned": 1}')
    found = {line.name: line for line in standings(tmp_path)}
    assert found["good"].state is SweepState.RUNNING
    assert found["broken"] == Unreadable(name="broken", reason="its record has no 'plan'")


def test_folder_that_is_not_there_has_no_sweeps(tmp_path):
    assert list(standings(tmp_path / "none")) == []
