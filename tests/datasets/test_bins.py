import numpy as np
import pytest

from calsweep.datasets.bins import Bins
from calsweep.datasets.recording import Recording


def recording_of(**behavior):
    n_frames = len(next(iter(behavior.values())))
    return Recording(
        subject="m1",
        name="m1_d1",
        activity_TN=np.zeros((n_frames, 1), dtype=np.float32),
        behavior={name: np.asarray(values) for name, values in behavior.items()},
        rate_hz=10.0,
        units=("a",),
        trial_T=np.zeros(n_frames, dtype=np.int32),
        steps=("as recorded",),
    )


def test_a_class_begins_at_its_edge():
    made = Bins(label="place", behavior="position_cm", edges=(20.0, 60.0)).apply(
        recording_of(position_cm=[-1.0, 19.9, 20.0, 59.9, 60.0, 96.0])
    )
    assert made.behavior["place"].tolist() == [0, 0, 1, 1, 2, 2]
    assert made.behavior["position_cm"].tolist() == [-1.0, 19.9, 20.0, 59.9, 60.0, 96.0]
    assert made.behavior_unit["place"] == ""
    assert made.steps == ("as recorded", "place is position_cm cut at 20, 60, frame by frame")


def test_labels_can_be_numbered_from_0():
    bins = Bins(label="orientation", behavior="class", edges=(2.0, 3.0, 4.0))
    made = bins.apply(recording_of(**{"class": [1, 2, 3, 4, -1]}))
    assert made.behavior["orientation"].tolist() == [0, 1, 2, 3, -1]


def test_what_is_not_known_stays_so():
    made = Bins(label="fast", behavior="speed", edges=(-3.0,)).apply(
        recording_of(speed=[np.nan, np.inf, -1.0, -4.0])
    )
    assert made.behavior["fast"].tolist() == [-1, -1, 1, 0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("speed:5", "`--bins LABEL=BEHAVIOR:EDGE,EDGE` is the form"),
        ("run=speed", "is the form"),
        ("run=speed:fast", "is the form"),
        ("run=speed:", "is the form"),
        ("=speed:5", "is the form"),
        ("run=speed:5,5", r"must be numbers that increase, but got \[5.0, 5.0\]"),
        ("run=speed:nan", r"must be numbers that increase, but got \[nan\]"),
        ("speed=speed:5", "a label must have a name of its own"),
    ],
)
def test_what_is_not_of_the_form_is_told(text, message):
    with pytest.raises(ValueError, match=message):
        Bins.parse(text)


def test_a_behavior_that_is_not_there_is_told():
    with pytest.raises(ValueError, match="m1_d1: there is no behavior 'sped'.* There are: speed"):
        Bins.parse("run=sped:5").apply(recording_of(speed=[1.0, 9.0]))


def test_a_label_that_is_there_is_not_replaced():
    with pytest.raises(ValueError, match="m1_d1: there is a behavior 'run' already"):
        Bins.parse("run=speed:5").apply(recording_of(speed=[1.0, 9.0], run=[0, 1]))
