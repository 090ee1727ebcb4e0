"""Files of pynwb's own writer, read back equal; what is wrong with one is told."""

from datetime import UTC, datetime

import numpy as np
import pynwb
import pytest
from pynwb import TimeSeries
from pynwb.behavior import BehavioralEpochs, BehavioralTimeSeries, Position, SpatialSeries
from pynwb.epoch import TimeIntervals
from pynwb.misc import IntervalSeries
from pynwb.ophys import DfOverF, Fluorescence, ImageSegmentation, OpticalChannel

from calsweep.datasets.align import Outside
from calsweep.datasets.nwb import NwbSource
from calsweep.datasets.nwb_activity import Signal

DFF = np.arange(24, dtype=np.float64).reshape(8, 3)
MASKS = ([(2, 4, 1.0), (4, 4, 3.0)], [(10, 20, 0.5)], [(0, 1, 1.0), (2, 3, 1.0)])


class Session:
    """An NWB file in the making, as a lab's conversion writes it."""

    def __init__(self, **fields):
        self.nwb = pynwb.NWBFile(
            session_description="simulated",
            identifier="1",
            session_start_time=datetime(2024, 1, 1, tzinfo=UTC),
            **fields,
        )
        self.scope = self.nwb.create_device(name="scope")
        self.ophys = self.nwb.create_processing_module("ophys", "traces")
        self.segmentation = ImageSegmentation()
        self.ophys.add(self.segmentation)
        self.containers = {}

    def plane(self, name, *, masks=MASKS, columns=()):
        channel = OpticalChannel(name="green", description="", emission_lambda=510.0)
        imaging = self.nwb.create_imaging_plane(
            name=f"imaging_{name}", optical_channel=channel, description="", device=self.scope,
            excitation_lambda=920.0, indicator="GCaMP6f", location="V1",
        )  # fmt: skip
        plane = self.segmentation.create_plane_segmentation(
            name=name, description="", imaging_plane=imaging
        )
        for mask in masks:
            key = "pixel_mask" if isinstance(mask, list) else "image_mask"
            plane.add_roi(**{key: mask})
        for column, values in columns:
            plane.add_column(name=column, description="", data=values)
        return plane

    def series(self, plane, data, *, kind=DfOverF, name=None, container=None, **clock):
        held = container or kind.__name__
        if held not in self.containers:
            self.containers[held] = kind(name=held)
            self.ophys.add(self.containers[held])
        region = plane.create_roi_table_region(
            region=list(range(len(plane))), description="all of them"
        )
        return self.containers[held].create_roi_response_series(
            name=name or plane.name, data=data, rois=region, unit="n.a.",
            **(clock or {"rate": 10.0}),
        )  # fmt: skip

    def behavior(self, *items):
        module = self.nwb.processing.get("behavior")
        module = module or self.nwb.create_processing_module("behavior", "what it did")
        for item in items:
            module.add(item)

    def write(self, file):
        with pynwb.NWBHDF5IO(file, "w") as opened:
            opened.write(self.nwb)
        return file


@pytest.fixture
def file(tmp_path):
    return tmp_path / "m9_d1.nwb"


def simple(**fields):
    session = Session(**fields)
    session.series(session.plane("plane0"), DFF)
    return session


def subject(name):
    return pynwb.file.Subject(subject_id=name, species="Mus musculus")


def test_reads_traces_places_rate_and_names(file):
    simple(subject=subject("m1"), session_id="d3").write(file)
    recording = NwbSource().read(file)
    assert (recording.subject, recording.name) == ("m1", "m1_d3")
    assert recording.activity_TN.dtype == np.float32
    assert np.array_equal(recording.activity_TN, DFF)
    assert recording.units == ("roi0", "roi1", "roi2")
    assert recording.rate_hz == 10.0
    assert recording.position_unit == "pixel"
    assert recording.positions_ND.tolist() == [[3.5, 4.0], [10.0, 20.0], [1.0, 2.0]]
    assert recording.phase_N is None
    assert recording.trial_T.tolist() == [0] * 8
    assert recording.steps == ("activity is `ophys/DfOverF/plane0`",)
    assert len(recording.source_sha256["m9_d1.nwb"]) == 64


def test_names_come_from_the_file_name_where_the_file_has_none(file):
    simple().write(file)
    recording = NwbSource().read(file)
    assert (recording.subject, recording.name) == ("m9", "m9_d1")


def test_names_by_a_pattern_stand_before_those_in_the_file(file):
    simple(subject=subject("m1"), session_id="d3").write(file)
    recording = NwbSource(names=r"(?P<subject>m\d)_(?P<recording>.+)").read(file)
    assert (recording.subject, recording.name) == ("m9", "m9_d1")


