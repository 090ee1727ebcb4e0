"""Masks keep the share and the mean that they should."""

import torch

from calsweep.trainables.lfads.dropout import apply, keep, multiplier


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_share_that_is_kept_is_right():
    for rate in (0.01, 0.3, 0.7, 0.99):
        mask = keep((1000, 1001), rate=rate, generator=seeded())
        # Five standard deviations of a share of a million.
        spread = (rate * (1 - rate) / 1_001_000) ** 0.5
        assert abs(mask.double().mean().item() - (1 - rate)) < 5 * spread + 2**-16


def test_neighbors_are_kept_independently():
    """Four of them share one random number."""
    mask = keep((500_000,), rate=0.5, generator=seeded()).view(-1, 4).float()
    correlation = torch.corrcoef(mask.T)
    assert (correlation - torch.eye(4)).abs().max() < 5 / 125_000**0.5


def test_mean_of_what_is_seen_stays():
    x = torch.full((1_000_000,), 3.0)
    for rate in (0.2, 0.5, 0.7):
        seen = apply(x, keep(x.shape, rate=rate, generator=seeded()), rate=rate)
        assert abs(seen.mean().item() - 3.0) < 0.03
        assert set(seen.unique().tolist()) == {0.0, torch.tensor(3 * (1 / (1 - rate))).item()}
        factors = multiplier(x.shape, rate=rate, generator=seeded())
        torch.testing.assert_close(seen, 3 * factors)


def test_rate_of_zero_draws_nothing():
    generator = seeded()
    assert keep((3,), rate=0.0, generator=generator) is None
    assert torch.equal(generator.get_state(), seeded().get_state())


def test_same_seed_gives_same_mask():
    first, second, third = (keep((99,), rate=0.4, generator=seeded(s)) for s in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, third)
