import numpy as np
import pytest

from calsweep.datasets.footsteps import Footsteps
from calsweep.datasets.lorenz import Lorenz
from calsweep.datasets.simulation import REGION_WEIGHT, Simulation
from calsweep.datasets.store import FolderStore
from calsweep.datasets.truth import Truth, TruthNotFound, read_truth
from calsweep.datasets.widefield_images import WidefieldImages

SMALL = [
    Simulation(n_mice=2, n_frames=60, recordings_per_mouse=2),
    WidefieldImages(mice=Simulation(n_mice=2, n_frames=60), height=32, width=32),
    Footsteps(n_frames=100, n_neurons=10),
    Lorenz(n_conditions=2, trials_per_condition=2, n_neurons=9),
]


@pytest.mark.parametrize("simulator", SMALL, ids=lambda simulator: type(simulator).__name__)
class TestSimulator:
    def test_knows_the_truth_of_each_recording(self, simulator):
        truth = simulator.truth()
        assert list(truth.recordings) == [r.name for r in simulator.recordings()]
        assert truth.simulator == repr(simulator)

    def test_same_seed_same_recordings_and_same_truth(self, simulator):
        first, second = next(simulator.recordings()), next(simulator.recordings())
        assert np.array_equal(first.activity_TN, second.activity_TN, equal_nan=True)
        for name, values in first.behavior.items():
            assert np.array_equal(values, second.behavior[name])
        truths = [simulator.truth().recordings[first.name] for _ in range(2)]
        for name, values in truths[0].items():
            assert np.array_equal(values, truths[1][name])

    def test_truth_comes_back_from_its_file(self, simulator, tmp_path):
        truth = simulator.truth()
        truth.write(tmp_path)
        again = read_truth(FolderStore(tmp_path))
        assert again.simulator == truth.simulator
        assert list(again.recordings) == list(truth.recordings)
        for recording, values_of in truth.recordings.items():
            assert list(again.recordings[recording]) == list(values_of)
            for name, values in values_of.items():
                assert again.recordings[recording][name].dtype == values.dtype
                assert np.array_equal(again.recordings[recording][name], values)


def test_regions_carry_what_their_weight_says():
    truth = Simulation(n_mice=1, n_frames=60).truth().recordings["mouse1_r1"]
    assert truth["share_of_run"] == 0.36
    assert np.flatnonzero(truth["weight_N"] == 0).tolist() == [
        region - 1 for region in range(1, 51) if region not in REGION_WEIGHT
    ]


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(TruthNotFound, match="there is no truth.npz. `calsweep simulate` makes"):
        read_truth(FolderStore(tmp_path))


def test_a_recording_may_have_any_name(tmp_path):
    Truth(simulator="s", recordings={"a/b": {"x": np.arange(2)}}).write(tmp_path)
    assert read_truth(FolderStore(tmp_path)).recordings["a/b"]["x"].tolist() == [0, 1]
