"""Self-attention over the steps of a window, averaged over the steps."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

# B windows, L steps in a window (Q of queries), F features, H heads, D features of a head


class PooledAttention(nn.Module):
    """Multi-head self-attention whose output is averaged over the steps.

    Only the average is read, and all behind the softmax is linear: so the attention weights of all
    queries are averaged first, then the steps by them, and one row a head and window goes through
    the projections of values and of the output. The result is the average of what
    ``torch.nn.MultiheadAttention`` gives, without bias, for half of the products.

    Parameters
    ----------
    n_features
        Of a step.
    n_attention
        Features of all heads together.
    n_heads
        Heads side by side.
    adaptive_scale
        Whether each head learns a factor, at first 1, on its scores ``q k / sqrt(d)``.
    output_bias
        Whether the output projection has a bias.
    dropout
        Share of attention weights left out in training.

    Examples
    --------
    >>> PooledAttention(256, n_attention=256, n_heads=8)(torch.zeros(4, 32, 256)).shape
    torch.Size([4, 256])
    """

    def __init__(
        self,
        n_features: int,
        *,
        n_attention: int,
        n_heads: int,
        adaptive_scale: bool = False,
        output_bias: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.query = nn.Linear(n_features, n_attention, bias=False)
        self.key = nn.Linear(n_features, n_attention, bias=False)
        self.value = nn.Linear(n_features, n_attention, bias=False)
        self.output = nn.Linear(n_attention, n_features, bias=output_bias)
        self.scale_H = nn.Parameter(torch.ones(n_heads)) if adaptive_scale else None
        self.dropout = dropout

    def forward(self, x_BLF: Tensor) -> Tensor:
        """Give the averaged output, shape ``(window, feature)``."""
        weights_BHQL = functional.dropout(
            self.scores(x_BLF).softmax(-1), self.dropout, self.training
        )
        averaged_BHF = torch.matmul(weights_BHQL.mean(2), x_BLF)
        weight_HDF = self.value.weight.view(self.n_heads, -1, x_BLF.shape[2])
        attended_BHD = torch.einsum("bhf,hdf->bhd", averaged_BHF, weight_HDF)
        pooled_BF: Tensor = self.output(attended_BHD.flatten(1))
        return pooled_BF

    def weights(self, x_BLF: Tensor) -> Tensor:
        """Give how much each step counts, shape ``(window, head, key)``: the mean over queries."""
        return self.scores(x_BLF).softmax(-1).mean(2)

    def scores(self, x_BLF: Tensor) -> Tensor:
        """Give the scores before the softmax, shape ``(window, head, query, key)``."""
        weight = torch.cat([self.query.weight, self.key.weight])
        q_BHLD, k_BHLD = (
            part.view(*part.shape[:2], self.n_heads, -1).transpose(1, 2)
            for part in functional.linear(x_BLF, weight).chunk(2, dim=2)
        )
        # Factors go on the queries, which are fewer than the scores.
        q_BHLD = q_BHLD * q_BHLD.shape[-1] ** -0.5
        if self.scale_H is not None:
            q_BHLD = q_BHLD * self.scale_H[:, None, None]
        return torch.matmul(q_BHLD, k_BHLD.transpose(2, 3))
