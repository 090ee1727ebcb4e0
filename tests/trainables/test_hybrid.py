"""The hybrid is that of H, part by part."""

import pytest
import torch
from torch import nn

from calsweep.trainables.decoder import Problem
from calsweep.trainables.hybrid import Hybrid, HybridModule
from calsweep.trainables.losses import Criterion
from calsweep.trainables.normalization import Normalization
from calsweep.trainables.tasks import Activity, Tasks, Weighting

SHARES = (0.8, 0.1, 0.1)
SMALL = {"n_features": (8, 16), "n_groups": 4, "n_hidden": 8, "n_attention_heads": 4}
FRAMES = torch.randn(2, 9, 5, generator=torch.Generator().manual_seed(0))


def build(**settings):
    torch.manual_seed(0)
    problem = Problem(frame_shape=(5,), window_length=6, class_shares=SHARES)
    return Hybrid(**settings).build(problem)


def n_parameters(**settings):
    problem = Problem(frame_shape=(581,), window_length=32, class_shares=SHARES)
    with torch.device("meta"):  # nothing is drawn
        module = HybridModule(Hybrid(**settings), problem)
    return sum(p.numel() for p in module.parameters())


# By hand, of 581 units. Kernels and biases of 581-64-128-256 over 3 frames:
CONVOLUTIONS = (581 * 64 * 3 + 64) + (64 * 128 * 3 + 128) + (128 * 256 * 3 + 256)
BATCH_NORMS = 2 * (64 + 128 + 256)
SKIP = 581 * 256 + 256 + 2 * 256  # and its group normalization
# Four gates of 128 in two directions: 256 inputs, 128 states, two biases; both layers alike.
LSTM = 2 * 2 * 4 * 128 * (256 + 128 + 2)
ATTENTION = 4 * 256 * 256
HEADS = 4 * 2 * 256 + 256 * (3 + 1 + 1 + 1) + (3 + 1 + 1 + 1)
PAPER = CONVOLUTIONS + BATCH_NORMS + SKIP + LSTM + ATTENTION + HEADS


class TestParameters:
    def test_number_is_that_of_the_paper(self):
        assert PAPER == 1_441_542
        assert n_parameters() == PAPER

    @pytest.mark.parametrize(
        ("settings", "more"),
        [
            ({"skip": False}, -SKIP),
            ({"attention": False}, -ATTENTION),
            ({"adaptive_scale": True}, 8),
            ({"normalization": Normalization.GROUP}, 0),
            ({"normalization": Normalization.LAYER}, 0),
            ({"normalization": Normalization.DYNAMIC}, 2 * BATCH_NORMS + 3 * 3),
            ({"tasks": Tasks(side_classes=(1,))}, -(2 * 256 + 256 + 1)),
            ({"tasks": Tasks(side_classes=())}, -2 * (2 * 256 + 256 + 1)),
            ({"tasks": Tasks(activity=Activity.NONE)}, -(2 * 256 + 256 + 1)),
            ({"tasks": Tasks(weighting=Weighting.LEARNT)}, 4),
            (
                {"n_head_hidden": 128},
                4 * (256 * 128 + 128 + 2 * 128) + 129 * 6 - HEADS,
            ),
        ],
        ids=str,
    )
    def test_number_changes_with_each_part(self, settings, more):
        assert n_parameters(**settings) == PAPER + more


