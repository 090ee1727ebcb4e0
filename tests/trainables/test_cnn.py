"""The CNN sees the frame before, the frame and the frame after, and starts from others' weights."""

import os
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from calsweep.trainables.cnn import Cnn
from calsweep.trainables.decoder import Problem
from calsweep.trainables.efficientnet import PREDICTED_AT_ONCE, Convention, ImageFeatures, Size
from calsweep.trainables.losses import Criterion
from calsweep.trainables.pretrained import load_weights

SIDE, N_RUNS, N_WINDOWS = 32, 2, 4
SMALL = Cnn(width=0.25, depth=0.25)
LABELS = torch.tensor([[0, 1, 1, 0], [1, 0, 1, 1]])


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Small networks on busy cores wait for their threads most of the time."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def problem(*, shares=(0.5, 0.5), shape=(SIDE, SIDE), length=3):
    return Problem(frame_shape=shape, window_length=length, class_shares=shares)


def build(decoder=SMALL, *, seed=0, **kwargs):
    torch.manual_seed(seed)
    return decoder.build(problem(**kwargs))


def frames_of_runs(*, seed=1, n_frames=N_WINDOWS + 2, shape=(SIDE, SIDE)):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(N_RUNS, n_frames, *shape, generator=generator)


def features_of(size=Size.B0, *, convention=Convention.TENSORFLOW, width=1.0, depth=1.0, seed=0):
    torch.manual_seed(seed)
    return ImageFeatures(
        size=size,
        image_shape=(SIDE, SIDE),
        width=width,
        depth=depth,
        stochastic_depth=0.2,
        convention=convention,
        norm_momentum=0.01,
    )


def loss_of(module, frames, *, labels=LABELS, decoder=SMALL):
    outputs = module(frames)
    weights = torch.ones(labels.shape)
    loss = decoder.loss(outputs, labels, weights, frames=frames, criterion=Criterion())
    return loss / labels.numel()


def move_statistics(module, *, seed=5):
    """Give batch normalization running means and variances of its own."""
    generator = torch.Generator().manual_seed(seed)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.copy_(torch.randn(part.running_mean.shape, generator=generator) / 4)
            part.running_var.copy_(torch.rand(part.running_var.shape, generator=generator) + 0.5)


