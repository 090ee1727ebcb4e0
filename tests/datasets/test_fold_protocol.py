"""Folds by animal, by recording, and as listed."""

import pytest

from calsweep.datasets.fold import Fold, HeldOut, PartName, Stretch, check_stretches
from calsweep.datasets.fold_protocol import (
    AnimalGroups,
    EachAnimal,
    Folds,
    LeaveOneAnimalOut,
    LeaveOneRecordingOut,
    Listed,
    Reach,
)
from calsweep.platform.config import variant_target, variants
from calsweep.platform.plain import from_plain, to_plain

HALF = [0, 1] * 50
LISTED = {"train": ["m1_a", "m1_b"], "validation": ["m2_a"], "test": [["m3_a", 10, 60]]}


@pytest.fixture
def timeline(timeline_of):
    names = [f"m{i}_{d}" for i in (1, 2, 3) for d in "abc"]
    return timeline_of([(name[:2], name, HALF) for name in names])


def parts(fold):
    return tuple(",".join(stretch.recording for stretch in fold.part(name)) for name in PartName)


@pytest.mark.parametrize("variant", variants("datasets/folds"))
def test_every_variant_is_a_protocol_and_goes_through_plain_data(variant):
    given = {"folds": [LISTED]} if variant == "listed" else {}
    protocol = from_plain({"_target_": variant_target("datasets/folds", variant), **given})
    assert isinstance(protocol, Folds)
    assert from_plain(to_plain(protocol)) == protocol


def test_each_animal_gives_every_ordered_pair(timeline):
    plan = EachAnimal().plan(timeline, reach=Reach())
    assert plan.groups == (("m1",), ("m2",), ("m3",))
    pairs = [(fold.test_group, fold.validation_group) for fold in plan.folds]
    assert pairs == [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)]
    assert parts(plan.folds[0]) == ("m3_a,m3_b,m3_c", "m2_a,m2_b,m2_c", "m1_a,m1_b,m1_c")


def test_leaving_an_animal_out_lets_each_test_once_and_validate_once(timeline):
    plan = LeaveOneAnimalOut().plan(timeline, reach=Reach())
    assert [(f.test_group, f.validation_group) for f in plan.folds] == [(0, 1), (1, 2), (2, 0)]
    assert plan.holds_out is HeldOut.ANIMALS


def test_leaving_a_recording_out_stays_within_the_animal(timeline):
    plan = LeaveOneRecordingOut(subjects=("m2",)).plan(timeline, reach=Reach())
    assert [parts(fold) for fold in plan.folds] == [
        ("m2_c", "m2_b", "m2_a"),
        ("m2_a", "m2_c", "m2_b"),
        ("m2_b", "m2_a", "m2_c"),
    ]
    assert plan.groups == (("m2_a",), ("m2_b",), ("m2_c",))
    assert plan.holds_out is HeldOut.RECORDINGS
    assert len(LeaveOneRecordingOut().plan(timeline, reach=Reach()).folds) == 9


def test_listed_folds_are_as_they_are_listed(timeline):
    protocol = from_plain(
        {"_target_": variant_target("datasets/folds", "listed"), "folds": [LISTED]}
    )
    (fold,) = protocol.plan(timeline, reach=Reach()).folds
    assert parts(fold) == ("m1_a,m1_b", "m2_a", "m3_a")
    assert fold.test == (Stretch(recording="m3_a", start_frame=10, stop_frame=60),)
    assert fold.test_group is None


def test_a_plan_is_the_same_every_time(timeline):
    for protocol in (AnimalGroups(k_groups=3), EachAnimal(), LeaveOneRecordingOut()):
        one, other = (protocol.plan(timeline, reach=Reach()) for _ in range(2))
        assert one.content_hash == other.content_hash
    hashes = {
        protocol.plan(timeline, reach=Reach()).content_hash
        for protocol in (EachAnimal(), LeaveOneAnimalOut(), LeaveOneRecordingOut())
    }
    assert len(hashes) == 3


@pytest.mark.parametrize(
    ("protocol", "message"),
    [
        (LeaveOneRecordingOut(subjects=("m9",)), "'m9' is none. There are: m1, m2, m3"),
        (
            Listed(folds=({"train": ("m1_a",), "validation": ("m2_a",), "test": ("m9_a",)},)),
            "'m9_a' is none",
        ),
        (
            Listed(
                folds=({"train": ("m1_a",), "validation": ("m2_a",), "test": (("m3_a", 0, 101),)},)
            ),
            "m3_a has 100 and a stretch ends at 101",
        ),
        (
            Listed(folds=({"train": (), "validation": ("m2_a",), "test": ("m3_a",)},)),
            "the training part of fold 0 has none",
        ),
        (
            Listed(
                folds=(
                    {
                        "train": (("m1_a", 0, 50), ("m1_a", 49, 60)),
                        "validation": ("m2_a",),
                        "test": ("m3_a",),
                    },
                )
            ),
            "holds frame 49 of m1_a twice",
        ),
    ],
)
def test_what_the_dataset_does_not_have_is_told(timeline, protocol, message):
    with pytest.raises(ValueError, match=message):
        protocol.plan(timeline, reach=Reach())


def test_too_few_are_told_with_the_way_out(timeline_of):
    two = timeline_of([("m1", "a", HALF), ("m1", "b", HALF), ("m2", "c", HALF)])
    with pytest.raises(ValueError, match=r"m1 has 2\. .*datasets/folds=time_blocks"):
        LeaveOneRecordingOut().plan(two, reach=Reach())
    for protocol in (EachAnimal(), LeaveOneAnimalOut()):
        with pytest.raises(ValueError, match=r"at least 3 animals, but the dataset has 2 \(m1, m2"):
            protocol.plan(two, reach=Reach())


def test_an_animal_of_one_class_is_told(timeline_of):
    resting = [("m1", "a", HALF), ("m2", "b", HALF), ("m3", "c", [0] * 100)]
    for protocol in (EachAnimal(), LeaveOneAnimalOut()):
        with pytest.raises(ValueError, match=r"the group \(m3\) is 0 in all 100 frames"):
            protocol.plan(timeline_of(resting), reach=Reach())
    days = [("m1", name, [int(name == "c")] * 100) for name in "abc"]
    with pytest.raises(ValueError, match="but a has one"):
        LeaveOneRecordingOut().plan(timeline_of(days), reach=Reach())


@pytest.mark.parametrize(
    ("folds", "message"),
    [
        ((), "at least one fold"),
        (({"train": ("a",), "test": ("b",)},), "must name `train`, `validation` and `test`"),
        (({"train": "a", "validation": ("b",), "test": ("c",)},), r"must list recordings.*'a'"),
        (({"train": (("a", 1),), "validation": ("b",), "test": ("c",)},), "must list recordings"),
    ],
)
def test_lists_of_another_form_are_told(folds, message):
    with pytest.raises(ValueError, match=message):
        Listed(folds=folds)


def test_stretch_without_frames_is_told():
    with pytest.raises(ValueError, match="0 <= start_frame < stop_frame"):
        Stretch(recording="a", start_frame=5, stop_frame=5)


def test_fold_of_another_dataset_is_told(timeline):
    whole = (Stretch(recording="x", start_frame=0, stop_frame=5),)
    plan = EachAnimal().plan(timeline, reach=Reach())
    fold = Fold(index=0, train=whole, validation=whole, test=whole)
    other = type(plan)(name="x", groups=(), folds=(fold,))
    with pytest.raises(ValueError, match="'x' is none"):
        check_stretches(other, manifest=timeline.manifest)
