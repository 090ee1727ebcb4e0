"""Trials side by side, bins finer than frames, and what is refused."""

import dataclasses
import warnings

import numpy as np
import pytest

from calsweep.datasets.cache import Cache
from calsweep.datasets.dataset import open_dataset
from calsweep.datasets.lorenz import Form, Lorenz
from calsweep.datasets.recording import Recording
from calsweep.datasets.shard_writer import write_dataset
from calsweep.datasets.store import FolderStore
from calsweep.datasets.sub_frame import in_sub_frame_bins
from calsweep.datasets.trial_view import (
    FewNeurons,
    TrialView,
    UnequalTrials,
    counts,
    split_trials,
    view_trials,
)

SMALL = Lorenz(n_conditions=2, trials_per_condition=3, n_neurons=66)


def recording(*, lengths=(3, 3), n_neurons=25, **changes):
    n_frames = sum(lengths)
    given = {
        "subject": "m1",
        "name": "m1_d1",
        "activity_TN": np.arange(n_frames * n_neurons, dtype=np.float32).reshape(n_frames, -1),
        "behavior": {
            "condition": np.repeat(np.arange(len(lengths)) + 4, lengths),
            "x": np.arange(n_frames) / 2,
            "lick": np.where(np.arange(n_frames) == 1, -1, 1),
        },
        "rate_hz": 30.0,
        "units": tuple(f"n{i}" for i in range(n_neurons)),
        "trial_T": np.repeat(np.arange(len(lengths)), lengths).astype(np.int32),
        "may_miss": True,
    }
    return Recording(**{**given, **changes})


class TestTrials:
    def test_lie_side_by_side(self):
        view = view_trials(recording(), condition="condition", measures=("x", "lick"))
        assert view.activity_RTN.shape == (2, 3, 25)
        assert view.activity_RTN[1, 0, :3].tolist() == [75, 76, 77]
        assert view.condition_R.tolist() == [4, 5]
        assert view.measures["x"].tolist() == [[0, 0.5, 1], [1.5, 2, 2.5]]
        np.testing.assert_array_equal(view.measures["lick"], [[1, np.nan, 1], [1, 1, 1]])
        assert sorted([*view.train_R, *view.valid_R]) == [0, 1]

    def test_of_unequal_length_are_refused_by_default(self):
        with pytest.raises(
            ValueError, match="m1_d1: trials must be of one length, but have 2 to 4"
        ):
            view_trials(recording(lengths=(4, 2)))

    def test_of_unequal_length_are_filled_when_asked(self):
        view = view_trials(recording(lengths=(4, 2)), measures=("x",), unequal=UnequalTrials.PAD)
        assert np.isnan(view.activity_RTN[1, 2:]).all()
        assert not np.isnan(view.activity_RTN[1, :2]).any()
        np.testing.assert_array_equal(view.measures["x"][1], [2, 2.5, np.nan, np.nan])

    def test_may_be_listed(self):
        view = view_trials(recording(lengths=(2, 2, 2)), listed=([2, 0], [1]))
        assert (view.train_R.tolist(), view.valid_R.tolist()) == ([2, 0], [1])

    @pytest.mark.parametrize(
        ("listed", "message"),
        [
            (([0, 1], [1]), r"trials must train or validate, but 1 do both \(first: trial 1\)"),
            (([0], [7]), "there is no trial 7: trials are 0 to 2"),
            (([0, 1, 2], []), "there must be trials to train and to validate, but there are 3 and"),
        ],
    )
    def test_listed_wrongly_are_refused(self, listed, message):
        with pytest.raises(ValueError, match=message):
            view_trials(recording(lengths=(2, 2, 2)), listed=listed)

    def test_behavior_that_is_not_there_is_refused(self):
        with pytest.raises(ValueError, match="no behavior 'paw'. There are: condition, x, lick"):
            view_trials(recording(), measures=("paw",))

    def test_neuron_that_was_never_sampled_is_refused(self):
        activity = np.ones((6, 25), dtype=np.float32)
        activity[:, 3] = np.nan
        with pytest.raises(ValueError, match=r"1 of 25 neurons were never sampled .* `n3`\)"):
            view_trials(recording(activity_TN=activity))

    def test_neuron_sampled_in_validation_alone_is_refused(self):
        activity = np.ones((6, 25), dtype=np.float32)
        activity[:3, 3] = np.nan
        with pytest.raises(ValueError, match="were never sampled in a trial to learn from"):
            view_trials(recording(activity_TN=activity), listed=([0], [1]))

    def test_same_seed_draws_the_same_split(self):
        first, second, third = (split_trials(480, seed=seed) for seed in (0, 0, 1))
        assert [part.tolist() for part in first] == [part.tolist() for part in second]
        assert first[1].tolist() != third[1].tolist()
        assert [len(part) for part in first] == [384, 96]

    def test_of_a_dataset_are_those_of_its_recording(self, tmp_path):
        write_dataset(SMALL.recordings(), folder=tmp_path / "lorenz")
        dataset = open_dataset(FolderStore(tmp_path / "lorenz"), cache=Cache(tmp_path / "cache"))
        [made] = SMALL.recordings()
        named = {"condition": "condition", "measures": ("x", "y", "z")}
        ours = view_trials(dataset, recording="lorenz_7hz", **named)
        expected = view_trials(made, **named)
        np.testing.assert_array_equal(ours.activity_RTN, expected.activity_RTN)
        np.testing.assert_array_equal(ours.measures["z"], expected.measures["z"])
        assert ours.condition_R.tolist() == [0, 1, 0, 1, 0, 1]
        with pytest.raises(ValueError, match="no recording 'other'. There are: lorenz_7hz"):
            view_trials(dataset, recording="other")


