"""Divergences from priors, against formulas written out and dense Gaussians."""

import math

import numpy as np
import pytest
import torch

from calsweep.trainables.lfads.prior import InitialPrior, InputPrior


def test_divergence_of_initial_conditions_is_that_written_out():
    prior = InitialPrior(2, variance=0.1).double()
    with torch.no_grad():
        prior.mean_I.copy_(torch.tensor([0.5, -1.0]))
    mean = torch.tensor([[0.7, -1.0], [0.5, 0.0]], dtype=torch.float64)
    variance = torch.tensor([[0.2, 0.1], [0.1, 0.05]], dtype=torch.float64)
    first = 0.5 * (0.2 / 0.1 + 0.2**2 / 0.1 - 1 - math.log(2))
    second = 0.5 * (0.05 / 0.1 + 1.0**2 / 0.1 - 1 - math.log(0.5))
    assert prior(mean, variance).item() == pytest.approx((first + second) / 2)


def test_priors_begin_as_in_the_paper():
    initial = InitialPrior(64, variance=0.1)
    assert initial.mean_I.tolist() == [0.0] * 64
    inputs = InputPrior(2, tau_bins=10.0, noise_variance=0.1)
    assert inputs.log_tau_U.exp().tolist() == pytest.approx([10, 10])
    assert inputs.log_noise_U.exp().tolist() == pytest.approx([0.1, 0.1])


def test_divergence_of_inputs_is_that_of_dense_gaussians():
    n_bins, tau, noise = 6, np.array([10.0, 2.0]), np.array([0.1, 0.3])
    rng = np.random.default_rng(0)
    mean = rng.normal(size=(n_bins, 3, 2))
    log_variance = rng.normal(size=(n_bins, 3, 2))
    expected = 0.0
    for u in range(2):
        decay = math.exp(-1 / tau[u])
        lags = np.abs(np.subtract.outer(np.arange(n_bins), np.arange(n_bins)))
        covariance = noise[u] / (1 - decay**2) * decay**lags
        inverse = np.linalg.inv(covariance)
        for b in range(3):
            m, v = mean[:, b, u], np.exp(log_variance[:, b, u])
            expected += 0.5 * (
                np.trace(inverse @ np.diag(v))
                + m @ inverse @ m
                - n_bins
                + np.linalg.slogdet(covariance)[1]
                - np.log(v).sum()
            )
    prior = InputPrior(2, tau_bins=1.0, noise_variance=1.0).double()
    with torch.no_grad():
        prior.log_tau_U.copy_(torch.tensor(np.log(tau)))
        prior.log_noise_U.copy_(torch.tensor(np.log(noise)))
    found = prior(torch.tensor(mean), torch.tensor(log_variance)).item()
    assert found == pytest.approx(expected / 3)


def test_divergence_of_inputs_is_what_samples_estimate():
    """As the published implementations do."""
    prior = InputPrior(1, tau_bins=10.0, noise_variance=0.1).double()
    generator = torch.Generator().manual_seed(0)
    mean = torch.tensor([0.3, 0.1, -0.2, 0.4], dtype=torch.float64)[:, None, None]
    log_variance = torch.tensor([-2.0, -1.5, -2.5, -1.0], dtype=torch.float64)[:, None, None]
    noise = torch.randn(4, 200_000, generator=generator, dtype=torch.float64)
    sample = mean[:, :, 0] + (log_variance[:, :, 0] / 2).exp() * noise
    decay = math.exp(-0.1)

    def log_normal(x, m, v):
        return -0.5 * ((x - m) ** 2 / v + torch.log(2 * math.pi * torch.as_tensor(v)))

    log_q = log_normal(sample, mean[:, :, 0], log_variance[:, :, 0].exp()).sum(0)
    log_p = log_normal(sample[0], 0, 0.1 / (1 - decay**2))
    log_p = log_p + log_normal(sample[1:], decay * sample[:-1], 0.1).sum(0)
    assert prior(mean, log_variance).item() == pytest.approx(
        (log_q - log_p).mean().item(), rel=0.01
    )
