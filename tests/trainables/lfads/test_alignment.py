"""Read-ins of recordings that saw the same latents through other neurons."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from calsweep.trainables.lfads.alignment import align, begin_aligned
from calsweep.trainables.lfads.model import Lfads
from calsweep.trainables.lfads.observation import Poisson, ZeroInflatedGamma

N_CONDITIONS, N_BINS, N_LATENT = 5, 20, 3
SIZES = (30, 45, 12)


def planted(*, noise=0.01, seed=0):
    """Averages of recordings of one latent course, and that course."""
    rng = np.random.default_rng(seed)
    latent = np.cumsum(rng.normal(size=(N_CONDITIONS, N_BINS, N_LATENT)), axis=1)
    averages = [
        latent @ rng.normal(size=(N_LATENT, n)) + 2.0 + noise * rng.normal(size=(1, 1, n))
        for n in SIZES
    ]
    return averages, latent


def aligned(average, alignment):
    return (average - alignment.mean_N) @ alignment.weight_AN.T


def test_planted_subspace_is_recovered_and_shared():
    averages, latent = planted()
    alignments = align(averages, n_aligned=N_LATENT)
    shown = [aligned(a, b).reshape(-1, N_LATENT) for a, b in zip(averages, alignments, strict=True)]
    # All recordings agree, although no neuron is in two of them ...
    for other in shown[1:]:
        np.testing.assert_allclose(other, shown[0], atol=1e-6 * np.abs(shown[0]).max())
    # ... and what they agree on is the latents, but for a linear map.
    flat = latent.reshape(-1, N_LATENT) - latent.mean(axis=(0, 1))
    fitted = shown[0] @ np.linalg.lstsq(shown[0], flat, rcond=None)[0]
    np.testing.assert_allclose(fitted, flat, atol=1e-8 * np.abs(flat).max())


def test_module_begins_with_it():
    averages, _ = planted()
    alignments = align(averages, n_aligned=N_LATENT)
    config = replace(Lfads(), n_aligned=N_LATENT, n_factors=N_LATENT)
    module = config.build(SIZES)
    begin_aligned(module, alignments)
    average = torch.tensor(averages[1], dtype=torch.float32)
    expected = torch.tensor(aligned(averages[1], alignments[1]), dtype=torch.float32)
    torch.testing.assert_close(module.read_ins[1](average), expected, rtol=1e-3, atol=1e-3)
    # A readout takes it back to the neurons, here their log rates.
    back = module.readouts[1].linear(expected) - module.readouts[1].linear.bias
    centered = average - average.mean((0, 1))
    torch.testing.assert_close(back, centered, rtol=1e-3, atol=1e-2)
    means = averages[1].mean(axis=(0, 1))
    wanted = np.log(np.maximum(means, 1e-4))
    np.testing.assert_allclose(module.readouts[1].linear.bias.detach(), wanted, rtol=1e-5)


@pytest.mark.parametrize(
    "config",
    [
        Lfads(n_aligned=N_LATENT, n_factors=7, observation=Poisson()),
        Lfads(n_aligned=N_LATENT, n_factors=N_LATENT, observation=ZeroInflatedGamma()),
    ],
    ids=["other number of factors", "gamma"],
)
def test_readouts_of_another_kind_begin_as_ever(config):
    alignments = align(planted()[0], n_aligned=N_LATENT)
    torch.manual_seed(0)
    module = config.build(SIZES)
    before = module.readouts[0].linear.weight.clone()
    begin_aligned(module, alignments)
    assert torch.equal(module.readouts[0].linear.weight, before)


def test_averages_of_other_conditions_are_refused():
    averages, _ = planted()
    averages[1] = averages[1][:4]
    with pytest.raises(ValueError, match="must share conditions and bins, but have"):
        align(averages, n_aligned=2)


def test_more_dimensions_than_neurons_are_refused():
    with pytest.raises(ValueError, match="`n_aligned` must be 1 to 12, .* but got 13"):
        align(planted()[0], n_aligned=13)
