"""The clipped GRU: its equations in NumPy, and its backward against torch's own."""

import numpy as np
import pytest
import torch
from torch import nn

from calsweep.trainables.lfads.clipped_gru import ClippedGru, run_together
from tests.trainables.lfads.plain import plain_states

N_BINS, N_TRIALS, N_INPUTS, N_HIDDEN = 6, 4, 5, 3
BOTH_WAYS = pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])


def gru(*, reverse=False, clip=1.2, first=4.0):
    """In float64, with first states of which some steps leave the bounds."""
    torch.manual_seed(0)
    module = ClippedGru(N_INPUTS, N_HIDDEN, clip=clip, reverse=reverse).double()
    with torch.no_grad():
        module.first_H.copy_(torch.tensor([first, -first, 0.1]))
        module.bias_G.normal_()
    return module


def inputs():
    return torch.randn(N_BINS, N_TRIALS, N_INPUTS, dtype=torch.float64)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def states_in_numpy(module, x_TBX):
    w_r, w_z, w_n = np.split(module.weight_GX.detach().numpy(), 3)
    u_r, u_z, u_n = np.split(module.weight_GH.detach().numpy(), 3)
    b_r, b_z, b_n = np.split(module.bias_G.detach().numpy(), 3)
    h = np.tile(module.first_H.detach().numpy(), (N_TRIALS, 1))
    states = []
    for x in x_TBX.numpy()[:: -1 if module.reverse else 1]:
        r = sigmoid(x @ w_r.T + h @ u_r.T + b_r)
        z = sigmoid(x @ w_z.T + h @ u_z.T + b_z)
        n = np.tanh(x @ w_n.T + (r * h) @ u_n.T + b_n)
        h = np.clip(z * h + (1 - z) * n, -module.clip, module.clip)
        states.append(h)
    return np.stack(states[:: -1 if module.reverse else 1])


@BOTH_WAYS
class TestClippedGru:
    def test_states_are_those_of_the_equations(self, reverse):
        module, x = gru(reverse=reverse), inputs()
        expected = states_in_numpy(module, x)
        assert np.abs(expected).max() == module.clip  # the bound was reached
        np.testing.assert_allclose(module(x).detach().numpy(), expected, rtol=1e-12)

    def test_gradients_are_those_of_torch(self, reverse):
        module, x = gru(reverse=reverse), inputs().requires_grad_()
        weights = torch.randn(N_BINS, N_TRIALS, N_HIDDEN, dtype=torch.float64)
        parameters = [module.weight_GX, module.bias_G, module.weight_GH, module.first_H]
        gradients = torch.autograd.grad((module(x) * weights).sum(), [x, *parameters])
        plain = plain_states(x, *parameters, clip=module.clip, reverse=reverse)
        expected = torch.autograd.grad((plain * weights).sum(), [x, *parameters])
        for ours, theirs in zip(gradients, expected, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-11, atol=1e-12)

    def test_second_backward_over_one_graph_is_refused(self, reverse):
        loss = gru(reverse=reverse)(inputs()).sum()
        loss.backward(retain_graph=True)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            loss.backward()


def test_several_together_are_each_alone():
    """Of other sizes, in both directions."""
    torch.manual_seed(1)
    grus = [
        ClippedGru(N_INPUTS, n, clip=5.0, reverse=reverse).double()
        for n, reverse in ((3, False), (4, True), (2, True))
    ]
    x = inputs().requires_grad_()
    wanted = [x, *(weight for one in grus for weight in one.weights)]
    weigh = [torch.randn(N_BINS, N_TRIALS, n, dtype=torch.float64) for n in (3, 4, 2)]

    def gradients(states):
        loss = sum((part * weight).sum() for part, weight in zip(states, weigh, strict=True))
        return torch.autograd.grad(loss, wanted)

    together, alone = run_together(grus, x), [one(x) for one in grus]
    for one, other in zip(together, alone, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-14)
    for one, other in zip(gradients(together), gradients(alone), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


def test_weights_begin_as_published():
    torch.manual_seed(0)
    module = ClippedGru(278, 64, clip=5.0)
    assert module.bias_G.tolist() == [1.0] * 128 + [0.0] * 64
    assert module.first_H.tolist() == [0.0] * 64
    for weights in (module.weight_GX, module.weight_GH):
        assert weights.std().item() == pytest.approx((278 + 64) ** -0.5, rel=0.02)
        assert weights.mean().item() == pytest.approx(0.0, abs=0.002)


def test_same_seed_gives_same_weights():
    first, second = gru(), gru()
    assert all(map(torch.equal, first.parameters(), second.parameters()))
    assert isinstance(first, nn.Module)
