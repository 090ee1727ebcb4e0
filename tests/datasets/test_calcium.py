import numpy as np
import pytest

from calsweep.datasets.calcium import Kernel


@pytest.mark.parametrize("rate_hz", [15.0, 33.3, 100.0, 1000.0])
@pytest.mark.parametrize("rise_s", [0.0, 0.02])
def test_one_spike_has_a_peak_of_one_at_any_rate(rate_hz, rise_s):
    spikes_T = np.zeros(2000)
    spikes_T[3] = 1.0
    calcium_T = Kernel(decay_s=0.4, rise_s=rise_s).calcium(spikes_T, rate_hz=rate_hz)
    assert calcium_T.max() == pytest.approx(1.0)
    assert (calcium_T[:3] == 0).all()


def test_calcium_falls_to_a_third_in_its_time_constant():
    spikes_T = np.zeros(100)
    spikes_T[0] = 1.0
    calcium_T = Kernel(decay_s=0.4).calcium(spikes_T, rate_hz=100.0)
    assert calcium_T[40] == pytest.approx(np.exp(-1))


def test_the_peak_comes_when_rise_and_decay_say():
    # ln(400 / 20) / (1 / 20 - 1 / 400) = 63.07 ms
    spikes_T = np.zeros(300)
    spikes_T[0] = 1.0
    calcium_T = Kernel(decay_s=0.4, rise_s=0.02).calcium(spikes_T, rate_hz=1000.0)
    assert int(calcium_T.argmax()) in (62, 63)


def test_coefficients_of_order_two_are_sum_and_product_of_both_decays():
    first, second = Kernel(decay_s=0.4, rise_s=0.02).coefficients(100.0)
    assert first == pytest.approx(0.975310 + 0.606531, abs=1e-6)
    assert second == pytest.approx(-0.975310 * 0.606531, abs=1e-6)


def test_neurons_do_not_mix():
    spikes_TN = np.zeros((50, 2))
    spikes_TN[10, 0] = 2.0
    calcium_TN = Kernel(decay_s=0.4).calcium(spikes_TN, rate_hz=100.0)
    assert calcium_TN[10].tolist() == [2.0, 0.0]
    assert (calcium_TN[:, 1] == 0).all()


def test_refuses_a_rise_slower_than_the_decay():
    with pytest.raises(ValueError, match="rise_s < decay_s"):
        Kernel(decay_s=0.1, rise_s=0.2)