def test_planes_stand_side_by_side_each_with_its_phase(file):
    session = Session()
    session.series(session.plane("plane10"), DFF[:7] + 100, rate=10.0, starting_time=5.05)
    session.series(session.plane("plane2"), DFF, rate=10.0, starting_time=5.0)
    session.write(file)
    recording = NwbSource().read(file)
    assert recording.units == (
        "plane2_roi0", "plane2_roi1", "plane2_roi2",
        "plane10_roi0", "plane10_roi1", "plane10_roi2",
    )  # fmt: skip
    assert np.array_equal(recording.activity_TN, np.hstack([DFF[:7], DFF[:7] + 100]))
    assert recording.phase_N == pytest.approx([0, 0, 0, 0.5, 0.5, 0.5], abs=1e-5)
    assert recording.positions_ND.shape == (6, 2)
    assert "last frame left out: `plane10` has none" in recording.steps
    alone = NwbSource(planes=("imaging_plane10",)).read(file)
    assert alone.units == ("roi0", "roi1", "roi2")
    assert np.array_equal(alone.activity_TN, DFF[:7] + 100)


@pytest.mark.parametrize("column", ["iscell", "Accepted"])
def test_rejected_rois_are_left_out_unless_all_are_wanted(file, column):
    verdict = {"iscell": [[1, 0.9], [0, 0.2], [1, 0.8]], "Accepted": [True, False, True]}
    session = Session()
    plane = session.plane("plane0", columns=[(column, np.array(verdict[column]))])
    session.series(plane, DFF)
    session.write(file)
    recording = NwbSource().read(file)
    assert recording.units == ("roi0", "roi2")
    assert np.array_equal(recording.activity_TN, DFF[:, [0, 2]])
    assert recording.positions_ND.tolist() == [[3.5, 4.0], [1.0, 2.0]]
    left_out = f"1 of 3 ROIs of `ophys/DfOverF/plane0` left out: not accepted in `{column}`"
    assert left_out in recording.steps
    assert NwbSource(all_rois=True).read(file).units == ("roi0", "roi1", "roi2")


def test_signal_is_chosen_by_kind_or_series_by_name(file):
    session = simple()
    plane = session.segmentation["plane0"]
    for i, container in enumerate(("Fluorescence", "Neuropil", "Deconvolved"), start=1):
        session.series(plane, DFF + 100 * i, kind=Fluorescence, container=container)
    session.write(file)
    first = {signal: NwbSource(activity=signal).read(file).activity_TN[0, 0] for signal in Signal}
    assert first == {Signal.DFF: 0, Signal.FLUORESCENCE: 100, Signal.DECONVOLVED: 300}
    for name in ("Neuropil", "ophys/Neuropil/plane0", "Neuropil/plane0"):
        assert NwbSource(series=(name,)).read(file).activity_TN[0, 0] == 200
    message = (
        r"one series a plane is needed, but of `plane0` there are 4\. Series of ROIs: .*"
        r"`ophys/Neuropil/plane0` \(other, 8 x 3\).* Choose one with `--series`"
    )
    with pytest.raises(ValueError, match=message):
        NwbSource(series=("plane0",)).read(file)


def test_conversion_is_applied(file):
    session = simple()
    held = session.containers["DfOverF"]
    held["plane0"].fields["conversion"] = 0.5
    held["plane0"].fields["offset"] = 1.0
    session.write(file)
    assert np.array_equal(NwbSource().read(file).activity_TN, DFF * 0.5 + 1)


def test_image_masks_and_columns_say_where_rois_lie(file):
    image = np.zeros((5, 7))
    image[1, 2], image[3, 2] = 1.0, 3.0
    session = Session()
    session.series(session.plane("plane0", masks=[image, image.copy()]), DFF[:, :2])
    session.write(file)
    assert NwbSource().read(file).positions_ND.tolist() == [[2.5, 2.0], [2.5, 2.0]]
    assert NwbSource(positions=False).read(file).positions_ND is None
    session = Session()
    columns = [("x_um", [1.0, 2.0]), ("y_um", [3.0, 4.0])]
    session.series(session.plane("plane0", masks=[image, image], columns=columns), DFF[:, :2])
    session.write(file)
    recording = NwbSource().read(file)
    assert (recording.position_unit, recording.positions_ND.tolist()) == ("um", [[1, 3], [2, 4]])


def test_timestamps_give_the_rate_and_gaps_are_borders(file):
    times_s = 100 + np.array([0.0, 0.1, 0.2, 0.3, 0.8, 0.9, 1.0, 1.1])
    session = Session()
    session.series(session.plane("plane0"), DFF, timestamps=times_s)
    session.write(file)
    recording = NwbSource().read(file)
    assert recording.rate_hz == 10.0
    assert recording.trial_T.tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    assert "a trial begins after each of 1 gaps in the timestamps of frames" in recording.steps


