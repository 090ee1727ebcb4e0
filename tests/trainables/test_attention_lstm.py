import pytest
import torch
from torch import nn

from calsweep.trainables.attention_lstm import AttentionLSTM
from calsweep.trainables.decoder import Problem

PROBLEM = Problem(frame_shape=(581,), window_length=10, class_shares=(0.8, 0.1, 0.1))


@pytest.fixture(scope="module")
def module():
    torch.manual_seed(0)
    return AttentionLSTM().build(PROBLEM).eval()


def test_number_of_parameters_is_that_of_the_code(module):
    lstm = 4 * 96 * (581 + 96 + 2) + 4 * 96 * (96 + 96 + 2)
    attention = 3 * 96 * 48 + (48 * 96 + 96) + 2 * 96
    connected = 80 * (96 + 1 + 2) + 56 * (80 + 1 + 2) + 40 * (56 + 1 + 2)
    heads = (40 * 24 + 24 + 24 * 3 + 3) + 2 * (40 * 16 + 16 + 16 + 1)
    assert sum(p.numel() for p in module.parameters()) == lstm + attention + connected + heads


def test_attention_is_added_to_the_last_state(module):
    frames = torch.randn(2, 10, 581)
    states, _ = module.lstm(frames)
    attended = module.norm(states[:, -1] + module.attention(states))
    expected = module.heads.classes(module.connected(attended))
    torch.testing.assert_close(module(frames)[:, 0, :3], expected)


def test_drops_out_less_from_layer_to_layer(module):
    rates = [layer.p for layer in module.connected if isinstance(layer, nn.Dropout)]
    assert rates == pytest.approx([0.32, 0.24, 0.16])


def test_forget_gates_begin_open(module):
    assert module.lstm.bias_hh_l1.chunk(4)[1].tolist() == [1.0] * 96
    assert module.lstm.bias_hh_l1.sum() == 96


def test_heads_that_do_not_divide_are_refused():
    with pytest.raises(ValueError, match="must divide the 48 features of the attention, but got 5"):
        AttentionLSTM(n_attention_heads=5)


@pytest.mark.parametrize("setting", [{"n_attention": 0}, {"n_attention_heads": 0}], ids=str)
def test_attention_of_nothing_is_refused(setting):
    with pytest.raises(ValueError, match=f"`{next(iter(setting))} >= 1` must hold, but got 0"):
        AttentionLSTM(**setting)
