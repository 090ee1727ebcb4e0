import csv

import pytest

from calsweep.datasets.csv import CsvSource

TABLE = "frame,a,b,step\n0,1.5,2,0\n1,2.5,3,1\n2,3.5,4,2\n7,4.5,5,0\n"


@pytest.fixture
def save(tmp_path):
    def save(text):
        file = tmp_path / "1A_x.csv"
        file.write_text(text)
        return file

    return save


def test_pythons_own_csv_is_not_hidden():
    assert hasattr(csv, "reader")


def test_reads_frame_units_and_label(save):
    recording = CsvSource(rate_hz=15.0).read(save(TABLE))
    assert (recording.subject, recording.name) == ("1A", "1A_x")
    assert recording.units == ("a", "b")
    assert recording.activity_TN.tolist() == [[1.5, 2], [2.5, 3], [3.5, 4], [4.5, 5]]
    assert recording.behavior["step"].tolist() == [0, 1, 2, 0]
    assert recording.behavior["step"].dtype.kind == "i"
    assert recording.trial_T.tolist() == [0, 0, 0, 1]  # frames 3 to 6 are left out
    assert recording.rate_hz == 15.0


def test_reads_a_table_without_names(save):
    recording = CsvSource(rate_hz=15.0, label="step").read(save("1,0.5,1\n2,0.25,0\n"))
    assert recording.units == ("unit1",)
    assert recording.behavior["step"].tolist() == [1, 0]


@pytest.mark.parametrize(
    ("header", "units"),
    [("frame,1,2,run", ("1", "2")), ("0,1,2,run", ("1", "2")), (",1,2,3", ("1", "2"))],
)
def test_units_may_be_named_by_numbers(save, header, units):
    recording = CsvSource(rate_hz=15.0).read(save(f"{header}\n0,0.5,1.5,1\n1,2.5,3.5,0\n"))
    assert recording.units == units
    assert recording.activity_TN.tolist() == [[0.5, 1.5], [2.5, 3.5]]
    assert [values.tolist() for values in recording.behavior.values()] == [[1, 0]]


def test_a_label_with_fractions_is_a_measure(save):
    recording = CsvSource(rate_hz=15.0).read(save("frame,a,speed_cm_s\n0,1,0.5\n1,2,1\n"))
    assert recording.behavior["speed_cm_s"].tolist() == [0.5, 1.0]
    assert recording.behavior_unit == {"speed_cm_s": "cm/s"}


@pytest.mark.parametrize("value", ["inf", "nan", "1e300"])
def test_a_label_without_end_is_a_measure(save, value):
    recording = CsvSource(rate_hz=15.0).read(save(f"frame,a,step\n0,1,0\n1,2,{value}\n"))
    assert recording.behavior["step"].dtype.kind == "f"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("\n\n", "the table has no rows"),
        ("frame,a,step\n", "the table has no rows"),
        ("frame,a,step\n0,1,0\n1,2\n", "must have 3 cells, but line 3 has 2"),
        ("frame,a,step\n0,1,0\n1,x,0\n", r"line 3, column 2 \(`a`\) is 'x'"),
        ("frame,a,step\n0,1,0\n1,,0\n", r"line 3, column 2 \(`a`\) is ''"),
        ("frame,a,step\n0,1,0\n1,nan,0\n", "unit `a` is not in 1 of 2 frames"),
        ("frame,a,step\n0,1,0\n1,inf,0\n", "activity must be finite"),
        ("0,1,\n1,1,0\n", r"line 1, column 3 \(`label`\) is ''"),
        ("frame,step\n0,1\n", "but has 2 columns"),
        ("frame,a,step\n1,1,0\n0,2,0\n", "whole and increasing"),
        ("frame,a,a,step\n0,1,1,0\n", "`a` stand more than once"),
    ],
)
def test_bad_tables_are_told_with_the_file(save, text, message):
    file = save(text)
    with pytest.raises(ValueError, match=message) as told:
        CsvSource(rate_hz=15.0).read(file)
    assert str(file) in str(told.value)


def test_rate_must_be_positive():
    with pytest.raises(ValueError, match=r"`rate_hz > 0` must hold"):
        CsvSource(rate_hz=0.0)