def test_behavior_of_another_rate_comes_to_the_frames(file):
    session = simple()
    times_s = np.arange(40) / 50
    speed = TimeSeries(name="speed", data=np.arange(40.0), unit="cm/s", rate=50.0)
    licks = TimeSeries(
        name="lick", data=(np.arange(40) >= 20).astype(int), unit="n/a", timestamps=times_s
    )
    place = SpatialSeries(
        name="place", data=np.stack([times_s, -times_s], axis=1), reference_frame="corner",
        unit="meters", conversion=0.01, rate=50.0,
    )  # fmt: skip
    counts = TimeSeries(name="wheel", data=np.arange(40), unit="ticks", rate=50.0)
    session.behavior(
        BehavioralTimeSeries(time_series=[speed, licks, counts]), Position(spatial_series=place)
    )
    session.nwb.add_acquisition(TimeSeries(name="voltage", data=np.ones(5), unit="V", rate=1.0))
    session.write(file)
    recording = NwbSource().read(file)
    behavior = recording.behavior
    assert list(behavior) == ["lick", "speed", "wheel", "place_x", "place_y"]
    assert behavior["speed"] == pytest.approx([0, 5, 10, 15, 20, 25, 30, 35])
    assert behavior["lick"].tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    assert behavior["lick"].dtype.kind == "i"
    assert behavior["wheel"].dtype.kind == "f"
    assert behavior["place_x"] == pytest.approx(np.arange(8) * 0.001)
    assert behavior["place_y"] == pytest.approx(np.arange(8) * -0.001)
    assert recording.behavior_unit == {
        "speed": "cm/s", "lick": "", "wheel": "ticks", "place_x": "m", "place_y": "m"
    }  # fmt: skip
    assert "`speed` brought from 50 Hz to the frames' times by linear interpolation" in (
        recording.steps
    )
    assert "`lick` brought from 50 Hz to the frames' times by nearest sample" in recording.steps
    named = NwbSource(behaviors=("Position", "speed")).read(file).behavior
    assert list(named) == ["speed", "place_x", "place_y"]


def test_behavior_that_ends_early_is_refused_or_missing(file):
    session = simple()
    session.behavior(TimeSeries(name="speed", data=np.zeros(3), unit="cm/s", rate=10.0))
    session.write(file)
    with pytest.raises(ValueError, match=r"`speed` must reach every frame, but goes from 0 s to"):
        NwbSource().read(file)
    speed = NwbSource(outside=Outside.MISSING).read(file).behavior["speed"]
    assert np.isnan(speed).tolist() == [False] * 3 + [True] * 5


def test_two_behaviors_of_one_name_are_told_apart(file):
    session = simple()
    for name in ("left", "right"):
        series = TimeSeries(name="eye", data=np.zeros(8), unit="mm", rate=10.0)
        session.behavior(BehavioralTimeSeries(name=name, time_series=[series]))
    session.write(file)
    assert list(NwbSource().read(file).behavior) == ["behavior_left_eye", "behavior_right_eye"]


def test_intervals_are_labels(file):
    session = simple()
    running = TimeIntervals(name="running", description="")
    running.add_interval(start_time=0.1, stop_time=0.3)
    running.add_interval(start_time=0.55, stop_time=0.65)
    session.nwb.add_time_intervals(running)
    groom = IntervalSeries(name="groom", data=[1, -1], timestamps=[0.2, 0.45])
    session.behavior(BehavioralEpochs(interval_series=groom))
    session.write(file)
    behavior = NwbSource().read(file).behavior
    assert behavior["running"].tolist() == [0, 1, 1, 0, 0, 0, 1, 0]
    assert behavior["groom"].tolist() == [0, 0, 1, 1, 1, 0, 0, 0]


def with_trials(file, **columns):
    """Trials from 0.1 to 0.3 s and from 0.5 to 0.6 s."""
    session = simple()
    for name in columns:
        session.nwb.add_trial_column(name=name, description="")
    for i, (start, stop) in enumerate([(0.1, 0.3), (0.5, 0.6)]):
        values = {name: of_trial[i] for name, of_trial in columns.items()}
        session.nwb.add_trial(start_time=start, stop_time=stop, **values)
    return session.write(file)


def test_trials_and_what_lies_between_are_trials_of_their_own(file):
    with_trials(file, correct=[True, False], contrast=[0.25, 0.5], side=["right", "left"])
    recording = NwbSource().read(file)
    assert recording.trial_T.tolist() == [0, 1, 1, 2, 2, 3, 4, 4]
    assert recording.behavior["correct"].tolist() == [-1, 1, 1, -1, -1, 0, -1, -1]
    assert list(recording.behavior) == ["correct"]
    assert "`correct` is that of the trial, missing between trials" in recording.steps
    contrast = NwbSource(behaviors=("contrast",)).read(file).behavior["contrast"]
    assert np.nan_to_num(contrast, nan=9).tolist() == [9, 0.25, 0.25, 9, 9, 0.5, 9, 9]
    assert NwbSource(trials="").read(file).trial_T.tolist() == [0] * 8