class TestForward:
    def test_is_that_of_plain_layers(self):
        """Written out with torch's own layers over one window."""
        module = build(**SMALL).eval()
        window = FRAMES[:, :6]
        x_BNL = window.transpose(1, 2)
        conv = nn.functional.conv1d
        first, second = module.first, module.convolutions[3]
        h = conv(x_BNL, first.weight, first.bias, padding=1) / (1 + 1e-5) ** 0.5
        h = conv(h.relu(), second.weight, second.bias, padding=1) / (1 + 1e-5) ** 0.5
        skipped = conv(x_BNL, module.skip.weight, module.skip.bias)
        h = nn.functional.group_norm(h.relu() + skipped, 4)
        states, _ = module.lstm(h.transpose(1, 2))
        pooled = module.attention(states)
        heads = module.heads
        expected = [head[1:](head[0](pooled)) for head in (heads.classes, *heads.sides)]
        outputs = module(window)[:, 0]
        torch.testing.assert_close(outputs[:, :5], torch.cat(expected, 1), rtol=1e-5, atol=1e-6)

    def test_skip_is_added(self):
        with_skip, without = build(**SMALL).eval(), build(**SMALL, skip=False).eval()
        without.load_state_dict(with_skip.state_dict(), strict=False)
        nn.init.zeros_(with_skip.skip.weight)
        nn.init.zeros_(with_skip.skip.bias)
        convolved = without._convolve(FRAMES)
        normal = nn.functional.group_norm(convolved.transpose(1, 2), 4).transpose(1, 2)
        torch.testing.assert_close(with_skip._convolve(FRAMES), normal)

    def test_without_attention_states_are_averaged(self):
        module = build(**SMALL, attention=False).eval()
        states, _ = module.lstm(module._convolve(FRAMES))
        expected = module.heads(states.mean(1), FRAMES)
        torch.testing.assert_close(module(FRAMES), expected)

    @pytest.mark.parametrize(
        "settings",
        [
            {"skip": False},
            {"attention": False},
            {"normalization": Normalization.GROUP},
            {"normalization": Normalization.LAYER},
            {"normalization": Normalization.DYNAMIC},
            {"n_head_hidden": 8},
        ],
        ids=str,
    )
    def test_each_part_changes_the_logits(self, settings):
        logits = build(**SMALL).eval()(FRAMES)[..., :3]
        other = build(**SMALL | settings).eval()(FRAMES)[..., :3]
        assert logits.shape == other.shape
        assert not torch.allclose(logits, other, atol=1e-3)

    def test_dropout_is_behind_convolutions_and_in_heads(self):
        module = build()
        rates = [layer.p for layer in module.convolutions if isinstance(layer, nn.Dropout)]
        assert rates == [0.25, 0.25, 0.25]
        assert module.lstm.dropout == 0.5
        assert [layer.p for layer in module.heads.classes if isinstance(layer, nn.Dropout)] == [0.5]

    def test_bfloat16_gives_about_the_same_in_float32(self):
        config, module = Hybrid(**SMALL), build(**SMALL).eval()
        labels = torch.zeros(2, 4, dtype=torch.long)
        with torch.autocast("cpu", torch.bfloat16):
            outputs = module(FRAMES)
            loss = config.loss(
                outputs, labels, torch.ones(2, 4), frames=FRAMES, criterion=Criterion()
            )
        loss.backward()
        assert outputs.dtype == torch.float32
        torch.testing.assert_close(outputs, module(FRAMES), rtol=0.05, atol=0.05)


class TestSettings:
    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"n_groups": 7}, r"`n_groups` must divide each of \[64, 128, 256\]"),
            ({"n_attention_heads": 3}, "`n_attention_heads` must divide the 256 units"),
            ({"adaptive_scale": True, "attention": False}, "`adaptive_scale` needs `attention`"),
            ({"dropout": 1.0}, "`0 <= dropout < 1` must hold, but got 1.0"),
            ({"conv_dropout": -0.1}, "`0 <= conv_dropout < 1` must hold"),
            ({"n_features": ()}, "layers and their units must be at least 1"),
            ({"n_groups": 0}, "`n_groups >= 1` must hold, but got 0"),
            ({"n_attention_heads": 0}, "`n_attention_heads >= 1` must hold, but got 0"),
            ({"n_attention_heads": -4}, "`n_attention_heads >= 1` must hold, but got -4"),
            ({"n_head_hidden": -1}, "`n_head_hidden >= 0` must hold, but got -1"),
        ],
        ids=str,
    )
    def test_impossible_ones_are_refused(self, settings, message):
        with pytest.raises(ValueError, match=message):
            Hybrid(**settings)
