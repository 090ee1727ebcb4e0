"""Starting weights from a file: the names of each package, and what is refused."""

import os

import pytest
import torch
from safetensors.torch import save_file

from calsweep.trainables.cnn import Cnn
from calsweep.trainables.efficientnet import Convention, Size
from calsweep.trainables.pretrained import load_weights
from tests.trainables.images import (
    build,
    features_of,
    move_statistics,
)

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
