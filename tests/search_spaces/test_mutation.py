"""Numbers that a population changes: where they start, how they move, and what is refused."""

import numpy as np
import pytest

from calsweep.platform.config import compose_settings
from calsweep.search_spaces.mutation import Bounds, Explore, Mutation
from calsweep.search_spaces.space import Range, Space


def drawn(axis, n=2000):
    rng = np.random.default_rng(0)
    return np.array([axis.first(rng) for _ in range(n)])


def explored(axis, value, n=2000):
    rng = np.random.default_rng(0)
    return np.array([axis.explore(value, rng=rng) for _ in range(n)])


def test_members_start_evenly_in_the_range_or_in_its_logarithm():
    even = drawn(Range(low=0.0, high=0.6))
    assert 0 <= even.min() < 0.01 < 0.59 < even.max() <= 0.6
    assert np.median(even) == pytest.approx(0.3, abs=0.02)
    log = drawn(Range(low=1e-6, high=1e-2, log=True))
    assert 1e-6 <= log.min() < log.max() <= 1e-2
    assert np.median(log) == pytest.approx(1e-4, rel=0.4)


def test_members_may_start_alike():
    axis = Range(low=1e-5, high=5e-3, log=True, mutation=Mutation(start=4e-3))
    assert set(drawn(axis)) == {4e-3}


def test_factor_has_the_width_of_its_value():
    axis = Range(low=0.0, high=100.0, mutation=Mutation(factor=(0.2, 1.8)))
    moved = explored(axis, 10.0)
    assert 2.0 <= moved.min() < 2.1 < 17.9 < moved.max() <= 18.0


def test_hard_bounds_keep_a_value_inside_and_soft_ones_do_not():
    hard = Range(low=0.1, high=0.5, mutation=Mutation(factor=(0.7, 1.3)))
    assert explored(hard, 0.5).max() == 0.5
    assert explored(hard, 0.1).min() == 0.1
    soft = Range(low=0.1, high=0.5, mutation=Mutation(factor=(0.7, 1.3), bounds=Bounds.SOFT))
    assert explored(soft, 0.5).max() == pytest.approx(0.65, abs=0.001)


def test_resampling_draws_anew_wherever_the_donor_is():
    axis = Range(low=1e-4, high=1e-2, log=True, mutation=Mutation(explore=Explore.RESAMPLE))
    moved = explored(axis, 1e-4)
    assert 1e-4 <= moved.min() < moved.max() <= 1e-2
    assert np.median(moved) == pytest.approx(1e-3, rel=0.3)


def test_yaml_says_it_beside_the_range():
    space = Space(
        training={
            "weight_decay": {
                "low": 1e-5, "high": 1e-1, "log": True,
                "mutation": {"factor": [0.2, 1.8], "bounds": "soft", "start": 1e-3},
            }
        }
    )  # fmt: skip
    (axis,) = space.mutable().values()
    assert axis.mutation == Mutation(factor=(0.2, 1.8), bounds=Bounds.SOFT, start=1e-3)


@pytest.mark.parametrize(
    ("mutation", "message"),
    [
        ({"factor": [1.1, 1.3]}, r"`0 < factor\[0\] < 1 < factor\[1\]` must hold.*\[1.1, 1.3\]"),
        ({"factor": [0.0, 2.0]}, "a value can fall and rise"),
        ({"factor": 1.2}, "a list of two numbers, but got 1.2"),
        ({"start": 0.7}, "`low <= start <= high` must hold, but got start=0.7"),
        ({"start": 0.0}, "a `start` of 0 stays 0 whatever the factor"),
        ({"explore": "resample", "bounds": "soft"}, "a value drawn anew lies in its range"),
        ({"explore": "guess"}, "'guess' is not a valid Explore"),
        ({"width": 0.3}, "no more than explore, factor, bounds, start, but got width"),
    ],
)
def test_mutation_that_makes_no_sense_is_refused_by_name(mutation, message):
    with pytest.raises(ValueError, match=message) as caught:
        Space(training={"label_smoothing": {"low": 0.0, "high": 0.2, "mutation": mutation}})
    assert "training.label_smoothing" in str(caught.value)


@pytest.mark.parametrize(
    ("axis", "message"),
    [
        ({"choices": [16, 32]}, "needs `low` and `high`, but it gives choices"),
        ({"low": 16, "high": 64}, "changes the shapes of tensors"),
        ({"low": 0.0, "high": 1.0, "step": 0.5}, "write 0.0 for 0.0, without `step`"),
    ],
)
def test_sizes_and_choices_are_nothing_that_a_population_can_change(axis, message):
    space = Space(trainables={"n_hidden": axis})
    with pytest.raises(ValueError, match=message) as caught:
        space.mutable()
    assert "trainables.n_hidden" in str(caught.value)


def test_space_of_optimization_serves_a_population_and_any_other_search():
    space = compose_settings(["search_spaces=optimization", "datasets.address=m1"]).search_spaces
    assert set(space.mutable()) == {
        "training.learning_rate", "training.weight_decay", "training.label_smoothing",
    }  # fmt: skip
    assert set(space.distributions()) == set(space.mutable())
