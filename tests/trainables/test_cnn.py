"""The CNN sees the frame before, the frame and the frame after."""

import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

from calsweep.trainables.cnn import Cnn
from calsweep.trainables.losses import Criterion
from tests.trainables.images import (
    N_RUNS,
    N_WINDOWS,
    SIDE,
    SMALL,
    build,
    frames_of_runs,
    move_statistics,
)

LABELS = torch.tensor([[0, 1, 1, 0], [1, 0, 1, 1]])


def loss_of(module, frames, *, labels=LABELS, decoder=SMALL):
    outputs = module(frames)
    weights = torch.ones(labels.shape)
    loss = decoder.loss(outputs, labels, weights, frames=frames, criterion=Criterion())
    return loss / labels.numel()


class TestCnn:
    @pytest.mark.parametrize("shares", [(0.2, 0.8), (0.8, 0.1, 0.1)])
    def test_begins_at_the_shares_of_classes_where_it_sees_nothing(self, shares):
        outputs = build(shares=shares)(torch.zeros(N_RUNS, 3, SIDE, SIDE))
        expected = torch.tensor(shares).expand(N_RUNS, 1, -1)
        torch.testing.assert_close(SMALL.probability(outputs), expected)

    @pytest.mark.parametrize("grad", [True, False], ids=["with gradient", "prediction"])
    def test_run_gives_the_outputs_of_its_windows_alone(self, grad):
        module, frames = build(shares=(0.8, 0.1, 0.1)), frames_of_runs()
        move_statistics(module)
        module.eval()
        with torch.set_grad_enabled(grad):
            together = module(frames)
            alone = [module(frames[:, k : k + 3]) for k in range(N_WINDOWS)]
        assert together.shape == (N_RUNS, N_WINDOWS, 3)
        torch.testing.assert_close(together, torch.cat(alone, dim=1), rtol=1e-5, atol=1e-6)

    @pytest.mark.parametrize("shares", [(0.5, 0.5), (0.4, 0.3, 0.3)])
    def test_overfits_one_batch(self, shares):
        decoder = Cnn(width=0.25, depth=0.25, dropout=0.0, stochastic_depth=0.0)
        module, frames = build(decoder, shares=shares), frames_of_runs()
        labels = LABELS if len(shares) == 2 else torch.tensor([[0, 1, 2, 0], [1, 2, 0, 1]])
        optimizer = torch.optim.Adam(module.parameters(), lr=0.003)
        for _ in range(60):
            optimizer.zero_grad()
            loss = loss_of(module, frames, labels=labels)
            loss.backward()
            optimizer.step()
        assert loss.item() < 0.05

    def test_same_seed_gives_same_weights(self):
        first, second, other = (build(seed=seed).state_dict() for seed in (3, 3, 4))
        assert all(torch.equal(first[name], second[name]) for name in first)
        assert not torch.equal(first["head.weight"], other["head.weight"])

    def test_gradients_reach_all_parameters(self):
        module = build()
        loss_of(module, frames_of_runs()).backward()
        assert [n for n, p in module.named_parameters() if not p.grad.abs().sum() > 0] == []

    def test_gradient_reaches_the_frames_of_the_window_only(self):
        module, frames = build().eval(), frames_of_runs().requires_grad_()
        module(frames)[:, 1].sum().backward()
        reached = frames.grad.abs().sum(dim=(0, 2, 3)) > 0
        assert reached.tolist() == [False, True, True, True, False, False]

    def test_weights_go_through_safetensors(self, tmp_path):
        module, other = build(), build(seed=9)
        move_statistics(module)
        save_file(module.state_dict(), tmp_path / "weights.safetensors")
        other.load_state_dict(load_file(tmp_path / "weights.safetensors"))
        assert torch.equal(module.eval()(frames_of_runs()), other.eval()(frames_of_runs()))

    def test_trains_under_autocast(self):
        module = build()
        with torch.autocast("cpu", torch.bfloat16):
            loss = loss_of(module, frames_of_runs())
        loss.backward()
        assert all(torch.isfinite(p.grad).all() for p in module.parameters())
        with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
            assert torch.isfinite(module.eval()(frames_of_runs())).all()

    def test_window_of_other_than_three_frames_is_refused(self):
        with pytest.raises(ValueError, match=r"length == 3` must hold .* but got 31: set datasets"):
            build(length=31)

    def test_image_too_small_is_refused(self):
        with pytest.raises(ValueError, match=r"at least 32 x 32 pixels .* but got 64 x 16: ingest"):
            build(shape=(64, 16))

    def test_traces_are_refused(self):
        with pytest.raises(ValueError, match=r"reads images, but frames are traces of 50 units"):
            build(shape=(50,))

    @pytest.mark.parametrize(
        ("setting", "rule"),
        [
            ({"dropout": 1.0}, r"`0 <= dropout < 1` must hold, but got 1.0"),
            ({"stochastic_depth": -0.1}, r"`0 <= stochastic_depth < 1` must hold, but got -0.1"),
            ({"width": 0.0}, r"`width > 0` must hold, but got 0.0"),
            ({"depth": -1.0}, r"`depth > 0` must hold, but got -1.0"),
            ({"norm_momentum": 0.0}, r"`0 < norm_momentum <= 1` must hold, but got .*=0.0"),
        ],
    )
    def test_setting_out_of_range_is_refused(self, setting, rule):
        with pytest.raises(ValueError, match=rule):
            Cnn(**setting)


def test_monai_is_loaded_only_where_a_network_is_built():
    code = "import sys, calsweep.trainables.cnn_rnn; sys.exit('monai' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=120).returncode == 0
