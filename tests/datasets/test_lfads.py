import h5py
import numpy as np
import pytest

from calsweep.datasets.lfads import LfadsSource
from calsweep.datasets.shard_writer import write_dataset

TRIALS_RTN = np.arange(12.0).reshape(3, 2, 2)  # three trials of two bins of two units


@pytest.fixture
def save(tmp_path):
    def save(**changes):
        arrays = {
            "train_encod_data": TRIALS_RTN[[0, 2]],
            "valid_encod_data": TRIALS_RTN[[1]],
            "train_inds": np.array([0, 2]),
            "valid_inds": np.array([1]),
            "train_truth": TRIALS_RTN[[0, 2], :, :] / 2,
            "valid_truth": TRIALS_RTN[[1], :, :] / 2,
            "train_condition": np.array([5, 7]),
            "valid_condition": np.array([6]),
            **changes,
        }
        file = tmp_path / "m1_d1.h5"
        with h5py.File(file, "w") as opened:
            for name, values in arrays.items():
                if values is not None:
                    opened[name] = values
        return file

    return save


def test_trials_stand_in_their_order(save):
    source = LfadsSource(rate_hz=100.0, behaviors=("truth", "condition"))
    recording = source.read(save())
    assert recording.activity_TN.tolist() == TRIALS_RTN.reshape(6, 2).tolist()
    assert recording.trial_T.tolist() == [0, 0, 1, 1, 2, 2]
    assert recording.behavior["valid_trial"].tolist() == [0, 0, 1, 1, 0, 0]
    assert recording.behavior["condition"].tolist() == [5, 5, 6, 6, 7, 7]
    assert recording.behavior["truth2"].tolist() == [0.5, 1.5, 2.5, 3.5, 4.5, 5.5]
    assert list(recording.behavior) == ["valid_trial", "truth1", "truth2", "condition"]
    assert not recording.may_miss


def test_without_an_order_the_training_part_is_first(save):
    recording = LfadsSource(rate_hz=100.0).read(save(train_inds=None, valid_inds=None))
    assert recording.activity_TN[:, 0].tolist() == [0, 2, 8, 10, 4, 6]
    assert recording.behavior["valid_trial"].tolist() == [0, 0, 0, 0, 1, 1]


def test_files_of_the_first_lfads_have_another_name(save):
    file = save(train_data=TRIALS_RTN[:2], valid_data=TRIALS_RTN[2:], train_inds=None)
    recording = LfadsSource(rate_hz=100.0, activity="data").read(file)
    assert recording.activity_TN.tolist() == TRIALS_RTN.reshape(6, 2).tolist()


def test_what_was_not_sampled_is_missing(save, tmp_path):
    mask_RTN = np.ones((3, 2, 2), dtype=bool)
    mask_RTN[1, 0, 1] = mask_RTN[2, 1, 0] = False
    file = save(train_encod_mask=mask_RTN[[0, 2]], valid_encod_mask=mask_RTN[[1]])
    recording = LfadsSource(rate_hz=100.0, mask="encod_mask").read(file)
    assert recording.may_miss
    assert np.argwhere(np.isnan(recording.activity_TN)).tolist() == [[2, 1], [5, 0]]
    assert recording.steps == ("16.7% of activity was not sampled",)
    manifest = write_dataset([recording], folder=tmp_path / "dataset")
    assert manifest.recordings[0].n_missing == {"activity": 2}


def test_nan_is_not_sampled_only_if_that_is_said(save):
    trials_RTN = TRIALS_RTN.copy()
    trials_RTN[1, 0, 1] = np.nan
    file = save(valid_encod_data=trials_RTN[[1]])
    recording = LfadsSource(rate_hz=100.0, nan_is_unsampled=True).read(file)
    assert recording.may_miss
    assert np.argwhere(np.isnan(recording.activity_TN)).tolist() == [[2, 1]]
    with pytest.raises(ValueError, match=r"NaN in 1 bins \(first unit: `unit2`\).*--nan-is-unsam"):
        LfadsSource(rate_hz=100.0).read(file)


def test_parts_may_differ_in_length(save):
    file = save(valid_encod_data=np.ones((1, 3, 2)))
    recording = LfadsSource(rate_hz=100.0, behaviors=("condition",)).read(file)
    assert recording.trial_T.tolist() == [0, 0, 1, 1, 1, 2, 2]
    assert recording.behavior["condition"].tolist() == [5, 5, 6, 6, 6, 7, 7]


def test_columns_have_the_unit_of_their_behavior(save):
    speed = {"train_speed_cm_s": np.zeros((2, 2, 1)), "valid_speed_cm_s": np.zeros((1, 2, 1))}
    recording = LfadsSource(rate_hz=100.0, behaviors=("speed_cm_s",)).read(save(**speed))
    assert recording.behavior_unit == {"valid_trial": "", "speed_cm_s1": "cm/s"}
    assert recording.behavior["speed_cm_s1"].dtype.kind == "f"


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({"valid_truth": None}, {"behaviors": ("truth",)}, "no array `valid_truth` for `truth`"),
        ({"valid_encod_data": np.zeros((1, 2, 3))}, {}, "with the units of both parts"),
        ({"valid_encod_data": np.zeros((1, 2))}, {}, r"must have the shape \(trial, bin, unit\)"),
        ({"valid_condition": np.zeros(2)}, {"behaviors": ("condition",)}, "for each of 1 trials"),
        ({"valid_inds": np.array([2])}, {}, "a number of its own for each of 2 and 1 trials"),
        ({"train_m": TRIALS_RTN[[0, 2]], "valid_m": TRIALS_RTN[[1]]}, {"mask": "m"}, "be 0 or 1"),
    ],
)
def test_what_does_not_fit_is_told_with_the_file(save, changes, options, message):
    file = save(**changes)
    with pytest.raises(ValueError, match=message) as told:
        LfadsSource(rate_hz=100.0, **options).read(file)
    assert str(file) in str(told.value)
