"""The contract of every decoder, over every variant that has a YAML in the folder."""

from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

import calsweep
from calsweep.platform.plain import from_plain

VARIANTS = sorted((Path(calsweep.__file__).parent / "trainables").glob("*.yaml"))
N_UNITS, LENGTH, N_RUNS, N_WINDOWS = 5, 7, 3, 4


def decoder_of(variant):
    return from_plain(yaml.safe_load(variant.read_text()))


def build(variant, *, seed=0, length=LENGTH):
    torch.manual_seed(seed)
    return decoder_of(variant).build(n_units=N_UNITS, window_length=length)


def runs_of_frames(*, seed=1, n_windows=N_WINDOWS, length=LENGTH):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(N_RUNS, n_windows + length - 1, N_UNITS, generator=generator)


def loss_of(variant, module, frames, labels):
    weights = torch.ones_like(labels)
    loss = decoder_of(variant).loss(module(frames), labels, weights, label_smoothing=0.0)
    return loss / labels.numel()


LABELS = torch.tensor([[0.0, 1, 1, 0], [1, 1, 0, 0], [0, 1, 0, 1]])


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda path: path.stem)
class TestDecoder:
    def test_gives_a_logit_for_every_window_of_a_run(self, variant):
        assert build(variant)(runs_of_frames()).shape == (N_RUNS, N_WINDOWS)

    def test_window_of_one_frame(self, variant):
        assert build(variant, length=1)(runs_of_frames(length=1)).shape == (N_RUNS, N_WINDOWS)

    def test_has_an_axis_for_several_outputs(self, variant):
        module = decoder_of(variant).build(n_units=N_UNITS, window_length=LENGTH, n_outputs=3)
        assert module(runs_of_frames()).shape == (N_RUNS, N_WINDOWS, 3)

    @pytest.mark.parametrize("base_rate", [0.2, 0.5, 0.8])
    def test_begins_at_the_base_rate_where_it_sees_nothing(self, variant, base_rate):
        decoder = decoder_of(variant)
        module = decoder.build(n_units=N_UNITS, window_length=LENGTH, base_rate=base_rate)
        logits = module(torch.zeros(N_RUNS, LENGTH, N_UNITS))
        torch.testing.assert_close(decoder.probability(logits), torch.full((N_RUNS, 1), base_rate))

    @pytest.mark.parametrize("grad", [True, False], ids=["training", "prediction"])
    def test_run_gives_the_logits_of_its_windows_alone(self, variant, grad):
        module, frames = build(variant), runs_of_frames()
        fit_a_little(variant, module)
        with torch.set_grad_enabled(grad):
            together = module(frames)
            alone = [module(frames[:, k : k + LENGTH]) for k in range(N_WINDOWS)]
        torch.testing.assert_close(together, torch.cat(alone, dim=1), rtol=1e-5, atol=1e-6)

    def test_overfits_one_batch(self, variant):
        module, frames = build(variant), runs_of_frames()
        optimizer = torch.optim.Adam(module.parameters(), lr=0.02)
        for _ in range(300):
            optimizer.zero_grad()
            loss = loss_of(variant, module, frames, LABELS)
            loss.backward()
            optimizer.step()
        assert loss.item() < 0.05

    def test_same_seed_gives_same_weights(self, variant):
        first, second = build(variant, seed=3).state_dict(), build(variant, seed=3).state_dict()
        assert all(torch.equal(first[name], second[name]) for name in first)

    def test_weights_go_through_safetensors(self, variant, tmp_path):
        module, other = build(variant), build(variant, seed=9)
        fit_a_little(variant, module)
        save_file(module.state_dict(), tmp_path / "weights.safetensors")
        other.load_state_dict(load_file(tmp_path / "weights.safetensors"))
        assert torch.equal(module(runs_of_frames()), other(runs_of_frames()))

    def test_gradients_reach_all_parameters(self, variant):
        module = build(variant)
        fit_a_little(variant, module)
        module.zero_grad()
        loss_of(variant, module, runs_of_frames(), LABELS).backward()
        assert [n for n, p in module.named_parameters() if not p.grad.abs().sum() > 0] == []

    def test_gradient_reaches_the_frames_of_the_window_only(self, variant):
        module, frames = build(variant), runs_of_frames().requires_grad_()
        fit_a_little(variant, module)
        module(frames)[:, 1].sum().backward()
        assert frames.grad[:, 1 : 1 + LENGTH].abs().sum() > 0
        assert frames.grad[:, 0].abs().sum() == frames.grad[:, 1 + LENGTH :].abs().sum() == 0

    def test_probability_is_one_half_at_logit_zero(self, variant):
        assert decoder_of(variant).probability(torch.zeros(1, 2)).tolist() == [[0.5, 0.5]]


def fit_a_little(variant, module):
    """Move weights away from where they begin: a linear decoder begins at zero."""
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    loss_of(variant, module, runs_of_frames(seed=2), LABELS).backward()
    optimizer.step()


def test_every_variant_is_found():
    assert {path.stem for path in VARIANTS} >= {
        "linear",
        "simple_rnn",
        "lstm",
        "gru",
        "bi_simple_rnn",
        "bi_lstm",
        "bi_gru",
    }
