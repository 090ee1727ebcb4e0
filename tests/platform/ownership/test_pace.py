import json

import pytest

from calsweep.platform.ownership.pace import read_pace


def write_record(folder, lines):
    folder.mkdir()
    (folder / "record.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def fold(trial, n, at, **figures):
    return {"event": "fold", "trial": trial, "key": f"{trial}-{n}", "at": at, "figures": figures}


def test_pace_is_that_of_the_latest_folds(tmp_path):
    lines = [{"event": "trial", "trial": 0, "at": 1000.0}]
    lines += [fold(0, n, 1000.0 + 36 * (n + 1)) for n in range(11)]
    lines += [fold(0, 10, 9000.0)]  # told again after a restart: trained but once
    found = read_pace(write_record(tmp_path / "one", lines))
    assert found.folds_per_hour == pytest.approx(100.0)
    assert found.began_s == 1000.0


def test_configurations_are_counted_by_how_they_ended(tmp_path):
    lines = []
    for number, state in enumerate(("done", "failed", "pruned", "pruned")):
        lines.append({"event": "trial", "trial": number, "at": 1.0})
        lines.append({"event": "end", "trial": number, "state": state, "at": 2.0})
    lines.append({"event": "trial", "trial": 3, "at": 3.0})  # goes on
    found = read_pace(write_record(tmp_path / "one", lines))
    assert (found.n_done, found.n_failed, found.n_pruned) == (1, 1, 1)


def test_cost_and_throughput_are_those_of_the_folds(tmp_path):
    lines = [
        {"event": "trial", "trial": 0, "at": 1.0},
        fold(0, 0, 2.0, n_windows=3000, train_seconds=9.0, compute={"device_seconds": 10.0}),
        fold(0, 1, 3.0, n_windows=1000, train_seconds=10.0, compute=None),
    ]
    found = read_pace(write_record(tmp_path / "one", lines))
    assert (found.device_s, found.windows_per_s) == (20.0, 200.0)


def test_sweep_that_has_not_begun_has_no_pace(tmp_path):
    found = read_pace(tmp_path)
    assert (found.folds_per_hour, found.windows_per_s, found.began_s) == (None, None, None)
