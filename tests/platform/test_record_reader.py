"""A record that grows is read once, line by line, whatever happens to its file."""

import json
import shutil

import pytest

from calsweep.platform.record import SweepNotFound, TrialState
from calsweep.platform.record_reader import RecordReader, read_sweep
from tests.platform.written_sweep import Writer


def begun(number):
    return json.dumps(
        {"event": "trial", "trial": number, "name": f"trial {number}", "values": {}, "settings": {},
         "verdict": {"_target_": "calsweep.datasets.audit.Verdict", "findings": []}, "token": 99}
    )  # fmt: skip


@pytest.fixture
def grown(tmp_path):
    writer = Writer(home=tmp_path, name="s")
    writer.begin()
    writer.fold(0)
    return writer


def append(writer, text):
    with (writer.home / "sweeps/s/record.jsonl").open("a") as file:
        file.write(text)


def test_what_was_read_stays_and_what_was_added_is_there(grown):
    reader = RecordReader(grown.home, "s")
    first = reader.read()
    assert [fold.key for fold in first.trials[0].folds] == ["key0"]
    grown.fold(1)
    append(grown, begun(1) + "\n")
    second = reader.read()
    assert [fold.key for fold in second.trials[0].folds] == ["key0", "key1"]
    assert second.trials[0].folds[0] is first.trials[0].folds[0]
    assert [fold.key for fold in first.trials[0].folds] == ["key0"]  # as it was
    assert first.trials[0].fold_done_at.keys() == {"key0"}
    third = reader.read()
    assert [a is b for a, b in zip(second.trials, third.trials, strict=True)] == [True, True]
    assert third == read_sweep(grown.home, "s")


def test_line_that_is_being_written_is_read_when_it_is_whole(grown):
    reader = RecordReader(grown.home, "s")
    line = begun(1)
    append(grown, line[:20])
    assert [trial.number for trial in reader.read().trials] == [0]
    append(grown, line[20:])
    assert [trial.number for trial in reader.read().trials] == [0, 1]
    append(grown, "\n" + begun(2) + "\n")
    sweep = reader.read()
    assert [(trial.number, trial.attempt) for trial in sweep.trials] == [(0, 1), (1, 1), (2, 1)]


@pytest.mark.parametrize("damaged", [begun(1)[:20], "7", "\0" * 40, "[]"])
def test_line_that_is_damaged_takes_no_other_with_it(grown, damaged):
    reader = RecordReader(grown.home, "s")
    append(grown, damaged)
    reader.read()
    append(grown, "\n" + begun(2) + "\n")
    assert [trial.number for trial in reader.read().trials] == [0, 2]


def test_sweep_that_was_removed_and_begun_again_is_read_anew(grown):
    reader = RecordReader(grown.home, "s")
    grown.fold(1)
    assert len(reader.read().trials[0].folds) == 2
    shutil.rmtree(grown.home / "sweeps/s")
    with pytest.raises(SweepNotFound, match="No sweep 's', nor any other"):
        reader.read()
    grown.begin()
    sweep = reader.read()
    assert [trial.folds for trial in sweep.trials] == [()]
    grown.fold(0)
    assert grown.end() == reader.read()


def test_what_cannot_be_read_is_read_again(grown):
    """A fold of an older version lies in its folder alone, which another node may show later."""
    reader = RecordReader(grown.home, "s")
    reader.read()
    figures = grown.home / "sweeps/s/folds/key0"
    shutil.copytree(figures, figures.with_name("late"))
    late = figures.with_name("late") / "fold.json"
    text = late.read_text()
    late.unlink()
    append(grown, json.dumps({"event": "fold", "trial": 0, "key": "late", "token": 99}) + "\n")
    with pytest.raises(FileNotFoundError):
        reader.read()
    late.write_text(text.replace('"key0"', '"late"').replace('"fold": 0', '"fold": 1'))
    trial = reader.read().trials[0]
    assert [fold.key for fold in trial.folds] == ["key0", "late"]
    assert trial.state is TrialState.RUNNING
