import numpy as np
import pytest
import scipy.io

from calsweep.datasets.mat import MatSource, moving_mean
from calsweep.datasets.source import Axes

DAT_ROI = np.arange(10.0).reshape(2, 5)  # region, frame
SPEED = np.array([[0.0, 0.6, 0.6, 0.0, 0.0]])
RUN = np.array([[0.0, 1.0, 1.0, 0.0, 0.0]])


@pytest.fixture
def published(tmp_path):
    """Two recordings of two mice, laid out as the published ones are."""
    for folder in ("regions", "behavior"):
        (tmp_path / folder).mkdir()
    for name in ("m01d1", "m02d1"):
        scipy.io.savemat(tmp_path / "regions" / f"{name}.mat", {"dat_roi": DAT_ROI})
        scipy.io.savemat(
            tmp_path / "behavior" / f"{name}_behavior.mat", {"runrest": RUN, "speed_rs": SPEED}
        )
    table = tmp_path / "data_64_5mice.csv"
    table.write_text("Data_ID,mouse_No.\nm01d1,1\nm02d1,2\n")
    return tmp_path


def test_published_layout_is_read_as_it_lies(published):
    source = MatSource(
        behavior_file="../behavior/*_behavior.mat", subjects=published / "data_64_5mice.csv"
    )
    files = source.files(published / "regions")
    assert [file.name for file in files] == ["m01d1.mat", "m02d1.mat"]
    recording = source.read(files[1])
    assert (recording.subject, recording.name) == ("2", "m02d1")
    assert recording.activity_TN.tolist() == [[0, 5], [1, 6], [2, 7], [3, 8], [4, 9]]
    assert recording.units == ("region1", "region2")
    assert recording.rate_hz == 30.0
    assert recording.behavior["runrest"].tolist() == [0, 1, 1, 0, 0]
    assert recording.behavior["runrest"].dtype.kind == "i"
    assert recording.behavior["speed_rs"].tolist() == [0.0, 0.6, 0.6, 0.0, 0.0]
    assert recording.behavior_unit == {"runrest": "", "speed_rs": "cm/s"}
    assert recording.steps == ()
    assert sorted(recording.source_sha256) == [
        "data_64_5mice.csv",
        "m02d1.mat",
        "m02d1_behavior.mat",
    ]


def test_both_files_may_lie_in_one_folder(tmp_path):
    scipy.io.savemat(tmp_path / "m1_d1_roi.mat", {"dat_roi": DAT_ROI})
    scipy.io.savemat(tmp_path / "m1_d1_run.mat", {"runrest": RUN})
    source = MatSource(recordings="*_roi.mat", behavior_file="*_run.mat", behaviors=("runrest",))
    (file,) = source.files(tmp_path)
    assert source.read(file).name == "m1_d1"
    scipy.io.savemat(tmp_path / "m1_d1.mat", {"dat_roi": DAT_ROI})
    every = MatSource(behavior_file="*_run.mat").files(tmp_path)
    assert [file.name for file in every] == ["m1_d1.mat", "m1_d1_roi.mat"]


def test_run_is_computed_from_the_smoothed_speed(published):
    scipy.io.savemat(published / "behavior" / "m01d1_behavior.mat", {"speed_rs": SPEED})
    source = MatSource(
        behavior_file="../behavior/*_behavior.mat",
        behaviors=(),
        run_above_cm_s=0.25,
        smooth_frames=3,
    )
    recording = source.read(published / "regions" / "m01d1.mat")
    # means of up to three frames: 0.3, 0.4, 0.4, 0.2, 0
    assert recording.behavior["run"].tolist() == [1, 1, 1, 0, 0]
    assert list(recording.behavior) == ["run"]
    assert recording.steps == ("`run` is `speed_rs` averaged over 3 frames > 0.25 cm/s",)


def test_speed_at_the_threshold_is_rest(tmp_path):
    scipy.io.savemat(
        tmp_path / "m1.mat", {"dat_roi": DAT_ROI, "speed_rs": [0.5, 0.50001, 0.0, 1.0, 0.5]}
    )
    source = MatSource(behaviors=("speed_rs",), run_above_cm_s=0.5)
    assert source.read(tmp_path / "m1.mat").behavior["run"].tolist() == [0, 1, 0, 1, 0]


