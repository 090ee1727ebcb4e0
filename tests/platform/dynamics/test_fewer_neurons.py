"""Populations that cannot be compared by their neurons are told so, before anything is scored."""

import pytest

from calsweep.datasets.lorenz import Lorenz
from calsweep.datasets.shard_writer import write_dataset
from calsweep.platform.config import compose_dynamics
from calsweep.platform.dynamics.fewer_neurons import score_fewer_neurons
from calsweep.platform.dynamics.rate_scores import Asked
from calsweep.platform.dynamics.settings import datasets_of

HALF = ("datasets/masks=random_units",)


@pytest.fixture(scope="module")
def lorenz(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lorenz") / "lorenz"
    simulator = Lorenz(speed_hz=10, n_conditions=2, trials_per_condition=3, n_neurons=66)
    write_dataset(simulator.recordings(), folder=folder)
    return folder


def population(lorenz, name, *more):
    return compose_dynamics([f"datasets.address={lorenz}", f"name={name}", *more])


def test_neurons_left_out_are_not_in_the_view(lorenz):
    seen = population(lorenz, "half", *HALF)
    (view,) = seen.datasets.views(datasets_of(seen), seed=0)
    assert view.activity_RTN.shape[2] == len(view.units) == 33


@pytest.mark.parametrize(
    ("one", "other", "message"),
    [
        ((), HALF, "one was trained without measures to tell from rates"),
        (("datasets.measures=[z]",), ("datasets.measures=[x]", *HALF), "differ in `datasets`"),
        (
            ("datasets.measures=[z]", *HALF),
            ("datasets.measures=[z]", *HALF, "datasets.mask.seed=1"),
            "one and other saw 33 each",
        ),
    ],
)
def test_what_cannot_be_compared_is_told(lorenz, one, other, message):
    populations = [population(lorenz, "one", *one), population(lorenz, "other", *other)]
    with pytest.raises(ValueError, match=message):
        score_fewer_neurons(populations, Asked())
