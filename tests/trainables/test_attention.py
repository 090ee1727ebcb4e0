import pytest
import torch
from torch import nn

from calsweep.trainables.attention import PooledAttention

X = torch.randn(4, 7, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def attention_of(**settings):
    torch.manual_seed(1)
    return PooledAttention(12, n_attention=12, n_heads=3, **settings).double()


@pytest.mark.parametrize("adaptive_scale", [False, True])
def test_is_the_mean_of_torchs_attention(adaptive_scale):
    ours, theirs = (
        attention_of(adaptive_scale=adaptive_scale),
        nn.MultiheadAttention(12, 3, bias=False, batch_first=True).double(),
    )
    weights = [ours.query.weight, ours.key.weight, ours.value.weight]
    theirs.in_proj_weight.data.copy_(torch.cat(weights))
    theirs.out_proj.weight.data.copy_(ours.output.weight)
    torch.testing.assert_close(ours(X), theirs(X, X, X, need_weights=False)[0].mean(1))


def test_adaptive_scale_multiplies_the_scores_of_a_head():
    plain, adaptive = attention_of(), attention_of(adaptive_scale=True)
    factors = torch.tensor([0.5, 1.0, 3.0], dtype=torch.float64)
    adaptive.scale_H.data.copy_(factors)
    torch.testing.assert_close(adaptive.scores(X), factors[:, None, None] * plain.scores(X))
    assert not torch.allclose(adaptive(X), plain(X))
    n_plain, n_adaptive = (sum(p.numel() for p in a.parameters()) for a in (plain, adaptive))
    assert (n_plain, n_adaptive) == (4 * 12 * 12, 4 * 12 * 12 + 3)


def test_scores_are_products_over_the_root_of_their_number():
    attention = attention_of()
    q, k = (layer(X)[0, :, 4:8] for layer in (attention.query, attention.key))  # the second head
    torch.testing.assert_close(attention.scores(X)[0, 1], q @ k.T / 2)


def test_without_any_score_all_steps_count_alike():
    attention = attention_of()
    nn.init.zeros_(attention.key.weight)
    expected = attention.output(attention.value(X).mean(1))
    torch.testing.assert_close(attention(X), expected)


def test_leaves_out_weights_in_training_only():
    attention = attention_of(dropout=0.5)
    assert not torch.equal(attention(X), attention(X))
    attention.eval()
    assert torch.equal(attention(X), attention_of()(X))
