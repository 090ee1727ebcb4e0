import numpy as np
import pytest

from calsweep.platform.dynamics.trajectory import trajectories


def test_planted_dimension_is_the_first():
    """Half of the neurons rise and half fall with one state, other for each condition."""
    rng = np.random.default_rng(0)
    state_T = np.sin(np.linspace(0, np.pi, 30))
    state_BT = np.repeat([state_T, -state_T], 10, axis=0)
    loading_N = np.array([1.0, 1.0, -1.0, -1.0])
    rates_BTN = np.exp(state_BT[:, :, None] * loading_N + 0.3 * rng.normal(size=(20, 30, 4)))
    paths = trajectories(rates_BTN, np.repeat(["left", "right"], 10), n_dimensions=2)
    assert paths.conditions_C.tolist() == ["left", "right"]
    assert paths.variance_D[0] > 0.97
    r = np.corrcoef(paths.trial_BTD[:, :, 0].ravel(), state_BT.ravel())[0, 1]
    assert abs(r) > 0.95
    means_CTD = paths.trial_BTD.reshape(2, 10, 30, 2).mean(axis=1)
    assert np.allclose(paths.mean_CTD, means_CTD)  # a projection is linear


def test_neuron_that_never_fires_has_no_say():
    rates_BTN = np.random.default_rng(0).gamma(2, size=(4, 20, 3))
    silent_BTN = np.concatenate([rates_BTN, np.zeros((4, 20, 1))], axis=2)
    with_it = trajectories(silent_BTN, [0, 0, 1, 1], n_dimensions=2)
    without = trajectories(rates_BTN, [0, 0, 1, 1], n_dimensions=2)
    assert np.allclose(np.abs(with_it.trial_BTD), np.abs(without.trial_BTD))


def test_what_has_no_logarithm_is_refused():
    with pytest.raises(ValueError, match="must not be negative or missing"):
        trajectories(-np.ones((2, 3, 4)), [0, 1])
    with pytest.raises(ValueError, match="3 components need .* but there are 2 and 6"):
        trajectories(np.ones((2, 3, 2)), [0, 1])
