import os
from pathlib import Path

import numpy as np
import pytest

from calsweep.datasets.npz import NpzSource
from calsweep.datasets.shard_writer import write_dataset

REAL = os.environ.get("CALSWEEP_REAL_DATA", "")
ARRAYS = {
    "traces": np.arange(8, dtype=np.float32).reshape(4, 2),
    "rate_hz": np.float32(7.5),
    "moving": np.array([0, 1, 1, 0], dtype=np.int8),
    "heading_rad": np.array([0.0, 0.5, 1.0, 1.5]),
    "trial": np.array([2, 2, 5, 5]),
    "kind": np.array(["PEN1", "EPG"]),
    "events": np.array([0, 1, 2]),
}


@pytest.fixture
def save(tmp_path):
    def save(**changes):
        file = tmp_path / "fly1_s2.npz"
        arrays = {**ARRAYS, **changes}
        np.savez(file, **{name: a for name, a in arrays.items() if a is not None})
        return file

    return save


def test_reads_arrays_by_name(save):
    recording = NpzSource().read(save())
    assert (recording.subject, recording.name) == ("fly1", "fly1_s2")
    assert recording.rate_hz == 7.5
    assert recording.activity_TN.tolist() == [[0, 1], [2, 3], [4, 5], [6, 7]]
    assert recording.units == ("unit1", "unit2")
    assert list(recording.behavior) == ["moving", "heading_rad"]
    assert recording.behavior_unit == {"moving": "", "heading_rad": "rad"}
    assert recording.trial_T.tolist() == [0, 0, 1, 1]
    assert len(recording.source_sha256["fly1_s2.npz"]) == 64


def test_options_say_what_is_what(save):
    file = save(dff=ARRAYS["traces"] * 2, snippet=np.array([0, 1]))
    source = NpzSource(
        activity="dff",
        rate_hz=30.0,
        trials="snippet",
        behaviors=("moving",),
        behavior_units={"moving": "yes or no"},
        order_units_by="kind",
        names=r"(?P<subject>fly\d)_s(?P<recording>\d)",
    )
    recording = source.read(file)
    assert recording.activity_TN[0].tolist() == [2, 0]
    assert recording.units == ("EPG", "PEN1")
    assert recording.rate_hz == 30.0
    assert recording.trial_T.tolist() == [0, 1, 1, 1]
    assert recording.behavior_unit == {"moving": "yes or no"}
    assert recording.name == "fly1_2"


def test_floats_of_0_and_1_are_a_label_and_others_a_measure(save):
    file = save(
        moving=np.array([0.0, 1.0, 1.0, 0.0]),
        never=np.zeros(4, dtype=np.float32),
        gaps=np.array([0.0, 1.0, np.nan, 0.0]),
        laps=np.array([0.0, 1.0, 2.0, 3.0]),
        speed_cm_s=np.zeros(4),
        licks=np.zeros(4),
    )
    behavior = NpzSource(behavior_units={"licks": "1/s"}).read(file).behavior
    assert behavior["moving"].tolist() == [0, 1, 1, 0]
    kinds = {name: values.dtype.kind for name, values in behavior.items()}
    assert kinds == {
        "moving": "i", "never": "i", "gaps": "f", "laps": "f", "speed_cm_s": "f", "licks": "f",
        "heading_rad": "f",
    }  # fmt: skip
    named = NpzSource(behaviors=("moving",)).read(file).behavior
    assert named["moving"].dtype.kind == "i"


def test_units_of_one_kind_are_counted_in_their_order(save):
    traces = np.arange(12, dtype=np.float32).reshape(3, 4)
    file = save(
        traces=traces, kind=np.array(["PEN1", "EPG", "PEN1", "EPG"]),
        trial=None, moving=None, heading_rad=None,
    )  # fmt: skip
    recording = NpzSource(order_units_by="kind").read(file)
    assert recording.units == ("EPG1", "EPG2", "PEN1_1", "PEN1_2")
    assert recording.activity_TN[0].tolist() == [1, 3, 0, 2]


