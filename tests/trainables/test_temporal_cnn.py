import pytest
import torch
from torch.nn import functional

from calsweep.trainables.decoder import Problem
from calsweep.trainables.temporal_cnn import TemporalCNN, TemporalCNNModule

PROBLEM = Problem(frame_shape=(581,), window_length=32, class_shares=(0.8, 0.1, 0.1))


def test_number_of_parameters_is_that_of_the_code():
    convolutions = 581 * 64 * 3 + 64 * 128 * 5 + 128 * 256 * 7 + 256 * 256 * 5
    biases_and_norms = 3 * (64 + 128 + 256 + 256)
    connected = (512 * 128 + 128) + (128 * 64 + 64)
    heads = 65 * (3 + 1 + 1)
    with torch.device("meta"):  # nothing is drawn
        module = TemporalCNNModule(TemporalCNN(), PROBLEM)
    expected = convolutions + biases_and_norms + connected + heads
    assert sum(p.numel() for p in module.parameters()) == expected


def test_mean_and_maximum_over_the_window_are_read():
    torch.manual_seed(0)
    config = TemporalCNN(n_features=(4,), n_taps=(3,), n_connected=())
    module = config.build(Problem(frame_shape=(5,), window_length=6)).eval()
    frames = torch.randn(2, 6, 5)
    x = functional.conv1d(frames.transpose(1, 2), module.first.weight, module.first.bias, padding=1)
    x = (x / (1 + 1e-5) ** 0.5).relu()
    expected = module.heads.classes(torch.cat([x.mean(2), x.amax(2)], 1))
    torch.testing.assert_close(module(frames)[:, 0, :1], expected)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_taps": (3, 5)}, "one number for each convolution"),
        ({"n_taps": (3, 4, 7, 5)}, r"must be odd, but got \[3, 4, 7, 5\]"),
        ({"dropout": 1.0}, "`0 <= dropout < 1`"),
        ({"n_connected": (0,)}, "at least 1"),
    ],
    ids=str,
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        TemporalCNN(**settings)