def test_words_of_trials_are_numbered_as_a_person_says(file):
    with_trials(file, side=["right", "left"])
    recording = NwbSource(classes={"side": "left,right"}).read(file)
    assert recording.behavior["side"].tolist() == [-1, 1, 1, -1, -1, 0, -1, -1]
    assert "`side`: 0 left, 1 right" in recording.steps
    with pytest.raises(ValueError, match=r"must name every word of `side`, but 'right' is not"):
        NwbSource(classes={"side": "left,none"}).read(file)
    with pytest.raises(ValueError, match=r"`--classes side=left,right`"):
        NwbSource(behaviors=("side",)).read(file)


def test_class_of_minus_one_is_refused_rather_than_lost(file):
    with_trials(file, side=[-1, 1])
    with pytest.raises(ValueError, match="-1 marks frames between trials, but is a class of"):
        NwbSource().read(file)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"activity": Signal.DECONVOLVED},
         r"no deconvolved series. Series of ROIs: `ophys/DfOverF/plane0` \(dff, 8 x 3\)"),
        ({"series": ("plane7",)}, r"no series `plane7`. Series of ROIs: `ophys/DfOverF/plane0`"),
        ({"planes": ("plane7",)}, r"no plane `plane7`. Planes: `plane0`"),
        ({"behaviors": ("speed",)}, r"no behavior `speed`. Behaviors: none"),
        ({"trials": "laps"}, r"no table `laps` for the trials. Tables: none"),
    ],
)  # fmt: skip
def test_what_is_not_there_is_told_with_what_is(file, options, message):
    simple().write(file)
    with pytest.raises(ValueError, match=message) as told:
        NwbSource(**options).read(file)
    assert str(told.value).startswith(str(file))


def test_file_without_rois_is_told(file):
    Session().write(file)
    with pytest.raises(ValueError, match="there is no RoiResponseSeries in it"):
        NwbSource().read(file)


def test_nothing_accepted_is_told(file):
    session = Session()
    session.series(session.plane("plane0", columns=[("iscell", [0, 0, 0])]), DFF)
    session.write(file)
    with pytest.raises(ValueError, match="`iscell` accepts none of 3. Take all with `--all-rois`"):
        NwbSource().read(file)


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ({"rate": 20.0}, r"planes must have one rate, but have: .*plane0` 10 Hz, .*plane1` 20 Hz"),
        ({"rate": 10.0, "starting_time": 0.2}, "begins 2 frames after"),
        ({"timestamps": np.zeros(8)}, "timestamps of .*plane1` must be finite and increasing"),
    ],
)
def test_planes_that_do_not_go_together_are_told(file, second, message):
    session = simple()
    session.series(session.plane("plane1"), DFF, **second)
    session.write(file)
    with pytest.raises(ValueError, match=message):
        NwbSource().read(file)


def test_wrong_shape_is_told(file):
    session = Session()
    with pytest.warns(UserWarning, match="does not match"):
        session.series(session.plane("plane0"), DFF[:, :2])
    session.write(file)
    with pytest.raises(ValueError, match=r"\(time, roi\) with 3 ROIs, but has \(8, 2\)"):
        NwbSource().read(file)


@pytest.mark.parametrize("share", [0.2, 0.6, 0.99])
def test_truncated_file_is_told(file, share):
    simple().write(file)
    file.write_bytes(file.read_bytes()[: int(file.stat().st_size * share)])
    with pytest.raises(ValueError, match="no whole NWB file") as told:
        NwbSource().read(file)
    assert str(told.value).startswith(str(file))


def test_other_files_are_told(file):
    import h5py

    file.write_bytes(b"not an NWB file")
    with pytest.raises(ValueError, match="no whole NWB file"):
        NwbSource().read(file)
    file.write_bytes(b"")
    with pytest.raises(ValueError, match="is empty"):
        NwbSource().read(file)
    with h5py.File(file, "w") as opened:
        opened["traces"] = DFF
    with pytest.raises(ValueError, match="no NWB file that pynwb can read"):
        NwbSource().read(file)


def test_open_file_reads_as_the_file_does(file):
    with_trials(file, correct=[True, False])
    there = NwbSource().read(file)
    with file.open("rb", buffering=0) as opened:
        streamed = NwbSource().read_open(opened, name="s3://lab/m9_d1.nwb", version="ETag 1")
    assert np.array_equal(streamed.activity_TN, there.activity_TN)
    assert streamed.behavior["correct"].tolist() == there.behavior["correct"].tolist()
    assert (streamed.subject, streamed.name) == (there.subject, there.name)
    assert streamed.source_sha256 == {"m9_d1.nwb": "ETag 1"}