class TestNetwork:
    def test_b0_has_the_published_number_of_parameters(self):
        features = features_of()
        assert sum(p.numel() for p in features.parameters()) == 4_007_548
        assert features.n_features == 1280
        module = build(Cnn())
        assert sum(p.numel() for p in module.parameters()) == 4_007_548 + 1280 + 1

    def test_b1_is_deeper_and_b2_wider(self):
        assert sum(p.numel() for p in features_of(Size.B1).parameters()) == 6_513_184
        assert sum(p.numel() for p in features_of(Size.B2).parameters()) == 7_700_994
        assert features_of(Size.B2).n_features == 1408

    def test_width_and_depth_make_it_small(self):
        features = features_of(width=0.25, depth=0.25)
        assert sum(p.numel() for p in features.parameters()) == 123_612
        assert features.n_features == 320

    @pytest.mark.parametrize(
        ("convention", "border"),
        [(Convention.TENSORFLOW, (0, 1)), (Convention.TORCHVISION, (1, 1))],
    )
    def test_convention_decides_where_the_border_of_an_even_side_goes(self, convention, border):
        stem = features_of(convention=convention).network
        nn.init.ones_(stem._conv_stem.weight)
        seen = stem._conv_stem(stem._conv_stem_padding(torch.ones(1, 3, SIDE, SIDE)))[0, 0] / 3
        before, behind = border
        assert seen.shape == (SIDE // 2, SIDE // 2)
        assert seen[0, 0] == (3 - before) ** 2  # pixels under the kernel
        # A last stride that does not reach the border sees as many pixels as any other.
        assert seen[-1, -1] == (3 - (behind if before == 0 else 0)) ** 2

    def test_image_need_not_be_square(self):
        assert build(shape=(33, 64))(frames_of_runs(shape=(33, 64))).shape == (N_RUNS, N_WINDOWS, 1)

    def test_convention_decides_what_is_added_to_variances(self):
        def added(size, convention):
            network = features_of(size, convention=convention, width=0.1, depth=0.1).network
            return {part.eps for part in network.modules() if isinstance(part, nn.BatchNorm2d)}

        assert added(Size.B0, Convention.TENSORFLOW) == {1e-3}
        assert added(Size.B4, Convention.TORCHVISION) == {1e-5}
        assert added(Size.B5, Convention.TORCHVISION) == {1e-3}


class TestImages:
    def test_image_has_the_frame_between_its_neighbors(self):
        """With a network that only adds up its channels, each by its own factor."""
        features = features_of(width=0.1, depth=0.1)
        features.network = _Factors()
        frames = torch.arange(14.0).view(2, 7, 1, 1) * torch.ones(2, 7, SIDE, SIDE)
        expected = [[12, 123, 234, 345, 456], [789, 900, 1011, 1122, 1233]]
        for training in (True, False):
            features.train(training)
            with torch.set_grad_enabled(training):
                assert features(frames).squeeze(-1).tolist() == expected

    @pytest.mark.parametrize(("n_runs", "n_frames"), [(1, 150), (70, 4), (3, 70)])
    def test_prediction_in_parts_gives_what_it_gives_at_once(self, n_runs, n_frames):
        features = features_of(width=0.1, depth=0.1)
        features.network = _Factors()
        features.eval()
        frames = torch.randn(n_runs, n_frames, 1, 1).expand(-1, -1, SIDE, SIDE)
        at_once = features(frames)
        with torch.no_grad():
            in_parts = features(frames)
        assert torch.equal(in_parts, at_once)
        assert features.network.n_at_once[0] == n_runs * (n_frames - 2)
        assert max(features.network.n_at_once[1:]) <= PREDICTED_AT_ONCE

    def test_images_have_channels_last(self):
        features = features_of(width=0.1, depth=0.1)
        features.network = _Factors()
        features(frames_of_runs())
        assert features.network.channels_last


class _Factors(nn.Module):
    """100, 10 and 1 times the channels' first pixels."""

    def __init__(self):
        super().__init__()
        self.n_at_once = []

    def forward(self, images):
        self.n_at_once.append(len(images))
        self.channels_last = images.is_contiguous(memory_format=torch.channels_last)
        return images[:, :, 0, 0] @ images.new_tensor([[100.0], [10.0], [1.0]])


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


# Tensors of B0 that the packages have by these names, and their shapes; how many tensors each has.
PACKAGES = {
    "EfficientNet-PyTorch": {
        "_conv_stem.weight": (32, 3, 3, 3),
        "_bn0.running_var": (32,),
        "_blocks.0._depthwise_conv.weight": (32, 1, 3, 3),
        "_blocks.1._expand_conv.weight": (96, 16, 1, 1),
        "_blocks.3._depthwise_conv.weight": (144, 1, 5, 5),
        "_blocks.15._se_reduce.bias": (48,),
        "_blocks.15._project_conv.weight": (320, 1152, 1, 1),
        "_conv_head.weight": (1280, 320, 1, 1),
    },
    "torchvision": {
        "features.0.0.weight": (32, 3, 3, 3),
        "features.0.1.running_var": (32,),
        "features.1.0.block.0.0.weight": (32, 1, 3, 3),
        "features.1.0.block.1.fc1.weight": (8, 32, 1, 1),
        "features.2.0.block.0.0.weight": (96, 16, 1, 1),
        "features.3.0.block.1.0.weight": (144, 1, 5, 5),
        "features.7.0.block.2.fc1.bias": (48,),
        "features.7.0.block.3.0.weight": (320, 1152, 1, 1),
        "features.8.0.weight": (1280, 320, 1, 1),
    },
    "timm": {
        "conv_stem.weight": (32, 3, 3, 3),
        "bn1.running_var": (32,),
        "blocks.0.0.conv_dw.weight": (32, 1, 3, 3),
        "blocks.0.0.conv_pw.weight": (16, 32, 1, 1),
        "blocks.1.0.conv_pw.weight": (96, 16, 1, 1),
        "blocks.2.0.conv_dw.weight": (144, 1, 5, 5),
        "blocks.6.0.se.conv_reduce.bias": (48,),
        "blocks.6.0.conv_pwl.weight": (320, 1152, 1, 1),
        "conv_head.weight": (1280, 320, 1, 1),
    },
    "MONAI": {"_blocks.1.1._expand_conv.weight": (96, 16, 1, 1)},
    "this project's CNN": {"features.network._blocks.1.1._expand_conv.weight": (96, 16, 1, 1)},
    "this project's CNN-RNN": {"cnn.network._blocks.1.1._expand_conv.weight": (96, 16, 1, 1)},
}
HEADS = {
    "EfficientNet-PyTorch": "_fc.weight",
    "torchvision": "classifier.1.weight",
    "timm": "classifier.weight",
    "MONAI": "_fc.weight",
    "this project's CNN": "head.weight",
    "this project's CNN-RNN": "readout.weight",
}
EVERY_PACKAGE = pytest.mark.parametrize("package", PACKAGES)


def convention_of(package):
    return Convention.TORCHVISION if package == "torchvision" else Convention.TENSORFLOW


def in_names_of(package, features):
    """Name a network's tensors as a package does, with a classifier behind."""
    from calsweep.trainables.pretrained import _NAMINGS

    (naming,) = (naming for naming in _NAMINGS.values() if naming.owner == package)
    own = features.network.state_dict()
    names = naming.names(features)
    return {names[n]: t for n, t in own.items()} | {HEADS[package]: torch.zeros(1000, 1280)}


@pytest.fixture(scope="module")
def trained():
    """A B0 whose every tensor differs from that of a fresh one."""
    features = features_of(seed=7)
    with torch.no_grad():
        for weights in features.parameters():
            weights.add_(torch.rand_like(weights), alpha=0.01)
    move_statistics(features)
    for name, counter in features.named_buffers():
        if name.endswith("num_batches_tracked"):
            counter.fill_(12)
    return features


class TestStartingWeights:
    @EVERY_PACKAGE
    def test_names_are_those_of_the_package(self, package, trained):
        tensors = in_names_of(package, trained)
        found = {name: tuple(tensors[name].shape) for name in PACKAGES[package]}
        assert found == PACKAGES[package]
        assert len(tensors) == 358 + 1

    @EVERY_PACKAGE
    @pytest.mark.parametrize("suffix", ["safetensors", "pth"])
    def test_come_from_a_file_and_the_head_is_left_out(self, package, suffix, trained, tmp_path):
        file = tmp_path / f"weights.{suffix}"
        save = save_file if suffix == "safetensors" else torch.save
        save(in_names_of(package, trained), file)
        fresh = features_of(convention=convention_of(package))
        load_weights(fresh, file)
        own, wanted = fresh.state_dict(), trained.state_dict()
        assert [name for name in own if not torch.equal(own[name], wanted[name])] == []

    def test_cnn_starts_from_them(self, trained, tmp_path):
        save_file(in_names_of("timm", trained), tmp_path / "b0.safetensors")
        decoder = Cnn(weights=str(tmp_path / "b0.safetensors"))
        module = build(decoder, shares=(0.2, 0.8))
        assert torch.equal(
            module.features.network._conv_stem.weight, trained.network._conv_stem.weight
        )
        assert module.head.bias.item() == pytest.approx(1.3862944)
        assert decoder.note == f"The CNN starts from the weights in {tmp_path}/b0.safetensors."

    def test_note_says_that_there_are_none(self):
        assert Cnn().note == "The CNN starts from random weights."

    def test_old_file_without_counters_will_do(self, trained, tmp_path):
        tensors = in_names_of("EfficientNet-PyTorch", trained)
        old = {n: t for n, t in tensors.items() if not n.endswith("num_batches_tracked")}
        torch.save(old, tmp_path / "old.pth")
        fresh = features_of()
        load_weights(fresh, tmp_path / "old.pth")
        assert torch.equal(fresh.network._bn1.running_mean, trained.network._bn1.running_mean)

    def test_other_shape_is_refused_and_nothing_is_copied(self, trained, tmp_path):
        tensors = in_names_of("torchvision", trained)
        tensors["features.8.0.weight"] = torch.zeros(1280, 320, 3, 3)
        save_file(tensors, tmp_path / "w.safetensors")
        fresh = features_of(convention=Convention.TORCHVISION)
        before = fresh.network._conv_stem.weight.clone()
        with pytest.raises(
            ValueError,
            match=r"`features.8.0.weight` must have the shape \(1280, 320, 1, 1\), but in .*"
            r"w.safetensors it has \(1280, 320, 3, 3\): take weights of the same size",
        ):
            load_weights(fresh, tmp_path / "w.safetensors")
        assert torch.equal(fresh.network._conv_stem.weight, before)

    def test_weights_of_a_deeper_network_are_refused(self, tmp_path):
        deeper = features_of(Size.B1)
        save_file(in_names_of("timm", deeper), tmp_path / "b1.safetensors")
        with pytest.raises(
            ValueError, match=r"must have its place .* take weights of the same size"
        ):
            load_weights(features_of(), tmp_path / "b1.safetensors")

    def test_missing_tensor_is_named(self, trained, tmp_path):
        tensors = in_names_of("timm", trained)
        del tensors["blocks.1.0.bn2.running_mean"]
        save_file(tensors, tmp_path / "w.safetensors")
        with pytest.raises(ValueError, match=r"w.safetensors lacks `blocks.1.0.bn2.running_mean`:"):
            load_weights(features_of(), tmp_path / "w.safetensors")

    @pytest.mark.parametrize("package", ["EfficientNet-PyTorch", "MONAI", "torchvision"])
    def test_other_convention_is_refused(self, package, trained, tmp_path):
        save_file(in_names_of(package, trained), tmp_path / "w.safetensors")
        (wrong,) = set(Convention) - {convention_of(package)}
        with pytest.raises(
            ValueError,
            match=rf"has {package}'s names, whose weights work with `convention="
            rf"{convention_of(package).value}` only, but got `convention={wrong.value}`",
        ):
            load_weights(features_of(convention=wrong), tmp_path / "w.safetensors")

    def test_other_names_are_refused(self, tmp_path):
        torch.save({"layer1.weight": torch.zeros(3)}, tmp_path / "resnet.pth")
        with pytest.raises(
            ValueError, match=r"must name tensors as EfficientNet-PyTorch, .* has `layer1.weight`"
        ):
            load_weights(features_of(), tmp_path / "resnet.pth")

    def test_what_is_pickled_is_not_run(self, tmp_path):
        class Trap:
            def __reduce__(self):
                return os.mkdir, (str(tmp_path / "trapped"),)

        torch.save({"_conv_stem.weight": Trap()}, tmp_path / "trap.pth")
        with pytest.raises(ValueError, match=r"must hold tensors by name and nothing else"):
            load_weights(features_of(), tmp_path / "trap.pth")
        assert not (tmp_path / "trapped").exists()

    @pytest.mark.parametrize("content", [b"", b"not weights at all", b"PK\x03\x04 half an archive"])
    @pytest.mark.parametrize("suffix", ["pth", "safetensors"])
    def test_damaged_file_is_refused(self, content, suffix, tmp_path):
        file = tmp_path / f"damaged.{suffix}"
        file.write_bytes(content)
        with pytest.raises(ValueError, match=r"must hold tensors by name .*damaged"):
            load_weights(features_of(), file)

    def test_checkpoint_of_more_than_weights_is_refused(self, trained, tmp_path):
        torch.save({"state_dict": trained.state_dict(), "epoch": 3}, tmp_path / "checkpoint.pth")
        with pytest.raises(ValueError, match=r"a dict of other things: save `module.state_dict"):
            load_weights(features_of(), tmp_path / "checkpoint.pth")

    @pytest.mark.parametrize(
        ("weights", "rule"),
        [
            (
                "s3://lab/b0.pth",
                r"must be a file of this machine .* but got s3://lab/b0.pth: fetch",
            ),
            ("/nowhere/b0.pth", r"must be a file, but there is none at /nowhere/b0.pth"),
        ],
    )
    def test_no_file_is_refused(self, weights, rule):
        with pytest.raises(ValueError, match=rule):
            build(Cnn(weights=weights))

    def test_file_of_another_kind_is_refused(self, tmp_path):
        (tmp_path / "b0.ckpt").touch()
        with pytest.raises(ValueError, match=r"must be a .safetensors, .pth or .pt file, but got"):
            load_weights(features_of(), tmp_path / "b0.ckpt")


def test_monai_is_loaded_only_where_a_network_is_built():
    code = "import sys, calsweep.trainables.cnn_rnn; sys.exit('monai' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=120).returncode == 0
