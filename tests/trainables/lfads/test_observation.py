"""Likelihoods against scipy's, densities that integrate to 1, and what is refused."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats

from calsweep.trainables.lfads.observation import Gaussian, Poisson, ZeroInflatedGamma

S_MIN = 0.1


def full_nll(module, outputs, activity):
    return module.nll(outputs, activity) + module.nll_of_activity(activity)


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


class TestPoisson:
    def test_likelihood_is_that_of_scipy(self):
        log_rates, counts = [-2.0, 0.3, 1.1], [0.0, 2.0, 5.0]
        expected = -stats.poisson.logpmf(counts, np.exp(log_rates))
        found = full_nll(Poisson().build(3), tensor(log_rates), tensor(counts))
        np.testing.assert_allclose(found, expected, rtol=1e-12)

    def test_rate_is_the_exponential(self):
        assert Poisson().build(2).rate(tensor([0.0, math.log(3)])).tolist() == pytest.approx([1, 3])

    def test_negative_events_are_refused(self):
        events = np.array([[0.0, 1.0], [np.nan, -0.5]], dtype=np.float32)
        with pytest.raises(ValueError, match=r"no negative values, but 1 are \(first neuron: 1\)"):
            Poisson().check(events)

    def test_events_that_are_no_counts_are_refused(self):
        with pytest.raises(ValueError, match="2 values are no whole numbers: make counts of them"):
            Poisson().check(np.array([0.5, 1.0, 2.3, np.nan], dtype=np.float32))


class TestZeroInflatedGamma:
    def module(self, *, sig=(2.0, 0.7)):
        module = ZeroInflatedGamma(s_min=S_MIN).build(1).double()
        with torch.no_grad():
            module.log_sig_2N.copy_(tensor(sig).log()[:, None])
        return module

    def parameters(self, outputs, *, sig=(2.0, 0.7)):
        """q, shape and scale by the definition."""
        q, k, a = 1 / (1 + np.exp(-np.array(outputs)))
        return q, sig[0] * k, sig[1] * a

    @pytest.mark.parametrize("event", [0.0, 0.15, 0.8, 4.0])
    def test_likelihood_is_that_of_scipy(self, event):
        outputs = [-0.4, 1.3, 0.2]
        q, k, a = self.parameters(outputs)
        density = q * stats.gamma.pdf(event, k, loc=S_MIN, scale=a) if event else 1 - q
        found = self.module().nll(tensor(outputs), tensor([event])).item()
        assert found == pytest.approx(-math.log(density), rel=1e-9)

    def test_density_integrates_to_one(self):
        module, outputs = self.module(sig=(4.0, 0.7)), tensor([-0.4, 1.3, 0.2])

        def density(event):
            with torch.no_grad():
                return module.nll(outputs, tensor([event])).neg().exp().item()

        of_events, _ = integrate.quad(density, S_MIN, 30.0, limit=200)
        # What lies within a hundredth of the smallest event is not the density's: shape is 3.1.
        assert density(0.0) + of_events == pytest.approx(1.0, abs=1e-4)

    def test_mean_is_that_of_the_density(self):
        module, outputs = self.module(), tensor([-0.4, 1.3, 0.2])
        q, k, a = self.parameters([-0.4, 1.3, 0.2])
        assert module.rate(outputs).item() == pytest.approx(q * (k * a + S_MIN), rel=1e-12)
        draws = stats.gamma.rvs(k, loc=S_MIN, scale=a, size=400_000, random_state=0)
        events = np.where(np.random.default_rng(1).random(len(draws)) < q, draws, 0)
        assert module.rate(outputs).item() == pytest.approx(events.mean(), rel=0.01)

    def test_gradients_of_events_are_right(self):
        module = self.module()
        outputs = tensor([[-0.4, 1.3, 0.2], [0.5, -1.0, 0.3], [0.1, 0.2, 0.3]]).requires_grad_()
        events = tensor([[0.0], [0.4], [0.1]])
        assert torch.autograd.gradcheck(lambda x: module.nll(x, events), (outputs,))

    def test_penalty_draws_towards_the_prior(self):
        module = ZeroInflatedGamma(sig_start=2.0, sig_prior=5.0, sig_penalty=0.1).build(3)
        assert module.penalty(module.sig_prior).item() == pytest.approx(
            0.5 * 0.1 * 6 * 9
        )  # shape, scale of 3
        module.sig_prior = 2.0
        assert module.penalty(module.sig_prior).item() == pytest.approx(0.0, abs=1e-10)

    def test_event_at_the_smallest_has_a_finite_likelihood(self):
        assert self.module().nll(tensor([0.0, 0.0, 0.0]), tensor([S_MIN])).isfinite()

    def test_events_below_the_smallest_are_refused(self):
        with pytest.raises(ValueError, match=r"`s_min` = 0.1, but 1 are smaller \(.*: 0.05\)"):
            ZeroInflatedGamma(s_min=S_MIN).check(np.array([0.0, 0.05, 0.1], dtype=np.float32))

    def test_negative_events_are_refused(self):
        with pytest.raises(ValueError, match="a zero-inflated gamma observation has no negative"):
            ZeroInflatedGamma().check(np.array([[-1.0]], dtype=np.float32))

    def test_settings_that_are_not_positive_are_refused(self):
        with pytest.raises(ValueError, match="must be positive"):
            ZeroInflatedGamma(s_min=0.0)


class TestGaussian:
    def test_likelihood_is_that_of_scipy(self):
        means, log_variances, values = [0.0, 1.5], [-1.0, 0.4], [0.2, -1.0]
        expected = -stats.norm.logpdf(values, means, np.exp(np.array(log_variances) / 2))
        found = full_nll(Gaussian().build(2), tensor(means + log_variances), tensor(values))
        np.testing.assert_allclose(found, expected, rtol=1e-12)

    def test_rate_is_the_mean(self):
        assert Gaussian().build(2).rate(tensor([0.1, 0.2, 3.0, 4.0])).tolist() == [0.1, 0.2]


class TestAtRest:
    """Where readouts begin: two neurons in four bins, of which the second was sampled in two."""

    @pytest.mark.parametrize("observation", [Poisson(), Gaussian()])
    def test_expected_activity_is_the_mean(self, observation):
        activity = tensor([[4.0, 1.0], [0.0, math.nan], [2.0, 3.0], [2.0, math.nan]])
        module = observation.build(2)
        rates = module.rate(module.at_rest(activity.repeat(1000, 1)))
        assert rates.tolist() == pytest.approx([2.0, 2.0], rel=1e-3)

    def test_variance_of_a_gaussian_is_that_of_the_activity(self):
        activity = tensor([[1.0, -2.0], [3.0, 2.0]]).repeat(5000, 1)
        assert Gaussian().build(2).at_rest(activity)[2:].exp().tolist() == pytest.approx(
            [1.0, 4.0], rel=1e-3
        )

    def test_gamma_has_the_share_of_events_and_their_mean(self):
        events = tensor([[0.3, 0.0], [0.0, math.nan], [0.0, 0.2], [0.0, math.nan]])
        module = ZeroInflatedGamma(s_min=S_MIN).build(2)
        at_rest = module.at_rest(events.repeat(1000, 1))
        assert at_rest[:2].sigmoid().tolist() == pytest.approx([0.25, 0.5], rel=1e-3)
        assert module.rate(at_rest).tolist() == pytest.approx([0.075, 0.1], rel=1e-3)

    @pytest.mark.parametrize("observation", [Poisson(), ZeroInflatedGamma(), Gaussian()])
    def test_is_finite_for_a_neuron_without_events(self, observation):
        assert observation.build(1).at_rest(torch.zeros(9, 1)).isfinite().all()
