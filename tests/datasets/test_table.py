import numpy as np
import pytest

from calsweep.datasets.table import behavior_beside


@pytest.fixture
def read(tmp_path):
    def read(text, *, n_frames=3, time="", units=None):
        (tmp_path / "m1.csv").write_text(text)
        return behavior_beside(
            tmp_path / "m1.npy", n_frames=n_frames, rate_hz=10.0, time=time, units=units or {}
        )

    return read


def test_whole_numbers_are_labels_and_others_measures(read):
    behavior = read("run,speed_cm_s,lick,gap\n0,0,1,0\n1,2,0.5,\n1,1,0,1\n")
    kinds = {name: values.dtype.kind for name, values in behavior.values.items()}
    assert kinds == {"run": "i", "speed_cm_s": "f", "lick": "f", "gap": "f"}
    assert behavior.values["run"].tolist() == [0, 1, 1]
    assert np.isnan(behavior.values["gap"]).tolist() == [False, True, False]
    assert behavior.units == {"run": "", "speed_cm_s": "cm/s", "lick": "", "gap": ""}
    assert list(behavior.source_sha256) == ["m1.csv"]
    assert read("lick\n0\n1\n0\n", units={"lick": "1/s"}).values["lick"].dtype.kind == "f"


def test_rows_with_times_are_brought_to_the_frames(read):
    behavior = read("t_s,run,speed_cm_s\n0,0,0\n0.05,0,1\n0.1,1,2\n0.16,1,3\n0.2,0,4\n", time="t_s")
    assert behavior.values["run"].tolist() == [0, 1, 0]
    assert behavior.values["speed_cm_s"].tolist() == [0.0, 2.0, 4.0]
    assert list(behavior.values) == ["run", "speed_cm_s"]
    assert behavior.steps[0] == "`run` brought from 20 Hz to the frames' times by nearest sample"


@pytest.mark.parametrize(
    ("text", "time", "message"),
    [
        ("", "", "m1.csv is empty"),
        ("\n", "", "the first line must name each column"),
        ("0,1\n1,2\n", "", "the first line must name each column.*'0,1'"),
        ("run,run\n0,1\n", "", "each with a name of its own, but is 'run,run'"),
        ("run,\n0,1\n", "", "each with a name of its own, but is 'run,'"),
        ("run\n", "", "the table has no rows"),
        ("run,a\n0\n", "", "must have 2 cells, but line 2 has 1"),
        ("run\n0\nfast\n0\n", "", r"line 3, column 1 \(`run`\) is 'fast'"),
        ("t,run\n0,0\n1,1\n", "", r"one row per frame \(3\), but has 2. .*`--time`: t, run"),
        ("t,run\n0,0\n1,1\n", "time", "no column `time` for the times. Columns: t, run"),
        ("t,run\n0,0\n0,1\n", "t", "must be finite and increasing"),
        ("t,run\n0,0\n0.05,1\n", "t", "leaves out 2 of 3 frames"),
    ],
)
def test_a_table_that_does_not_fit_is_told_by_name(read, text, time, message):
    with pytest.raises(ValueError, match=message) as told:
        read(text, time=time)
    assert "m1.csv" in str(told.value)


def test_no_table_is_told_with_the_way_out(tmp_path):
    with pytest.raises(ValueError, match=r"in m1\.csv, but .* Leave behavior out with `--no-beh"):
        behavior_beside(tmp_path / "m1.npy", n_frames=3, rate_hz=10.0, units={})
