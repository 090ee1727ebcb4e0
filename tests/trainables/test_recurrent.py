"""The recurrent decoders compute what torch's layers compute, forward and backward."""

import pytest
import torch
from torch import nn

from calsweep.trainables.recurrence import Cell
from calsweep.trainables.recurrent import Recurrent

N_UNITS, N_HIDDEN, LENGTH, N_RUNS, N_WINDOWS = 5, 4, 9, 3, 6
TORCH_LAYER = {Cell.SIMPLE: nn.RNN, Cell.LSTM: nn.LSTM, Cell.GRU: nn.GRU}
BOTH_WAYS = pytest.mark.parametrize("bidirectional", [False, True], ids=["one way", "both ways"])
EVERY_CELL = pytest.mark.parametrize("cell", Cell, ids=lambda cell: cell.value)


def build(cell, *, bidirectional, seed=0):
    """Build in float64, with no weight at a special value."""
    torch.manual_seed(seed)
    config = Recurrent(cell=cell, bidirectional=bidirectional, n_hidden=N_HIDDEN)
    module = config.build(n_units=N_UNITS, window_length=LENGTH).double()
    for weights in module.parameters():
        nn.init.uniform_(weights, -0.7, 0.7)
    return module


def frames_of_runs(seed=1):
    generator = torch.Generator().manual_seed(seed)
    shape = (N_RUNS, N_WINDOWS + LENGTH - 1, N_UNITS)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def torch_logits(module, cell, *, bidirectional, frames):
    """Copy every window and put it through torch's layer with the same weights."""
    layer = TORCH_LAYER[cell](N_UNITS, N_HIDDEN, batch_first=True, bidirectional=bidirectional)
    layer.double().load_state_dict(module.layer.state_dict())
    readout = nn.Linear(module.readout.in_features, 1).double()
    readout.load_state_dict(module.readout.state_dict())
    windows = torch.stack([frames[:, k : k + LENGTH] for k in range(N_WINDOWS)], dim=1)
    states, _ = layer(windows.flatten(0, 1))
    last = states[:, -1, :N_HIDDEN]
    if bidirectional:  # the backward layer's last state stands at the first frame
        last = torch.cat([last, states[:, 0, N_HIDDEN:]], dim=1)
    return readout(last).view(N_RUNS, N_WINDOWS), [*layer.parameters(), *readout.parameters()]


@EVERY_CELL
@BOTH_WAYS
class TestRecurrent:
    def test_logits_and_gradients_are_those_of_torch(self, cell, bidirectional):
        module = build(cell, bidirectional=bidirectional)
        ours, theirs = (frames_of_runs().requires_grad_() for _ in range(2))
        logits = module(ours)
        expected, parameters = torch_logits(
            module, cell, bidirectional=bidirectional, frames=theirs
        )
        torch.testing.assert_close(logits, expected, rtol=1e-12, atol=1e-12)

        weights = torch.linspace(-1, 1, logits.numel(), dtype=logits.dtype).view_as(logits)
        gradients = torch.autograd.grad((logits * weights).sum(), [ours, *module.parameters()])
        wanted = torch.autograd.grad((expected * weights).sum(), [theirs, *parameters])
        for gradient, want in zip(gradients, wanted, strict=True):
            torch.testing.assert_close(gradient, want, rtol=1e-11, atol=1e-12)

    def test_windows_laid_out_give_the_same(self, cell, bidirectional):
        """Other devices go this way."""
        module, frames = build(cell, bidirectional=bidirectional), frames_of_runs()
        torch.testing.assert_close(
            module.forward_windows(frames), module.forward_shared(frames), rtol=1e-12, atol=1e-12
        )

    def test_prediction_gives_the_same_as_training(self, cell, bidirectional):
        module, frames = build(cell, bidirectional=bidirectional), frames_of_runs()
        training = module(frames)
        with torch.no_grad():
            assert torch.equal(module(frames), training)

    def test_second_backward_over_one_graph_is_refused(self, cell, bidirectional):
        loss = build(cell, bidirectional=bidirectional)(frames_of_runs()).sum()
        loss.backward(retain_graph=True)
        if cell is Cell.SIMPLE:
            loss.backward()  # writes over nothing
            return
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            loss.backward()


def test_weights_begin_as_in_keras():
    torch.manual_seed(0)
    module = Recurrent(cell=Cell.LSTM, n_hidden=8).build(n_units=4, window_length=3)
    layer = module.layer
    assert layer.bias_ih_l0.tolist() == [0.0] * 8 + [1.0] * 8 + [0.0] * 16
    assert layer.bias_hh_l0.tolist() == [0.0] * 32
    torch.testing.assert_close(layer.weight_hh_l0.T @ layer.weight_hh_l0, torch.eye(8))
    assert layer.weight_ih_l0.abs().max() <= (6 / (4 + 32)) ** 0.5


def test_no_hidden_unit_is_refused():
    with pytest.raises(ValueError, match=r"`n_hidden >= 1` must hold, but got self.n_hidden=0"):
        Recurrent(cell=Cell.GRU, n_hidden=0)
