"""The recurrent decoders compute what torch's layers compute, forward and backward."""

import numpy as np
import pytest
import torch
from torch import nn

from calsweep.trainables.decoder import Problem
from calsweep.trainables.recurrence import Cell
from calsweep.trainables.recurrent import Recurrent
from calsweep.trainables.recurrent_layer import LAYERS, ResetBeforeGru

N_UNITS, N_HIDDEN, LENGTH, N_RUNS, N_WINDOWS = 5, 4, 9, 3, 6
BOTH_WAYS = pytest.mark.parametrize("bidirectional", [False, True], ids=["one way", "both ways"])
EVERY_CELL = pytest.mark.parametrize("cell", Cell, ids=lambda cell: cell.value)


def build(cell, *, bidirectional, seed=0):
    """Build in float64, with no weight at a special value."""
    torch.manual_seed(seed)
    config = Recurrent(cell=cell, bidirectional=bidirectional, n_hidden=N_HIDDEN)
    problem = Problem(frame_shape=(N_UNITS,), window_length=LENGTH, class_shares=(0.5, 0.3, 0.2))
    module = config.build(problem).double()
    for weights in module.parameters():
        nn.init.uniform_(weights, -0.7, 0.7)
    return module


def frames_of_runs(seed=1):
    generator = torch.Generator().manual_seed(seed)
    shape = (N_RUNS, N_WINDOWS + LENGTH - 1, N_UNITS)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def torch_logits(module, cell, *, bidirectional, frames):
    """Copy every window and put it through torch's layer with the same weights."""
    layer = LAYERS[cell](N_UNITS, N_HIDDEN, batch_first=True, bidirectional=bidirectional)
    layer.double().load_state_dict(module.layer.state_dict())
    readout = nn.Linear(module.readout.in_features, 3).double()
    readout.load_state_dict(module.readout.state_dict())
    windows = torch.stack([frames[:, k : k + LENGTH] for k in range(N_WINDOWS)], dim=1)
    states, _ = layer(windows.flatten(0, 1))
    last = states[:, -1, :N_HIDDEN]
    if bidirectional:  # the backward layer's last state stands at the first frame
        last = torch.cat([last, states[:, 0, N_HIDDEN:]], dim=1)
    return readout(last).view(N_RUNS, N_WINDOWS, 3), [*layer.parameters(), *readout.parameters()]


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
    module = Recurrent(cell=Cell.LSTM, n_hidden=8).build(Problem(frame_shape=(4,), window_length=3))
    layer = module.layer
    assert layer.bias_ih_l0.tolist() == [0.0] * 8 + [1.0] * 8 + [0.0] * 16
    assert layer.bias_hh_l0.tolist() == [0.0] * 32
    torch.testing.assert_close(layer.weight_hh_l0.T @ layer.weight_hh_l0, torch.eye(8))
    assert layer.weight_ih_l0.abs().max() <= (6 / (4 + 32)) ** 0.5


def test_no_hidden_unit_is_refused():
    with pytest.raises(ValueError, match=r"`n_hidden >= 1` must hold, but got self.n_hidden=0"):
        Recurrent(cell=Cell.GRU, n_hidden=0)


# Keras' equations, in NumPy. Kernels are (input, gate x unit): x @ kernel.
# Gates of an LSTM are i, f, c, o; of a GRU z, r, h. A GRU with `reset_after` has a recurrent bias
# and the reset gate multiplies the recurrent product; in one without it multiplies the state.


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def keras_simple_rnn(x_TN, *, kernel, recurrent_kernel, bias):
    h = np.zeros(recurrent_kernel.shape[0])
    for x in x_TN:
        h = np.tanh(x @ kernel + h @ recurrent_kernel + bias)
    return h