def test_units_with_a_number_are_named_after_animal_and_number(save):
    traces = np.arange(12, dtype=np.float32).reshape(3, 4)
    file = save(
        traces=traces, cell=np.array([7, -1, 2, -1]),
        trial=None, moving=None, heading_rad=None,
    )  # fmt: skip
    recording = NpzSource(unit_ids="cell").read(file)
    assert recording.units == ("fly1_2", "fly1_7")
    assert recording.activity_TN.tolist() == [[2, 0], [6, 4], [10, 8]]


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({"traces": None}, {}, r"no array `traces` for the activity. Arrays: rate_hz \(\), moving"),
        ({"rate_hz": np.nan}, {}, "must be one number .* but is nan. Give the rate as a number"),
        ({"rate_hz": None}, {}, "no array `rate_hz` for the rate"),
        ({"traces": np.full((4, 2), np.inf)}, {}, "unit `unit1` is not in 4 of 4 frames"),
        ({"traces": np.zeros(4)}, {}, r"`traces` must be numbers of shape \(time, unit\)"),
        ({"moving": np.zeros(3)}, {"behaviors": ("moving",)}, r"one value per frame \(4\)"),
        ({"trial": np.zeros((2, 2))}, {}, r"trials must be one value per frame \(4\)"),
        ({"kind": np.zeros(3)}, {"order_units_by": "kind"}, r"one value per unit \(2\)"),
        ({"cell": np.array([3, 3])}, {"unit_ids": "cell"}, r"1 numbers stand more than once .*: 3"),
        ({"cell": np.array([-1, -1])}, {"unit_ids": "cell"}, "some units, but has none"),
        ({"cell": np.zeros(2)}, {"unit_ids": "cell"}, r"one whole number per unit \(2\)"),
        ({"cell": np.arange(3)}, {"unit_ids": "cell"}, r"one whole number per unit \(2\)"),
        ({}, {"unit_ids": "cell"}, "no array `cell` for the numbers of units"),
        ({}, {"order_units_by": "type"}, "no array `type` for the order of units"),
        ({"extra": np.array([{}])}, {}, "it holds Python objects"),
    ],
)
def test_bad_arrays_are_told_with_the_file(save, changes, options, message):
    file = save(**changes)
    with pytest.raises(ValueError, match=message) as told:
        NpzSource(**options).read(file)
    assert str(told.value).startswith(str(file))


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "is empty"), (b"not an archive", "no whole .npz file")],
)
def test_bad_files_are_told(tmp_path, content, message):
    file = tmp_path / "m1.npz"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        NpzSource().read(file)


def test_half_a_file_is_told(save):
    file = save()
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(ValueError, match="no whole .npz file"):
        NpzSource().read(file)


def test_no_file(tmp_path):
    with pytest.raises(ValueError, match="There is no file or folder"):
        NpzSource().files(tmp_path / "none")
    with pytest.raises(ValueError, match=r"holds no \.npz file"):
        NpzSource().files(tmp_path)
    with pytest.raises(ValueError, match="There is no file"):
        NpzSource().read(tmp_path / "none.npz")


@pytest.mark.skipif(not REAL, reason="CALSWEEP_REAL_DATA does not name the folder of recordings")
@pytest.mark.parametrize(
    ("folder", "options", "n_files", "n_trials"),
    [
        ("fly_heading_walking", {"order_units_by": "roi_neuron_type"}, 19, 21),
        ("ca1_linear_track_maps", {"order_units_by": "registered_cell_id"}, 15, 5),
        ("ca1_linear_track_maps", {"unit_ids": "registered_cell_id"}, 15, 5),
        ("patmap_small_twophoton", {"rate_hz": 10.2}, 2, 1),
        ("s1_vip_lick_events", {"trials": "event_index"}, 29, 653),
        ("widefield_parcels_locomotion", {}, 1, 1),
    ],
)
def test_real_recordings(tmp_path, folder, options, n_files, n_trials):
    source = NpzSource(**options)
    files = source.files(Path(REAL) / folder)
    assert len(files) == n_files
    for i, file in enumerate(files):
        manifest = write_dataset([source.read(file)], folder=tmp_path / str(i))
        if i == 0:
            assert manifest.recordings[0].n_trials == n_trials


def test_units_are_named_by_one_array():
    with pytest.raises(ValueError, match="units are named by one array"):
        NpzSource(order_units_by="kind", unit_ids="cell")


def test_pattern_is_checked(save):
    with pytest.raises(ValueError, match=r"must match the pattern .* but is 'fly1_s2.npz'"):
        NpzSource(names="(?P<subject>x+)").read(save())
    with pytest.raises(ValueError, match="must have a group"):
        NpzSource(names=r"(\w+)")
    with pytest.raises(ValueError, match="must be a regular expression"):
        NpzSource(names="(")
