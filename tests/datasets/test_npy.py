import numpy as np
import pytest

from calsweep.datasets.npy import NpySource
from calsweep.datasets.source import Axes


def test_float32_stays_on_disk(tmp_path):
    np.save(tmp_path / "m1.npy", np.arange(6, dtype=np.float32).reshape(2, 3))
    source = NpySource(rate_hz=30.0, behavior=False, axes=Axes.UNIT_TIME)
    recording = source.read(tmp_path / "m1.npy")
    assert isinstance(recording.activity_TN, np.memmap)
    assert recording.activity_TN.tolist() == [[0, 3], [1, 4], [2, 5]]
    assert recording.behavior == {}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros(3), r"`m1.npy` must be numbers of shape \(time, unit\)"),
        (np.array([["a"]]), r"`m1.npy` must be numbers of shape"),
        (np.array([[{}]], dtype=object), "Python objects"),
    ],
)
def test_what_is_no_activity_is_told(tmp_path, values, message):
    np.save(tmp_path / "m1.npy", values)
    with pytest.raises(ValueError, match=message):
        NpySource(rate_hz=30.0, behavior=False).read(tmp_path / "m1.npy")


def test_behavior_with_times_is_aligned(tmp_path):
    np.save(tmp_path / "m1.npy", np.zeros((3, 2), dtype=np.float32))
    (tmp_path / "m1.csv").write_text("time,run\n0,0\n0.1,0\n0.9,1\n2.1,1\n")
    recording = NpySource(rate_hz=1.0, time="time").read(tmp_path / "m1.npy")
    assert recording.behavior["run"].tolist() == [0, 1, 1]
    assert "nearest sample" in recording.steps[0]
