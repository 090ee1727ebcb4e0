import pytest
import torch
from torch import nn

from calsweep.trainables.decoder import Problem
from calsweep.trainables.stacked_lstm import StackedLSTM

PROBLEM = Problem(frame_shape=(581,), window_length=10, class_shares=(0.8, 0.1, 0.1))


@pytest.fixture(scope="module")
def module():
    torch.manual_seed(0)
    return StackedLSTM().build(PROBLEM)


def test_number_of_parameters_is_that_of_the_paper(module):
    lstm = 4 * 64 * (581 + 64 + 2) + 4 * 64 * (64 + 64 + 2)
    connected = (64 * 64 + 64) + (64 * 32 + 32) + (32 * 3 + 3)
    assert sum(p.numel() for p in module.parameters()) == lstm + 2 * 64 + connected


def test_reads_the_last_state(module):
    module.eval()
    frames = torch.randn(2, 10, 581)
    states, _ = module.layers(frames)
    normal = states[:, -1] / (1 + module.norm.eps) ** 0.5
    expected = module.readout(module.connected(normal))
    torch.testing.assert_close(module(frames)[:, 0], expected)


def test_drops_out_as_the_paper_does(module):
    assert module.layers.dropout == 0.5
    rates = [layer.p for layer in module.modules() if isinstance(layer, nn.Dropout)]
    assert rates == [0.5, 0.5]


def test_weights_begin_orthogonal_and_xavier(module):
    recurrent = module.layers.weight_hh_l0
    torch.testing.assert_close(recurrent.T @ recurrent, torch.eye(64), atol=1e-5, rtol=0)
    first = module.connected[0][0].weight
    assert 0.9 * (6 / 128) ** 0.5 < first.abs().max() <= (6 / 128) ** 0.5
    assert module.layers.bias_hh_l0.abs().max() == 0


def test_one_window_alone_can_be_trained_on(module):
    module.train()
    assert module(torch.randn(1, 10, 581)).isfinite().all()


def test_one_layer_warns_of_nothing(recwarn):
    StackedLSTM(n_layers=1, n_connected=()).build(PROBLEM)
    assert [str(warning.message) for warning in recwarn] == []


def test_no_hidden_unit_is_refused():
    with pytest.raises(ValueError, match="layers and their units must be at least 1"):
        StackedLSTM(n_hidden=0)
