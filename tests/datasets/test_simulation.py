import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from calsweep.datasets.cache import Cache
from calsweep.datasets.dataset import open_dataset
from calsweep.datasets.fold import animal_folds
from calsweep.datasets.shard_writer import write_dataset
from calsweep.datasets.simulation import CARRIERS, REGION_WEIGHT, Simulation
from calsweep.datasets.store import FolderStore
from calsweep.datasets.transform import detrended


def test_five_mice_of_fifty_regions():
    recordings = list(Simulation(n_frames=500, recordings_per_mouse=2).recordings())
    assert [r.name for r in recordings[:3]] == ["mouse1_r1", "mouse1_r2", "mouse2_r1"]
    assert len({r.subject for r in recordings}) == 5
    assert recordings[0].activity_TN.shape == (500, 50)
    assert recordings[0].units[0] == "region1"
    assert recordings[0].units[-1] == "region50"
    assert recordings[0].behavior_unit["speed_cm_s"] == "cm/s"


def test_run_is_speed_above_half_a_centimetre():
    recording = next(Simulation(n_frames=2000).recordings())
    speed = recording.behavior["speed_cm_s"]
    assert np.array_equal(recording.behavior["run"], speed > 0.5)
    assert speed.min() >= 0
    assert 3 < speed[speed > 0.5].mean() < 20


def test_same_seed_same_data():
    def activity(seed):
        return [r.activity_TN for r in Simulation(n_frames=200, seed=seed).recordings()]

    assert all(map(np.array_equal, activity(3), activity(3)))
    assert not np.array_equal(activity(3)[0], activity(4)[0])


def test_a_mouse_does_not_depend_on_how_many_there_are():
    six = list(Simulation(n_mice=6, n_frames=200).recordings())
    (sixth,) = Simulation(n_mice=1, first_mouse=6, n_frames=200).recordings()
    assert sixth.name == six[5].name == "mouse6_r1"
    assert np.array_equal(sixth.activity_TN, six[5].activity_TN)
    assert np.array_equal(sixth.behavior["run"], six[5].behavior["run"])


def test_mice_run_for_different_shares_of_time():
    recordings = Simulation(n_frames=60000).recordings()
    shares = [float(r.behavior["run"].mean()) for r in recordings]
    assert np.allclose(shares, [0.36, 0.66, 0.65, 0.58, 0.80], atol=0.1)


def test_hemispheres_move_apart_in_running_where_regions_carry_it():
    recording = next(Simulation(n_frames=20000).recordings())
    activity_TN = detrended(recording.activity_TN, length_frames=1000)
    run = recording.behavior["run"] == 1
    left, right = activity_TN[:, :25], activity_TN[:, 25:]
    ratio = (left - right)[run].std(axis=0) / (left - right)[~run].std(axis=0)
    carriers = [region - 1 for region in CARRIERS if region <= 25]
    silent = [i for i in range(25) if i + 1 not in REGION_WEIGHT]
    assert ratio[carriers].min() > 2
    assert np.abs(ratio[silent] - 1).max() < 0.15


def test_the_difference_tells_a_new_mouse_and_its_sign_does_not(tmp_path):
    """A check without training a network: the four carriers' size of difference, and its sign."""
    write_dataset(Simulation(n_frames=3000).recordings(), folder=tmp_path / "data")
    dataset = open_dataset(FolderStore(tmp_path / "data"), cache=Cache(tmp_path / "cache"))
    fold = animal_folds(dataset.manifest, target="run").folds[0]

    def features(stretches, *, size):
        spans = [dataset.spans[stretch.recording] for stretch in stretches]
        frames_TN = np.concatenate(
            [detrended(np.array(dataset.activity_TN[span]), length_frames=1000) for span in spans]
        )
        difference = (frames_TN[:, [5, 7]] - frames_TN[:, [30, 32]]).mean(axis=1)
        wide = np.lib.stride_tricks.sliding_window_view(difference, 31)
        labels = np.concatenate([dataset.behavior["run"][span] for span in spans])[15:-15]
        return (np.abs(wide) if size else wide).mean(axis=1)[:, None], labels

    for size, low, high in ((True, 0.9, 1.0), (False, 0.35, 0.65)):
        x, y = features(fold.train, size=size)
        decoder = LogisticRegression(C=1e4).fit(x / x.std(), y)
        test_x, test_y = features(fold.test, size=size)
        auc = roc_auc_score(test_y, decoder.decision_function(test_x / x.std()))
        assert low < auc < high


def test_refuses_no_mice():
    with pytest.raises(ValueError, match="at least 1"):
        Simulation(n_mice=0)


def test_without_spread_the_limb_areas_alone_carry_the_behavior():
    alone, both = Simulation(n_frames=300, spread=0.0), Simulation(n_frames=300)
    weight_N = alone.truth().recordings["mouse2_r1"]["weight_N"]
    assert [i + 1 for i in np.flatnonzero(weight_N)] == list(CARRIERS)
    same_N = both.truth().recordings["mouse2_r1"]["weight_N"]
    carriers = [i - 1 for i in CARRIERS]
    np.testing.assert_array_equal(weight_N[carriers], same_N[carriers])
    one, other = (next(simulation.recordings()).activity_TN for simulation in (alone, both))
    silent = [i for i in range(50) if i + 1 not in REGION_WEIGHT]
    np.testing.assert_array_equal(one[:, [*silent, *carriers]], other[:, [*silent, *carriers]])
    assert (one[:, 6] != other[:, 6]).any()


@pytest.mark.parametrize("spread", [-0.1, 1.1])
def test_refuses_another_spread(spread):
    with pytest.raises(ValueError, match=f"`0 <= spread <= 1` must hold.*{spread}"):
        Simulation(spread=spread)
