"""Under DeepLIFT's rules, what units and steps get adds up, whatever a decoder is made of."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from calsweep.platform.explanations.deep_lift import PairedRules
from calsweep.platform.explanations.shap import explain
from calsweep.trainables.attention_lstm import AttentionLSTM
from calsweep.trainables.cnn import Cnn
from calsweep.trainables.cnn_rnn import CnnRnn
from calsweep.trainables.decoder import Problem
from calsweep.trainables.hybrid import Hybrid
from calsweep.trainables.linear import Linear
from calsweep.trainables.normalization import Normalization
from calsweep.trainables.recurrence import Cell
from calsweep.trainables.recurrent import Recurrent
from calsweep.trainables.stacked_lstm import StackedLSTM
from calsweep.trainables.temporal_cnn import TemporalCNN

TRACES = Problem(frame_shape=(6,), window_length=9)
THREE_CLASSES = Problem(frame_shape=(6,), window_length=9, class_shares=(0.6, 0.3, 0.1))
HYBRID = {"n_features": (8, 16), "n_hidden": 8, "n_attention_heads": 4}
CNN = Cnn(width=0.25, depth=0.25)
DECODERS = {
    "linear": (Linear(), TRACES),
    **{cell.value: (Recurrent(cell=cell, n_hidden=8), TRACES) for cell in Cell},
    **{
        f"bi {cell.value}": (Recurrent(cell=cell, n_hidden=8, bidirectional=True), TRACES)
        for cell in Cell
    },
    "stacked lstm": (StackedLSTM(n_hidden=8), THREE_CLASSES),
    "hybrid": (Hybrid(**HYBRID), THREE_CLASSES),
    "published hybrid": (
        Hybrid(
            **HYBRID,
            adaptive_scale=True,
            normalization=Normalization.DYNAMIC,
            n_groups=4,
            n_head_hidden=8,
        ),
        THREE_CLASSES,
    ),
    "temporal cnn": (TemporalCNN(n_features=(8, 16), n_taps=(3, 5)), THREE_CLASSES),
    "attention lstm": (AttentionLSTM(n_hidden=8, n_attention=8), THREE_CLASSES),
    "cnn": (CNN, Problem(frame_shape=(32, 32), window_length=3)),
    "cnn gru": (
        CnnRnn(cell=Cell.GRU, cnn=CNN, n_hidden=8, freeze_cnn=True),
        Problem(frame_shape=(32, 32), window_length=5),
    ),
}


def built(decoder, problem):
    """Build a module as if trained: weights that matter, statistics that are not 0 and 1."""
    torch.manual_seed(0)
    module = decoder.build(problem)
    frames = torch.randn(16, problem.window_length, *problem.frame_shape)
    with torch.no_grad():
        for weights in module.parameters():
            weights.mul_(1.3).add_(0.1 * torch.randn_like(weights))
        for layer in module.modules():
            if isinstance(layer, nn.modules.batchnorm._BatchNorm):
                layer.momentum = 1.0
        module.train()(frames)
    return module.eval().requires_grad_(False)


@pytest.mark.parametrize("name", DECODERS)
def test_attributions_add_up_to_output_less_mean_output(name):
    decoder, problem = DECODERS[name]
    module = built(decoder, problem)
    generator = torch.Generator().manual_seed(1)
    shape = (problem.window_length, *problem.frame_shape)
    windows = torch.randn(4, *shape, generator=generator)
    background = torch.randn(3, *shape, generator=generator)
    column = problem.n_outputs - 1
    shares = explain(module, windows, background=background, column=column)
    with torch.no_grad():
        difference = module(windows)[:, 0, column] - module(background)[:, 0, column].mean()
    assert shares.shape == windows.shape
    most = float(difference.abs().max())
    np.testing.assert_allclose(shares.flatten(1).sum(1) / most, difference / most, atol=1e-3)


def test_linear_decoder_gives_weight_times_input_less_background_mean():
    module = built(Linear(), TRACES)
    windows, background = torch.randn(4, 9, 6), torch.randn(5, 9, 6)
    shares = explain(module, windows, background=background, column=0)
    expected = module.kernel.weight[0].T * (windows - background.mean(0))
    np.testing.assert_allclose(shares, expected, rtol=1e-4, atol=1e-6)


def test_gate_is_divided_as_by_hand():
    """One unit, one step: h = n - z n, each factor by the mean of the other."""
    gru = nn.GRU(1, 1, batch_first=True).requires_grad_(False)
    for weights in gru.parameters():
        weights.zero_()
    gru.weight_ih_l0[1, 0], gru.weight_ih_l0[2, 0] = 2.0, 1.0  # z and n read the unit
    x = torch.tensor([[[0.7]], [[-0.4]]], requires_grad=True)
    with PairedRules():
        output, last = gru(x)
    (multiplier,) = torch.autograd.grad(output.sum(), x)
    (z, z0), (n, n0) = 1 / (1 + np.exp([-1.4, 0.8])), np.tanh([0.7, -0.4])
    by_n = (1 - (z + z0) / 2) * (n - n0)
    by_z = -(n + n0) / 2 * (z - z0)
    assert float(multiplier[0]) * 1.1 == pytest.approx(by_n + by_z, rel=1e-5)
    assert float(multiplier[0]) * 1.1 == pytest.approx((1 - z) * n - (1 - z0) * n0, rel=1e-5)
    assert last.shape == (1, 2, 1)


@pytest.mark.parametrize(
    "function",
    [
        torch.sigmoid,
        torch.tanh,
        functional.relu,
        functional.silu,
        torch.exp,
        lambda x: (1 + x.sigmoid()).rsqrt(),
        lambda x: (1 + x.exp()).reciprocal(),
        lambda x: x.softmax(1),
        lambda x: functional.layer_norm(x, (5,)),
        lambda x: x.amax(1),
        lambda x: x * x.sigmoid(),
    ],
)
@pytest.mark.parametrize("spread", [0.0, 1e-6, 1e-2, 3.0])
def test_each_rule_keeps_values_and_adds_up(function, spread):
    torch.manual_seed(2)
    one = torch.randn(20, 5)
    x = torch.cat([one + spread * torch.randn(20, 5), one]).requires_grad_()
    with PairedRules():
        y = function(x)
    torch.testing.assert_close(y, function(x.detach()))
    weights = torch.randn(y.shape[1:])
    (multipliers,) = torch.autograd.grad((y * weights).sum(), x)
    assert torch.isfinite(multipliers).all()
    told = (multipliers[:20] * (x[:20] - x[20:])).sum()
    there = ((y[:20] - y[20:]) * weights).sum()
    assert told.item() == pytest.approx(there.item(), rel=1e-3, abs=3e-5)
