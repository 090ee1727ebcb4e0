"""The CNN-RNN runs its CNN once for every image, and starts from the fold's CNN."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from calsweep.trainables.cnn import Cnn
from calsweep.trainables.cnn_rnn import CnnRnn
from calsweep.trainables.decoder import Problem
from calsweep.trainables.losses import Criterion
from calsweep.trainables.recurrence import Cell
from tests.trainables.images import move_statistics

SIDE, LENGTH, N_RUNS, N_WINDOWS = 32, 7, 2, 4  # k = 2: five images in a window
N_FRAMES = N_WINDOWS + LENGTH - 1
CNN = Cnn(width=0.25, depth=0.25)
LABELS = torch.tensor([[0, 1, 1, 0], [1, 0, 1, 1]])
HEAD = ("head.weight", "head.bias")
EVERY_CELL = pytest.mark.parametrize("cell", Cell, ids=lambda cell: cell.value)


def small(cell=Cell.GRU, **settings):
    return CnnRnn(cell=cell, cnn=CNN, n_hidden=16, **settings)


def problem(*, shares=(0.5, 0.5), length=LENGTH, shape=(SIDE, SIDE)):
    return Problem(frame_shape=shape, window_length=length, class_shares=shares)


def build(decoder, *, seed=0, **kwargs):
    torch.manual_seed(seed)
    return decoder.build(problem(**kwargs))


def frames_of_runs(*, seed=1, n_frames=N_FRAMES):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(N_RUNS, n_frames, SIDE, SIDE, generator=generator)


def loss_of(decoder, module, frames, labels=LABELS):
    outputs = module(frames)
    weights = torch.ones(labels.shape)
    loss = decoder.loss(outputs, labels, weights, frames=frames, criterion=Criterion())
    return loss / labels.numel()


def window_by_window(module, frames):
    """Run the CNN for each image of each window."""
    outputs = []
    for k in range(frames.shape[1] - LENGTH + 1):
        window = frames[:, k : k + LENGTH]
        images = torch.cat([window[:, i : i + 3] for i in range(LENGTH - 2)])
        features = module.cnn.network(images).view(LENGTH - 2, len(frames), -1)
        states, _ = module.rnn(features.transpose(0, 1))
        outputs.append(module.readout(states[:, -1]))
    return torch.stack(outputs, dim=1)


@EVERY_CELL
class TestCnnRnn:
    @pytest.mark.parametrize("shares", [(0.2, 0.8), (0.8, 0.1, 0.1)])
    def test_begins_at_the_shares_of_classes_where_it_sees_nothing(self, cell, shares):
        decoder = small(cell)
        outputs = build(decoder, shares=shares)(torch.zeros(N_RUNS, N_FRAMES, SIDE, SIDE))
        expected = torch.tensor(shares).expand(N_RUNS, N_WINDOWS, -1)
        torch.testing.assert_close(decoder.probability(outputs), expected)

    @pytest.mark.parametrize("grad", [True, False], ids=["with gradient", "prediction"])
    def test_run_gives_the_outputs_of_its_windows_alone(self, cell, grad):
        module, frames = build(small(cell), shares=(0.8, 0.1, 0.1)), frames_of_runs()
        move_statistics(module)
        module.eval()
        with torch.set_grad_enabled(grad):
            together = module(frames)
            alone = [module(frames[:, k : k + LENGTH]) for k in range(N_WINDOWS)]
            by_hand = window_by_window(module, frames)
        assert together.shape == (N_RUNS, N_WINDOWS, 3)
        torch.testing.assert_close(together, torch.cat(alone, dim=1), rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(together, by_hand, rtol=1e-5, atol=1e-6)

    def test_gradients_are_those_of_window_by_window(self, cell):
        """As far as batch normalization does not look at the batch."""
        module, frames = build(small(cell, dropout=0.0)), frames_of_runs()
        move_statistics(module)
        module.eval().double()
        gradients = [
            torch.autograd.grad(outputs.square().sum(), list(module.parameters()))
            for outputs in (module(frames.double()), window_by_window(module, frames.double()))
        ]
        for ours, wanted in zip(*gradients, strict=True):
            torch.testing.assert_close(ours, wanted, rtol=1e-8, atol=1e-12)

    def test_gradients_reach_all_parameters(self, cell):
        decoder = small(cell)
        module = build(decoder)
        loss_of(decoder, module, frames_of_runs()).backward()
        assert [n for n, p in module.named_parameters() if not p.grad.abs().sum() > 0] == []

    def test_gradient_reaches_the_frames_of_the_window_only(self, cell):
        module, frames = build(small(cell)).eval(), frames_of_runs().requires_grad_()
        module(frames)[:, 1].sum().backward()
        reached = frames.grad.abs().sum(dim=(0, 2, 3)) > 0
        assert reached.tolist() == [False] + LENGTH * [True] + 2 * [False]

    def test_same_seed_gives_same_weights(self, cell):
        first, second = (build(small(cell), seed=3).state_dict() for _ in range(2))
        assert all(torch.equal(first[name], second[name]) for name in first)

    def test_weights_go_through_safetensors(self, cell, tmp_path):
        module, other = build(small(cell)), build(small(cell), seed=9)
        move_statistics(module)
        save_file(module.state_dict(), tmp_path / "weights.safetensors")
        other.load_state_dict(load_file(tmp_path / "weights.safetensors"))
        assert torch.equal(module.eval()(frames_of_runs()), other.eval()(frames_of_runs()))

    def test_trains_and_predicts_under_autocast(self, cell):
        decoder = small(cell)
        module = build(decoder)
        with torch.autocast("cpu", torch.bfloat16):
            loss = loss_of(decoder, module, frames_of_runs())
        loss.backward()
        assert all(torch.isfinite(p.grad).all() for p in module.parameters())
        with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
            assert module.eval()(frames_of_runs()).dtype is torch.float32


@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.4, 0.3, 0.3)])
@pytest.mark.parametrize("freeze_cnn", [False, True], ids=["whole", "frozen"])
def test_overfits_one_batch(shares, freeze_cnn):
    still = replace(CNN, dropout=0.0, stochastic_depth=0.0, norm_momentum=1.0)
    decoder = replace(small(dropout=0.0, freeze_cnn=freeze_cnn), cnn=still)
    module, frames = build(decoder, shares=shares), frames_of_runs()
    with torch.no_grad():  # a first step that leaves running means, as training the CNN does
        module.cnn.train()(frames)
    module.train()
    labels = LABELS if len(shares) == 2 else torch.tensor([[0, 1, 2, 0], [1, 2, 0, 1]])
    optimizer = torch.optim.Adam([p for p in module.parameters() if p.requires_grad], lr=0.01)
    for _ in range(80):
        optimizer.zero_grad()
        loss = loss_of(decoder, module, frames, labels)
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.05


@pytest.mark.parametrize("length", [7, 13, 23, 33])
@pytest.mark.parametrize("training", [True, False], ids=["training", "prediction"])
def test_every_image_goes_through_the_cnn_once(length, training):
    """The window lengths of W: k of 2, 5, 10 and 15 images on each side."""
    module = build(small(), length=length).train(training)
    n_images = []
    module.cnn.network.register_forward_pre_hook(lambda _, given: n_images.append(len(given[0])))
    frames = frames_of_runs(n_frames=length + 7)
    with torch.set_grad_enabled(training):
        assert module(frames).shape == (N_RUNS, 8, 1)
    assert sum(n_images) == N_RUNS * (length + 5)


def test_batch_normalization_counts_every_image_once():
    module = build(replace(small(), cnn=replace(CNN, norm_momentum=1.0)))
    frames = frames_of_runs()
    images = frames.unfold(1, 3, 1).permute(0, 1, 4, 2, 3).flatten(0, 1)
    network = module.cnn.network
    seen = network._conv_stem(network._conv_stem_padding(images))
    module(frames)
    torch.testing.assert_close(network._bn0.running_mean, seen.mean(dim=(0, 2, 3)))


class TestFrozen:
    def test_cnn_stays_as_it_is(self):
        decoder = small(freeze_cnn=True)
        module = build(decoder).train()
        before = {name: t.clone() for name, t in module.cnn.state_dict().items()}
        loss_of(decoder, module, frames_of_runs()).backward()
        torch.optim.SGD(module.parameters(), lr=0.1, weight_decay=0.1).step()
        after = module.cnn.state_dict()
        assert [name for name in before if not torch.equal(before[name], after[name])] == []
        assert not any(part.training for part in module.cnn.modules())
        assert module.rnn.training

    def test_gradients_reach_all_else(self):
        decoder = small(freeze_cnn=True)
        module = build(decoder)
        loss_of(decoder, module, frames_of_runs()).backward()
        reached = {n for n, p in module.named_parameters() if p.grad is not None}
        assert reached == {n for n in module.state_dict() if not n.startswith("cnn.")}

    def test_is_set_free_by_another_configuration(self):
        assert all(p.requires_grad for p in build(small()).parameters())
        assert build(small()).cnn.training


class TestStartFrom:
    @staticmethod
    def cnn_state(cnn=CNN, *, shares=(0.5, 0.5)):
        module = build(cnn, seed=7, length=3, shares=shares)
        move_statistics(module)
        return module.state_dict()

    @pytest.mark.parametrize("shares", [(0.5, 0.5), (0.8, 0.1, 0.1)])
    def test_gives_the_features_of_the_folds_cnn(self, shares):
        state = self.cnn_state(shares=shares)
        module = build(small(), shares=shares)
        readout = module.readout.weight.clone()
        small().start_from(module, state)
        own = module.state_dict()
        theirs = {n.removeprefix("features."): t for n, t in state.items() if n not in HEAD}
        assert {n.removeprefix("cnn.") for n in own if n.startswith("cnn.")} == set(theirs)
        assert all(torch.equal(own[f"cnn.{name}"], theirs[name]) for name in theirs)
        assert torch.equal(module.readout.weight, readout)

    def test_copies_and_does_not_share(self):
        state = self.cnn_state()
        module = build(small())
        small().start_from(module, state)
        before = state["features.network._conv_stem.weight"].clone()
        nn.init.zeros_(module.cnn.network._conv_stem.weight)
        assert torch.equal(state["features.network._conv_stem.weight"], before)

    def test_cnn_of_another_width_is_refused(self):
        state = self.cnn_state(replace(CNN, width=0.5))
        with pytest.raises(
            ValueError,
            match=r"`features.network._conv_stem.weight` must have the shape \(8, 3, 3, 3\), but "
            r"in the fold's CNN it has \(16, 3, 3, 3\): take weights of the same size",
        ):
            small().start_from(build(small()), state)

    def test_missing_and_left_over_tensors_are_refused(self):
        state = self.cnn_state()
        del state["features.network._bn1.weight"]
        with pytest.raises(
            ValueError, match=r"the fold's CNN lacks `features.network._bn1.weight`:"
        ):
            small().start_from(build(small()), state)
        state = self.cnn_state() | {"rnn.weight_ih_l0": torch.zeros(3)}
        with pytest.raises(ValueError, match=r"this network has no place for `rnn.weight_ih_l0`:"):
            small().start_from(build(small()), state)


def test_same_seed_gives_the_cnn_of_the_first_step():
    first, second = build(CNN, seed=3, length=3), build(small(), seed=3)
    assert torch.equal(
        first.features.network._conv_head.weight, second.cnn.network._conv_head.weight
    )


def test_one_layer_has_no_dropout_between_layers():
    assert build(small(n_layers=1)).rnn.dropout == 0.0
    assert build(small()).rnn.dropout == 0.2


def test_settings_of_w_are_the_defaults():
    module = CnnRnn(cell=Cell.LSTM).build(problem())
    assert module.rnn.extra_repr() == "1280, 128, num_layers=2, batch_first=True, dropout=0.2"


def test_note_says_what_it_starts_from():
    assert small().note == (
        "The CNN starts from random weights. Trained on the fold, it starts the CNN-RNN, where it "
        "sees each image of a run once."
    )
    assert small(freeze_cnn=True).note.endswith("where it stays as it is.")


@pytest.mark.parametrize(
    ("setting", "rule"),
    [
        ({"n_hidden": 0}, r"`n_hidden >= 1` must hold, but got 0"),
        ({"n_layers": 0}, r"`n_layers >= 1` must hold, but got 0"),
        ({"dropout": 1.0}, r"`0 <= dropout < 1` must hold, but got self.dropout=1.0"),
    ],
)
def test_setting_out_of_range_is_refused(setting, rule):
    with pytest.raises(ValueError, match=rule):
        CnnRnn(cell=Cell.GRU, **setting)


def test_window_shorter_than_an_image_is_refused():
    with pytest.raises(
        ValueError, match=r"length >= 3` must hold .* but got 2: set datasets.window"
    ):
        build(small(), length=2)


def test_traces_are_refused():
    with pytest.raises(ValueError, match=r"reads images, but frames are traces of 50 units"):
        build(small(), shape=(50,))
