import pytest
import torch
from torch import nn

from calsweep.trainables.normalization import BatchNorm, Normalization, WindowNorm

X = torch.randn(5, 7, 8, generator=torch.Generator().manual_seed(0)) * 3 + 1


def three(x_BLF):
    """Batch, group and layer normalization, by their definitions."""
    groups = x_BLF.unflatten(2, (4, 2))
    batch = x_BLF - x_BLF.mean((0, 1))
    group = groups - groups.mean((1, 3), keepdim=True)
    layer = x_BLF - x_BLF.mean(2, keepdim=True)
    return (
        batch / (batch.square().mean((0, 1)) + 1e-5).sqrt(),
        (group / (group.square().mean((1, 3), keepdim=True) + 1e-5).sqrt()).flatten(2),
        layer / (layer.square().mean(2, keepdim=True) + 1e-5).sqrt(),
    )


def norm_of(kind):
    return WindowNorm(8, kind=kind, n_groups=4)


@pytest.mark.parametrize("i", range(3), ids=["batch", "group", "layer"])
def test_each_alone(i):
    norm = norm_of(list(Normalization)[i])
    torch.testing.assert_close(norm(X), three(X)[i])
    assert [p.numel() for p in norm.parameters()] == [8, 8]


def test_dynamic_mixes_the_three_by_softmax():
    norm = norm_of(Normalization.DYNAMIC)
    mixture = torch.tensor([1.0, -0.5, 0.3])
    norm.mixture_M.data.copy_(mixture)
    e = mixture.exp()
    expected = sum(share * one for share, one in zip(e / e.sum(), three(X), strict=True))
    torch.testing.assert_close(norm(X), expected)
    torch.testing.assert_close(norm.shares, e / e.sum())
    assert sum(p.numel() for p in norm.parameters()) == 3 * 2 * 8 + 3


def test_dynamic_begins_at_even_shares_and_learns_them():
    norm = norm_of(Normalization.DYNAMIC)
    torch.testing.assert_close(norm(X), sum(three(X)) / 3)
    (norm(X) * three(X)[1]).sum().backward()
    assert norm.mixture_M.grad[1] > 0
    assert norm.mixture_M.grad.sum().abs() < 1e-3


def test_batch_normalization_of_one_row_uses_running_statistics():
    ours, running = BatchNorm(8), nn.BatchNorm1d(8)
    rows = X[:, 0]
    ours(rows)
    running(rows)
    torch.testing.assert_close(ours(rows[:1]), running.eval()(rows[:1]))
    torch.testing.assert_close(ours.running_mean, running.running_mean)
