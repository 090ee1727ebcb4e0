"""The contract of every decoder, over every variant that has a YAML in the folder."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from calsweep.trainables.decoder import Problem
from calsweep.trainables.linear import Linear
from calsweep.trainables.losses import Criterion, initial_bias
from calsweep.trainables.recurrence import Cell
from calsweep.trainables.recurrent import Recurrent
from tests.trainables.variants import (
    OF_SEVERAL_FRAMES,
    TRACES,
    VARIANTS,
    decoder_of,
    frame_shape_of,
    length_of,
)

N_RUNS, N_WINDOWS = 3, 4
LABELS = torch.tensor([[0, 1, 1, 0], [1, 1, 0, 0], [0, 1, 0, 1]])


def build(variant, *, seed=0, length=None, class_shares=(0.5, 0.5)):
    torch.manual_seed(seed)
    length = length or length_of(variant)
    problem = Problem(
        frame_shape=frame_shape_of(variant), window_length=length, class_shares=class_shares
    )
    return decoder_of(variant).build(problem).eval()


def runs_of_frames(variant, *, seed=1, n_windows=N_WINDOWS, length=None):
    length = length or length_of(variant)
    generator = torch.Generator().manual_seed(seed)
    n_frames = n_windows + length - 1
    return torch.randn(N_RUNS, n_frames, *frame_shape_of(variant), generator=generator)


def loss_of(variant, module, frames, labels):
    loss = decoder_of(variant).loss(
        module(frames),
        labels,
        torch.ones(labels.shape),
        frames=frames,
        criterion=Criterion(),
    )
    return loss / labels.numel()


def entropy_of(variant, module, frames, labels):
    """Give the cross-entropy of the classes alone."""
    probability = decoder_of(variant).probability(module(frames))
    return -probability.gather(-1, labels[..., None]).log().mean().item()


def fit_a_little(variant, module):
    """Move weights and statistics away from where they begin."""
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    module.train()
    loss_of(variant, module, runs_of_frames(variant, seed=2), LABELS).backward()
    optimizer.step()
    module.eval()


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda path: path.stem)
class TestDecoder:
    def test_gives_a_logit_for_every_window_of_a_run(self, variant):
        outputs = build(variant)(runs_of_frames(variant))
        assert outputs.shape[:2] == (N_RUNS, N_WINDOWS)
        assert outputs.shape[2] >= 1
        assert decoder_of(variant).probability(outputs).shape == (N_RUNS, N_WINDOWS, 2)

    def test_gives_a_logit_for_each_of_several_classes(self, variant):
        outputs = build(variant, class_shares=(0.5, 0.3, 0.2))(runs_of_frames(variant))
        assert outputs.shape[:2] == (N_RUNS, N_WINDOWS)
        assert outputs.shape[2] >= 3
        expected = torch.softmax(outputs[..., :3], -1)
        assert torch.equal(decoder_of(variant).probability(outputs), expected)

    def test_window_of_one_frame(self, variant):
        if variant.stem in OF_SEVERAL_FRAMES:
            with pytest.raises(ValueError, match="window"):
                build(variant, length=1)
            return
        outputs = build(variant, length=1)(runs_of_frames(variant, length=1))
        assert outputs.shape[:2] == (N_RUNS, N_WINDOWS)

    @pytest.mark.parametrize("class_shares", [(0.8, 0.2), (0.5, 0.5), (0.7, 0.2, 0.1)])
    def test_begins_at_the_shares_of_classes(self, variant, class_shares):
        module = build(variant, class_shares=class_shares)
        wanted = initial_bias(class_shares)
        biases = [p for name, p in module.named_parameters() if name.endswith("bias")]
        assert any(torch.equal(bias, wanted) for bias in biases if bias.shape == wanted.shape)
        decoder = decoder_of(variant)
        if isinstance(decoder, Linear | Recurrent):  # others make something of nothing
            probability = decoder.probability(
                module(torch.zeros(N_RUNS, length_of(variant), *TRACES))
            )
            expected = torch.tensor(class_shares).expand(N_RUNS, 1, -1)
            torch.testing.assert_close(probability, expected)

    @pytest.mark.parametrize("grad", [True, False], ids=["training", "prediction"])
    def test_run_gives_the_outputs_of_its_windows_alone(self, variant, grad):
        module, frames = build(variant), runs_of_frames(variant)
        fit_a_little(variant, module)
        with torch.set_grad_enabled(grad):
            together = module(frames)
            n = length_of(variant)
            alone = [module(frames[:, k : k + n]) for k in range(N_WINDOWS)]
        torch.testing.assert_close(together, torch.cat(alone, dim=1), rtol=1e-5, atol=1e-6)

    def test_overfits_one_batch(self, variant):
        module, frames = build(variant), runs_of_frames(variant)
        optimizer = torch.optim.Adam(module.parameters(), lr=0.02)
        module.train()
        for _ in range(300):
            optimizer.zero_grad()
            loss_of(variant, module, frames, LABELS).backward()
            optimizer.step()
            loss = entropy_of(variant, module, frames, LABELS)
            if loss < 0.05:
                break
        assert loss < 0.05

    def test_same_seed_gives_same_weights(self, variant):
        first, second = build(variant, seed=3).state_dict(), build(variant, seed=3).state_dict()
        assert first.keys() == second.keys()
        assert all(torch.equal(first[name], second[name]) for name in first)

    def test_weights_go_through_safetensors(self, variant, tmp_path):
        module, other = build(variant), build(variant, seed=9)
        fit_a_little(variant, module)
        save_file(module.state_dict(), tmp_path / "weights.safetensors")
        other.load_state_dict(load_file(tmp_path / "weights.safetensors"))
        frames = runs_of_frames(variant)
        assert torch.equal(module(frames), other(frames))

    def test_gradients_reach_all_parameters(self, variant):
        module = build(variant)
        fit_a_little(variant, module)
        module.zero_grad()
        loss_of(variant, module, runs_of_frames(variant), LABELS).backward()
        assert [n for n, p in module.named_parameters() if not p.grad.abs().sum() > 0] == []

    def test_gradient_reaches_the_frames_of_the_window_only(self, variant):
        module, frames = build(variant), runs_of_frames(variant).requires_grad_()
        fit_a_little(variant, module)
        module(frames)[:, 1, :1].sum().backward()
        n = length_of(variant)
        assert (frames.grad[:, 1 : 1 + n].flatten(2).abs().sum(2) > 0).all()
        assert frames.grad[:, 0].abs().sum() == frames.grad[:, 1 + n :].abs().sum() == 0

    @pytest.mark.parametrize("class_shares", [(0.6, 0.4), (0.5, 0.3, 0.2)])
    def test_probabilities_of_a_window_sum_to_one(self, variant, class_shares):
        module = build(variant, class_shares=class_shares)
        probability = decoder_of(variant).probability(100 * module(runs_of_frames(variant)))
        assert probability.min() >= 0
        assert probability.max() <= 1
        torch.testing.assert_close(probability.sum(-1), torch.ones(N_RUNS, N_WINDOWS))

    def test_window_of_weight_zero_does_not_count(self, variant):
        module, frames = build(variant), runs_of_frames(variant)
        fit_a_little(variant, module)
        weights = torch.ones(LABELS.shape)
        weights[:, -1] = 0

        def loss(frames, labels, weights):
            return decoder_of(variant).loss(
                module(frames), labels, weights, frames=frames, criterion=Criterion()
            )

        torch.testing.assert_close(
            loss(frames, LABELS, weights),
            loss(frames[:, :-1], LABELS[:, :-1], weights[:, :-1]),
            rtol=1e-5,
            atol=1e-6,
        )


def test_every_variant_is_found():
    assert {path.stem for path in VARIANTS} >= {
        "linear",
        "simple_rnn",
        "lstm",
        "gru",
        "bi_simple_rnn",
        "bi_lstm",
        "bi_gru",
        "stacked_lstm",
        "hybrid",
        "hybrid_published",
        "temporal_cnn",
        "attention_lstm",
    }


def test_decoder_of_traces_refuses_images():
    with pytest.raises(ValueError, match=r"reads traces of units, but frames are images of \(8, 8"):
        Recurrent(cell=Cell.GRU).build(Problem(frame_shape=(8, 8), window_length=3))


def test_decoder_of_images_is_told_of_traces():
    with pytest.raises(ValueError, match=r"reads images, but frames are traces of 5 units"):
        _ = Problem(frame_shape=(5,), window_length=3).image_shape