def keras_lstm(x_TN, *, kernel, recurrent_kernel, bias):
    h = c = np.zeros(recurrent_kernel.shape[0])
    for x in x_TN:
        i, f, g, o = np.split(x @ kernel + h @ recurrent_kernel + bias, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
    return h


def keras_gru(x_TN, *, kernel, recurrent_kernel, bias, reset_after):
    """With `reset_after`, the bias has two rows: that of the input and the recurrent one."""
    h = np.zeros(recurrent_kernel.shape[0])
    n = len(h)
    for x in x_TN:
        x_z, x_r, x_h = np.split(x @ kernel + (bias[0] if reset_after else bias), 3)
        if reset_after:
            h_z, h_r, h_h = np.split(h @ recurrent_kernel + bias[1], 3)
            z, r = sigmoid(x_z + h_z), sigmoid(x_r + h_r)
            candidate = np.tanh(x_h + r * h_h)
        else:
            h_z, h_r = np.split(h @ recurrent_kernel[:, : 2 * n], 2)
            z, r = sigmoid(x_z + h_z), sigmoid(x_r + h_r)
            candidate = np.tanh(x_h + (r * h) @ recurrent_kernel[:, 2 * n :])
        h = z * h + (1 - z) * candidate
    return h


def reordered(weights, order):
    """Bring torch's gates, stacked in the first axis, into Keras' order in the last."""
    blocks = np.split(weights.detach().numpy(), len(order))
    return np.concatenate([blocks[i] for i in order]).T


# Where in torch's order (simple; i, f, g, o; r, z, n) Keras' gates stand.
KERAS_ORDER = {
    Cell.SIMPLE: (0,),
    Cell.LSTM: (0, 1, 2, 3),
    Cell.GRU: (1, 0, 2),
    Cell.GRU_RESET_BEFORE: (1, 0, 2),
}


def keras_state(module, cell, x_TN, *, suffix):
    layer, order = module.layer, KERAS_ORDER[cell]
    kernel = reordered(getattr(layer, f"weight_ih_{suffix}"), order)
    recurrent_kernel = reordered(getattr(layer, f"weight_hh_{suffix}"), order)
    biases = [reordered(getattr(layer, f"bias_{at}_{suffix}"), order) for at in ("ih", "hh")]
    weights = {"kernel": kernel, "recurrent_kernel": recurrent_kernel}
    if cell is Cell.SIMPLE:
        return keras_simple_rnn(x_TN, **weights, bias=sum(biases))
    if cell is Cell.LSTM:
        return keras_lstm(x_TN, **weights, bias=sum(biases))
    reset_after = cell is Cell.GRU
    bias = np.stack(biases) if reset_after else sum(biases)
    return keras_gru(x_TN, **weights, bias=bias, reset_after=reset_after)


def keras_logits(module, cell, frames, *, bidirectional):
    kernel = module.readout.weight.detach().numpy().T
    bias = module.readout.bias.detach().numpy()
    logits = np.empty((N_RUNS, N_WINDOWS, len(bias)))
    for run in range(N_RUNS):
        for k in range(N_WINDOWS):
            x_TN = frames[run, k : k + LENGTH].numpy()
            state = keras_state(module, cell, x_TN, suffix="l0")
            if bidirectional:
                backward = keras_state(module, cell, x_TN[::-1], suffix="l0_reverse")
                state = np.concatenate([state, backward])
            logits[run, k] = state @ kernel + bias
    return torch.from_numpy(logits)


@EVERY_CELL
@BOTH_WAYS
def test_logits_are_those_of_keras(cell, bidirectional):
    module, frames = build(cell, bidirectional=bidirectional), frames_of_runs()
    expected = keras_logits(module, cell, frames, bidirectional=bidirectional)
    torch.testing.assert_close(module(frames), expected, rtol=1e-5, atol=1e-5)


def test_both_conventions_of_keras_gru_are_there_and_differ():
    """Since TensorFlow 2 ``reset_after=True`` is Keras' default; weights of one do not fit both."""
    module, frames = build(Cell.GRU, bidirectional=False), frames_of_runs()
    other = build(Cell.GRU_RESET_BEFORE, bidirectional=False)
    other.load_state_dict(module.state_dict())
    assert (module(frames) - other(frames)).abs().max() > 1e-3


def test_conventions_of_gru_agree_while_the_state_is_zero():
    """After one frame there is no state yet that the reset gate could multiply."""
    module, x_TN = build(Cell.GRU, bidirectional=False), frames_of_runs()[0, :1].numpy()
    nn.init.zeros_(module.layer.bias_hh_l0)
    states = [
        keras_state(module, cell, x_TN, suffix="l0") for cell in (Cell.GRU, Cell.GRU_RESET_BEFORE)
    ]
    np.testing.assert_allclose(states[0], states[1], rtol=1e-12)


@pytest.mark.parametrize("kind", [nn.GRU, ResetBeforeGru])
def test_dropout_lies_between_layers_in_training_alone(kind):
    torch.manual_seed(0)
    inputs = torch.randn(2, 3, 5)
    one = kind(5, 64, dropout=0.5, num_layers=2, batch_first=True)
    first, second = (one(inputs)[1] for _ in range(2))
    assert torch.equal(first[0], second[0])
    assert not torch.equal(first[1], second[1])
    one.eval()
    assert torch.equal(one(inputs)[1], one(inputs)[1])