def test_speed_that_is_missing_is_neither_run_nor_rest(tmp_path):
    scipy.io.savemat(
        tmp_path / "m1.mat", {"dat_roi": DAT_ROI, "speed_rs": [0.5, np.nan, 0.0, 1.0, 0.5]}
    )
    with pytest.raises(ValueError, match="`speed_rs` must be finite to tell run from rest"):
        MatSource(behaviors=(), run_above_cm_s=0.5).read(tmp_path / "m1.mat")


def test_behavior_at_its_own_rate_is_brought_to_the_frames(tmp_path):
    scipy.io.savemat(
        tmp_path / "m1.mat",
        {"dat_roi": DAT_ROI, "runrest": np.arange(10) >= 5, "speed_rs": np.arange(10.0)},
    )
    recording = MatSource(rate_hz=10.0, behavior_rate_hz=20.0).read(tmp_path / "m1.mat")
    assert recording.behavior["speed_rs"].tolist() == [0.0, 2.0, 4.0, 6.0, 8.0]
    assert recording.behavior["runrest"].tolist() == [0, 0, 0, 1, 1]
    assert recording.steps == (
        "`runrest` brought from 20 Hz to the frames' times by nearest sample",
        "`speed_rs` brought from 20 Hz to the frames' times by linear interpolation",
    )


def test_axes_may_be_the_other_way_round(tmp_path):
    scipy.io.savemat(tmp_path / "m1.mat", {"dff": DAT_ROI.T, "runrest": RUN, "speed_rs": SPEED})
    source = MatSource(activity="dff", axes=Axes.TIME_UNIT, unit_name="cell")
    recording = source.read(tmp_path / "m1.mat")
    assert recording.units == ("cell1", "cell2")
    assert recording.activity_TN.tolist() == DAT_ROI.T.tolist()


@pytest.mark.parametrize(
    ("variables", "options", "message"),
    [
        ({"runrest": np.zeros((2, 5))}, {}, r"`runrest` must be a row or a column"),
        ({"runrest": np.zeros(4)}, {}, r"`runrest` must have one value per frame \(5\)"),
        ({"dat_roi": np.zeros((2, 3, 4))}, {}, r"must be numbers of shape \(unit, time\)"),
        ({}, {"behavior_file": "../behavior/*.mat"}, r"There is no file .*behavior/m1\.mat"),
        ({}, {"subjects": "t.csv"}, "'m1' is not in its column `Data_ID` .other, "),
        ({}, {"subjects": "t.csv", "subjects_subject": "Mouse_#"}, "must have a column `Mouse_#`"),
    ],
)
def test_what_does_not_fit_is_told_with_the_file(
    tmp_path, monkeypatch, variables, options, message
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.csv").write_text("Data_ID,mouse_No.\nother,1\n")
    if "subjects" in options:
        options = {**options, "subjects": tmp_path / options["subjects"]}
    whole = {"dat_roi": DAT_ROI, "runrest": RUN, "speed_rs": SPEED}
    scipy.io.savemat(tmp_path / "m1.mat", {**whole, **variables})
    with pytest.raises(ValueError, match=message) as told:
        MatSource(**options).read(tmp_path / "m1.mat")
    assert "m1.mat" in str(told.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rate_hz": 0.0}, "`rate_hz > 0` must hold"),
        ({"behavior_rate_hz": -1.0}, "`rate_hz > 0` must hold"),
        ({"behaviors": ("run",), "run_above_cm_s": 0.5}, "Leave out either"),
        ({"smooth_frames": 0}, "`smooth_frames >= 1` must hold"),
        ({"behavior_file": "behavior.mat"}, r"a pattern must have one `\*`"),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(ValueError, match=message):
        MatSource(**options)


def test_moving_mean_is_that_of_matlab():
    values = np.array([4.0, 8.0, 6.0, -1.0, -2.0, -3.0])
    # movmean(A, 3) and movmean(A, 4) of MATLAB
    assert moving_mean(values, length=3).tolist() == pytest.approx(
        [6.0, 6.0, 13 / 3, 1.0, -2.0, -2.5]
    )
    assert moving_mean(values, length=4).tolist() == pytest.approx(
        [6.0, 6.0, 4.25, 2.75, 0.0, -2.0]
    )