class TestCounts:
    def test_are_cast_as_in_the_paper(self):
        events = np.array([0, 0.05, 1.0, 1.99, 2.0, 2.7, 9.1, np.nan], dtype=np.float32)
        np.testing.assert_array_equal(counts(events), [0, 1, 1, 1, 2, 2, 9, np.nan])

    def test_of_negative_events_are_refused(self):
        with pytest.raises(ValueError, match="must not be negative to be counted, but 1 are"):
            counts(np.array([0.0, -0.2], dtype=np.float32))


class TestSubFrameBins:
    def test_are_those_that_the_simulation_sampled(self):
        """Frames of Lorenz put into bins are its bins, from the first frame of a trial on."""
        [frames] = dataclasses.replace(SMALL, form=Form.FRAMES).recordings()
        [bins] = SMALL.recordings()
        finer = in_sub_frame_bins(view_trials(frames), phase_N=frames.phase_N, bins_per_frame=3)
        expected = view_trials(bins).activity_RTN
        assert finer.activity_RTN.shape == expected.shape
        assert finer.rate_hz == pytest.approx(100.0)
        for trial, start in enumerate(SMALL.truth().recordings["lorenz_7hz"]["frame_start_R"]):
            n_bins = expected.shape[1] - start
            np.testing.assert_array_equal(
                finer.activity_RTN[trial, :n_bins], expected[trial, start:]
            )

    def test_measures_are_interpolated(self):
        view = view_trials(
            recording(lengths=(3, 2), n_neurons=60),
            measures=("x",),
            unequal=UnequalTrials.PAD,
        )
        finer = in_sub_frame_bins(view, phase_N=np.arange(60) % 2 / 2, bins_per_frame=2)
        np.testing.assert_allclose(finer.measures["x"][0], [0, 0.25, 0.5, 0.75, 1, 1])
        np.testing.assert_allclose(finer.measures["x"][1], [1.5, 1.75, 2, 2, np.nan, np.nan])

    def test_of_few_neurons_are_warned_of(self):
        view = view_trials(recording(n_neurons=25))
        with pytest.warns(FewNeurons, match=r"12 of 12 bins have fewer than 20 .*: 12\)"):
            in_sub_frame_bins(view, phase_N=np.arange(25) % 2 / 2, bins_per_frame=2)

    def test_whole_frames_of_few_neurons_are_not(self):
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            view = view_trials(recording(n_neurons=5))
        assert len(view.units) == 5
        assert warned == []

    @pytest.mark.parametrize("phase_N", [np.zeros(3), np.full(25, 1.0), np.full(25, -0.1)])
    def test_phases_that_cannot_be_are_refused(self, phase_N):
        with pytest.raises(ValueError, match="phases must be one for each of 25 neurons"):
            in_sub_frame_bins(view_trials(recording()), phase_N=phase_N, bins_per_frame=2)


def test_view_is_checked_however_it_is_made():
    with pytest.raises(ValueError, match="1 do both"):
        TrialView(
            recording="m1",
            activity_RTN=np.zeros((2, 3, 4), dtype=np.float32),
            rate_hz=30.0,
            units=("a", "b", "c", "d"),
            condition_R=np.zeros(2, dtype=np.int64),
            train_R=np.array([0, 1]),
            valid_R=np.array([1]),
        )
