import numpy as np
import pytest

from calsweep.platform.dynamics.coherence import coherence


def test_noise_of_equal_power_halves_it():
    # Coherence of x and x + n is S_x / (S_x + S_n).
    rng = np.random.default_rng(0)
    true_BTD = rng.normal(size=(400, 70, 1))
    noisy_BTD = true_BTD + rng.normal(size=true_BTD.shape)
    found = coherence(true_BTD, noisy_BTD, rate_hz=100)
    assert found.coherence_QD.mean() == pytest.approx(0.5, abs=0.02)


def test_frequencies_are_told_apart():
    """Of two rhythms one is predicted and one is not."""
    rng = np.random.default_rng(0)
    time_T = np.arange(70) / 100

    def rhythm(hz):
        phase_B = rng.uniform(0, 2 * np.pi, size=(200, 1))
        return np.sin(2 * np.pi * hz * time_T + phase_B)

    slow_BT = rhythm(100 / 35 * 2)
    true_BTD = (slow_BT + rhythm(100 / 35 * 10))[:, :, None]
    predicted_BTD = (slow_BT + rhythm(100 / 35 * 10))[:, :, None]
    found = coherence(true_BTD, predicted_BTD, rate_hz=100)
    assert found.frequency_Q[[2, 10]].round(2).tolist() == [5.71, 28.57]
    assert found.coherence_QD[2, 0] > 0.95
    assert found.coherence_QD[10, 0] < 0.1


def test_unrelated_movements_have_none():
    one_BTD, other_BTD = np.random.default_rng(0).normal(size=(2, 300, 70, 3))
    assert coherence(one_BTD, other_BTD, rate_hz=100).coherence_QD.max() < 0.05


def test_short_or_missing_trials_are_refused():
    with pytest.raises(ValueError, match="at least the 35 bins of a window, but have 20"):
        coherence(np.ones((2, 20, 1)), np.ones((2, 20, 1)), rate_hz=100)
    with pytest.raises(ValueError, match="no missing values"):
        coherence(np.full((2, 70, 1), np.nan), np.ones((2, 70, 1)), rate_hz=100)
    with pytest.raises(ValueError, match=r"\(2, 70, 1\) and \(2, 70, 2\)"):
        coherence(np.ones((2, 70, 1)), np.ones((2, 70, 2)), rate_hz=100)
